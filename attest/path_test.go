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
	"github.com/luxfi/mpcd/threshold/schemes"
)

// under has the cluster sign one digest under the path and tweaks, whatever they are.
func (c *testCluster) under(t *testing.T, path []uint32, tweaks []IntentTweak) *Receipt {
	t.Helper()
	digest := sha256.Sum256([]byte("pay bob 5"))
	in := c.intent(string(digest[:]))
	in.Path, in.Tweaks = path, tweaks
	return c.receiptOf(t, []Intent{c.intent(string(digest[:])), in})
}

// Goal: a receipt for a key below the wallet's holds offline, and none where the tweak is not that of the path, though every signer
// and every token of the cluster agreed to it. Method: ECDSA receipts whose other links are all sound, made with each kind of tweak.
func TestReceiptPath(t *testing.T) {
	c := newClusterOf(t, schemes.DKLs23)
	info := c.shares[0].KeyInfo
	path := []uint32{0, 5}
	_, tweaks, err := Derive(schemes.DKLs23, info, path)
	must(t, err)
	_, other, err := Derive(schemes.DKLs23, info, []uint32{0, 6})
	must(t, err)
	free := IntentTweak{T: Hash{31: 1}}

	good := c.under(t, path, tweaks)
	must(t, c.judge(good.JSON(), ReceiptOptions{}))
	if !strings.Contains(string(good.JSON()), `"path": [`) {
		t.Error("the path does not stand in the receipt")
	}
	if err := VerifyReceipt(good, c.roster, func(threshold.SchemeID) (threshold.Scheme, error) { return dkls23.Scheme{}, nil }, ReceiptOptions{}); !errors.Is(err, ErrNoDerivation) {
		t.Errorf("a verifier that cannot derive: %v", err)
	}
	must(t, c.judge(c.under(t, nil, nil).JSON(), ReceiptOptions{}))
	must(t, c.judge(c.under(t, make([]uint32, MaxPath), mustTweaks(t, info, make([]uint32, MaxPath))).JSON(), ReceiptOptions{}))

	for name, x := range map[string]struct {
		path   []uint32
		tweaks []IntentTweak
	}{
		"a tweak without a path":   {nil, tweaks},
		"a free tweak":             {path, []IntentTweak{free}},
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

func mustTweaks(t *testing.T, info threshold.KeyInfo, path []uint32) []IntentTweak {
	t.Helper()
	_, tweaks, err := Derive(schemes.DKLs23, info, path)
	must(t, err)
	return tweaks
}

// Goal: who holds an intent to its path knows what is wrong. Method: CheckTweaks with a scheme that derives, one that does not, and none,
// which an intent without a path does not need.
func TestCheckTweaks(t *testing.T) {
	c := newClusterOf(t, schemes.DKLs23)
	info := c.shares[0].KeyInfo
	in := c.intent("m")
	must(t, in.CheckTweaks(nil, info))
	in.Tweaks = []IntentTweak{{T: Hash{1}}}
	wantErr(t, "a tweak alone", in.CheckTweaks(nil, info), ErrTweaks)
	in.Path = []uint32{1}
	wantErr(t, "no deriver", in.CheckTweaks(dkls23.Scheme{}, info), ErrNoDerivation)
	wantErr(t, "another tweak", in.CheckTweaks(schemes.DKLs23, info), ErrTweaks)
	in.Tweaks = mustTweaks(t, info, in.Path)
	must(t, in.CheckTweaks(schemes.DKLs23, info))
	in.Tweaks[0].XOnly = true
	wantErr(t, "another kind", in.CheckTweaks(schemes.DKLs23, info), ErrTweaks)
	in.Path = []uint32{Hardened}
	if in.CheckTweaks(schemes.DKLs23, info) == nil {
		t.Error("a hardened path derives")
	}
}

// Goal: intents and receipts of before there were paths keep their bytes, hashes and validity. Method: an intent's hash and a receipt,
// both made by the program as it was then.
func TestIntentWithoutPath(t *testing.T) {
	in := Intent{Version: 1, Cluster: "test", Operation: OpSign, RequestID: "r", KeyID: "w_x", Scheme: "s", Epoch: 1, Message: Hex("m"),
		Signers: []threshold.PartyID{1, 2}, Node: "node1", Created: 1}
	h := in.Hash()
	if got := hex.EncodeToString(h[:]); got != hashBeforePaths {
		t.Errorf("hash %s", got)
	}
	roster, err := LoadRoster("testdata/roster_before_paths.json")
	must(t, err)
	old, err := os.ReadFile("testdata/receipt_before_paths.json")
	must(t, err)
	r, err := ParseReceipt(old)
	must(t, err)
	must(t, VerifyReceipt(r, roster, testScheme, ReceiptOptions{Fingerprint: roster.Fingerprint()}))
	if !bytes.Equal(r.JSON(), old) {
		t.Error("an old receipt is written otherwise today")
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

const hashBeforePaths = "f75de25ec1870766e78b1867e4cf45973d7b6ba1cbcb61e6991af8911875db0f"
