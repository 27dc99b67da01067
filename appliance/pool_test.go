package appliance_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// sign signs the text's digest at the member and judges the answer as an outsider would.
func (m *member) signECDSA(t *testing.T, w *appliance.Wallet, text string, signers ...transport.NodeID) {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	sig, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest[:], Signers: signers})
	if err != nil {
		t.Fatal(err)
	}
	verifyECDSA(t, w, digest[:], sig)
	if err := attest.VerifyReceipt(sig.Receipt, m.c.roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
		t.Error(err)
	}
}

// warm signs until the member's pool is full. It is filled while nobody asks, so after some signatures it waits for that.
func (m *member) warm(t *testing.T, w *appliance.Wallet, want int, signers ...transport.NodeID) {
	t.Helper()
	full := func() bool { return m.node.Counts().PresReady >= want }
	for try := range 20 {
		for i := range 4 {
			if full() {
				return
			}
			m.signECDSA(t, w, fmt.Sprint("warm ", try, i), signers...)
		}
		before := m.node.Counts().PresReady
		waitFor(t, "the pool's filling", func() bool {
			c := m.node.Counts()
			return c.PresReady >= want || c.PresReady > m.limits.Presignatures/2 && c.PresReady <= before && !m.node.Filling()
		})
	}
	if !full() {
		t.Fatal("never: a full pool")
	}
}

// Goal: a key in use gets presignatures, which sign, are counted, come again, and with which an empty pool only means presigning
// for the request. Method: a small pool; a signer and a mere coordinator; 30 requests at once, more than the pool has.
func TestPool(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 10})
	w := c.keygenBy("secp256k1", "", 2, 3)
	m := c.nodes[0]
	m.warm(t, w, 10)
	before := m.node.Counts()
	if before.PresMade < 10 || before.PresReady != 10 {
		t.Fatalf("a full pool: %+v", before)
	}
	m.signECDSA(t, w, "from the pool")
	if got := m.node.Counts(); got.PresUsed != before.PresUsed+1 || got.PresReady != 9 {
		t.Errorf("after one: %d used, %d ready", got.PresUsed-before.PresUsed, got.PresReady)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() { m.signECDSA(t, w, fmt.Sprint("burst ", i)) })
	}
	wg.Wait()
	waitFor(t, "a full pool again", func() bool { return m.node.Counts().PresReady >= 10 })
	for _, o := range c.nodes[1:] {
		if got := o.node.Counts(); got.PresReady != 0 {
			t.Errorf("%s coordinates with %d presignatures", o.id, got.PresReady)
		}
	}
	m.warm(t, w, 20, "node2", "node3") // we only coordinate
	used := m.node.Counts().PresUsed
	m.signECDSA(t, w, "observed", "node2", "node3")
	if got := m.node.Counts().PresUsed; got != used+1 {
		t.Errorf("%d used for one signature", got-used)
	}
}
