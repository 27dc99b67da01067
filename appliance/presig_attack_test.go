package appliance_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
)

func digestOf(v ...any) []byte {
	d := sha256.Sum256([]byte(fmt.Sprint(v...)))
	return d[:]
}

var others = []threshold.PartyID{2, 3}

// Goal: PROTOCOLS A.5, presignature reuse: a coordinator that keeps a presignature gets one signature with it. Method: it uses it a second
// time in sequence, then another 1,000 times at once; the coordinator only coordinates, so all its copies are public.
func TestPresignatureReuse(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8, Silence: 3 * time.Second})
	w := c.keygenBy("secp256k1", "", 2, 3)
	m := c.nodes[0]
	m.warm(t, w, 8, "node2", "node3")
	pre := m.node.LeakReady(w.ID)
	if err := m.node.SignWith(t.Context(), w.ID, "first", others, pre, digestOf("first")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := m.node.SignWith(t.Context(), w.ID, fmt.Sprint("again ", i), others, pre,
			digestOf("again", i)); appliance.RefusedWith(err) != problem.Presig {
			t.Errorf("used again: %v", err)
		}
	}
	if err := m.node.SignWith(t.Context(), w.ID, "first", others, pre, digestOf("first")); appliance.RefusedWith(err) != problem.Presig {
		t.Errorf("used again for the same request: %v", err)
	}
	pre = m.node.LeakReady(w.ID)
	var wg sync.WaitGroup
	var made, refused atomic.Int64
	for i := range 1000 / slowdown {
		wg.Go(func() {
			err := m.node.SignWith(t.Context(), w.ID, fmt.Sprint("parallel ", i), others, pre, digestOf("parallel", i))
			switch {
			case err == nil:
				made.Add(1)
			case appliance.RefusedWith(err) == problem.Presig:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() > 1 || refused.Load() == 0 {
		t.Errorf("%d signatures of one presignature, %d refusals", made.Load(), refused.Load())
	}
	// A signer that forgot the use, and has the presignature back in its pool: what it holds has been burnt.
	pre = m.node.LeakReady(w.ID)
	if err := m.node.SignWith(t.Context(), w.ID, "second", others, pre, digestOf("second")); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.nodes[1:] {
		s.node.Return("node1", w.ID, 1, others, pre)
	}
	if err := m.node.SignWith(t.Context(), w.ID, "third", others, pre, digestOf("third")); err == nil {
		t.Error("a forgetful signer signed twice")
	}
	m.signECDSA(t, w, "still signs")
}

// Goal: only the coordinator that a presignature was made with may name it, and only for its key and signers. Method: another member, and
// another key, name one that is there; both requests take nothing.
func TestPresignatureOfAnother(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	w := c.keygenBy("secp256k1", "", 2, 3)
	second := c.keygenBy("secp256k1", "", 2, 3)
	m := c.nodes[0]
	m.warm(t, w, 8, "node2", "node3")
	pre := m.node.LeakReady(w.ID)
	if err := m.node.SignWith(t.Context(), second.ID, "other key", others, pre, digestOf("x")); appliance.RefusedWith(err) != problem.Presig {
		t.Errorf("for another key: %v", err)
	}
	if err := c.nodes[1].node.SignWith(t.Context(), w.ID, "other coordinator", others, pre, digestOf("x")); err == nil {
		t.Error("another coordinator used it")
	}
	if err := m.node.SignWith(t.Context(), w.ID, "its own", others, pre, digestOf("x")); err != nil {
		t.Errorf("after these, its own coordinator cannot use it: %v", err)
	}
}

// Goal: a pool ends with the run of any signer, with the key's epoch, with a ban, and with a stop of the machine; requests go on.
// Method: cause each with a full pool, on the signer's side and on the coordinator's.
func TestPoolFlush(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	w := c.keygenBy("secp256k1", "", 2, 3)
	m, signer := c.nodes[0], c.nodes[1]
	m.warm(t, w, 8, "node2", "node3")
	pre := m.node.LeakReady(w.ID)
	signer.halt()
	signer.start()
	c.waitReady()
	if err := m.node.SignWith(t.Context(), w.ID, "restarted", others, pre, digestOf("restarted")); err == nil {
		t.Error("a presignature outlived its signer's restart")
	}
	used := m.node.Counts().PresUsed
	m.signECDSA(t, w, "after a restart", "node2", "node3")
	if got := m.node.Counts(); got.PresUsed != used {
		t.Error("the coordinator used presignatures of a signer that was restarted")
	}
	m.warm(t, w, 8, "node2", "node3")
	if _, err := signer.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
		t.Fatal(err)
	}
	for _, x := range c.nodes {
		waitFor(t, "the new epoch", func() bool { r, err := x.node.Wallet(t.Context(), w.ID); return err == nil && r.Epoch == 2 })
		if got := x.node.Counts().PresHeld; got != 0 {
			t.Errorf("%s holds %d presignatures after a refresh", x.id, got)
		}
	}
	m.signECDSA(t, w, "after a refresh", "node2", "node3")
	m.warm(t, w, 8, "node2", "node3")
	if err := signer.node.BanPeer(t.Context(), w.ID, 3); err != nil {
		t.Fatal(err)
	}
	if got := signer.node.Counts().PresHeld; got != 0 {
		t.Errorf("%d presignatures with a banned peer", got)
	}
}

// Goal: PROTOCOLS A.5 (c), nothing of a presignature comes back with the data: after a restart, and with a copy of the data directory
// taken while the pool was full put back. Method: real nodes on SoftHSM and Badger.
func TestRealPresignatureRestore(t *testing.T) {
	c := sim.New(t, sim.Config{Nodes: 3, Limits: appliance.Limits{Presignatures: 8}})
	w := c.KeygenBy("secp256k1", "dkls23", 2, 3)
	coordinator := c.Nodes[0]
	for i := range 4 {
		if _, err := coordinator.Node.Sign(t.Context(),
			appliance.SignRequest{WalletID: w.ID, Message: digestOf(i), Signers: []transport.NodeID{"node2", "node3"}}); err != nil {
			t.Fatal(err)
		}
	}
	sim.Wait(t, "a full pool", func() bool { return coordinator.Node.Counts().PresReady >= 8 })
	used, unused := coordinator.Node.LeakReady(w.ID), coordinator.Node.LeakReady(w.ID)
	copied := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		copied[i] = sim.CopyDir(t, n.Dir)
	}
	if err := coordinator.Node.SignWith(t.Context(), w.ID, "first", others, used, digestOf("first")); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes[1:] {
		n.Halt()
	}
	for i, n := range c.Nodes[1:] {
		n.Dir = copied[i+1]
		n.Start()
	}
	c.WaitReady()
	for name, pre := range map[string]*threshold.Presignature{"used": used, "unused": unused} {
		if err := coordinator.Node.SignWith(t.Context(), w.ID, name, others, pre, digestOf(name)); err == nil {
			t.Errorf("a presignature (%s) came back with the data directory", name)
		}
	}
	if _, err := coordinator.Node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digestOf("after"),
		Signers: []transport.NodeID{"node2", "node3"}}); err != nil {
		t.Error(err)
	}
}
