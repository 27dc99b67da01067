package appliance_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: a second run of a node is named by its peers, and neither run signs: none is chosen, and what either proposes is refused. Method: a
// copy of node3, with its token and what it has stored, is started beside it.
func TestTwice(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[2]
	clone := &member{c: c, id: m.id, dir: t.TempDir(), self: m.self, token: m.token, vault: copied(t, m.vault), state: copied(t, m.state),
		limits: m.limits, place: "elsewhere"}
	clone.start()
	defer clone.halt()
	named := func(n *member) bool {
		i := n.node.Nodes()[2]
		return !i.Ready && strings.Contains(i.Trouble, "runs twice")
	}
	await(t, "the peers name it", func() bool { return named(c.nodes[0]) && named(c.nodes[1]) })
	sign := func(n *member, signers ...transport.NodeID) error {
		_, err := n.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Signers: signers})
		return err
	}
	if err := sign(c.nodes[0]); err != nil {
		t.Errorf("the others do not sign: %v", err)
	}
	if err := sign(c.nodes[0], "node1", "node3"); err == nil || problem.As(err).Code != problem.Quorum {
		t.Errorf("a node that runs twice is chosen: %v", err)
	}
	for name, n := range map[string]*member{"the first": m, "the second": clone} {
		if err := sign(n); err == nil {
			t.Errorf("%s run has a request signed", name)
		}
	}
	await(t, "it is on record", func() bool {
		es, _, err := c.nodes[0].node.Audit(t.Context(), appliance.Page{Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Event == "node.twice" && e.Facts["node"] == "node3" && strings.Contains(e.Facts["what"], "boots ") {
				return true
			}
		}
		return false
	})
}

// Goal: two runs of a node that hear nothing of each other, as over routes, learn from their peers that there are two: neither is
// ready, both say so to who asks, and have it on record. Method: as above, with no way between the two.
func TestTwiceByPeers(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[2]
	c.hub.Partition("node3", "elsewhere")
	clone := &member{c: c, id: m.id, dir: t.TempDir(), self: m.self, token: m.token, vault: copied(t, m.vault), state: copied(t, m.state),
		limits: m.limits, place: "elsewhere"}
	clone.start()
	defer clone.halt()
	const stopOne = "stop one of them, or wait 20s if nothing else runs as this node" // it has just begun
	run := func(n *member) string {
		for _, check := range n.node.Readiness().Checks {
			if check.Name == "run" && !check.OK && check.Heals && check.Next == stopOne {
				return check.Detail
			}
		}
		return ""
	}
	for name, n := range map[string]*member{"the first": m, "the second": clone} {
		await(t, name+" run knows, and who says so", func() bool {
			return strings.Contains(run(n), "runs twice: node1 hears boot ") && strings.Contains(run(n), "; node2 hears boot ")
		})
		_, err := n.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
		if e := problem.As(err); err == nil || e.Code != problem.Starting || !strings.Contains(e.Message, "runs twice") {
			t.Errorf("%s run: %v", name, err)
		}
		await(t, name+" run has it on record", func() bool {
			es, _, err := n.node.Audit(t.Context(), appliance.Page{Size: 1000})
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(es, func(e audit.Entry) bool { return e.Event == "node.twice" && e.Facts["node"] == "node3" })
		})
	}
}

// copied is a copy of a store.
func copied(t testing.TB, from vault.Store) vault.Store {
	t.Helper()
	to := vaulttest.NewMemory()
	if err := from.Iterate(t.Context(), nil, func(key, value []byte) error {
		return to.Batch(context.Background(), []vault.Pair{{Key: key, Value: value}}, nil)
	}); err != nil {
		t.Fatal(err)
	}
	return to
}

// await waits until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so: " + what)
		}
	}
}

// Goal: a node whose token fails is not ready and not chosen, its peers say why, and it is ready again by itself once the token works.
// Method: node3's token fails from one request on; node2 is gone, so that only node3 is left.
func TestReadyToken(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[2]
	m.halt()
	token := &goneToken{Token: m.token}
	m.token = token
	m.start()
	c.waitReady()
	await(t, "it is ready", func() bool { return m.node.Readiness().Ready })
	token.gone.Store(true)
	if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")}); err == nil {
		t.Fatal("signed without a token")
	}
	if r := m.node.Readiness(); r.Ready {
		t.Errorf("ready without a token: %+v", r)
	}
	c.nodes[1].halt()
	await(t, "node2 is not heard any more", func() bool { return !c.nodes[0].node.Nodes()[1].Live })
	ask := func() *problem.Error {
		_, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
		if err == nil {
			return nil
		}
		return problem.As(err)
	}
	await(t, "the peer says why", func() bool {
		e := ask()
		return e != nil && strings.Contains(e.Message, "node3 is not ready: token")
	})
	token.gone.Store(false)
	await(t, "it signs again", func() bool { return ask() == nil })
}
