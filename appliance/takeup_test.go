package appliance_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
)

// Goal: a newer roster is taken up without a restart and carried to the other nodes, and its new node takes part; a roster that is older,
// of another root, or that moves a party is not. Method: node1 gets each; then one with a fourth node, which is started.
func TestRosterTakenUp(t *testing.T) {
	c := newCluster(t, 3)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	sign := func(root ed25519.PrivateKey, change func(*attest.Roster)) *attest.SignedRoster {
		r := c.roster.Roster
		r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
		change(&r)
		s, err := r.Sign(root)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := c.nodes[0].node
	fourth := c.newMember(t.Context(), appliance.Limits{})
	for name, r := range map[string]*attest.SignedRoster{
		"of another root":   sign(stranger, func(*attest.Roster) {}),
		"without a node":    sign(c.root, func(r *attest.Roster) { r.Nodes = r.Nodes[:2] }),
		"without this node": sign(c.root, func(r *attest.Roster) { r.Nodes = r.Nodes[1:] }),
		"two parties turned": sign(c.root, func(r *attest.Roster) {
			r.Nodes[1].Identity, r.Nodes[2].Identity = r.Nodes[2].Identity, r.Nodes[1].Identity
		}),
		"our key another's":  sign(c.root, func(r *attest.Roster) { r.Nodes[0].AttestKey = fourth.AttestKey }),
		"of another cluster": sign(c.root, func(r *attest.Roster) { r.Cluster = "other" }),
	} {
		if err := first.TakeUp(t.Context(), r); err == nil {
			t.Errorf("a roster %s is taken up", name)
		}
	}
	next := sign(c.root, func(r *attest.Roster) { r.Nodes = append(r.Nodes, fourth) })
	if err := first.TakeUp(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes[:3] {
		await(t, string(m.id)+" has the newer roster", func() bool { return len(m.node.Nodes()) == 4 })
	}
	if err := first.TakeUp(t.Context(), c.roster); err != nil || len(first.Nodes()) != 4 {
		t.Errorf("an older roster: %v, %d nodes", err, len(first.Nodes()))
	}
	c.roster = next
	c.nodes[3].start()
	await(t, "all hear the new node", func() bool {
		return !slices.ContainsFunc(c.nodes, func(m *member) bool {
			return slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool { return !s.Ready })
		})
	})
	c.keygen("ed25519", 3, 4)
}
