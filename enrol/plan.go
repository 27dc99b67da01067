package enrol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Plan is a cluster to be made.
type Plan struct {
	Cluster   string
	Dir       string
	Nodes     int
	Threshold int
	HSM       string // softhsm, local, or a URI in which %n stands for the node's name
	Hosts     []string
	APIPort   int
	RoutePort int
	Dev       bool
	Plain     bool // the API without certificate and tokens
	Options   host.Options
	Note      func(format string, a ...any)
}

// Made is a node of a plan that was carried out.
type Made struct {
	ID      string `json:"id"`
	Dir     string `json:"dir"`
	Config  string `json:"config"`
	Listen  string `json:"listen"`
	Routes  string `json:"routes"`
	TokenID string `json:"hsm"`
}

// The first ports of nodes that share a host; on hosts of their own all have these.
const (
	APIPort   = 8080
	RoutePort = 6222
)

// check refuses what no cluster should be.
func (p *Plan) check() error {
	if err := transport.CheckName("cluster", p.Cluster); err != nil {
		return fault.Usage("use 1 to 63 of a-z, 0-9, - and _", "cluster %q is no name", p.Cluster)
	}
	if err := CheckThreshold(p.Threshold, p.Nodes); err != nil {
		return err
	}
	if p.Dir == "" {
		return fault.Usage("give --dir DIR", "no directory for the cluster")
	}
	for _, port := range []int{p.APIPort, p.RoutePort} {
		if port < 1 || port+p.Nodes > 65536 {
			return fault.Usage("give --api-port and --route-port from 1 to 65000", "port %d", port)
		}
	}
	if d := max(p.APIPort, p.RoutePort) - min(p.APIPort, p.RoutePort); d < p.sharing() {
		return fault.Usage(fmt.Sprintf("give --api-port and --route-port that are %d apart, or more", p.sharing()),
			"ports %d and %d: on a host of %d nodes one's API would have the port of another's routes", p.APIPort, p.RoutePort, p.sharing())
	}
	if len(p.Hosts) != 0 && len(p.Hosts) != p.Nodes {
		return fault.Usage("give one host for each node, separated by commas", "%d hosts for %d nodes", len(p.Hosts), p.Nodes)
	}
	if p.HSM == "local" && !p.Dev {
		return fault.Usage("use --hsm softhsm, or --dev if this cluster will never hold anything of value",
			"--hsm local keeps keys in plain files")
	}
	return nil
}

// sharing is how many nodes share a host at most: all but the first take the next ports.
func (p *Plan) sharing() int {
	if len(p.Hosts) == 0 {
		return p.Nodes
	}
	of, most := map[string]int{}, 0
	for _, h := range p.Hosts {
		of[h]++
		most = max(most, of[h])
	}
	return most
}

// CheckThreshold holds t of n against the policy that every node enforces.
func CheckThreshold(t, n int) error {
	switch {
	case n < 2 || n > 64:
		return fault.Usage("give 2 to 64 nodes", "the number of nodes is %d", n)
	case t < 2:
		return fault.Usage(fmt.Sprintf("give a threshold from %d to %d", n/2+1, n), "threshold %d: one node alone could sign", t)
	case t > n:
		return fault.Usage(fmt.Sprintf("give a threshold from %d to %d", n/2+1, n), "threshold %d of %d nodes can never sign", t, n)
	case t < n/2+1:
		return fault.Usage(fmt.Sprintf("give a threshold from %d to %d", n/2+1, n),
			"threshold %d of %d is no majority: two halves could sign against each other", t, n)
	}
	return nil
}

// tokenDir is the directory of a token made here, beside mpcd.yaml.
const tokenDir = "hsm"

func (p *Plan) name(k int) transport.NodeID { return transport.NodeID("node" + strconv.Itoa(k+1)) }

// addresses are where node k listens, and where it is reached.
func (p *Plan) addresses(k int) (api, route, host string) {
	host = "127.0.0.1"
	if p.Hosts != nil {
		host = p.Hosts[k]
	}
	shift := 0
	for j := range k {
		if p.Hosts == nil || p.Hosts[j] == host {
			shift++
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(p.APIPort+shift)), net.JoinHostPort(host, strconv.Itoa(p.RoutePort+shift)), host
}

// CarryOut makes the cluster and returns its nodes and the operator's public key.
func (p *Plan) CarryOut(ctx context.Context) (nodes []Made, root string, err error) {
	if err := p.check(); err != nil {
		return nil, "", err
	}
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, "", err
	}
	p.Dir = dir
	a, held, err := newOperator(filepath.Join(dir, "cluster"), p.Cluster)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	chain, err := a.Pilot()
	if err != nil {
		return nil, "", err
	}
	var es []Enrolment
	for k := range p.Nodes {
		n, e, err := p.makeNode(ctx, a, k)
		if err != nil {
			return nil, "", fault.Doing(fmt.Sprintf("make %s", p.name(k)), err)
		}
		nodes, es = append(nodes, n), append(es, e)
		p.Note("made %s: token, keys, vault", n.ID)
	}
	roster, err := a.Sign(nil, es)
	if err != nil {
		return nil, "", err
	}
	for _, n := range nodes {
		if err := durable.WriteFile(filepath.Join(n.Dir, RosterFile), roster.JSON(), 0o644); err != nil {
			return nil, "", err
		}
		if err := p.bringAuthority(a, chain, n); err != nil {
			return nil, "", err
		}
	}
	return nodes, a.RootHex(), nil
}

// makeNode makes the directory of one node, and enrols it.
func (p *Plan) makeNode(ctx context.Context, a *Operator, k int) (n Made, e Enrolment, err error) {
	name := p.name(k)
	dir := filepath.Join(p.Dir, string(name))
	api, route, place := p.addresses(k)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return n, e, err
	}
	uri, conf, keys, err := p.token(string(name), filepath.Join(dir, tokenDir))
	if err != nil {
		return n, e, err
	}
	if err := a.Issue(name, []string{place, "localhost", "127.0.0.1"}, filepath.Join(dir, "tls")); err != nil {
		return n, e, err
	}
	jwt, err := durable.ReadFile(filepath.Join(a.dir, tokenPubFile), pemMax)
	if err != nil {
		return n, e, err
	}
	if err := durable.WriteFile(filepath.Join(dir, tokenPubFile), jwt, 0o644); err != nil {
		return n, e, err
	}
	var routes []string
	for j := range p.Nodes {
		if j != k {
			_, r, _ := p.addresses(j)
			routes = append(routes, r)
		}
	}
	initiator := ""
	if p.Dev {
		initiator = InitiatorFile
	}
	path := filepath.Join(dir, "mpcd.yaml")
	text := nodeYAML{
		Cluster: p.Cluster, Node: string(name), Listen: api, Threshold: p.Threshold, Root: a.RootHex(), Plain: p.Plain,
		Initiator: initiator, RouteListen: route, Routes: routes, URI: uri, SoftHSMConf: conf, Keys: keys, Plugin: pluginLines(),
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
	c.Dev = p.Dev
	if e, err = Node(ctx, c, p.Options, Place{Endpoint: "https://" + api}, false); err != nil {
		return n, e, err
	}
	return Made{ID: string(name), Dir: dir, Config: path, Listen: api, Routes: route, TokenID: uri}, e, nil
}

// token makes the token of a node, or names the one it has. Nodes that share one have keys of different names: keys is put before.
func (p *Plan) token(name, dir string) (uri, conf, keys string, err error) {
	switch p.HSM {
	case "softhsm":
		t, err := host.ProvisionSoftHSM(dir, "mpcd-"+name)
		if err != nil {
			return "", "", "", err
		}
		uri, err := t.Beside(filepath.Dir(dir))
		return uri, filepath.Join(tokenDir, filepath.Base(t.Conf)), "", err
	case "local":
		return "local:" + tokenDir, "", "", nil
	}
	if uri = NodeURI(p.HSM, name); uri == p.HSM {
		keys = name + "/"
	}
	return uri, "", keys, nil
}
