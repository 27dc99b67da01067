package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
)

// noDeriver is a scheme without what it can do besides.
type noDeriver struct{ threshold.Scheme }

// under has the cluster sign one digest under the path and tweaks, whatever they are.
func (c *testCluster) under(t *testing.T, path []uint32, tweaks []threshold.Tweak) *Receipt {
	t.Helper()
	digest := sha256.Sum256([]byte("pay bob 5"))
	in := c.intent(string(digest[:]))
	in.Path, in.Tweaks = path, tweaks
	return c.receiptOf(t, []Intent{c.intent(string(digest[:])), in})
}

// Goal: a receipt for a key below the wallet's holds offline, and none where the tweak is not that of the path, though every signer
// and every token of the cluster agreed to it. Method: ECDSA receipts whose other links are all sound, made with each kind of tweak.
func TestReceiptPath(t *testing.T) {
	c := newClusterOf(t, dkls23.Scheme{})
	info := c.shares[0].KeyInfo
	path := []uint32{0, 5}
	_, tweaks, err := Derive(dkls23.Scheme{}, info, path)
	must(t, err)
	_, other, err := Derive(dkls23.Scheme{}, info, []uint32{0, 6})
	must(t, err)
	free := threshold.Tweak{T: threshold.Scalar{31: 1}}

	good := c.under(t, path, tweaks)
	must(t, c.judge(good.JSON(), ReceiptOptions{}))
	if !strings.Contains(string(good.JSON()), `"path": [`) {
		t.Error("the path does not stand in the receipt")
	}
	cannotDerive := func(threshold.SchemeID) (threshold.Scheme, error) { return noDeriver{dkls23.Scheme{}}, nil }
	if err := VerifyReceipt(good, c.roster, cannotDerive, ReceiptOptions{}); !errors.Is(err, ErrNoDerivation) {
		t.Errorf("a verifier that cannot derive: %v", err)
	}
	must(t, c.judge(c.under(t, nil, nil).JSON(), ReceiptOptions{}))
	must(t, c.judge(c.under(t, make([]uint32, MaxPath), mustTweaks(t, info, make([]uint32, MaxPath))).JSON(), ReceiptOptions{}))

	for name, x := range map[string]struct {
		path   []uint32
		tweaks []threshold.Tweak
	}{
		"a tweak without a path":   {nil, tweaks},
		"a free tweak":             {path, []threshold.Tweak{free}},
		"another path's":           {path, other},
		"one more":                 {path, append(slices.Clone(tweaks), free)},
		"a path without its tweak": {path, nil},
	} {
		r := c.under(t, x.path, x.tweaks)
		if err := VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}); !errors.Is(err, ErrTweaks) || !strings.Contains(err.Error(), "path") {
			t.Errorf("%s: %v", name, err)
		}
	}
	changes := 0
	mutate(generic(good.JSON()), "", func(root any, what string, _ bool) {
		if !strings.Contains(what, ".path") && !strings.Contains(what, ".tweaks") || strings.Contains(what, "attestation") {
			return
		}
		b, err := json.Marshal(root)
		must(t, err)
		changes++
		if c.judge(b, ReceiptOptions{}) == nil {
			t.Errorf("accepted after: %s", what)
		}
	})
	if changes < 10 {
		t.Errorf("only %d changes of path and tweaks", changes)
	}
}

func mustTweaks(t *testing.T, info threshold.KeyInfo, path []uint32) []threshold.Tweak {
	t.Helper()
	_, tweaks, err := Derive(dkls23.Scheme{}, info, path)
	must(t, err)
	return tweaks
}

// Goal: who holds an intent to its path knows what is wrong. Method: CheckTweaks with a scheme that derives, one that does not, and none,
// which an intent without a path does not need.
func TestCheckTweaks(t *testing.T) {
	c := newClusterOf(t, dkls23.Scheme{})
	info := c.shares[0].KeyInfo
	in := c.intent("m")
	must(t, in.CheckTweaks(nil, info))
	in.Tweaks = []threshold.Tweak{{T: threshold.Scalar{1}}}
	wantErr(t, "a tweak alone", in.CheckTweaks(nil, info), ErrTweaks)
	in.Path = []uint32{1}
	wantErr(t, "no deriver", in.CheckTweaks(noDeriver{dkls23.Scheme{}}, info), ErrNoDerivation)
	wantErr(t, "another tweak", in.CheckTweaks(dkls23.Scheme{}, info), ErrTweaks)
	in.Tweaks = mustTweaks(t, info, in.Path)
	must(t, in.CheckTweaks(dkls23.Scheme{}, info))
	in.Tweaks[0].XOnly = true
	wantErr(t, "another kind", in.CheckTweaks(dkls23.Scheme{}, info), ErrTweaks)
	in.Path = []uint32{Hardened}
	if in.CheckTweaks(dkls23.Scheme{}, info) == nil {
		t.Error("a hardened path derives")
	}
}

// Goal: intents and receipts keep their bytes, hashes and validity for as long as their version stays, and a receipt of the version
// before is refused by its version. Method: an intent's hash and a receipt as they were made when the version was new.
func TestVersionKept(t *testing.T) {
	in := Intent{Version: IntentVersion, Cluster: "test", Operation: OpSign, RequestID: "r", KeyID: "w_x", Scheme: "s", Epoch: 1,
		Message: Hex("m"), Signers: []threshold.PartyID{1, 2}, Node: "node1", Created: 1}
	h := in.Hash()
	if got := hex.EncodeToString(h[:]); got != hashOfIntent {
		t.Errorf("hash %s", got)
	}
	roster, err := LoadRoster("testdata/receipt_v2_roster.json")
	must(t, err)
	kept, err := os.ReadFile("testdata/receipt_v2.json")
	must(t, err)
	r, err := ParseReceipt(kept)
	must(t, err)
	must(t, VerifyReceipt(r, roster, testScheme, ReceiptOptions{Fingerprint: roster.Fingerprint()}))
	if !bytes.Equal(r.JSON(), kept) || len(r.Intent.Path) == 0 {
		t.Error("a kept receipt is written otherwise today")
	}
	if _, err := LoadRoster("testdata/roster_v1.json"); err != nil {
		t.Errorf("a roster of version 1: %v", err)
	}
	before, err := os.ReadFile("testdata/receipt_v1.json")
	must(t, err)
	if _, err := ParseReceipt(before); err == nil || !strings.Contains(err.Error(), "receipt version 1, this program reads 2") {
		t.Errorf("a receipt of version 1: %v", err)
	}
	in.Path = []uint32{}
	if in.Hash() != h {
		t.Error("an empty path is another intent than none")
	}
	in.Path = []uint32{0}
	if in.Hash() == h {
		t.Error("the path is not in the hash")
	}
}

const hashOfIntent = "0e61634b100f2f02e84cdacf95f6b344d56de36c3ddad57236492baaae3e1f66"

// Goal: a receipt tells the one recovery ID that leads from the signature to the key, and no other that looks like one. Method: an ECDSA
// receipt, settled again with each.
func TestReceiptRecoveryID(t *testing.T) {
	c := newClusterOf(t, dkls23.Scheme{})
	r := c.under(t, nil, nil)
	right := r.RecoveryID
	for id := -1; id <= 4; id++ {
		r.RecoveryID = id
		c.settle(t, r)
		if err := VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}); (err == nil) != (id == right) {
			t.Errorf("%d where it is %d: %v", id, right, err)
		}
	}
}
