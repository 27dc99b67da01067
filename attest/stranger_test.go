package attest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/frost"
)

// stranger runs testdata/verify.py, with the Python that scripts/setup.sh makes for moto, of pinned parts, and returns its answers by file.
func stranger(t *testing.T, roster *SignedRoster, pin string, receipts map[string][]byte) (answers map[string]string, all bool) {
	t.Helper()
	root, err := moto.Root()
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "roster"), roster.JSON(), 0o600))
	args := []string{filepath.Join(root, "attest/testdata/verify.py"), filepath.Join(dir, "roster"), pin}
	names := map[string]string{}
	for name, b := range receipts {
		file := filepath.Join(dir, fmt.Sprint(len(names)))
		must(t, os.WriteFile(file, b, 0o600))
		names[file] = name
		args = append(args, file)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin/moto/bin/python"), args...)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if failed.Len() > 0 {
		return map[string]string{"": failed.String()}, false
	}
	answers = map[string]string{}
	for line := range strings.Lines(string(out)) {
		verdict, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		file, why, _ := strings.Cut(rest, " ")
		answers[names[file]] = strings.TrimSpace(verdict + " " + why)
	}
	return answers, err == nil
}

// Goal: a stranger's verifier, written from docs/RECEIPTS.md in another language, takes the receipts that we make and no altered one, and
// agrees with ours. Method: receipts of every kind of key, all single changes of one, those that its settlement covers again, and pins.
func TestStrangerVerifies(t *testing.T) {
	for _, scheme := range []threshold.Scheme{frost.Ed25519, frost.Taproot, dkls23.Scheme{}} {
		c := newClusterOf(t, scheme)
		receipts := map[string][]byte{"good": c.under(t, nil, nil).JSON()}
		if d, ok := scheme.(threshold.Deriver); ok {
			path := []uint32{0, 5}
			_, tweaks, err := Derive(d, c.shares[0].KeyInfo, path)
			must(t, err)
			receipts["good, below"] = c.under(t, path, tweaks).JSON()
			receipts["another path's tweak"] = c.under(t, []uint32{0, 6}, tweaks).JSON()
			receipts["a tweak without a path"] = c.under(t, nil, tweaks).JSON()
		}
		for name, bend := range map[string]func(*Receipt){
			"recovery ID": func(r *Receipt) { r.RecoveryID ^= 1 },
			"signature":   func(r *Receipt) { r.Signature[40] ^= 1 },
			"share":       func(r *Receipt) { r.Shares[0].Share[5] ^= 1 },
			"chain code":  func(r *Receipt) { r.Key.ChainCode[0] ^= 1 },
			"session":     func(r *Receipt) { r.PresignSession[0] ^= 1 },
			"verdict":     func(r *Receipt) { r.Policy.Verdict = "forbid" },
			"signers":     func(r *Receipt) { r.Signers = []threshold.PartyID{1, 2} },
			"time":        func(r *Receipt) { r.Time++ },
		} {
			r, err := ParseReceipt(receipts["good"])
			must(t, err)
			bend(r)
			c.settle(t, r)
			receipts[name] = r.JSON()
		}
		if scheme.ID() == frost.Ed25519.ID() {
			mutate(generic(receipts["good"]), "", func(root any, what string, _ bool) {
				b, err := json.Marshal(root)
				must(t, err)
				receipts[what] = b
			})
			if len(receipts) < 400 {
				t.Errorf("only %d changes", len(receipts))
			}
		}
		answers, _ := stranger(t, c.roster, c.roster.Fingerprint(), receipts)
		for name, b := range receipts {
			good := strings.HasPrefix(name, "good")
			r, err := ParseReceipt(b)
			if err == nil {
				err = VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{})
			}
			if verdict, _, _ := strings.Cut(answers[name], " "); (verdict == "valid") != good || verdict == "" || (err == nil) != good {
				t.Errorf("%s: %s: %q; ours: %v", scheme.ID(), name, answers[name]+answers[""], err)
			}
		}
	}
}

// Goal: the stranger's verifier holds the roster to what is pinned, and its signature. Method: pins of both kinds, another's, and a roster
// with one field changed; the receipt that was kept.
func TestStrangerPins(t *testing.T) {
	roster, err := LoadRoster("testdata/receipt_v2_roster.json")
	must(t, err)
	kept, err := os.ReadFile("testdata/receipt_v2.json")
	must(t, err)
	receipts := map[string][]byte{"kept": kept}
	for _, pin := range []string{roster.Root.String(), roster.Fingerprint()} {
		if answers, all := stranger(t, roster, pin, receipts); !all || answers["kept"] != "valid" {
			t.Errorf("%s: %v", pin, answers)
		}
	}
	if _, all := stranger(t, roster, "0x"+strings.Repeat("11", 32), receipts); all {
		t.Error("another operator's roster is taken")
	}
	roster.Roster.Serial++
	if _, all := stranger(t, roster, roster.Root.String(), receipts); all {
		t.Error("a changed roster is taken")
	}
}
