package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/dev"
)

func devCommand(o *output) *cobra.Command {
	c := dev.Config{Note: o.note}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a whole cluster on this machine, in seconds",
		Long: "Starts node processes on this machine, each with its own SoftHSM token (or a software token, " +
			"if SoftHSM is absent), makes an Ed25519 and\n" +
			"a Taproot key, proves their threshold, kills a node, signs without it, " +
			"starts it again, and stays up. The API is plain HTTP on loopback\n" +
			"and needs no token: this is for development, never for anything of value.\n\n" +
			"Ctrl-C ends every process; without --data nothing is left behind.",
		Example: "  mpcd dev\n  mpcd dev --nodes 5 --threshold 3 --data ./cluster\n  curl -s http://127.0.0.1:8080/api/v1/wallets",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), o, c) },
	}
	f := cmd.Flags()
	f.IntVar(&c.Nodes, "nodes", 3, "number of nodes")
	f.IntVar(&c.Threshold, "threshold", 2, "signers needed")
	f.StringVar(&c.Data, "data", "", "directory to keep the cluster in; a temporary one if empty")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address of the first node's API; the others take the next free ports")
	f.StringVar(&c.HSM, "hsm", "", "softhsm, local, or a URI in which %n stands for the node's name; softhsm if it is installed")
	f.StringVar(&c.InitiatorConfig, "initiator-config", "", "a config.yaml of mpcium: its event_initiator_pubkey may ask, too")
	f.BoolVar(&c.Logs, "logs", false, "show the logs of the nodes")
	return cmd
}

func runDev(ctx context.Context, o *output, c dev.Config) (err error) {
	if c.HSM == "" {
		c.HSM = dev.DefaultHSM()
	}
	if err := c.Check(); err != nil {
		return err
	}
	if c.HSM == "local" {
		o.note("%s", o.paint("31",
			"WARNING: software tokens: the keys of every node lie in plain files. `apt-get install softhsm2` for tokens with a PIN."))
	}
	d, err := dev.Start(ctx, c)
	if err != nil {
		return unlessInterrupted(ctx, fault.Doing("dev", err))
	}
	defer func() { err = errors.Join(err, d.End()) }()
	r, err := d.Show(ctx)
	if err != nil {
		return unlessInterrupted(ctx, fault.Doing("dev", err))
	}
	if err := o.ready(r, d.Since()); err != nil {
		return err
	}
	d.Watch(ctx)
	return nil
}

// unlessInterrupted makes nothing of an error that Ctrl-C brought about.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ready prints that the cluster is ready.
func (o *output) ready(r dev.Ready, since string) error {
	return o.result(r, func(w io.Writer) {
		row(w, "ready after "+since+": "+r.API)
		row(w)
		row(w, "NODE", "API", "PID")
		for _, n := range r.Nodes {
			row(w, n.ID, n.API, n.PID)
		}
		row(w)
		row(w, "WALLET", "CURVE", "PROTOCOL", "ADDRESS")
		for _, k := range r.Wallets {
			row(w, k.WalletID, k.Curve, k.Protocol, k.Address)
		}
		row(w)
		row(w, "sign:    "+os.Args[0]+" sign --api "+r.API+" --wallet "+r.Wallets[0].WalletID+" --text hello")
		row(w, "roster:  "+r.Roster)
		row(w, "root:    "+r.Root)
		row(w, "data:    "+r.Data)
		row(w, "Ctrl-C ends the cluster")
	})
}
