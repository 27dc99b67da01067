package main

import (
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

func initCommand(o *output) *cobra.Command {
	p := enrol.Plan{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the directories, tokens, keys and roster of a whole cluster",
		Long: "Makes a cluster in one directory: " +
			"cluster/ with the operator's keys and the signed roster, and for each node a directory with its\n" +
			"token (SoftHSM unless --hsm says otherwise), data, certificate and mpcd.yaml. Each node's directory can be moved to its host.\n\n" +
			"For production give every host its own token and use `mpcd node enroll` there and `mpcd node roster sign` at the operator's.",
		Example: "  mpcd init --cluster treasury --nodes 3 --threshold 2 --dir ./treasury\n  mpcd start --config ./treasury/node1/mpcd.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.Options, p.Note = o.options("warn"), o.note
			if err := host.Harden(); err != nil { // it makes every node's secrets
				return fault.Doing("harden the process", err)
			}
			nodes, root, err := p.CarryOut(cmd.Context())
			if err != nil {
				return fault.Doing("init", err)
			}
			v := map[string]any{"cluster": p.Cluster, "dir": p.Dir, "roster_root": root, "nodes": nodes}
			return o.result(v, func(w io.Writer) {
				row(w, "NODE", "CONFIG", "API", "ROUTES")
				for _, n := range nodes {
					row(w, n.ID, n.Config, n.Listen, n.Routes)
				}
				row(w)
				row(w, "roster root "+root)
				row(w, "start each node with: mpcd start --config "+nodes[0].Config)
				row(w, "make a token for the API with: mpcd token --key "+filepath.Join(p.Dir, "cluster", enrol.TokenKeyFile)+" --audience "+p.Cluster)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Cluster, "cluster", "mpcd", "name of the cluster: a-z, 0-9, - and _")
	f.IntVar(&p.Nodes, "nodes", 3, "number of nodes")
	f.IntVar(&p.Threshold, "threshold", 2, "signers needed by default")
	f.StringVar(&p.Dir, "dir", "", "directory of the cluster (required)")
	f.StringVar(&p.HSM, "hsm", "softhsm",
		"softhsm, local (with --dev), or a URI in which %n stands for the node's name; without it the nodes share the token")
	f.StringSliceVar(&p.Hosts, "hosts", nil, "host of each node; all on 127.0.0.1 if none is given")
	f.IntVar(&p.APIPort, "api-port", enrol.APIPort, "port of the API; nodes that share a host take the next ones")
	f.IntVar(&p.RoutePort, "route-port", enrol.RoutePort, "port of the routes between nodes; the same")
	f.BoolVar(&p.Dev, "dev", false, "allow tokens that guard nothing")
	return cmd
}
