package host_test

import (
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
	peer, err := natsnet.Start(t.Context(), natsnet.Config{Cluster: "c", Node: "node2", Peers: transport.Peers{"node2": {}},
		RouteListen: "127.0.0.1:0", CertFile: filepath.Join(tls, "node.crt"), KeyFile: filepath.Join(tls, "node.key"),
		CAFile: filepath.Join(tls, "ca.crt")})
	if err != nil {
		t.Fatal(err)
	}
	c.NATS.Routes = []string{peer.RouteAddr().String()}
	advice := func() string {
		for _, f := range (&host.Checkup{Config: c}).Run(t.Context()) {
			if f.Check == "peers" {
				return f.Warn
			}
		}
		return ""
	}
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
