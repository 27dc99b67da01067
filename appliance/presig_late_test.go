package appliance_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
)

// kindOf is the kind of a frame's envelope.
func kindOf(frame []byte) uint8 {
	e, err := transporttest.Peek(transport.Envelope{Body: frame})
	if err != nil {
		panic(err)
	}
	return e.Kind
}

// Goal: no presignature outlives its epoch, on the coordinator either: with those of another signer it is the key. Method: a signer's word
// that it has its part is lost, as often as it is said, until after a refresh.
func TestLatePresignature(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8, Silence: time.Minute})
	w := c.keygenBy("secp256k1", "", 2, 3)
	coordinator := c.nodes[0]
	var lost, refreshed atomic.Bool
	c.hub.SetFault(func(f memnet.Frame) memnet.Fate {
		if f.From == "node2" && f.To == "node1" && kindOf(f.Body) == ceremony.KindAck && !refreshed.Load() {
			lost.Store(true)
			return nil
		}
		return memnet.Once
	})
	for i := range 4 {
		coordinator.signECDSA(t, w, fmt.Sprint(i), "node1", "node2")
	}
	waitFor(t, "a lost word", lost.Load)
	if _, err := c.nodes[2].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
		t.Fatal(err)
	}
	for _, x := range c.nodes {
		waitFor(t, "epoch 2", func() bool { r, err := x.node.Wallet(t.Context(), w.ID); return err == nil && r.Epoch == 2 })
	}
	made := coordinator.node.Counts().PresMade
	refreshed.Store(true)
	waitFor(t, "the word", func() bool { return coordinator.node.Counts().PresMade > made })
	for _, x := range c.nodes {
		if got := x.node.Counts().PresHeld; got != 0 {
			t.Errorf("%s holds %d presignatures of epoch 1 in epoch 2", x.id, got)
		}
	}
}

// Goal: one lost word to a coordinator is said again, also to one that only coordinates. Method: lose the first shares, or the first word
// that presignatures are there.
func TestLostWord(t *testing.T) {
	for _, row := range []struct {
		name    string
		kind    uint8
		signers []transport.NodeID
	}{
		{"shares to a signer", ceremony.KindShares, []transport.NodeID{"node1", "node2"}},
		{"shares to an observer", ceremony.KindShares, []transport.NodeID{"node2", "node3"}},
		{"presignatures to a signer", ceremony.KindAck, []transport.NodeID{"node1", "node2"}},
		{"presignatures to an observer", ceremony.KindAck, []transport.NodeID{"node2", "node3"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 6, Silence: 5 * time.Second})
			w := c.keygenBy("secp256k1", "", 2, 3)
			var lost atomic.Bool
			c.hub.SetFault(func(f memnet.Frame) memnet.Fate {
				if f.From == "node2" && f.To == "node1" && kindOf(f.Body) == row.kind && lost.CompareAndSwap(false, true) {
					return nil
				}
				return memnet.Once
			})
			for i := range 4 {
				c.nodes[0].signECDSA(t, w, fmt.Sprint(i), row.signers...)
			}
			waitFor(t, "presignatures", func() bool { return c.nodes[0].node.Counts().PresReady >= 6 })
			if got := c.nodes[0].node.Counts().Aborts; got != 0 || !lost.Load() {
				t.Errorf("%d ceremonies were aborted; lost: %v", got, lost.Load())
			}
		})
	}
}

// Goal: the wallet's own key may be written as an empty path or none, at every node the same request. Method: one session at two nodes.
func TestEmptyPath(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "", 2, 3)
	q := appliance.SignRequest{SessionID: "s", WalletID: w.ID, Path: []uint32{}, Message: digestOf("m"), BodyHash: [32]byte{1}}
	for _, m := range c.nodes[:2] {
		if _, err := m.node.Sign(t.Context(), q); err != nil {
			t.Errorf("%s: %v", m.id, err)
		}
	}
}

// Goal: requests without a pause slow the filling of the pool down, and do not end it. Method: clients that ask one after the other
// until the pool has grown under them.
func TestFillingBesideRequests(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	w := c.keygenBy("secp256k1", "", 2, 3)
	busy := c.keygen("ed25519", 2, 3)
	m := c.nodes[0]
	var stop atomic.Bool
	var wg sync.WaitGroup
	for k := range 2 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: busy.ID, Message: []byte(fmt.Sprint(k, i))}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 4 {
		m.signECDSA(t, w, fmt.Sprint(i))
	}
	waitFor(t, "presignatures beside requests", func() bool { return m.node.Counts().PresMade > 0 })
	stop.Store(true)
	wg.Wait()
}
