package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/host"
)

// Goal: where a peer's roster does not have this node yet, the checkup says to which host the roster goes, and not to start the peer.
// Method: the checkup of a new node beside a peer that runs with a roster without it; and beside one that is down.
func TestRosterGoesToAMember(t *testing.T) {
	c := planned(t)
	tls := filepath.Join(filepath.Dir(filepath.Dir(c.DataDir)), "node2", "tls")
	peer := standIn(t, tls, "node2", transport.Peers{"node2": {}})
	c.NATS.Routes = []string{peer.RouteAddr().String()}
	advice := func() string { return peersOf(t, c).Warn }
	if do := advice(); !strings.Contains(do, "the host of a member that they hear already") {
		t.Errorf("where this node is not known: %q", do)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	if do := advice(); !strings.Contains(do, "start the other nodes") {
		t.Errorf("where nobody is: %q", do)
	}
}

// Goal: where a peer has another cluster's files, or this node has them all, the checkup says so. Method: a peer with files of another
// cluster of the same names.
func TestPeerOfAnotherCA(t *testing.T) {
	c, other := planned(t), planned(t)
	tls := filepath.Join(filepath.Dir(filepath.Dir(other.DataDir)), "node2", "tls")
	peer := standIn(t, tls, "node2", transport.Peers{"node1": {}, "node2": {}})
	c.NATS.Routes = []string{peer.RouteAddr().String()}
	if f := peersOf(t, c); !strings.Contains(f.Warn, "another cluster's files") {
		t.Errorf("%+v", f)
	}
}

// standIn is the routes of a node, with the files in a directory and a roster of its own.
func standIn(t *testing.T, tls string, id transport.NodeID, roster transport.Peers) *natsnet.Network {
	t.Helper()
	n, err := natsnet.Start(t.Context(), natsnet.Config{Cluster: "c", Node: id, Peers: roster, RouteListen: "127.0.0.1:0",
		CertFile: filepath.Join(tls, "node.crt"), KeyFile: filepath.Join(tls, "node.key"), CAFile: filepath.Join(tls, "ca.crt")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// peersOf is what a checkup finds of the peers.
func peersOf(t *testing.T, c host.Config) (f host.Finding) {
	t.Helper()
	for _, f := range (&host.Checkup{Config: c}).Run(t.Context()) {
		if f.Check == "peers" {
			return f
		}
	}
	return f
}

// Goal: where this node's roster does not have a peer that the cluster's CA has certified, the checkup says that it is the older one and
// what to bring here, and no list of names without a name. Method: a checkup beside a peer, and a node whom a
// later roster has.
func TestOlderRosterIsSaid(t *testing.T) {
	c := planned(t)
	top := filepath.Dir(filepath.Dir(c.DataDir))
	read := func(path ...string) []byte {
		b, err := os.ReadFile(filepath.Join(append([]string{top}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ca, err := natsnet.LoadCA(read("cluster", "ca.crt"), read("cluster", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("node3", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"node.crt": cert, "node.key": key, "ca.crt": ca.CertPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	three := standIn(t, dir, "node3", transport.Peers{"node1": {}, "node3": {}})
	two := standIn(t, filepath.Join(top, "node2", "tls"), "node2", transport.Peers{"node1": {}, "node2": {}})
	c.NATS.Routes = []string{three.RouteAddr().String(), two.RouteAddr().String()}
	f := peersOf(t, c)
	if !strings.Contains(f.Warn, "bring the operator's newest roster.json here") || !strings.Contains(f.Warn, "older than theirs") ||
		!strings.Contains(f.Detail, "node3") {
		t.Errorf("beside a node whom it does not know: %+v", f)
	}
	if !strings.Contains(f.Detail, "not reached by a route (") {
		t.Errorf("names of nobody: %q", f.Detail)
	}
}
