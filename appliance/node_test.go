package appliance_test

import (
	"bytes"
	"crypto/ed25519"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: a key of a 2-of-3 cluster is made, proven, signs from every node, is refreshed and signs again; every receipt
// verifies offline. Method: real nodes over memnet.
func TestLines(t *testing.T) {
	c := newCluster(t, 3)
	for _, curve := range []string{"ed25519", "secp256k1"} {
		t.Run(curve, func(t *testing.T) {
			w := c.keygen(curve, 2, 3)
			if w.State != keys.Active || w.Epoch != 1 {
				t.Fatalf("wallet %+v", w)
			}
			message := bytes.Repeat([]byte{7}, 32)
			check := func(epoch uint64) {
				for i, m := range c.nodes {
					sig, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: message})
					if err != nil {
						t.Fatalf("node %d: %v", i+1, err)
					}
					if curve == "ed25519" && !ed25519.Verify(w.PublicKey, message, sig.Bytes) {
						t.Error("crypto/ed25519 refuses the signature")
					}
					if sig.Receipt.Key.Epoch != epoch {
						t.Errorf("epoch %d, want %d", sig.Receipt.Key.Epoch, epoch)
					}
					if err := attest.VerifyReceipt(sig.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
						t.Error(err)
					}
				}
			}
			check(1)
			r, err := c.nodes[1].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.PublicKey, w.PublicKey) || r.Epoch != 2 {
				t.Errorf("after refresh: %+v", r)
			}
			check(2)
		})
	}
}

// Goal: many concurrent requests are all answered, in few ceremonies. Method: 200 at once on one node.
func TestBatch(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			message := []byte{byte(i), byte(i >> 8), 1}
			sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: message})
			if err != nil {
				t.Error(err)
				return
			}
			if !ed25519.Verify(w.PublicKey, message, sig.Bytes) {
				t.Error("bad signature")
			}
		})
	}
	wg.Wait()
	if n := c.nodes[0].node.Counts(); n.Batches > 100 {
		t.Errorf("%d ceremonies for 200 requests", n.Batches)
	}
}

// Goal: the cluster signs on when a node dies, and with it again when it is back. Method: halt, sign, start, sign.
func TestNodeLoss(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	c.nodes[1].halt()
	for _, m := range []*member{c.nodes[0], c.nodes[2]} {
		if _, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("without node 2")}); err != nil {
			t.Fatal(err)
		}
	}
	c.nodes[1].start()
	c.waitReady()
	if _, err := c.nodes[1].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("with node 2")}); err != nil {
		t.Fatal(err)
	}
}

// Goal: a node that is not among the signers can coordinate: it learns the public side and cannot forge. Method: name the
// other two of 2-of-3.
func TestObserver(t *testing.T) {
	c := newCluster(t, 3)
	for _, curve := range []string{"ed25519", "secp256k1"} {
		w := c.keygen(curve, 2, 3)
		sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: bytes.Repeat([]byte{3}, 32),
			Signers: []transport.NodeID{"node3", "node2"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := attest.VerifyReceipt(sig.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// Goal: requests for many wallets of one committee share ceremonies. Method: three wallets, 90 concurrent requests.
func TestBatchAcrossWallets(t *testing.T) {
	c := newCluster(t, 3)
	var ws []*appliance.Wallet
	for range 3 {
		ws = append(ws, c.keygen("ed25519", 2, 3))
	}
	before := c.nodes[0].node.Counts().Batches
	var wg sync.WaitGroup
	for i := range 90 {
		wg.Go(func() {
			w := ws[i%3]
			message := []byte{byte(i), 2}
			sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: message})
			if err != nil || !ed25519.Verify(w.PublicKey, message, sig.Bytes) {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := c.nodes[0].node.Counts().Batches - before; n > 45 {
		t.Errorf("%d ceremonies for 90 requests", n)
	}
}

// Goal: refreshes in a row, from different nodes, with signatures between and during them, never meet a node that has not
// finished the one before. Method: ten rounds.
func TestRefreshInARow(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	for i := range 10 {
		var wg sync.WaitGroup
		for j := range 6 {
			wg.Go(func() {
				if _, err := c.nodes[j%3].node.Sign(t.Context(),
					appliance.SignRequest{WalletID: w.ID, Message: []byte{byte(i), byte(j), 5}}); err != nil {
					t.Errorf("round %d: %v", i, err)
				}
			})
		}
		r, err := c.nodes[i%3].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if r.Epoch != uint64(i+2) {
			t.Errorf("round %d: epoch %d", i, r.Epoch)
		}
		wg.Wait()
	}
}
