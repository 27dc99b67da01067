package appliance_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// verifyECDSA judges a signature with decred's code: it verifies, s is low, and the key is recovered from it.
func verifyECDSA(t *testing.T, w *appliance.Wallet, digest []byte, sig *appliance.Signature) {
	t.Helper()
	pub, err := secp256k1.ParsePubKey(w.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var r, s secp256k1.ModNScalar
	r.SetByteSlice(sig.Bytes[:32])
	s.SetByteSlice(sig.Bytes[32:])
	if !ecdsa.NewSignature(&r, &s).Verify(digest, pub) || s.IsOverHalfOrder() {
		t.Error("decred refuses the signature, or s is high")
	}
	compact := append([]byte{byte(27 + sig.RecoveryID)}, sig.Bytes...)
	if got, _, err := ecdsa.RecoverCompact(compact, digest); err != nil || !got.IsEqual(pub) {
		t.Errorf("recovery ID %d gives another key: %v", sig.RecoveryID, err)
	}
}

// Goal: an ECDSA key is made with a pair setup, proven, signs from every node and quorum, batches, is refreshed together with
// the pair state, and signs again; a second key needs no setup; after a restart of all nodes it still signs. Method: real
// nodes over memnet, decred as the verifier.
func TestECDSA(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "", 2, 3)
	if w.Protocol != "dkls23" || len(w.PublicKey) != 65 || w.State != keys.Active {
		t.Fatalf("wallet %+v", w)
	}
	digest := sha256.Sum256([]byte("a transaction"))
	sign := func(m *member, signers ...transport.NodeID) {
		t.Helper()
		sig, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest[:], Signers: signers})
		if err != nil {
			t.Fatal(err)
		}
		verifyECDSA(t, w, digest[:], sig)
		if err := attest.VerifyReceipt(sig.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
			t.Error(err)
		}
	}
	all := func() {
		t.Helper()
		for _, m := range c.nodes {
			sign(m)
		}
		sign(c.nodes[0], "node2", "node3") // we observe
	}
	all()
	second := c.keygenBy("secp256k1", "dkls23", 2, 3)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			key := []*appliance.Wallet{w, second}[i%2]
			d := sha256.Sum256([]byte{byte(i)})
			sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{PublicKey: key.PublicKey, Message: d[:]})
			if err != nil {
				t.Error(err)
				return
			}
			verifyECDSA(t, key, d[:], sig)
		})
	}
	wg.Wait()
	r, err := c.nodes[1].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
	if err != nil {
		t.Fatal(err)
	}
	if r.Epoch != 2 || !bytes.Equal(r.PublicKey, w.PublicKey) {
		t.Errorf("after refresh: %+v", r)
	}
	all()
	for _, m := range c.nodes {
		m.halt()
	}
	for _, m := range c.nodes {
		m.start()
	}
	c.waitReady()
	all()
	for _, s := range c.nodes[0].node.Nodes() {
		if s.Accused {
			t.Errorf("%s is accused", s.ID)
		}
	}
}

// Goal: a ban holds, also after a restart, and after a refresh that the banned node itself coordinates: the peer is not chosen, not
// accepted when named, shown, and refused when it asks; new pair state with an operator's release, on record, ends it. Method: ban node2
// on node1.
func TestBan(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "", 2, 3)
	digest := sha256.Sum256([]byte("a transaction"))
	if err := c.nodes[0].node.BanPeer(t.Context(), w.ID, 2); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for range 3 {
			sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest[:]})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(sig.Signers, []transport.NodeID{"node1", "node3"}) {
				t.Errorf("signed by %v", sig.Signers)
			}
		}
		_, err := c.nodes[0].node.Sign(t.Context(),
			appliance.SignRequest{WalletID: w.ID, Message: digest[:], Signers: []transport.NodeID{"node1", "node2"}})
		if e := wantCode(t, err, problem.Blame); e.Next == "" || !slices.Equal(e.Culprits, []transport.NodeID{"node2"}) {
			t.Errorf("%+v", e)
		}
		sig, err := c.nodes[1].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest[:]})
		if err != nil || slices.Contains(sig.Signers, "node1") {
			t.Errorf("node2 signed with node1, or not at all: %v", err)
		}
		for _, s := range c.nodes[0].node.Nodes() {
			if s.Accused != (s.ID == "node2") {
				t.Errorf("%s accused: %v", s.ID, s.Accused)
			}
		}
	}
	check()
	c.nodes[0].halt()
	c.nodes[0].start()
	c.waitReady()
	check()
	pairs := func() [32]byte {
		x, err := c.nodes[1].node.PairsOf(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}
		return x.Digest
	}
	before := pairs()
	if _, err := c.nodes[1].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil { // the banned node itself
		t.Fatal(err)
	}
	if pairs() == before {
		t.Errorf("a refresh kept the pair state %x", before)
	}
	check()
	_, err := c.nodes[0].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID, Release: []transport.NodeID{"nobody"}})
	wantCode(t, err, problem.Invalid)
	c.nodes[0].node.Accuse("node2")
	r := appliance.RefreshRequest{WalletID: w.ID, Requester: "an operator", Release: []transport.NodeID{"node2"}}
	if _, err := c.nodes[0].node.Refresh(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	es := c.nodes[0].entries(t, "ban.release")
	if len(es) != 1 || es[0].Facts["nodes"] != "[node2]" || es[0].Facts["requester"] != "an operator" {
		t.Errorf("on record: %v", es)
	}
	for _, s := range c.nodes[0].node.Nodes() {
		if s.Accused {
			t.Errorf("%s is accused", s.ID)
		}
	}
	sig, err := c.nodes[0].node.Sign(t.Context(),
		appliance.SignRequest{WalletID: w.ID, Message: digest[:], Signers: []transport.NodeID{"node1", "node2"}})
	if err != nil {
		t.Fatal(err)
	}
	verifyECDSA(t, w, digest[:], sig)
}
