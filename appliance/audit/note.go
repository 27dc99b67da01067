package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Head is how long a log is, and the hash of its Merkle tree (RFC 6962).
type Head struct {
	Size uint64   `json:"size" cbor:"1,keyasint"`
	Root [32]byte `json:"-" cbor:"2,keyasint"`
}

// A checkpoint is a head that the node's token signed, in the form of C2SP tlog-checkpoint: a signed note (C2SP signed-note) of three
// lines, origin, size and root in base64. The key is a P-256 key of the token, the signature ECDSA over SHA-256 in DER, of type 2.

// noteKey is the name under which a node signs, and the origin of its log.
func noteKey(cluster, node string) string { return "mpcd/" + cluster + "/" + node + "/audit" }

type verifier struct {
	name string
	key  *ecdsa.PublicKey
	id   uint32
}

// Verifier checks the checkpoints of one node's log.
type Verifier = note.Verifier

// NewVerifier checks the checkpoints of a node's log by the key that the roster pins for its attestations.
// One that is not of P-256 signs none.
func NewVerifier(cluster, node string, pub crypto.PublicKey) (Verifier, error) {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T signs no checkpoints", pub)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &verifier{noteKey(cluster, node), key, binary.BigEndian.Uint32(sum[:])}, nil
}

func (v *verifier) Name() string    { return v.name }
func (v *verifier) KeyHash() uint32 { return v.id }
func (v *verifier) Verify(msg, sig []byte) bool {
	sum := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(v.key, sum[:], sig)
}

type signer struct {
	note.Verifier
	sign func(message []byte) ([]byte, error)
}

// Sign implements note.Signer.
func (s *signer) Sign(msg []byte) ([]byte, error) {
	raw, err := s.sign(msg)
	if err != nil {
		return nil, err
	}
	if len(raw) != 64 {
		return nil, fmt.Errorf("a signature of %d bytes, want 64", len(raw))
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
}

// SignHead makes a checkpoint. sign has the token sign a message by the key of v; it returns r and s, 32 bytes each.
func SignHead(h Head, v Verifier, sign func(message []byte) ([]byte, error)) ([]byte, error) {
	return note.Sign(&note.Note{Text: h.text(v.Name())}, &signer{v, sign})
}

// text is what is signed of a head, of a log of that origin.
func (h Head) text(origin string) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, h.Size, base64.StdEncoding.EncodeToString(h.Root[:]))
}

// ErrCheckpoint: that is no checkpoint of this node's log.
var ErrCheckpoint = errors.New("the checkpoint is not one of this node's log")

// OpenCheckpoint checks a checkpoint and returns its head. It is not signed where v's key has not signed it, but another, as that of a
// token which was replaced: nobody vouches for it then but who has kept it. ErrCheckpoint, with the log that it says to be of; also where
// it has more than the three lines that SignHead writes: who signs has no room for what it likes in what others store and print.
func OpenCheckpoint(b []byte, v Verifier) (h Head, signed bool, err error) {
	n, err := note.Open(b, note.VerifierList(v))
	signed = err == nil
	var unknown *note.UnverifiedNoteError
	switch origin, _, _ := strings.Cut(string(b), "\n"); {
	case err != nil && strings.HasPrefix(origin, "mpcd/") && origin != v.Name():
		err = fmt.Errorf("it says to be of %.200q, wanted is %s", origin, v.Name())
	case errors.As(err, &unknown):
		if n, err = unknown.Note, nil; slices.ContainsFunc(n.UnverifiedSigs, func(s note.Signature) bool { return signs(v, n.Text, s) }) {
			err = errors.New("the node's key has signed it, and it names another")
		}
	}
	if err != nil {
		return Head{}, false, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if h, err = headOf(n.Text, v.Name()); err == nil && n.Text != h.text(v.Name()) {
		h, err = Head{}, fmt.Errorf("%w: it has more than origin, size and root", ErrCheckpoint)
	}
	return h, signed && err == nil, err
}

// signs tells whether v's key made a signature, whatever name stands beside it.
func signs(v Verifier, text string, s note.Signature) bool {
	raw, err := base64.StdEncoding.DecodeString(s.Base64) // hash of the key, 4 bytes, and signature
	return err == nil && len(raw) > 4 && v.Verify([]byte(text), raw[4:])
}

// HeadIn reads what a checkpoint says, of whatever log, and verifies nothing: further lines, which were taken once, may follow.
func HeadIn(b []byte) (Head, error) {
	text, _, _ := strings.Cut(string(b), "\n\n")
	origin, _, _ := strings.Cut(text, "\n")
	return headOf(text+"\n", origin)
}

// headOf reads the text of a checkpoint of an origin.
func headOf(text, origin string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return Head{}, ErrCheckpoint
	}
	size, err := strconv.ParseUint(lines[1], 10, 62)
	root, rerr := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || rerr != nil || len(root) != tlog.HashSize || strconv.FormatUint(size, 10) != lines[1] {
		return Head{}, ErrCheckpoint
	}
	return Head{size, [32]byte(root)}, nil
}
