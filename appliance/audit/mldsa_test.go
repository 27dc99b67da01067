package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/luxfi/mpcd/appliance/transport"
)

// strong is a witness with both keys.
type strong struct {
	Witness
	id transport.Identity
}

func newStrong(t testing.TB, cluster, node string) strong {
	t.Helper()
	id, peer, err := transport.NewIdentity("n", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWitness(cluster, node, peer.Identity, peer.WitnessKey)
	if err != nil {
		t.Fatal(err)
	}
	return strong{w, id}
}

// weak is it as who has no ML-DSA-44 key of it knows it.
func (s strong) weak() Witness { return Witness{Node: s.Node, Verifier: s.Verifier} }

func (s strong) cosign(t testing.TB, b []byte, v Verifier, at int64) []byte {
	t.Helper()
	out, err := Cosign(b, v, s.Witness, time.Unix(at, 0), s.id.Sign, s.id.SignWitness)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lines are a checkpoint's text and its lines of signatures.
func lines(b []byte) (text string, sigs []string) {
	text, rest, _ := strings.Cut(string(b), "\n\n")
	return text + "\n\n", slices.Collect(strings.Lines(rest))
}

// inLine changes what follows the hash of the key in a line.
func inLine(t *testing.T, line string, change func(sig []byte) []byte) string {
	t.Helper()
	at := strings.LastIndex(line, " ") + 1
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[at:]))
	if err != nil {
		t.Fatal(err)
	}
	return line[:at] + base64.StdEncoding.EncodeToString(append(raw[:4:4], change(bytes.Clone(raw[4:]))...)) + "\n"
}

// after is a change of a line that puts there what follows the hash of the key in another.
func after(t *testing.T, line string) (out func([]byte) []byte) {
	t.Helper()
	inLine(t, line, func(sig []byte) []byte {
		out = func([]byte) []byte { return sig }
		return sig
	})
	return out
}

// Goal: a witness cosigns by both of its keys, counts once, and is told by which; a cosignature by ML-DSA-44 that does not hold is refused
// beside one by Ed25519 that does, as that would be, and changes nothing of what is kept; who does not know the key, as a release before,
// takes the other. Method: each line of a checkpoint that a witness has cosigned, left out, changed, and taken from elsewhere.
func TestCosignedByBoth(t *testing.T) {
	key, v := newLogKey(t)
	otherLog, err := NewVerifier("c", "node9", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h := Head{7, [32]byte{1}}
	b := signedBy(t, key, v, h)
	two, three := newStrong(t, "c", "node2"), newStrong(t, "c", "node3")
	text, sigs := lines(two.cosign(t, b, v, 100))
	own, weak, line := sigs[0], sigs[1], sigs[2]
	lineOf := func(b []byte) string {
		_, sigs := lines(b)
		return sigs[2]
	}
	elsewhere := two.cosign(t, signedBy(t, key, otherLog, h), otherLog, 100)
	thief := two
	thief.id.SignWitness = three.id.SignWitness
	const nobody, refused = "", "refused"
	for name, row := range map[string]struct{ line, want string }{
		"both":                        {weak + line, "node2@100 by both"},
		"in the other order":          {line + weak, "node2@100 by both"},
		"twice":                       {weak + line + line + weak, "node2@100 by both"},
		"at two times":                {weak + lineOf(two.cosign(t, b, v, 101)), "node2@101 by both"},
		"by Ed25519 alone":            {weak, "node2@100"},
		"by ML-DSA-44 alone":          {line, nobody},
		"forged":                      {weak + inLine(t, line, func(s []byte) []byte { s[2000] ^= 1; return s }), refused},
		"cut":                         {weak + inLine(t, line, func(s []byte) []byte { return s[:len(s)-1] }), refused},
		"longer":                      {weak + inLine(t, line, func(s []byte) []byte { return append(s, 0) }), refused},
		"empty":                       {weak + inLine(t, line, func(s []byte) []byte { return s[:8] }), refused},
		"another time":                {weak + inLine(t, line, func(s []byte) []byte { s[7]++; return s }), refused},
		"of another log":              {weak + lineOf(elsewhere), refused},
		"of another size":             {weak + lineOf(two.cosign(t, signedBy(t, key, v, Head{8, h.Root}), v, 100)), refused},
		"of another root":             {weak + lineOf(two.cosign(t, signedBy(t, key, v, Head{7, [32]byte{2}}), v, 100)), refused},
		"by another's key":            {weak + lineOf(thief.cosign(t, b, v, 100)), refused},
		"another's":                   {weak + inLine(t, line, after(t, lineOf(three.cosign(t, b, v, 100)))), refused},
		"the other key's":             {weak + inLine(t, line, after(t, weak)), refused},
		"in the other key's place":    {inLine(t, weak, after(t, line)) + line, refused},
		"by a key that nobody knows":  {weak + strings.Replace(line, "node2", "node4", 1), "node2@100"},
		"and Ed25519's does not hold": {inLine(t, weak, func(s []byte) []byte { s[9] ^= 1; return s }) + line, refused},
	} {
		in := []byte(text + own + row.line)
		got := nobody
		by, err := WitnessedBy(in, v, two.Witness, three.Witness)
		for _, w := range by {
			if got += fmt.Sprintf("%s@%d", w.Node, w.At.Unix()); w.MLDSA {
				got += " by both"
			}
		}
		if errors.Is(err, ErrCheckpoint) {
			got = refused
		}
		if got != row.want || (err != nil) != (row.want == refused) {
			t.Errorf("%s: %q, want %q: %v", name, got, row.want, err)
		}
		a := mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
		if err := a.KeepCheckpoint(b); err != nil {
			t.Fatal(err)
		}
		err = a.AddCosignatures(in, v, two.Witness)
		if (err != nil) != (row.want == refused) || err != nil && string(a.Checkpoint()) != string(b) {
			t.Errorf("%s, added: %v", name, err)
		}
		if err == nil && strings.Contains(string(a.Checkpoint()), "node4") {
			t.Errorf("%s: what nobody has checked is kept", name)
		}
		a.Close()
		by, err = WitnessedBy(in, v, two.weak())
		broken := strings.HasPrefix(name, "in the other key") || strings.HasPrefix(name, "and Ed25519") // where Ed25519's own does not hold
		if seen := err == nil && len(by) == 1 && !by[0].MLDSA; seen != (!broken && row.want != nobody) {
			t.Errorf("%s, to who has no such key: %v, %v", name, by, err)
		}
	}
}

// Goal: what is signed for ML-DSA-44 is what the standard says, read by others as theirs is read here. Method: the message written out by
// hand, as C2SP tlog-cosignature has it; the signer and both verifiers of transparency-dev.
func TestMLDSAIsTheStandards(t *testing.T) {
	h := Head{0x0102030405060708, [32]byte{0xaa, 31: 0xbb}}
	got, err := mldsaMessage("w/x")(0x1122334455667788, []byte(h.text("log")))
	want := "subtree/v1\n\x00" + "\x03w/x" + "\x11\x22\x33\x44\x55\x66\x77\x88" + "\x03log" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x02\x03\x04\x05\x06\x07\x08" + "\xaa" + strings.Repeat("\x00", 30) + "\xbb"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	long := strings.Repeat("l", 256)
	for text, name := range map[string]string{"log\n7\n": "w", "": "w", h.text(long): "w", h.text("log"): long} {
		if _, err := mldsaMessage(name)(1, []byte(text)); err == nil {
			t.Errorf("%.20q, %.20q: it is signed", text, name)
		}
	}

	key, v := newLogKey(t)
	b := signedBy(t, key, v, Head{7, [32]byte{1}})
	two := newStrong(t, "c", "node2")
	typed := base64.StdEncoding.EncodeToString(append([]byte{6}, two.id.WitnessKey...))
	theirs, err := cosignature.NewMLDSAVerifier(witnessName("c", "node2") + "+00000000+" + typed)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(two.cosign(t, b, v, 100), note.VerifierList(v, theirs))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatalf("%+v, %v", n, err)
	}
	raw, err := base64.StdEncoding.DecodeString(n.Sigs[1].Base64)
	root := [32]byte{1}
	if err != nil || !theirs.VerifySubtree(100, v.Name(), 0, 7, root[:], raw[4:]) ||
		theirs.VerifySubtree(100, v.Name(), 1, 7, root[:], raw[4:]) {
		t.Errorf("as a subtree: %v", err)
	}

	skey, vkey, err := cosignature.GenerateMLDSAKey(witnessName("c", "node3"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cosignature.NewMLDSASigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	edKey, _ := newWitnessKey(t, "node3")
	w, err := NewWitness("c", "node3", edKey.Public().(ed25519.PublicKey), pub[1:])
	if err != nil {
		t.Fatal(err)
	}
	weak := Witness{Node: w.Node, Verifier: w.Verifier}
	weakly, err := Cosign(b, v, weak, time.Unix(1, 0), func(m []byte) []byte { return ed25519.Sign(edKey, m) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = note.Open(weakly, note.VerifierList(v)); err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(n, signer)
	if err != nil {
		t.Fatal(err)
	}
	if by, err := WitnessedBy(signed, v, w); err != nil || len(by) != 1 || !by[0].MLDSA || time.Since(by[0].At) > time.Minute {
		t.Errorf("theirs: %v, %v", by, err)
	}
	for _, key := range [][]byte{pub, pub[2:]} {
		if _, err := NewWitness("c", "node3", edKey.Public().(ed25519.PublicKey), key); err == nil {
			t.Errorf("a key of %d bytes is taken", len(key))
		}
	}
	if _, err := Cosign(b, v, two.Witness, time.Unix(1, 0), two.id.Sign, func([]byte) []byte { return nil }); err == nil {
		t.Error("what could not sign has cosigned")
	}
}

// Goal: a checkpoint with the cosignatures of as many witnesses as there may be is read by every release, so that a log with it opens:
// those by ML-DSA-44 stop at 15, and crowd out none by Ed25519. Method: a cluster with the longest names, each of whose members cosigns by
// both.
func TestCheckpointIsBounded(t *testing.T) {
	long := func(i int) string { return fmt.Sprintf("%063d", i) }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(long(0), long(0), &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b := signedBy(t, key, v, Head{1<<62 - 1, [32]byte{1}})
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	if err := a.KeepCheckpoint(b); err != nil {
		t.Fatal(err)
	}
	var all []Witness
	for i := range maxSignatures {
		w := newStrong(t, long(0), long(i+1))
		all = append(all, w.Witness)
		if err := a.AddCosignatures(w.cosign(t, b, v, 1), v, w.Witness); err != nil {
			t.Fatal(err)
		}
	}
	count := func(b []byte) (weak, strong int) {
		by, err := WitnessedBy(b, v, all...)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range by {
			if weak++; w.MLDSA {
				strong++
			}
		}
		return weak, strong
	}
	if weak, strong := count(a.Checkpoint()); weak != maxSignatures-1-maxMLDSA || strong != 15 || len(a.Checkpoint()) > 1<<16 {
		t.Errorf("%d witnesses, %d by both, %d bytes", weak, strong, len(a.Checkpoint()))
	}
	kept := a.Checkpoint()
	a.Close()
	if a = mustOpen(t, path); string(a.Checkpoint()) != string(kept) {
		t.Error("it is not read again")
	}
	a.Close()

	stranger := newStrong(t, long(0), long(99))
	text, sigs := lines(kept)
	_, foreign := lines(stranger.cosign(t, b, v, 1))
	with := []byte(text + strings.Join(append(sigs, foreign[1:]...), ""))
	for _, most := range []int{0, 2, 99} {
		short, err := Short(with, v, most, all...)
		if err != nil || bytes.Contains(short, []byte(long(99))) {
			t.Fatalf("with a stranger's: %v", err)
		}
		if weak, strong := count(short); weak != maxSignatures-1-maxMLDSA || strong != min(most, maxMLDSA) {
			t.Errorf("%d witnesses, %d by both, wanted %d", weak, strong, most)
		}
	}
	other := []byte(strings.Replace(string(with), long(0)+"/audit", long(1)+"/audit", 1))
	if _, err := Short(other, v, 2, all...); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("of another log: %v", err)
	}
}

// Goal: of each key of a witness the later cosignature is kept; one that cosigns by Ed25519 alone later, as by a release before, takes the
// other away from nobody. Method: copies of one checkpoint after one another.
func TestLaterCosignatures(t *testing.T) {
	key, v := newLogKey(t)
	b := signedBy(t, key, v, Head{7, [32]byte{1}})
	two := newStrong(t, "c", "node2")
	weakly, err := Cosign(b, v, two.weak(), time.Unix(300, 0), two.id.Sign, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
	defer a.Close()
	if err := a.KeepCheckpoint(b); err != nil {
		t.Fatal(err)
	}
	for i, row := range []struct {
		b    []byte
		at   int64
		sigs int
	}{{two.cosign(t, b, v, 100), 100, 3}, {two.cosign(t, b, v, 200), 200, 3}, {two.cosign(t, b, v, 100), 200, 3}, {weakly, 200, 3}} {
		if err := a.AddCosignatures(row.b, v, two.Witness); err != nil {
			t.Fatal(err)
		}
		_, sigs := lines(a.Checkpoint())
		by, err := WitnessedBy(a.Checkpoint(), v, two.Witness)
		if err != nil || len(by) != 1 || !by[0].MLDSA || by[0].At.Unix() != row.at || len(sigs) != row.sigs {
			t.Errorf("%d: %v, %d signatures, %v", i, by, len(sigs), err)
		}
	}
}

// BenchmarkMLDSA says what a cosignature by ML-DSA-44 costs beside one by Ed25519, made and checked.
func BenchmarkMLDSA(b *testing.B) {
	key, v := newLogKey(b)
	in := signedBy(b, key, v, Head{7, [32]byte{1}})
	two := newStrong(b, "c", "node2")
	for name, w := range map[string]Witness{"ed25519": two.weak(), "both": two.Witness} {
		b.Run("cosign/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Cosign(in, v, w, time.Unix(1, 0), two.id.Sign, two.id.SignWitness); err != nil {
					b.Fatal(err)
				}
			}
		})
		out := two.cosign(b, in, v, 1)
		b.Run("check/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := WitnessedBy(out, v, w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
