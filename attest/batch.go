package attest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"regexp"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
)

// Kind says what an attestation is about. It is in the signature's external data, so kinds never pass as one another.
type Kind string

// The kinds of attestation and what their leaves are.
const (
	KindCosign     Kind = "cosign"     // before the act; leaf: Intent.Hash
	KindShare      Kind = "share"      // a signature share; leaf: the canonical bytes of its Statement
	KindSettlement Kind = "settlement" // the outcome; leaf: Receipt.Digest
	KindKeygen     Kind = "keygen"     // success certificates: that a party has stored its share of a key at an epoch
	KindFreeze     Kind = "freeze"     // leaf: a Freeze
)

func (k Kind) valid() bool {
	switch k {
	case KindCosign, KindShare, KindSettlement, KindKeygen, KindFreeze:
		return true
	}
	return false
}

// HeaderVersion is the version of Header this program makes and reads.
const HeaderVersion = 1

// name is what clusters and nodes may be called: it goes into file names, log lines and URLs.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Header is the payload of the COSE_Sign1: one hardware signature over Count leaves.
type Header struct {
	Version uint8  `cbor:"1,keyasint"`
	Kind    Kind   `cbor:"2,keyasint"`
	Cluster string `cbor:"3,keyasint"`
	Node    string `cbor:"4,keyasint"`
	Root    Hash   `cbor:"5,keyasint"` // Merkle root of the leaves, RFC 9162 §2.1.1
	Count   uint32 `cbor:"6,keyasint"` // leaves, 1 to MaxLeaves
	Time    int64  `cbor:"7,keyasint"` // Unix milliseconds, the node's clock
}

func (h Header) validate() error {
	switch {
	case h.Version != HeaderVersion:
		return fmt.Errorf("%w: header version %d, this program reads %d", ErrMalformed, h.Version, HeaderVersion)
	case !h.Kind.valid():
		return fmt.Errorf("%w: unknown kind", ErrMalformed)
	case !name.MatchString(h.Cluster):
		return fmt.Errorf("%w: %q is no name for a cluster; use a-z, 0-9, dot, dash, underscore, at most 63", ErrMalformed, clip(h.Cluster))
	case !name.MatchString(h.Node):
		return fmt.Errorf("%w: %q is no name for a node; use a-z, 0-9, dot, dash, underscore, at most 63", ErrMalformed, clip(h.Node))
	case h.Count == 0 || h.Count > MaxLeaves:
		return fmt.Errorf("%w: %d leaves, want 1 to %d", ErrMalformed, h.Count, MaxLeaves)
	case h.Time <= 0:
		return fmt.Errorf("%w: no time", ErrMalformed)
	}
	return nil
}

// clip keeps a stranger's text short in an error.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// Key is a signing key in a token: its name there, and the public half the roster pins (P-256 or Ed25519).
type Key struct {
	ID     string
	Public crypto.PublicKey
}

// Batch is one hardware signature and the tree beneath it.
type Batch struct {
	Cose   []byte // COSE_Sign1_Tagged, RFC 9052 §4.2
	Header Header
	tree   tree
}

// Attestation shows that one leaf was covered by a hardware signature.
type Attestation struct {
	Cose  Hex    `cbor:"1,keyasint" json:"cose"`  // COSE_Sign1_Tagged over the Header
	Index uint32 `cbor:"2,keyasint" json:"index"` // the leaf's place
	Count uint32 `cbor:"3,keyasint" json:"count"` // leaves in all, as the Header says
	Path  []Hash `cbor:"4,keyasint" json:"path"`  // siblings from the leaf up, RFC 9162 §2.1.3
}

// Attest has the token sign once for all leaves. Of hdr it takes Kind, Cluster, Node and Time; the rest it fills in. The
// signature is checked with key.Public before anybody sees it, so a token that fails, or holds another key than the roster
// says, is found here and not by the peers.
func Attest(ctx context.Context, h hsm.Signer, key Key, hdr Header, leaves [][]byte) (*Batch, error) {
	if len(leaves) == 0 || len(leaves) > MaxLeaves {
		return nil, fmt.Errorf("attest: %d leaves to attest, want 1 to %d", len(leaves), MaxLeaves)
	}
	t := newTree(leaves)
	hdr.Version, hdr.Root, hdr.Count = HeaderVersion, t.root(), uint32(len(leaves))
	if err := hdr.validate(); err != nil {
		return nil, err
	}
	c, err := sign1(ctx, h, key, hdr.Kind, canon.MustMarshal(hdr))
	if err != nil {
		return nil, err
	}
	if _, err := verify1(key.Public, hdr.Kind, c); err != nil {
		return nil, fmt.Errorf("attest: what the token made with key %q does not verify with the public key of the roster; check that the "+
			"token is the enrolled one: %w", key.ID, err)
	}
	return &Batch{Cose: c, Header: hdr, tree: t}, nil
}

// Len is the number of leaves.
func (b *Batch) Len() int { return len(b.tree[0]) }

// Proof is the attestation of leaf i, 0 to Len-1. It shares Cose with the batch.
func (b *Batch) Proof(i int) Attestation {
	return Attestation{Cose: b.Cose, Index: uint32(i), Count: b.Header.Count, Path: b.tree.path(i)}
}

var errKeyType = errors.New("attest: an attestation key is P-256 or Ed25519")
