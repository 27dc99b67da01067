package appliance_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
)

// heapNow is how many bytes of the heap are in use, after what is not has been collected.
func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Goal: a member that floods a node with the largest envelopes there are makes it hold a known number of bytes, and it goes on signing.
// Method: ten times that number, as messages of ceremonies that nobody has proposed, and larger than such a message can be; the heap is
// looked at between them, and what is held is no less than a third of what may be, so that the test looks at the right thing.
func TestMemory(t *testing.T) {
	const bound = 56 << 20 // with three nodes 32 MiB wait for ceremonies; the rest is in hand, or of the node's own work
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	r := c.nodes[2].rogue()
	r.alive(nil)
	heard := func() { // returns when node1 has looked at all that the member sent
		refused := c.nodes[0].node.Counts().Refused
		r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindProposal, Body: []byte("unreadable")})
		waitFor(t, "the last is refused", func() bool { return c.nodes[0].node.Counts().Refused > refused })
	}
	before, most := heapNow(), int64(0)
	for _, wave := range []struct {
		kind  uint8
		size  int
		count int
	}{{ceremony.KindEngine, threshold.MaxBody, 320}, {ceremony.KindEngine, transport.BodyMax, 40},
		{ceremony.KindHeartbeat, transport.BodyMax, 40}} {
		body := make([]byte, wave.size)
		for i := range wave.count / slowdown {
			r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: wave.kind,
				Topic: [32]byte{wave.kind, byte(i), byte(i >> 8)}, Body: body})
			if i%20 == 19 {
				heard()
				most = max(most, heapNow()-before)
			}
		}
	}
	if most > bound || most < bound/3 {
		t.Errorf("the heap grew by %d MiB, at most %d", most>>20, bound>>20)
	}
	if _, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("still signs"),
		Signers: []transport.NodeID{"node1", "node2"}}); err != nil {
		t.Error(err)
	}
}

// Goal: an operator can release a node that is accused: every party takes part in a refresh, so that the accusation does not stand in the
// way of what ends it. Method: accuse a party; a refresh is refused, one that releases it is not, and the next needs no release.
func TestReleasesTheAccused(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	n := c.nodes[0].node
	n.Accuse("node3")
	_, err := n.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
	wantCode(t, err, problem.Quorum)
	r := appliance.RefreshRequest{WalletID: w.ID, Release: []transport.NodeID{"node3"}}
	if _, err := n.Refresh(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
		t.Error(err)
	}
}

// Goal: a release of who is no other party of the key is refused at once by whichever node is asked, before anything is on record or
// anybody is waited for. Method: a name that is none, the node itself, and a node without a share, with one party down.
func TestReleaseIsJudgedAtOnce(t *testing.T) {
	c := newCluster(t, 4)
	w := c.keygen("ed25519", 2, 3)
	c.nodes[2].halt()
	for _, m := range c.nodes[:2] {
		for _, released := range []transport.NodeID{"nobody", m.id, "node4"} {
			_, err := m.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID, Release: []transport.NodeID{"node3", released}})
			e := wantCode(t, err, problem.Invalid)
			if e.Field != "release" || strings.Contains(e.Message, "unknown") != (released == "nobody") {
				t.Errorf("%s releases %s: %v", m.id, released, err)
			}
		}
		for _, event := range []string{"refresh.begin", "refresh.refuse", "ban.release"} {
			if es := m.entries(t, event); len(es) > 0 {
				t.Errorf("%s has on record: %v", m.id, es)
			}
		}
	}
}

// Goal: a release is on record once, however often its refresh is tried. Method: a party has an attempt behind it that the coordinator does
// not know of, so that the first try is refused.
func TestReleaseIsOnRecordOnce(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	if _, err := c.nodes[1].node.StageAttempt(t.Context(), w.ID, refreshShares(t, c, w.ID, 3)[1]); err != nil {
		t.Fatal(err)
	}
	r, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID, Release: []transport.NodeID{"node3"}})
	if err != nil || r.Epoch <= 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if es := c.nodes[0].entries(t, "ban.release"); len(es) != 1 {
		t.Errorf("on record: %v", es)
	}
}
