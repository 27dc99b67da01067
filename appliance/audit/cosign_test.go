package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/luxfi/mpcd/internal/durable"
)

// signedBy is a head of a node's log under a key.
func signedBy(t testing.TB, key *ecdsa.PrivateKey, v Verifier, h Head) []byte {
	t.Helper()
	b, err := SignHead(h, v, func(m []byte) ([]byte, error) {
		sum := sha256.Sum256(m)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		raw := make([]byte, 64)
		return append(raw[:0], append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)...), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newLogKey(t testing.TB) (*ecdsa.PrivateKey, Verifier) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier("c", "node1", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, v
}

func newWitnessKey(t testing.TB, node string) (ed25519.PrivateKey, Witness) {
	t.Helper()
	pub, key, _ := ed25519.GenerateKey(nil)
	w, err := NewWitness("c", node, pub, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, w
}

// Goal: a cosignature says who has witnessed and when, by that key alone, of that checkpoint alone; copies of one checkpoint are put
// together, each witness's latest, and nothing of another is. Method: two witnesses, a liar, another checkpoint.
func TestCosignatures(t *testing.T) {
	key, v := newLogKey(t)
	b := signedBy(t, key, v, Head{7, [32]byte{1}})
	two, w2 := newWitnessKey(t, "node2")
	three, w3 := newWitnessKey(t, "node3")
	cosign := func(of []byte, w Witness, by ed25519.PrivateKey, at int64) []byte {
		out, err := Cosign(of, v, w, time.Unix(at, 0), func(m []byte) []byte { return ed25519.Sign(by, m) }, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	seen := func(of []byte) (all string) {
		by, err := WitnessedBy(of, v, w2, w3)
		if err != nil {
			return err.Error()
		}
		for _, x := range by {
			all += fmt.Sprintf("%s@%d ", x.Node, x.At.Unix())
		}
		return all
	}
	by2, by3 := cosign(b, w2, two, 100), cosign(b, w3, three, 200)
	for name, row := range map[string]struct {
		b    []byte
		want string
	}{
		"nobody": {b, ""}, "one": {by2, "node2@100 "}, "the other": {by3, "node3@200 "},
		"one on top of another is of one": {cosign(by2, w3, three, 200), "node3@200 "},
	} {
		if got := seen(row.b); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
	if got := seen(cosign(b, w2, three, 100)); !strings.Contains(got, "not one of this node's log") {
		t.Errorf("by another's key: %q", got)
	}
	a := mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
	defer a.Close()
	if err := a.KeepCheckpoint(by2); err != nil {
		t.Fatal(err)
	}
	other := cosign(signedBy(t, key, v, Head{8, [32]byte{1}}), w3, three, 200)
	if err := a.AddCosignatures(other, v, w3); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("of another checkpoint: %v", err)
	}
	for _, add := range []struct {
		b    []byte
		w    Witness
		want string
	}{{by3, w3, "node2@100 node3@200 "}, {cosign(b, w2, two, 300), w2, "node2@300 node3@200 "}, {by2, w2, "node2@300 node3@200 "}} {
		if err := a.AddCosignatures(add.b, v, add.w); err != nil || seen(a.Checkpoint()) != add.want {
			t.Errorf("%v: %q, want %q", err, seen(a.Checkpoint()), add.want)
		}
	}
	if bare, err := Bare(a.Checkpoint(), v); err != nil || string(bare) != string(b) {
		t.Errorf("%s, %v", bare, err)
	}
	for i := range maxSignatures + 5 {
		key, w := newWitnessKey(t, fmt.Sprint("more", i))
		if err := a.AddCosignatures(cosign(b, w, key, 1), v, w); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := note.Open(a.Checkpoint(), note.VerifierList(v)); err != nil || bytes.Count(a.Checkpoint(), []byte("— ")) != maxSignatures {
		t.Errorf("with many: %d signatures, %v", bytes.Count(a.Checkpoint(), []byte("— ")), err)
	}
}

// Goal: a checkpoint is origin, size and root, as they are written here, and nothing else: what a node's own key has signed besides is not
// taken. Method: each other form of one head, under that key.
func TestThreeLines(t *testing.T) {
	key, v := newLogKey(t)
	h := Head{7, [32]byte{1}}
	by := &signer{v, func(m []byte) ([]byte, error) {
		sum := sha256.Sum256(m)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), err
	}}
	for text, want := range map[string]bool{
		h.text(v.Name()):                      true,
		h.text(v.Name()) + "more\n":           false,
		h.text(v.Name()) + "\u009b2J\n":       false,
		h.text(v.Name()) + "\n":               false,
		h.text(v.Name()) + "\n\n":             false,
		v.Name() + "\n7\n":                    false,
		v.Name() + "\n07\n" + text43 + "A=\n": false,
		v.Name() + "\n7\n" + text43 + "B=\n":  false, // bits that are none of the 32 bytes
	} {
		b, err := note.Sign(&note.Note{Text: text}, by)
		if err != nil {
			t.Fatal(err)
		}
		got, signed, err := OpenCheckpoint(b, v)
		if want != (err == nil && signed && got == h) || !want && !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%q: %v, signed %v, %v", text, got, signed, err)
		}
	}
}

// text43 is the base64 of a 1 and of zeros, but for the last letter.
const text43 = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// Goal: what others sign by the standard is read here, as what is signed here is read by theirs. Method: the signer of transparency-dev,
// with a key of its form.
func TestCosignatureOfOthers(t *testing.T) {
	logKey, v := newLogKey(t)
	b := signedBy(t, logKey, v, Head{7, [32]byte{1}})
	skey, vkey, err := note.GenerateKey(rand.Reader, witnessName("c", "node2"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := cosignature.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := cosignature.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(n, theirs)
	if err != nil {
		t.Fatal(err)
	}
	by, err := WitnessedBy(signed, v, Witness{Node: "node2", Verifier: verifier})
	if err != nil || len(by) != 1 || time.Since(by[0].At) > time.Minute {
		t.Errorf("%v, %v", by, err)
	}
}

// Goal: a log is shown to have grown from every size to every other, and no other log is. Method: all pairs of a log over more than a
// block, and one of the same size with other entries.
func TestGrown(t *testing.T) {
	a, b := mustOpen(t, filepath.Join(t.TempDir(), "audit.log")), mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
	defer a.Close()
	defer b.Close()
	record(t, a, 300)
	record(t, b, 1)
	record(t, b, 299)
	head := func(of *Log, n uint64) Head {
		root, err := of.RootAt(n)
		if err != nil {
			t.Fatal(err)
		}
		return Head{n, root}
	}
	for _, from := range []uint64{1, 2, 255, 256, 257, 299, 300} {
		for _, to := range []uint64{1, 2, 256, 257, 299, 300} {
			if from > to {
				if CheckGrown(head(a, from), head(a, to), nil) == nil {
					t.Errorf("%d has grown to %d", from, to)
				}
				continue
			}
			proof, err := a.Grown(from, to)
			if err != nil || CheckGrown(head(a, from), head(a, to), proof) != nil {
				t.Errorf("%d to %d: %v", from, to, err)
			}
			if CheckGrown(head(b, from), head(a, to), proof) == nil && head(a, from) != head(b, from) {
				t.Errorf("%d to %d: another log has grown to it", from, to)
			}
			if CheckGrown(head(a, from), head(a, to), append(proof, [32]byte{})) == nil {
				t.Errorf("%d to %d: with a hash too many", from, to)
			}
		}
	}
	if CheckGrown(Head{}, head(a, 5), [][32]byte{{}}) == nil || CheckGrown(Head{}, head(a, 5), nil) != nil {
		t.Error("from nothing")
	}
}

// Goal: a whole log is held against a head that somebody kept. Method: a head of before, of after, and of another log.
func TestGrownFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 5)
	before := a.Head()
	record(t, a, 1)
	after := a.Head()
	a.Close()
	x, err := Verify(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		h    Head
		want error
	}{"before": {before, nil}, "after": {after, nil}, "longer": {Head{7, after.Root}, durable.ErrCorrupt},
		"another": {Head{5, after.Root}, durable.ErrCorrupt}} {
		if err := x.GrownFrom(row.h); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: a log that cannot be read is not called another. Method: one of two blocks, whose file is away when a hash within one is asked for.
func TestUnreadIsNotCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 100)
	before := a.Head()
	record(t, a, 500)
	a.Close()
	x, err := Verify(path, nil)
	if err == nil {
		err = x.GrownFrom(before)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := x.GrownFrom(before); err == nil || errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("unread: %v", err)
	}
}

// Goal: proofs are made beside a log that grows. Method: both at once, for the race detector.
func TestGrownBesideGrowth(t *testing.T) {
	a := mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
	defer a.Close()
	record(t, a, 250)
	from := a.Head()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			_ = a.Append(context.Background(), Event{Name: "a"})
		}
	}()
	for range 20 {
		to := a.Head()
		proof, err := a.Grown(from.Size, to.Size)
		if err == nil {
			err = CheckGrown(from, to, proof)
		}
		if root, rerr := a.RootAt(to.Size); err != nil || rerr != nil || root != to.Root {
			t.Errorf("%d to %d: %v, %v", from.Size, to.Size, err, rerr)
		}
	}
	<-done
}

// FuzzCosigned: whatever is read as a checkpoint that a key has signed is written again as it is understood: its head, and who cosigned.
func FuzzCosigned(f *testing.F) {
	logKey, v := newLogKey(f)
	two := newStrong(f, "c", "node2")
	b := signedBy(f, logKey, v, Head{7, [32]byte{1}})
	cosigned := two.cosign(f, b, v, 1)
	f.Add([]byte(b))
	f.Add(cosigned)
	f.Add(append(bytes.Clone(cosigned), "— other AAAAAA==\n"...))
	f.Fuzz(func(t *testing.T, in []byte) {
		by, err := WitnessedBy(in, v, two.Witness)
		if err != nil {
			return
		}
		bare, err := Bare(in, v)
		if err != nil {
			t.Fatal(err)
		}
		h, signed, err := OpenCheckpoint(bare, v)
		if was, _, wasErr := OpenCheckpoint(in, v); (err == nil) != (wasErr == nil) || err == nil && (h != was || !signed) {
			t.Errorf("%v, %v is %v, %v", h, err, was, wasErr)
		}
		if len(by) > 1 {
			t.Errorf("%v", by)
		}
	})
}
