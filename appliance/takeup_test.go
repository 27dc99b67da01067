package appliance_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/vault/vaulttest"
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
		"our key another's":         sign(c.root, func(r *attest.Roster) { r.Nodes[0].AttestKey = fourth.AttestKey }),
		"our witness key another's": sign(c.root, func(r *attest.Roster) { r.Nodes[0].WitnessKey = fourth.WitnessKey }),
		"of another cluster":        sign(c.root, func(r *attest.Roster) { r.Cluster = "other" }),
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
	other := sign(c.root, func(r *attest.Roster) { r.Nodes[2].Facility = "another" })
	if err := first.TakeUp(t.Context(), next); err != nil {
		t.Errorf("the one in use: %v", err)
	}
	if err := first.TakeUp(t.Context(), sign(stranger, func(*attest.Roster) {})); err == nil || strings.Contains(err.Error(), "two rosters") {
		t.Errorf("one of another root: %v", err)
	}
	err := first.TakeUp(t.Context(), other)
	if !errors.Is(err, attest.ErrRoster) || !strings.Contains(err.Error(), "two rosters of serial 2") {
		t.Errorf("another of the serial in use: %v", err)
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

// Goal: the witness keys of a newer roster count from when it is taken up, in a cluster that runs and had none: the same log is cosigned by
// both keys then. Method: rosters without and with them; after each a checkpoint, until the others have cosigned it.
func TestWitnessKeysTakenUp(t *testing.T) {
	c := newCluster(t, 3)
	first := c.nodes[0]
	witnesses := appliance.AuditWitnesses("node1", c.roster)
	for i, pinned := range []bool{false, true} {
		r := c.roster.Roster
		r.Nodes, r.Serial = slices.Clone(r.Nodes), uint64(i+2)
		for i := range r.Nodes {
			if !pinned {
				r.Nodes[i].WitnessKey = nil
			}
		}
		next, err := r.Sign(c.root)
		for _, m := range c.nodes {
			if err == nil {
				err = m.node.TakeUp(t.Context(), next)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		first.checkpoint(first.node.AuditLog())
		var by []audit.Witnessed
		await(t, "both others have cosigned", func() bool {
			by, err = audit.WitnessedBy(first.node.AuditLog().Checkpoint(), first.logKey(), witnesses...)
			return err == nil && len(by) == 2
		})
		if by[0].MLDSA != pinned || by[1].MLDSA != pinned {
			t.Errorf("pinned %v: %+v", pinned, by)
		}
	}
}

// Goal: of two rosters that the operator has signed with one serial a node goes on with the one it has used, also at its start, and nodes
// that have the two say so. Method: a node is started with another roster of the serial in use; then with nothing in its store, as one is
// that was enrolled by the other.
func TestTwoRosters(t *testing.T) {
	c := newCluster(t, 2)
	r := c.roster.Roster
	r.Nodes = slices.Clone(r.Nodes)
	r.Nodes[0].Facility = "another"
	other, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	first, m, said := c.nodes[0], c.nodes[1], &lines{}
	first.halt()
	first.logger = slog.New(slog.NewTextHandler(said, nil))
	first.start()
	m.halt()
	c.roster = other
	m.start()
	select {
	case err := <-m.done:
		if !errors.Is(err, attest.ErrRoster) || !strings.Contains(err.Error(), "two rosters of serial 1") {
			t.Errorf("another roster of the serial at its start: %v", err)
		}
		m.done <- nil // it is over
	case <-m.node.Started():
		t.Error("another roster of the serial is taken at its start")
	}
	m.halt()
	c.hub.Kill(m.id)
	m.state, m.vault = vaulttest.NewMemory(), vaulttest.NewMemory()
	m.start()
	await(t, "the nodes say that they have two", func() bool {
		return strings.Contains(said.String(), "a peer's roster is another one") && strings.Contains(said.String(), "two rosters of serial 1")
	})
}

// lines is a log that is read while it is written.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.all.Write(b) }

func (l *lines) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.all.String() }

// Goal: a node whose roster has it alone can never sign, so it is not ready and says what to do; and no key of one party is made, here or
// anywhere. Method: the roster of a cluster of two without keys removes node2; keygens with every threshold; one party of two.
func TestAloneIsNotReady(t *testing.T) {
	c := newCluster(t, 2)
	one := c.nodes[0]
	keygen := func(req appliance.KeygenRequest, do string) {
		t.Helper()
		req.Curve, req.Requester = "ed25519", "test"
		_, err := one.node.Keygen(t.Context(), req)
		if p := problem.As(err); err == nil || p.Code != problem.Invalid || !strings.Contains(p.Next, do) {
			t.Errorf("%+v: %v", req, err)
		}
	}
	keygen(appliance.KeygenRequest{Parties: []transport.NodeID{one.id}}, "at least 2 parties")
	keygen(appliance.KeygenRequest{Total: 1}, "at least 2 parties")
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	r.Nodes[1].Removed = true
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.node.TakeUp(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	await(t, "node1 alone is not ready", func() bool { return !one.node.Readiness().Ready })
	why := one.node.Nodes()[0].Trouble
	if !strings.Contains(why, "1 of 1 nodes can sign, 2 needed") || !strings.Contains(why, "enrol another") {
		t.Errorf("it says %q", why)
	}
	for _, threshold := range []int{0, 1, 2} {
		keygen(appliance.KeygenRequest{Threshold: threshold}, "enrol another")
	}
}

// Goal: nodes that the roster has, and that were not started yet, make no node unready that signs with the others. Method: three nodes with
// a key of two get a roster of five; the third is stopped: the others are ready, and sign; the second too: the first is not ready.
func TestReadyWithoutNewMembers(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	for range 2 {
		r.Nodes = append(r.Nodes, c.newMember(t.Context(), appliance.Limits{}))
	}
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	first := c.nodes[0].node
	if err := first.TakeUp(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	own := func() appliance.NodeStatus { return first.Nodes()[0] }
	c.nodes[2].halt()
	await(t, "node3 is missed", func() bool { return !first.Nodes()[2].Ready })
	if _, err := first.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Requester: "test"}); err != nil {
		t.Fatal(err)
	}
	if r := first.Readiness(); !r.Ready || r.Margin != 0 || !own().Ready {
		t.Errorf("%+v", r)
	}
	c.nodes[1].halt()
	await(t, "node1 alone is not ready", func() bool { return !first.Readiness().Ready && !own().Ready })
	if r := first.Readiness(); r.Margin != -1 || !strings.Contains(own().Trouble, "quorum: 1 of 3 nodes can sign, 2 needed") {
		t.Errorf("%+v, %s", r, own().Trouble)
	}
}
