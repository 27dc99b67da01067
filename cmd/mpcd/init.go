package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// plan is a cluster to be made.
type plan struct {
	cluster   string
	dir       string
	nodes     int
	threshold int
	hsm       string // softhsm, local, or a URI in which %n stands for the node's name
	hosts     []string
	apiPort   int
	routePort int
	dev       bool
	plain     bool // the API without certificate and tokens
	options   host.Options
	note      func(format string, a ...any)
}

// made is a node of a plan that was carried out.
type made struct {
	ID      string `json:"id"`
	Dir     string `json:"dir"`
	Config  string `json:"config"`
	Listen  string `json:"listen"`
	Routes  string `json:"routes"`
	TokenID string `json:"hsm"`
}

// The first ports of nodes that share a host; on hosts of their own all have these.
const (
	apiPort   = 8080
	routePort = 6222
)

func initCommand(o *output) *cobra.Command {
	p := plan{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the directories, tokens, keys and roster of a whole cluster",
		Long: "Makes a cluster in one directory: cluster/ with the operator's keys and the signed roster, and for each node a directory with its\n" +
			"token (SoftHSM unless --hsm says otherwise), data, certificate and mpcd.yaml. Each node's directory can be moved to its host.\n\n" +
			"For production give every host its own token and use `mpcd node enroll` there and `mpcd node roster sign` at the operator's.",
		Example: "  mpcd init --cluster treasury --nodes 3 --threshold 2 --dir ./treasury\n  mpcd start --config ./treasury/node1/mpcd.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.options, p.note = o.options("warn"), o.note
			if err := host.Harden(); err != nil { // it makes every node's secrets
				return fault.Doing("harden the process", err)
			}
			nodes, root, err := p.carryOut(cmd.Context())
			if err != nil {
				return fault.Doing("init", err)
			}
			v := map[string]any{"cluster": p.cluster, "dir": p.dir, "roster_root": root, "nodes": nodes}
			return o.result(v, func(w io.Writer) {
				row(w, "NODE", "CONFIG", "API", "ROUTES")
				for _, n := range nodes {
					row(w, n.ID, n.Config, n.Listen, n.Routes)
				}
				row(w)
				row(w, "roster root "+root)
				row(w, "start each node with: mpcd start --config "+nodes[0].Config)
				row(w, "make a token for the API with: mpcd token --key "+filepath.Join(p.dir, "cluster", jwtKeyFile)+" --audience "+p.cluster)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.cluster, "cluster", "mpcd", "name of the cluster: a-z, 0-9, - and _")
	f.IntVar(&p.nodes, "nodes", 3, "number of nodes")
	f.IntVar(&p.threshold, "threshold", 2, "signers needed by default")
	f.StringVar(&p.dir, "dir", "", "directory of the cluster (required)")
	f.StringVar(&p.hsm, "hsm", "softhsm", "softhsm, local (with --dev), or a URI in which %n stands for the node's name; without it the nodes share the token")
	f.StringSliceVar(&p.hosts, "hosts", nil, "host of each node; all on 127.0.0.1 if none is given")
	f.IntVar(&p.apiPort, "api-port", apiPort, "port of the API; nodes that share a host take the next ones")
	f.IntVar(&p.routePort, "route-port", routePort, "port of the routes between nodes; the same")
	f.BoolVar(&p.dev, "dev", false, "allow tokens that guard nothing")
	return cmd
}

// check refuses what no cluster should be.
func (p *plan) check() error {
	if err := transport.CheckName("cluster", p.cluster); err != nil {
		return fault.Usage("use 1 to 63 of a-z, 0-9, - and _", "cluster %q is no name", p.cluster)
	}
	if err := checkThreshold(p.threshold, p.nodes); err != nil {
		return err
	}
	if p.dir == "" {
		return fault.Usage("give --dir DIR", "no directory for the cluster")
	}
	for _, port := range []int{p.apiPort, p.routePort} {
		if port < 1 || port+p.nodes > 65536 {
			return fault.Usage("give --api-port and --route-port from 1 to 65000", "port %d", port)
		}
	}
	if len(p.hosts) != 0 && len(p.hosts) != p.nodes {
		return fault.Usage("give one host for each node, separated by commas", "%d hosts for %d nodes", len(p.hosts), p.nodes)
	}
	if p.hsm == "local" && !p.dev {
		return fault.Usage("use --hsm softhsm, or --dev if this cluster will never hold anything of value", "--hsm local keeps keys in plain files")
	}
	return nil
}

// checkThreshold holds t of n against the policy that every node enforces.
func checkThreshold(t, n int) error {
	switch {
	case n < 2 || n > 64:
		return fault.Usage("give 2 to 64 nodes", "%d nodes", n)
	case t < 2:
		return fault.Usage(fmt.Sprintf("give a threshold from %d to %d", n/2+1, n), "threshold %d: one node alone could sign", t)
	case t > n:
		return fault.Usage(fmt.Sprintf("give a threshold from %d to %d", n/2+1, n), "threshold %d of %d nodes can never sign", t, n)
	case t < n/2+1:
		return fault.Usage(fmt.Sprintf("give a threshold from %d to %d", n/2+1, n), "threshold %d of %d is no majority: two halves could sign against each other", t, n)
	}
	return nil
}

func (p *plan) name(k int) transport.NodeID { return transport.NodeID("node" + strconv.Itoa(k+1)) }

// addresses are where node k listens, and where it is reached.
func (p *plan) addresses(k int) (api, route, host string) {
	host = "127.0.0.1"
	if p.hosts != nil {
		host = p.hosts[k]
	}
	shift := 0
	for j := range k {
		if p.hosts == nil || p.hosts[j] == host {
			shift++
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(p.apiPort+shift)), net.JoinHostPort(host, strconv.Itoa(p.routePort+shift)), host
}

// carryOut makes the cluster and returns its nodes and the operator's public key.
func (p *plan) carryOut(ctx context.Context) ([]made, string, error) {
	if err := p.check(); err != nil {
		return nil, "", err
	}
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		return nil, "", err
	}
	p.dir = dir
	a, err := newAuthority(filepath.Join(dir, "cluster"), p.cluster)
	if err != nil {
		return nil, "", err
	}
	var nodes []made
	var es []enrolment
	for k := range p.nodes {
		n, e, err := p.makeNode(ctx, a, k)
		if err != nil {
			return nil, "", fault.Doing(fmt.Sprintf("make %s", p.name(k)), err)
		}
		nodes, es = append(nodes, n), append(es, e)
		p.note("made %s: token, keys, vault", n.ID)
	}
	roster, err := a.sign(nil, es)
	if err != nil {
		return nil, "", err
	}
	for _, n := range nodes {
		if err := durable.WriteFile(filepath.Join(n.Dir, rosterFile), roster.JSON(), 0o644); err != nil {
			return nil, "", err
		}
	}
	return nodes, a.rootHex(), nil
}

// makeNode makes the directory of one node, and enrols it.
func (p *plan) makeNode(ctx context.Context, a *authority, k int) (n made, e enrolment, err error) {
	name := p.name(k)
	dir := filepath.Join(p.dir, string(name))
	api, route, place := p.addresses(k)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return n, e, err
	}
	uri, conf, keys, err := p.token(string(name), filepath.Join(dir, "hsm"))
	if err != nil {
		return n, e, err
	}
	if err := a.issue(name, []string{place, "localhost", "127.0.0.1"}, filepath.Join(dir, "tls")); err != nil {
		return n, e, err
	}
	jwt, err := durable.ReadFile(filepath.Join(a.dir, jwtPubFile), pemMax)
	if err != nil {
		return n, e, err
	}
	if err := durable.WriteFile(filepath.Join(dir, jwtPubFile), jwt, 0o644); err != nil {
		return n, e, err
	}
	var routes []string
	for j := range p.nodes {
		if j != k {
			_, r, _ := p.addresses(j)
			routes = append(routes, r)
		}
	}
	path := filepath.Join(dir, "mpcd.yaml")
	text := nodeYAML{
		Cluster: p.cluster, Node: string(name), Dir: dir, Listen: api, Threshold: p.threshold, Root: a.rootHex(), Plain: p.plain,
		RouteListen: route, Routes: routes, URI: uri, SoftHSMConf: conf, Keys: keys, Plugin: pluginLines(),
	}.render()
	if err := durable.WriteFile(path, text, 0o600); err != nil {
		return n, e, err
	}
	vs := host.Defaults()
	if err := vs.YAML(path, text); err != nil {
		return n, e, err
	}
	c, err := host.Parse(vs)
	if err != nil {
		return n, e, err
	}
	c.Dev = p.dev
	if e, err = enrol(ctx, c, p.options, "https://"+api, "", false); err != nil {
		return n, e, err
	}
	return made{ID: string(name), Dir: dir, Config: path, Listen: api, Routes: route, TokenID: uri}, e, nil
}

// token makes the token of a node, or names the one it has. Nodes that share one have keys of different names: keys is put before.
func (p *plan) token(name, dir string) (uri, conf, keys string, err error) {
	switch p.hsm {
	case "softhsm":
		t, err := host.ProvisionSoftHSM(dir, "mpcd-"+name)
		return t.URI, t.Conf, "", err
	case "local":
		return "local:" + dir, "", "", nil
	}
	if uri = replaceName(p.hsm, name); uri == p.hsm {
		keys = name + "/"
	}
	return uri, "", keys, nil
}
