package audit

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Peers cosign a node's checkpoints as witnesses (C2SP tlog-cosignature): a witness signs that at a time this checkpoint was the newest of
// the log it had seen, grown from the one before. It signs twice, by keys that the roster pins for it: by its identity, as cosignature/v1
// of type Ed25519; and, where the roster has one, by its witness key, as subtree/v1 of type ML-DSA-44, which stands where Ed25519 no longer
// does. The first is what makes it a witness; the second counts beside it alone.

// witnessName is the name under which a node cosigns, by either key.
func witnessName(cluster, node string) string { return "mpcd/" + cluster + "/" + node + "/witness" }

// Witness is a node as a witness of others' logs.
type Witness struct {
	Node          string
	note.Verifier               // of type Ed25519
	MLDSA         note.Verifier // of type ML-DSA-44; nil where the roster has no such key
}

// Types of the keys of cosignatures (C2SP signed-note).
const (
	typeEd25519 = 4
	typeMLDSA   = 6
)

// NewWitness checks the cosignatures of a node by its identity key, 32 bytes, and by its witness key, 1,312 bytes, where it has one.
func NewWitness(cluster, node string, identity ed25519.PublicKey, key []byte) (w Witness, err error) {
	w.Node = node
	if w.Verifier, err = newCosignatureVerifier(witnessName(cluster, node), typeEd25519, identity); err == nil && len(key) > 0 {
		w.MLDSA, err = newCosignatureVerifier(witnessName(cluster, node), typeMLDSA, key)
	}
	return w, err
}

func newCosignatureVerifier(name string, kind byte, key []byte) (note.Verifier, error) {
	// The hash of the key, which would stand second, is made by the library itself.
	return cosignature.NewVerifierForCosignatureV1(fmt.Sprintf("%s+%08x+%s", name, 0,
		base64.StdEncoding.EncodeToString(append([]byte{kind}, key...))))
}

// cosigner is a note.Signer of a witness, by one of its keys.
type cosigner struct {
	note.Verifier
	message func(at uint64, text []byte) ([]byte, error)
	at      time.Time
	sign    func(message []byte) []byte
	size    int // of a signature
}

// Sign implements note.Signer.
func (c *cosigner) Sign(text []byte) ([]byte, error) {
	at := uint64(c.at.Unix())
	msg, err := c.message(at, text)
	if err != nil {
		return nil, err
	}
	sig := c.sign(msg)
	if len(sig) != c.size {
		return nil, errors.New("no signature")
	}
	return append(binary.BigEndian.AppendUint64(nil, at), sig...), nil
}

// ed25519Message is what is signed for type Ed25519.
func ed25519Message(at uint64, text []byte) ([]byte, error) {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), nil
}

// mldsaMessage is what a witness signs for type ML-DSA-44 of a whole tree, which is the subtree from entry 0 on.
func mldsaMessage(witness string) func(at uint64, text []byte) ([]byte, error) {
	return func(at uint64, text []byte) ([]byte, error) {
		origin, _, _ := strings.Cut(string(text), "\n")
		h, err := headOf(string(text), origin)
		if err != nil || len(witness) > math.MaxUint8 || len(origin) > math.MaxUint8 {
			return nil, cmp.Or(err, ErrCheckpoint)
		}
		b := append([]byte("subtree/v1\n\x00"), byte(len(witness)))
		b = binary.BigEndian.AppendUint64(append(b, witness...), at)
		b = append(append(b, byte(len(origin))), origin...)
		b = binary.BigEndian.AppendUint64(b, 0)
		return append(binary.BigEndian.AppendUint64(b, h.Size), h.Root[:]...), nil
	}
}

// sizeMLDSA is the size of a signature of ML-DSA-44, in bytes.
const sizeMLDSA = 2420

// Cosign adds a witness's cosignatures to a checkpoint that v's key has signed; others' are left out. sign and signMLDSA make signatures by
// the keys that the witness's are checked by: of Ed25519, 64 bytes, and of ML-DSA-44, 2,420, for a witness that has such a key.
func Cosign(b []byte, v Verifier, w Witness, at time.Time, sign, signMLDSA func(message []byte) []byte) ([]byte, error) {
	n, err := openCosigned(b, v, nil)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = nil
	by := []note.Signer{&cosigner{w.Verifier, ed25519Message, at, sign, ed25519.SignatureSize}}
	if w.MLDSA != nil {
		by = append(by, &cosigner{w.MLDSA, mldsaMessage(w.MLDSA.Name()), at, signMLDSA, sizeMLDSA})
	}
	return note.Sign(n, by...)
}

// Bare is a checkpoint with the signature of v's key alone.
func Bare(b []byte, v Verifier) ([]byte, error) {
	n, err := openCosigned(b, v, nil)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = nil
	return note.Sign(n)
}

// Witnessed is that a node has cosigned, and when, by its clock.
type Witnessed struct {
	Node  string
	At    time.Time
	MLDSA bool // also by ML-DSA-44, of which At is the time then
}

// WitnessedBy tells which of the witnesses have cosigned a checkpoint that v's key has signed, in their order. A cosignature by a key of
// theirs that does not hold makes it no checkpoint; one by ML-DSA-44 alone makes nobody a witness.
func WitnessedBy(b []byte, v Verifier, witnesses ...Witness) ([]Witnessed, error) {
	n, err := openCosigned(b, v, witnesses)
	if err != nil {
		return nil, err
	}
	var out []Witnessed
	for _, w := range witnesses {
		x := Witnessed{Node: w.Node}
		s := signatureOf(n, w.Verifier)
		if s == nil {
			continue
		}
		if strong := signatureOf(n, w.MLDSA); strong != nil {
			s, x.MLDSA = strong, true
		}
		if x.At, err = cosignature.CoSigV1Timestamp(*s); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
		}
		out = append(out, x)
	}
	return out, nil
}

// signatureOf is a verifier's verified signature of a note, nil if there is none.
func signatureOf(n *note.Note, v note.Verifier) *note.Signature {
	if v == nil {
		return nil
	}
	if i := slices.IndexFunc(n.Sigs, func(s note.Signature) bool { return isBy(s, v) }); i >= 0 {
		return &n.Sigs[i]
	}
	return nil
}

// isBy tells whether a signature says to be by a verifier's key.
func isBy(s note.Signature, v note.Verifier) bool {
	return v != nil && s.Name == v.Name() && s.Hash == v.KeyHash()
}

// merge is a checkpoint with the cosignatures of two copies of it, of each witness's key the later, all of which are checked.
func merge(a, b []byte, v Verifier, witnesses []Witness) ([]byte, error) {
	x, err := openCosigned(a, v, nil) // whose cosignatures were checked when they came
	if err != nil {
		return nil, err
	}
	y, err := openCosigned(b, v, witnesses)
	if err != nil {
		return nil, err
	}
	if x.Text != y.Text {
		return nil, fmt.Errorf("%w: they are two", ErrCheckpoint)
	}
	x.Sigs, x.UnverifiedSigs = append(x.Sigs, x.UnverifiedSigs...), nil
	for _, s := range y.Sigs {
		i := slices.IndexFunc(x.Sigs, func(t note.Signature) bool { return t.Name == s.Name && t.Hash == s.Hash })
		switch {
		case i < 0 && len(x.Sigs) < maxSignatures && (!long(s) || countLong(x.Sigs) < maxMLDSA):
			x.Sigs = append(x.Sigs, s)
		case i >= 0 && s.Name != v.Name() && later(s, x.Sigs[i]):
			x.Sigs[i] = s
		}
	}
	return note.Sign(x)
}

// Short is a checkpoint with the cosignatures of witnesses, checked or not, of which so many by ML-DSA-44, those that stand first; and with
// nobody else's.
func Short(b []byte, v Verifier, most int, witnesses ...Witness) ([]byte, error) {
	n, err := openCosigned(b, v, nil)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = slices.DeleteFunc(n.UnverifiedSigs, func(s note.Signature) bool {
		strong := slices.ContainsFunc(witnesses, func(w Witness) bool { return isBy(s, w.MLDSA) })
		if strong {
			most--
		}
		return !strong && !slices.ContainsFunc(witnesses, func(w Witness) bool { return isBy(s, w.Verifier) }) || strong && most < 0
	})
	return note.Sign(n)
}

// maxSignatures is how many signatures a checkpoint has, and maxMLDSA how many by ML-DSA-44, as a cluster of 16 has: one is 3.3 KB, and a
// checkpoint is to stay below maxCheckpoint, for releases before these too. A note of more than a hundred signatures is read by nobody.
const (
	maxSignatures = 64
	maxMLDSA      = 15
)

// long tells whether a signature is as long as one by ML-DSA-44.
func long(s note.Signature) bool { return len(s.Base64) > sizeMLDSA }

func countLong(all []note.Signature) (n int) {
	for _, s := range all {
		if long(s) {
			n++
		}
	}
	return n
}

func later(a, b note.Signature) bool {
	x, errA := cosignature.CoSigV1Timestamp(a)
	y, errB := cosignature.CoSigV1Timestamp(b)
	return errA == nil && errB == nil && x.After(y)
}

// openCosigned opens a checkpoint that v's key has signed, and checks the cosignatures of witnesses, by both of their keys.
func openCosigned(b []byte, v Verifier, witnesses []Witness) (*note.Note, error) {
	all := []note.Verifier{v}
	for _, w := range witnesses {
		if all = append(all, w.Verifier); w.MLDSA != nil {
			all = append(all, w.MLDSA)
		}
	}
	n, err := note.Open(b, note.VerifierList(all...))
	if err == nil && signatureOf(n, v) == nil {
		err = errOtherKey
	}
	if err == nil && !strings.HasPrefix(n.Text, v.Name()+"\n") {
		err = errors.New("it is of another log")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return n, nil
}

// Grown shows that the log has grown from one head to another (RFC 6962 §2.1.2), at most 128 hashes.
func (a *Log) Grown(from, to uint64) ([][32]byte, error) {
	if from == 0 || from == to {
		return nil, nil
	}
	proof, err := tlog.ProveTree(int64(to), int64(from), a.treeNow())
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, len(proof))
	for i, h := range proof {
		out[i] = h
	}
	return out, nil
}

// RootAt is the hash of the tree when the log had so many entries.
func (a *Log) RootAt(size uint64) ([32]byte, error) { return a.treeNow().root(size) }

// treeNow is the tree as it is, to be read beside the log that grows on: what is inside whole blocks is read from the disk, for which
// nobody who appends waits.
func (a *Log) treeNow() *tree {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tree
	t.above, t.leaves = slices.Clone(t.above), slices.Clone(t.leaves)
	t.load = func(n int) ([]tlog.Hash, error) { return a.leavesOf(t.blocks, n) }
	return &t
}

// CheckGrown holds it that a log of head from has grown to one of head to. durable.ErrCorrupt if it is not shown.
func CheckGrown(from, to Head, proof [][32]byte) error {
	if from.Size == 0 && len(proof) == 0 {
		return nil
	}
	hashes := make([]tlog.Hash, len(proof))
	for i, h := range proof {
		hashes[i] = h
	}
	return tlog.CheckTree(hashes, int64(to.Size), to.Root, int64(from.Size), from.Root)
}
