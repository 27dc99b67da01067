package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/cli"
)

func operationCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "operation", Short: "Requests that wait for people to approve them", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	cmd.AddCommand(operationList(o), operationShow(o), operationCancel(o))
	return cmd
}

func operationList(o *output) *cobra.Command {
	var r remote
	var state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List requests that wait for approvals, or did",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(o, &r, "list operations", "",
				func(c *client.Client) ([]wire.Operation, error) { return c.Operations(cmd.Context(), state) },
				table(enrol.OperationTable))
		},
	}
	r.register(cmd)
	cmd.Flags().StringVar(&state, "state", "", "only those of a state, as PENDING_APPROVAL")
	return cmd
}

func operationShow(o *output) *cobra.Command {
	var r remote
	var follow bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a request that waits for approvals, as this program reads it; with -o json, a file to approve offline",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(o, &r, "show operation", "",
				func(c *client.Client) (*wire.Operation, error) { return c.Shown(cmd.Context(), args[0], follow) }, table(enrol.OperationRows))
		},
	}
	r.register(cmd)
	cmd.Flags().BoolVar(&follow, "follow", false, "wait until it is over, for --timeout at most without a word of the node")
	return cmd
}

func operationCancel(o *output) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Take a request back that waits, as the initiator that asked for it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(o, &r, "cancel operation", "",
				func(c *client.Client) (*wire.Operation, error) { return c.Cancel(cmd.Context(), args[0]) }, table(enrol.OperationRows))
		},
	}
	r.register(cmd)
	r.who.register(cmd)
	return cmd
}

func approveCommand(o *output) *cobra.Command {
	var r remote
	var who asker
	var d enrol.Decision
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Approve a request that waits, or reject it, after reading what it does",
		Long: "What is shown is decoded here, and no node is believed. With --file and --out no node is asked: the file is what\n" +
			"`mpcd operation show ID -o json` wrote, and --bring takes what --out wrote to a node. With --authority, the cluster's, it is judged\n" +
			"besides whether its initiator has asked for it. A rejection is for good, and takes an approval back until a share is made.\n" +
			"With --passkey a page for a browser on this machine shows it, and has the approver's passkey sign: `mpcd authority passkey`.",
		Example: "  mpcd approve pay-42 --approver ann --approver-key ann.key\n" +
			"  mpcd approve pay-42 --approver ann --passkey --authority authority.json\n" +
			"  mpcd approve pay-42 --file pay-42.json --authority authority.json --approver ann --approver-key ann.key --out approval.json\n" +
			"  mpcd approve pay-42 --bring approval.json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if d.By, d.TTL = who.name, who.ttl; d.Passkey && who.key+who.token != "" {
				return fault.Usage("give one of them", "--passkey and --approver-key: the key of a passkey is in no file")
			}
			x, err := d.Decide(cmd.Context(), args[0], func() (*wire.Operation, error) {
				return ask(&r, "read the operation", "", func(c *client.Client) (*wire.Operation, error) { return c.Operation(cmd.Context(), args[0]) })
			}, who.use, cmd.InOrStdin(), o.err)
			switch {
			case err != nil:
				return err
			case d.Out != "":
				return o.result(x, func(w io.Writer) { row(w, "written", d.Out) })
			}
			return show(o, &r, "approve", "",
				func(c *client.Client) (*wire.Operation, error) { return c.Approve(cmd.Context(), args[0], x) }, table(enrol.OperationRows))
		},
	}
	r.register(cmd)
	who.flags(cmd, "approver", "who decides, by name in the cluster's authority", 24*time.Hour)
	f := cmd.Flags()
	f.StringVar(&d.File, "file", "", "the operation, where no node is to be asked")
	f.StringVar(&d.Out, "out", "", "a file for the approval, in the place of bringing it to a node")
	f.StringVar(&d.Bring, "bring", "", "an approval that --out wrote, to be brought to a node")
	f.StringVar(&d.Authority, "authority", "", "the cluster's authority.json, to judge who asked")
	f.BoolVar(&d.Reject, "reject", false, "reject it, for good")
	f.BoolVar(&d.Yes, "yes", false, "do not ask: what it does was read before")
	f.BoolVar(&d.Passkey, "passkey", false, "show it in a browser on this machine, where the approver's passkey signs; with --authority")
	f.Uint16Var(&d.Port, "port", 0, "of the page; 0 takes a free one")
	return cmd
}
