package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Peers cosign a node's checkpoints as witnesses (C2SP tlog-cosignature, cosignature/v1 of type Ed25519): a witness signs, by the identity
// key that the roster pins for it, that at a time this checkpoint was the newest of the log it had seen, grown from the one before.

// witnessName is the name under which a node cosigns.
func witnessName(cluster, node string) string { return "mpcd/" + cluster + "/" + node + "/witness" }

// Witness is a node as a witness of others' logs.
type Witness struct {
	Node string
	note.Verifier
}

// NewWitness checks the cosignatures of a node by its identity key, 32 bytes.
func NewWitness(cluster, node string, identity ed25519.PublicKey) (Witness, error) {
	vkey, err := note.NewEd25519VerifierKey(witnessName(cluster, node), identity)
	if err != nil {
		return Witness{}, err
	}
	v, err := cosignature.NewVerifierForCosignatureV1(vkey)
	return Witness{node, v}, err
}

// cosigner is a note.Signer of a witness.
type cosigner struct {
	Witness
	at   time.Time
	sign func(message []byte) []byte
}

// Sign implements note.Signer.
func (c *cosigner) Sign(msg []byte) ([]byte, error) {
	at := c.at.Unix()
	sig := c.sign(fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, msg))
	if len(sig) != ed25519.SignatureSize {
		return nil, errors.New("no signature")
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), sig...), nil
}

// Cosign adds a witness's cosignature to a checkpoint that v's key has signed; others' are left out. sign makes an Ed25519 signature, 64
// bytes, by the key that the witness's are checked by.
func Cosign(b []byte, v Verifier, w Witness, at time.Time, sign func(message []byte) []byte) ([]byte, error) {
	n, _, err := openCosigned(b, v, nil)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = nil
	return note.Sign(n, &cosigner{w, at, sign})
}

// Bare is a checkpoint with the signature of v's key alone.
func Bare(b []byte, v Verifier) ([]byte, error) {
	n, _, err := openCosigned(b, v, nil)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = nil
	return note.Sign(n)
}

// Witnessed is that a node has cosigned, and when, by its clock.
type Witnessed struct {
	Node string
	At   time.Time
}

// WitnessedBy tells which of the witnesses have cosigned a checkpoint that v's key has signed, in their order.
func WitnessedBy(b []byte, v Verifier, witnesses ...Witness) ([]Witnessed, error) {
	n, names, err := openCosigned(b, v, witnesses)
	if err != nil {
		return nil, err
	}
	var out []Witnessed
	for _, w := range witnesses {
		for _, s := range n.Sigs {
			if s.Name == w.Name() && s.Hash == w.KeyHash() {
				at, err := cosignature.CoSigV1Timestamp(s)
				if err != nil {
					return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
				}
				out = append(out, Witnessed{names[s.Name], at})
			}
		}
	}
	return out, nil
}

// merge is a checkpoint with the cosignatures of two copies of it, of each witness the later, all of which are checked.
func merge(a, b []byte, v Verifier, witnesses []Witness) ([]byte, error) {
	x, _, err := openCosigned(a, v, nil) // whose cosignatures were checked when they came
	if err != nil {
		return nil, err
	}
	y, _, err := openCosigned(b, v, witnesses)
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
		case i < 0 && len(x.Sigs) < maxSignatures:
			x.Sigs = append(x.Sigs, s)
		case i >= 0 && s.Name != v.Name() && later(s, x.Sigs[i]):
			x.Sigs[i] = s
		}
	}
	return note.Sign(x)
}

// maxSignatures is how many signatures a checkpoint has; a note of more than a hundred is read by nobody.
const maxSignatures = 64

func later(a, b note.Signature) bool {
	x, errA := cosignature.CoSigV1Timestamp(a)
	y, errB := cosignature.CoSigV1Timestamp(b)
	return errA == nil && errB == nil && x.After(y)
}

// openCosigned opens a checkpoint that v's key has signed; names are the nodes of the witnesses' names.
func openCosigned(b []byte, v Verifier, witnesses []Witness) (n *note.Note, names map[string]string, err error) {
	all, names := []note.Verifier{v}, make(map[string]string, len(witnesses))
	for _, w := range witnesses {
		all, names[w.Name()] = append(all, w), w.Node
	}
	n, err = note.Open(b, note.VerifierList(all...))
	if err == nil && !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() }) {
		err = errOtherKey
	}
	if err == nil && !strings.HasPrefix(n.Text, v.Name()+"\n") {
		err = errors.New("it is of another log")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return n, names, nil
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
