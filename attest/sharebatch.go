package attest

import (
	"crypto"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// maxShare bounds the payload of a signature share on the wire, in bytes; Ringtail's are the longest.
const maxShare = 64 << 10

// ShareBatch is what one signer sends for a batch of requests: payloads and one signature. Sender, presignatures and
// statements are not in it, because the receiver knows what they must be.
type ShareBatch struct {
	Cose     []byte   `cbor:"1,keyasint"` // COSE_Sign1_Tagged over the Header
	Payloads [][]byte `cbor:"2,keyasint"` // threshold.SignatureShare.Payload in the order of the proposal; empty where no share was made
}

// NewShareBatch packs what SignShares returned.
func NewShareBatch(shares []*AttestedShare, b *Batch) ShareBatch {
	sb := ShareBatch{Cose: b.Cose, Payloads: make([][]byte, len(shares))}
	for i, s := range shares {
		if s != nil {
			sb.Payloads[i] = s.Share.Payload
		} else {
			sb.Payloads[i] = []byte{}
		}
	}
	return sb
}

// Bytes is the canonical encoding.
func (sb ShareBatch) Bytes() []byte { return canon.MustMarshal(sb) }

// ParseShareBatch reads what Bytes wrote. Nothing in it is judged but sizes.
func ParseShareBatch(b []byte) (ShareBatch, error) {
	var sb ShareBatch
	if err := canon.Unmarshal(b, &sb); err != nil {
		return ShareBatch{}, fmt.Errorf("%w: share batch: %w", ErrMalformed, err)
	}
	if len(sb.Payloads) == 0 || len(sb.Payloads) > MaxLeaves {
		return ShareBatch{}, fmt.Errorf("%w: %d shares, want 1 to %d", ErrMalformed, len(sb.Payloads), MaxLeaves)
	}
	for _, p := range sb.Payloads {
		if len(p) > maxShare {
			return ShareBatch{}, fmt.Errorf("%w: share of %d bytes, at most %d", ErrMalformed, len(p), maxShare)
		}
	}
	return sb, nil
}

// Window is the time allowed for an attestation. A zero time is no bound.
type Window struct {
	NotBefore time.Time
	NotAfter  time.Time
}

// Open judges the batch of one signer with its pinned attestation key: one verification for all. expected has a statement
// for each request of the proposal, in order, all of the same cluster and node (NewStatement; ShareHash and Time are
// ignored). The result is nil where the signer made no share. A signer that meant any other message, presignature, epoch or
// intent in any place makes all of it ErrForged: its root differs, and statements do not travel.
func (sb ShareBatch) Open(pub crypto.PublicKey, w Window, expected []Statement) ([]*AttestedShare, error) {
	if len(expected) == 0 || len(expected) != len(sb.Payloads) {
		return nil, fmt.Errorf("%w: %d shares for %d requests", ErrMalformed, len(sb.Payloads), len(expected))
	}
	h, err := verify1(pub, KindShare, sb.Cose)
	if err != nil {
		return nil, err
	}
	want := Expect{KindShare, expected[0].Cluster, expected[0].Node, w.NotBefore, w.NotAfter}
	if err := want.check(h); err != nil {
		return nil, err
	}
	out := make([]*AttestedShare, len(expected))
	leaves := make([][]byte, 0, len(expected))
	for i, s := range expected {
		if s.Node != h.Node || s.Cluster != h.Cluster {
			return nil, fmt.Errorf("attest: statement %d is of node %s, the batch of %s", i, s.Node, h.Node)
		}
		if len(sb.Payloads[i]) == 0 {
			continue
		}
		share := threshold.SignatureShare{From: s.Party, Pre: s.Presignature, Payload: sb.Payloads[i]}
		s.ShareHash, s.Time = ShareHash(share), h.Time
		out[i] = &AttestedShare{Share: share, Statement: s}
		leaves = append(leaves, s.Leaf())
	}
	b, err := open(h, leaves, sb.Cose)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, s := range out {
		if s != nil {
			s.Attestation = b.Proof(n)
			n++
		}
	}
	return out, nil
}
