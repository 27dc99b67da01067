package appliance_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/address"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// childOf derives with btcutil's hdkeychain: the uncompressed public key below the one of the receipt.
func childOf(t *testing.T, key attest.KeyRecord, path []uint32) []byte {
	t.Helper()
	k := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPublicKeyID[:], key.GroupKey, key.ChainCode[:], make([]byte, 4), 0, 0, false)
	for _, index := range path {
		var err error
		if k, err = k.Derive(index); err != nil {
			t.Fatal(err)
		}
	}
	pub, err := k.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	return pub.SerializeUncompressed()
}

// signPath signs under a path at the member and judges the answer as an outsider would: by decred, under a key that hdkeychain derived.
func (m *member) signPath(t *testing.T, w *appliance.Wallet, path []uint32, text string, signers ...transport.NodeID) *appliance.Signature {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	sig, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Path: path, Message: digest[:], Signers: signers})
	if err != nil {
		t.Error(err)
		return nil
	}
	child := childOf(t, sig.Receipt.Key, path)
	verifyECDSA(t, &appliance.Wallet{PublicKey: child}, digest[:], sig)
	if !bytes.Equal(sig.PublicKey, child) || !slices.Equal(sig.Path, path) {
		t.Errorf("the answer says %x at %v", sig.PublicKey, sig.Path)
	}
	if err := attest.VerifyReceipt(sig.Receipt, m.c.roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
		t.Error(err)
	}
	return sig
}

// Goal: a wallet signs with the keys below it, and shows them, as BIP 32 derives them; every node agrees, also after a refresh.
// Method: hdkeychain derives, decred verifies and recovers, go-ethereum writes the address; each node leads, as a signer and not,
// requests with and without a path share ceremonies, and the receipt goes through its JSON.
func TestSignPath(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: -1}) // no pool: every signature is interactive
	w := c.keygenBy("secp256k1", "", 2, 3)
	m := c.nodes[0]
	all := func() {
		for i, path := range [][]uint32{{0, 5}, {44, 60, 0, 0, 7}, {1<<31 - 1}, make([]uint32, appliance.MaxPath)} {
			sig := c.nodes[i%3].signPath(t, w, path, fmt.Sprint("pay ", i))
			for _, o := range c.nodes {
				child, err := o.node.Derive(t.Context(), w.ID, path)
				if err != nil || !bytes.Equal(child.PublicKey, sig.PublicKey) || child.WalletID != w.ID || !slices.Equal(child.Path, path) {
					t.Errorf("%s derives %+v, %v", o.id, child, err)
				}
			}
			pub, err := crypto.UnmarshalPubkey(sig.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			eth, chains, err := address.For(address.ECDSA, sig.PublicKey)
			if want := crypto.PubkeyToAddress(*pub).Hex(); err != nil || eth != want || !strings.HasPrefix(chains["bitcoin"], "bc1q") {
				t.Errorf("address %s, want %s: %v", eth, want, err)
			}
		}
	}
	all()
	m.signPath(t, w, []uint32{3}, "observed", "node2", "node3")
	if child, err := m.node.Derive(t.Context(), w.ID, nil); err != nil || !bytes.Equal(child.PublicKey, w.PublicKey) {
		t.Errorf("m is %+v, %v", child, err)
	}
	sig := m.signPath(t, w, []uint32{0, 5}, "receipt")
	r, err := attest.ParseReceipt(sig.Receipt.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if err := attest.VerifyReceipt(r, c.roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
		t.Error(err)
	}
	r.Intent.Path[1]++
	if attest.VerifyReceipt(r, c.roster, schemes.ByID, attest.ReceiptOptions{}) == nil {
		t.Error("a receipt for another path verifies")
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if i%3 == 0 {
				m.signECDSA(t, w, fmt.Sprint("batch ", i))
				return
			}
			m.signPath(t, w, []uint32{uint32(i % 3), uint32(i)}, fmt.Sprint("batch ", i))
		})
	}
	wg.Wait()
	if _, err := m.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
		t.Fatal(err)
	}
	all()
	if again := m.signPath(t, w, []uint32{0, 5}, "receipt"); again != nil && !bytes.Equal(again.PublicKey, sig.PublicKey) {
		t.Error("a refresh moved the children")
	}
}

// Goal: a presignature that was made before the request signs under any path. Method: a full pool; a signer leads, then a mere
// coordinator; each signature takes one.
func TestSignPathFromPool(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Presignatures: 8})
	w := c.keygenBy("secp256k1", "", 2, 3)
	m := c.nodes[0]
	for _, signers := range [][]transport.NodeID{{"node1", "node2"}, {"node2", "node3"}} {
		m.warm(t, w, m.node.Counts().PresReady+8, signers...)
		used := m.node.Counts().PresUsed
		m.signPath(t, w, []uint32{0, 9}, "from the pool", signers...)
		m.signPath(t, w, []uint32{1}, "from the pool", signers...)
		m.signECDSA(t, w, "from the pool", signers...)
		if got := m.node.Counts().PresUsed - used; got != 3 {
			t.Errorf("%v: %d presignatures for 3 signatures", signers, got)
		}
	}
}

// Goal: the same session_id gives the same answer, with the child's key. Method: repeat; also at a restarted node, from its receipt.
func TestSignPathAgain(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "", 2, 3)
	m := c.nodes[0]
	digest := sha256.Sum256([]byte("once"))
	q := appliance.SignRequest{SessionID: "s", WalletID: w.ID, Path: []uint32{7, 8}, Message: digest[:], BodyHash: [32]byte{1}}
	first, err := m.node.Sign(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	m.halt()
	m.start()
	c.waitReady()
	again, err := m.node.Sign(t.Context(), q)
	if err != nil || !bytes.Equal(again.Bytes, first.Bytes) || !bytes.Equal(again.PublicKey, first.PublicKey) ||
		!slices.Equal(again.Path, q.Path) {
		t.Errorf("%+v, %v", again, err)
	}
	q.Path, q.BodyHash = []uint32{7, 9}, [32]byte{2} // the API hashes the body, path included
	_, err = m.node.Sign(t.Context(), q)
	wantCode(t, err, problem.Conflict)
}

// Goal: a path that cannot be followed is refused at once, says what to do, and takes no session_id. Method: each kind.
func TestSignPathBad(t *testing.T) {
	c := newCluster(t, 3)
	ec, ed, tap := c.keygenBy("secp256k1", "", 2, 3), c.keygenBy("ed25519", "", 2, 3), c.keygenBy("secp256k1", "frost", 2, 3)
	n := c.nodes[0].node
	digest := sha256.Sum256([]byte("pay"))
	for name, row := range map[string]struct {
		wallet *appliance.Wallet
		path   []uint32
		code   problem.Code
		says   string
	}{
		"hardened":      {ec, []uint32{44 + 1<<31, 0}, problem.Invalid, "index 1 of the path is hardened (44')"},
		"hardened-last": {ec, []uint32{0, 1 << 31}, problem.Invalid, "index 2 of the path is hardened (0')"},
		"the-highest":   {ec, []uint32{1<<32 - 1}, problem.Invalid, "hardened"},
		"too-deep":      {ec, make([]uint32, appliance.MaxPath+1), problem.Invalid, "256 indexes, at most 255"},
		"Ed25519":       {ed, []uint32{0}, problem.Unsupported, "frost-ed25519"},
		"Taproot":       {tap, []uint32{0}, problem.Unsupported, "frost-bip340"},
	} {
		_, err := n.Derive(t.Context(), row.wallet.ID, row.path)
		e := wantCode(t, err, row.code)
		_, err = n.Sign(t.Context(), appliance.SignRequest{SessionID: name, WalletID: row.wallet.ID, Path: row.path, Message: digest[:]})
		for _, e := range []*problem.Error{e, wantCode(t, err, row.code)} {
			if !strings.Contains(e.Error(), row.says) || e.Next == "" || e.Field != "derivation_path" {
				t.Errorf("%s: %v (field %s)", name, e, e.Field)
			}
		}
		if _, err := n.Sign(t.Context(), appliance.SignRequest{SessionID: name, WalletID: row.wallet.ID, Message: digest[:]}); err != nil {
			t.Errorf("%s took the session_id: %v", name, err)
		}
	}
	_, err := n.Derive(t.Context(), "w_none", []uint32{0})
	wantCode(t, err, problem.NotFound)
}

// Goal: a coordinator chooses no tweak: every signer derives them from the path and refuses any other (related keys, ePrint 2021/1330).
// Method: a rogue that only coordinates, with two honest signers; first that it gets its signature for honest tweaks, and what such
// a signature also is, so that this would be the attack; then each dishonest intent, as a payment and as a proof.
func TestRogueTweaks(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "", 2, 3)
	rogue := c.nodes[0].node
	digest := sha256.Sum256([]byte("asked for"))
	honest := c.nodes[0].signPath(t, w, []uint32{0, 5}, "honest").Receipt
	tweaks := honest.Intent.Tweaks
	other := c.nodes[0].signPath(t, w, []uint32{0, 6}, "honest").Receipt.Intent.Tweaks

	by := func(path []uint32, tweaks []threshold.Tweak) func(*attest.Intent) {
		return func(in *attest.Intent) { in.Path, in.Tweaks = path, tweaks }
	}
	sig, err := rogue.SignForged(t.Context(), w.ID, "control", others, digest[:], by([]uint32{0, 5}, tweaks), false)
	if err != nil {
		t.Fatal(err)
	}
	var r, s, tau, m secp256k1.ModNScalar
	r.SetByteSlice(sig[:32])
	s.SetByteSlice(sig[32:])
	tau.SetByteSlice(tweaks[0].T[:])
	m.SetByteSlice(digest[:])
	moved := m.Add(tau.Mul(&r)).Bytes() // m + r·T
	pub, err := secp256k1.ParsePubKey(w.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.NewSignature(&r, &s).Verify(moved[:], pub) {
		t.Error("a tweaked signature is not one of the wallet key on m + r·T: the reason for the check is gone")
	}

	for name, x := range map[string]struct {
		path   []uint32
		tweaks []threshold.Tweak
		prove  bool
	}{
		"a tweak without a path":   {nil, tweaks, false},
		"another path's tweak":     {[]uint32{0, 5}, other, false},
		"a free tweak":             {[]uint32{0, 5}, []threshold.Tweak{{T: threshold.Scalar{31: 1}}}, false},
		"one tweak more":           {[]uint32{0, 5}, append(slices.Clone(tweaks), threshold.Tweak{T: threshold.Scalar{31: 1}}), false},
		"a path without its tweak": {[]uint32{0, 5}, nil, false},
		"a proof under a tweak":    {nil, tweaks, true},
		"a proof under a path":     {[]uint32{0, 5}, tweaks, true},
		"a proof with a bare path": {[]uint32{0, 5}, nil, true},
	} {
		_, err := rogue.SignForged(t.Context(), w.ID, "rogue "+name, others, digest[:], by(x.path, x.tweaks), x.prove)
		if appliance.RefusedWith(err) != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	tap := c.keygenBy("secp256k1", "frost", 2, 3)
	if _, err := rogue.SignForged(t.Context(), tap.ID, "taproot tweak", others,
		digest[:], by(nil, tweaks), false); appliance.RefusedWith(err) != problem.Denied {
		t.Errorf("a tweaked Taproot key: %v", err)
	}
	if _, err := rogue.SignForged(t.Context(), tap.ID, "taproot path", others,
		digest[:], by([]uint32{0}, tweaks), false); appliance.RefusedWith(err) != problem.Unsupported {
		t.Errorf("a Taproot key under a path: %v", err)
	}
	if _, err := rogue.SignForged(t.Context(), w.ID, "proof", others, nil, by(nil, nil), true); err != nil {
		t.Errorf("the proof itself: %v", err)
	}
}
