package frost

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/threshold"
)

// openHead is how long an OPEN is before its payload: a nonce and the hash of the context, 32 bytes each.
const openHead = 64

// cosigner is a party by another implementation, in a process of its own (testdata/cosigner).
type cosigner struct {
	t     *testing.T
	write func(any) error
	lines *bufio.Scanner
	end   func()
}

func newCosigner(t *testing.T, command ...string) *cosigner {
	t.Helper()
	root, err := moto.Root()
	if err != nil {
		t.Fatal(err)
	}
	command[0] = filepath.Join(root, "bin/cosigner", command[0])
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; run scripts/setup.sh", err)
	}
	return &cosigner{t, json.NewEncoder(in).Encode, bufio.NewScanner(out), func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("cosigner: %v: %s", err, failed.Bytes())
		}
	}}
}

// ask writes one line and returns the field of the next one.
func (c *cosigner) ask(field string, request any) []byte {
	c.t.Helper()
	if err := c.write(request); err != nil {
		c.t.Fatal(err)
	}
	if !c.lines.Scan() {
		c.t.Fatalf("the cosigner gave no %s", field)
	}
	var answer map[string]string
	if err := json.Unmarshal(c.lines.Bytes(), &answer); err != nil {
		c.t.Fatal(err)
	}
	b, err := hex.DecodeString(answer[field])
	if err != nil || len(b) == 0 {
		c.t.Fatalf("%s: %v, %s", field, err, c.lines.Bytes())
	}
	return b
}

// byParty is hex by party number.
func byParty[T any](parties []threshold.PartyID, values []T, of func(T) []byte) map[string]string {
	out := map[string]string{}
	for i, p := range parties {
		out[fmt.Sprint(p)] = hex.EncodeToString(of(values[i]))
	}
	return out
}

func itself(b []byte) []byte { return b }

// mixed signs message with the last of signers by another implementation and returns what both sides make of the shares, which must be
// the same.
func mixed(t *testing.T, s threshold.Scheme, keys []*threshold.KeyShare, signers []threshold.PartyID, req threshold.SignRequest,
	command ...string) []byte {
	t.Helper()
	theirs := keys[keys[0].Committee.Position(signers[len(signers)-1])]
	other := newCosigner(t, command...)
	defer other.end()
	commitment := other.ask("commitment", map[string]any{"party": theirs.Party, "threshold": theirs.Committee.Threshold,
		"share": hex.EncodeToString(theirs.Secret()), "key": hex.EncodeToString(theirs.GroupKey),
		"public": byParty(theirs.Committee.Parties, theirs.PublicShares, itself)})

	pre, err := run(presignSessions(t, s, [][]*threshold.KeyShare{keys}, signers, nil, "mixed"), signers, func(m *threshold.Message) {
		if m.From == theirs.Party {
			m.Body = append(m.Body[:openHead], commitment...)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	tweaks := []map[string]any{}
	for _, x := range req.Tweaks {
		tweaks = append(tweaks, map[string]any{"t": hex.EncodeToString(x.T[:]), "x_only": x.XOnly})
	}
	share := other.ask("share", map[string]any{"message": hex.EncodeToString(req.Message), "tweaks": tweaks,
		"commitments": byParty(signers, pre[0][0].Commitments, itself)})

	var shares []*threshold.SignatureShare
	for i, p := range signers[:len(signers)-1] {
		signer, err := s.NewSigner(keys[keys[0].Committee.Position(p)])
		if err != nil {
			t.Fatal(err)
		}
		req.Pre = pre[i][0]
		own, err := signer.SignShare(req)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, own)
	}
	req.Pre = pre[0][0]
	shares = append(shares, &threshold.SignatureShare{From: theirs.Party, Pre: req.Pre.ID, Payload: share})
	sig, err := s.Combine(keys[0].KeyInfo, req, shares)
	if err != nil {
		t.Fatalf("ours: %v", err)
	}
	combined := other.ask("signature", map[string]any{"shares": byParty(signers, shares,
		func(x *threshold.SignatureShare) []byte { return x.Payload })})
	if !bytes.Equal(sig.Bytes, combined) {
		t.Errorf("we combine to %x, they to %x", sig.Bytes, combined)
	}
	return sig.Bytes
}

// Goal: we sign together with other implementations: BIP 445 with btclib-ecc, FROST(Ed25519, SHA-512) with the crate frost-ed25519. Method:
// a 2-of-3 key of which the third party's share is given to a process of theirs, which makes its own nonces and share; each quorum that it
// is in, all three too; plain, x-only and both tweaks for Taproot. Both sides combine, to the same bytes, and libraries that others wrote
// verify: btcec's Schnorr and crypto/ed25519.
func TestMixedSigning(t *testing.T) {
	message := bytes.Repeat([]byte{0xa7}, 32)
	quorums := [][]threshold.PartyID{{1, 3}, {2, 3}, {1, 2, 3}}
	t.Run("taproot", func(t *testing.T) {
		keys := keygen(t, Taproot, committee(2, partiesTo(3)...), "mixed")
		a, b := threshold.Tweak{T: [32]byte{31: 7}}, threshold.Tweak{T: [32]byte{1: 9}, XOnly: true}
		for i, tweaks := range [][]threshold.Tweak{nil, {a}, {b}, {a, b}} {
			for _, q := range quorums {
				sig := mixed(t, Taproot, keys, q, threshold.SignRequest{Message: message, Tweaks: tweaks}, "python/bin/python",
					"testdata/cosigner/taproot.py")
				if !btcecVerify(btcdTweaked(t, keys[0].GroupKey, tweaks), message, sig) {
					t.Errorf("tweaks %d, quorum %v: btcec refuses the signature", i, q)
				}
			}
		}
	})
	t.Run("ed25519", func(t *testing.T) {
		keys := keygen(t, Ed25519, committee(2, partiesTo(3)...), "mixed")
		for _, q := range quorums {
			for _, m := range [][]byte{message, {}, slices.Repeat(message, 40)} {
				sig := mixed(t, Ed25519, keys, q, threshold.SignRequest{Message: m}, "rust/debug/cosigner")
				if !ed25519.Verify(keys[0].GroupKey, m, sig) {
					t.Errorf("quorum %v, %d bytes: crypto/ed25519 refuses the signature", q, len(m))
				}
			}
		}
	})
}
