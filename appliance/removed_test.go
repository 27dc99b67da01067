package appliance_test

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: a member is taken out while the cluster runs: from the moment that a node takes the roster up it neither hears nor chooses it, keys
// sign with the nodes that are left, new keys are made by them, what cannot be done any more says why, and who was removed does not come
// back. Method: three nodes, of which the roster of node1 removes node3, which goes on running; node3 asks for signatures and keys.
func TestMemberRemoved(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, two, gone := c.nodes[0], c.nodes[1], c.nodes[2]
	roster := func(serial uint64, change func(*attest.Roster)) *attest.SignedRoster {
		r := c.roster.Roster
		r.Nodes, r.Serial = slices.Clone(r.Nodes), serial
		change(&r)
		s, err := r.Sign(c.root)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	next := roster(2, func(r *attest.Roster) { r.Nodes[2].Removed = true })
	if err := one.node.TakeUp(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	await(t, "node2 has the roster from node1", func() bool { return len(two.node.Nodes()) == 2 })
	sign := func(m *member) (*appliance.Signature, error) {
		return m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Requester: "test"})
	}
	for range 5 {
		for _, m := range []*member{one, two} {
			s, err := sign(m)
			if err != nil || slices.Contains(s.Signers, gone.id) || !ed25519.Verify(w.PublicKey, []byte("m"), s.Bytes) {
				t.Fatalf("%s: %v", m.id, err)
			}
			if err := attest.VerifyReceipt(s.Receipt, next, schemes.ByID, attest.ReceiptOptions{}); err != nil {
				t.Errorf("a receipt after: %v", err)
			}
		}
	}
	if _, err := sign(gone); err == nil {
		t.Error("who was removed has the others sign")
	}
	_, err := one.node.Keygen(t.Context(), appliance.KeygenRequest{Threshold: 2, Total: 3, Curve: "ed25519", Requester: "test"})
	if err == nil || !strings.Contains(err.Error(), "the cluster has 2 nodes") {
		t.Errorf("a key with who was removed: %v", err)
	}
	_, err = one.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID, Requester: "test"})
	if p := problem.As(err); err == nil || !strings.Contains(err.Error(), "node3 is no member of the cluster any more") ||
		p.Code != problem.Conflict || !strings.HasPrefix(p.Next, "make another key") || strings.Contains(p.Next, "repeat") {
		t.Errorf("a refresh: %v", err)
	}
	_, err = two.node.Keygen(t.Context(), appliance.KeygenRequest{Threshold: 2, Total: 2, Curve: "ed25519", Requester: "test"})
	if err != nil {
		t.Errorf("a key of those that are left: %v", err)
	}
	last := roster(3, func(r *attest.Roster) { r.Nodes[1].Removed, r.Nodes[2].Removed = true, true })
	if err := one.node.TakeUp(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	_, err = sign(one)
	if p := problem.As(err); err == nil || p.Code != problem.Conflict || !strings.HasPrefix(p.Next, "make another key") {
		t.Errorf("a signature where too few are left: %v", err)
	}
	for name, r := range map[string]*attest.SignedRoster{
		"has it again":      roster(4, func(*attest.Roster) {}),
		"has forgotten it":  roster(4, func(r *attest.Roster) { r.Nodes = r.Nodes[:2] }),
		"removes this node": roster(4, func(r *attest.Roster) { r.Nodes[2].Removed, r.Nodes[0].Removed = true, true }),
	} {
		if err := one.node.TakeUp(t.Context(), r); err == nil {
			t.Errorf("a roster that %s is taken up", name)
		}
	}
	if m := gone.node.Nodes(); len(m) != 3 {
		t.Errorf("who was removed takes the roster up: %d nodes", len(m))
	}
}

// Goal: a node that was removed says of itself what it says to probes, and once it has seen the roster that removes it, that it is not a
// member any more, and refuses at once; before it has seen it, it refuses at once too and says to compare rosters; no roster that does not
// count removes it. Method: the others remove node3, which is not told: its own row of the list, a signature; then it gets rosters that
// remove it, the last of which is the one.
func TestRemovedKnows(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, gone := c.nodes[0].node, c.nodes[2].node
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	r.Nodes[2].Removed = true
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.TakeUp(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	own := func() appliance.NodeStatus { return gone.Nodes()[2] }
	await(t, "node3 is not ready", func() bool { return !gone.Readiness().Ready })
	await(t, "the list says so", func() bool { return !own().Ready && strings.Contains(own().Trouble, "heard: 0 peers hear this node") })
	await(t, "it says what may be", func() bool {
		return slices.ContainsFunc(gone.Readiness().Checks, func(x appliance.Check) bool { return x.Next == ceremony.BringRoster })
	})
	began := time.Now()
	_, err = gone.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Requester: "test"})
	if p := problem.As(err); err == nil || p.Code != problem.Quorum || !strings.HasPrefix(p.Next, ceremony.BringRoster) ||
		time.Since(began) > 2*time.Second {
		t.Errorf("a signature, before it is told: %v after %s", err, time.Since(began))
	}
	for name, change := range map[string]func(*attest.Roster){
		"of another cluster": func(r *attest.Roster) { r.Cluster = "another" },
		"that does not fit":  func(r *attest.Roster) { r.Nodes[2].Party += 5 },
	} {
		r := r
		r.Nodes = slices.Clone(r.Nodes)
		change(&r)
		other, err := r.Sign(c.root)
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.TakeUp(t.Context(), other); err == nil || strings.Contains(own().Trouble, "member:") {
			t.Errorf("a roster %s removes it: %v, %s", name, err, own().Trouble)
		}
	}
	if err := gone.TakeUp(t.Context(), next); err == nil || !strings.Contains(err.Error(), "not a member any more") {
		t.Errorf("the roster that removes it: %v", err)
	}
	if s := own(); s.Ready || !strings.Contains(s.Trouble, "member: this node is not a member any more: the roster of serial 2 removes it") {
		t.Errorf("the list: %+v", s)
	}
	_, err = gone.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Requester: "test"})
	if err == nil || !strings.Contains(err.Error(), "not a member any more") {
		t.Errorf("it signs: %v", err)
	}
}
