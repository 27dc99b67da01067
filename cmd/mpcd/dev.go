package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// dev is a cluster for development: real node processes on this machine, each with a token of its own.
type dev struct {
	o         *output
	nodes     int
	threshold int
	data      string
	listen    string
	hsm       string
	logs      bool
	temporary bool
	family    *family
	members   []*member
	began     time.Time
}

// devCluster is the name of the cluster that dev makes.
const devCluster = "dev"

func devCommand(o *output) *cobra.Command {
	d := &dev{o: o}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a whole cluster on this machine, in seconds",
		Long: "Starts node processes on this machine, each with its own SoftHSM token (or a software token, if SoftHSM is absent), makes an Ed25519 and\n" +
			"a Taproot key, proves their threshold, kills a node, signs without it, starts it again, and stays up. The API is plain HTTP on loopback\n" +
			"and needs no token: this is for development, never for anything of value.\n\nCtrl-C ends every process; without --data nothing is left behind.",
		Example: "  mpcd dev\n  mpcd dev --nodes 5 --threshold 3 --data ./cluster\n  curl -s http://127.0.0.1:8080/api/v1/wallets",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.IntVar(&d.nodes, "nodes", 3, "number of nodes")
	f.IntVar(&d.threshold, "threshold", 2, "signers needed")
	f.StringVar(&d.data, "data", "", "directory to keep the cluster in; a temporary one if empty")
	f.StringVar(&d.listen, "listen", "127.0.0.1:8080", "address of the first node's API; the others take the next free ports")
	f.StringVar(&d.hsm, "hsm", "", "softhsm, local, or a URI in which %n stands for the node's name; softhsm if it is installed")
	f.BoolVar(&d.logs, "logs", false, "show the logs of the nodes")
	return cmd
}

// ready is what dev prints once the cluster is ready, in one line of JSON.
type ready struct {
	API     string      `json:"api"`
	Token   string      `json:"token"`
	Nodes   []readyNode `json:"nodes"`
	Data    string      `json:"data"`
	HSM     string      `json:"hsm"`
	Roster  string      `json:"roster"`
	Root    string      `json:"roster_root"`
	Wallets []readyKey  `json:"wallets"`
}

type readyNode struct {
	ID  string `json:"id"`
	API string `json:"api"`
	PID int    `json:"pid"`
	// Command brings the node back after its process ended.
	Command []string `json:"command"`
}

type readyKey struct {
	WalletID  string   `json:"wallet_id"`
	Curve     string   `json:"curve"`
	Protocol  string   `json:"protocol"`
	PublicKey wire.Hex `json:"public_key"`
	Address   string   `json:"address"`
}

func (d *dev) run(ctx context.Context) (err error) {
	d.began = time.Now()
	if err := d.check(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.prepare(ctx); err != nil {
		return d.interrupted(ctx, fault.Doing("dev", err))
	}
	keys, err := d.show(ctx)
	if err != nil {
		return d.interrupted(ctx, fault.Doing("dev", err))
	}
	if err := d.announce(keys); err != nil {
		return err
	}
	return d.watch(ctx)
}

// interrupted makes nothing of an error that Ctrl-C brought about.
func (d *dev) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *dev) check() error {
	if err := enrol.CheckThreshold(d.threshold, d.nodes); err != nil {
		return err
	}
	name, _, err := net.SplitHostPort(d.listen)
	ip := net.ParseIP(name)
	if err != nil || name != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.Usage("use --listen 127.0.0.1:PORT; for other machines there is `mpcd init` and `mpcd start`", "%q is not on loopback, and dev speaks plain HTTP", d.listen)
	}
	switch d.hsm {
	case "softhsm", "local":
	case "":
		d.hsm = "softhsm"
		if !host.HasSoftHSM() {
			d.hsm = "local"
		}
	default:
		if _, err := hsm.ParseURI(enrol.NodeURI(d.hsm, "node1")); err != nil {
			return fault.Usage("use --hsm softhsm, --hsm local, or a URI in which %n stands for the node's name", "--hsm: %w", err)
		}
	}
	if d.hsm == "local" {
		d.o.note("%s", d.o.paint("31", "WARNING: software tokens: the keys of every node lie in plain files. `apt-get install softhsm2` for tokens with a PIN."))
	}
	return nil
}

// prepare makes the cluster, or finds the one that was kept, and starts its nodes.
func (d *dev) prepare(ctx context.Context) error {
	if d.data == "" {
		dir, err := os.MkdirTemp("", "mpcd-dev-")
		if err != nil {
			return err
		}
		d.data, d.temporary = dir, true
	}
	dir, err := filepath.Abs(d.data)
	if err != nil {
		return err
	}
	d.data = dir
	if d.family, err = newFamily(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.data, "cluster", enrol.RosterFile)); errors.Is(err, os.ErrNotExist) {
		p := enrol.Plan{Cluster: devCluster, Dir: d.data, Nodes: d.nodes, Threshold: d.threshold, HSM: d.hsm, APIPort: enrol.APIPort, RoutePort: enrol.RoutePort,
			Dev: true, Plain: true, Note: func(string, ...any) {}}
		if err := host.Harden(); err != nil {
			return err
		}
		if _, _, err := p.CarryOut(ctx); err != nil {
			return err
		}
		d.o.note("made %d nodes, each with its own token (%s)", d.nodes, d.hsm)
	} else if err := d.sameAsBefore(); err != nil {
		return err
	} else {
		d.o.note("found the cluster of %d nodes in %s", d.nodes, d.data)
	}
	if err := d.places(); err != nil {
		return err
	}
	for _, m := range d.members {
		if err := d.family.start(m); err != nil {
			return err
		}
	}
	for _, m := range d.members {
		if err := m.waitReady(ctx); err != nil {
			return err
		}
	}
	d.o.note("%d nodes are up (%s)", d.nodes, since(d.began))
	return nil
}

// sameAsBefore refuses other numbers than those of a cluster that was kept.
func (d *dev) sameAsBefore() error {
	for k := range d.nodes + 1 {
		_, err := os.Stat(filepath.Join(d.data, "node"+strconv.Itoa(k+1), "mpcd.yaml"))
		if (err == nil) != (k < d.nodes) {
			return fault.Usage("give the --nodes it was made with, or another --data", "the cluster in %s has not %d nodes", d.data, d.nodes)
		}
	}
	vs := host.Defaults()
	path := filepath.Join(d.data, "node1", "mpcd.yaml")
	if err := vs.File(path); err != nil {
		return err
	}
	if got := vs["threshold"].Text; got != strconv.Itoa(d.threshold) {
		return fault.Usage("give --threshold "+got+", or another --data", "the cluster in %s has threshold %s", d.data, got)
	}
	return nil
}

// places gives every node its addresses: the first API as asked, the others on the next free ports.
func (d *dev) places() error {
	apis, err := freePorts(d.listen, d.nodes)
	if err != nil {
		return err
	}
	routes, err := freePorts("127.0.0.1:0", d.nodes)
	if err != nil {
		return err
	}
	for k := range d.nodes {
		name := "node" + strconv.Itoa(k+1)
		m := &member{id: name, api: apis[k], dir: filepath.Join(d.data, name), logs: d.logs}
		m.args = []string{"start", "--dev", "--config", filepath.Join(m.dir, "mpcd.yaml"), "--listen", apis[k], "--nats-listen", routes[k], "--nats-routes", others(routes, k)}
		d.members = append(d.members, m)
	}
	return nil
}

func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }

// announce prints that the cluster is ready.
func (d *dev) announce(keys []wire.Wallet) error {
	r := ready{API: d.members[0].url(), Data: d.data, HSM: d.hsm, Roster: filepath.Join(d.data, "cluster", enrol.RosterFile)}
	vs := host.Defaults()
	if err := vs.File(filepath.Join(d.members[0].dir, "mpcd.yaml")); err != nil {
		return err
	}
	r.Root = vs["roster_root"].Text
	for _, m := range d.members {
		r.Nodes = append(r.Nodes, readyNode{ID: m.id, API: m.url(), PID: m.pid(), Command: append([]string{d.family.program}, m.args...)})
	}
	for _, k := range keys {
		r.Wallets = append(r.Wallets, readyKey{k.WalletID, k.Curve, k.Protocol, k.PublicKey, k.Address})
	}
	return d.o.result(r, func(w io.Writer) {
		row(w, "ready after "+since(d.began)+": "+r.API)
		row(w)
		row(w, "NODE", "API", "PID")
		for _, n := range r.Nodes {
			row(w, n.ID, n.API, n.PID)
		}
		row(w)
		row(w, "WALLET", "KIND", "ADDRESS")
		for _, k := range r.Wallets {
			row(w, k.WalletID, k.Curve+"/"+k.Protocol, k.Address)
		}
		row(w)
		row(w, "sign:    mpcd sign --api "+r.API+" --wallet "+r.Wallets[0].WalletID+" --text hello")
		row(w, "roster:  "+r.Roster)
		row(w, "data:    "+r.Data)
		row(w, "Ctrl-C ends the cluster")
	})
}

// watch stays until the end of ctx, and tells of nodes that end by themselves.
func (d *dev) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			d.o.note("stopping %d nodes", d.nodes)
			return nil
		case m := <-d.family.ended:
			d.o.note("%s: process %d ended (%v); the others carry on. To bring it back:\n  %s %s", m.id, m.lastPID, m.lastErr, d.family.program, strings.Join(m.args, " "))
			d.o.note("the end of its log, %s:\n%s", m.logPath(), m.tail())
		}
	}
}

// end stops every process and removes what was temporary.
func (d *dev) end() error {
	var err error
	if d.family != nil {
		err = d.family.end(d.members)
	}
	if d.temporary {
		err = errors.Join(err, os.RemoveAll(d.data))
	}
	return err
}
