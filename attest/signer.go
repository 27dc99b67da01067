package attest

import (
	"context"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
)

// Item is one share to make and attest.
type Item struct {
	Signer  threshold.Signer
	Key     threshold.KeyInfo // Party is this node's
	KeyID   string            // "" to derive it from Key
	Request threshold.SignRequest
	Intent  [32]byte // Intent.Hash
}

// ItemError says why one item of a batch has no share.
type ItemError struct {
	Index int
	Err   error
}

func (e *ItemError) Error() string { return fmt.Sprintf("attest: share %d: %v", e.Index, e.Err) }
func (e *ItemError) Unwrap() error { return e.Err }

// SignShares makes the shares of all items and has the token attest them in one operation. Every signer burns its
// presignature first, so a batch is never tried again; nothing leaves unless the token signed.
//
// A failed item costs the others nothing: its place in the result is nil, and the error joins an *ItemError for each. When
// the token fails there are no shares at all. Of hdr it takes Cluster, Node and Time. The Batch covers the non-nil shares in
// their order.
func SignShares(ctx context.Context, h hsm.Signer, key Key, hdr Header, items []Item) ([]*AttestedShare, *Batch, error) {
	hdr.Kind = KindShare
	out := make([]*AttestedShare, len(items))
	leaves := make([][]byte, 0, len(items))
	var failed []error
	for i, it := range items {
		share, err := it.Signer.SignShare(it.Request)
		if err != nil {
			failed = append(failed, &ItemError{i, err})
			continue
		}
		s := NewStatement(hdr.Cluster, hdr.Node, it.Key, it.KeyID, it.Request, it.Intent)
		s.ShareHash, s.Time = ShareHash(*share), hdr.Time
		out[i] = &AttestedShare{Share: *share, Statement: s}
		leaves = append(leaves, s.Leaf())
	}
	if len(leaves) == 0 {
		return nil, nil, errors.Join(append(failed, errors.New("attest: no share to attest"))...)
	}
	b, err := Attest(ctx, h, key, hdr, leaves)
	if err != nil {
		return nil, nil, err
	}
	n := 0
	for _, s := range out {
		if s != nil {
			s.Attestation = b.Proof(n)
			n++
		}
	}
	return out, b, errors.Join(failed...)
}

// Signer wraps a threshold.Signer so that every share it makes leaves attested.
type Signer struct {
	inner threshold.Signer
	key   threshold.KeyInfo
	hsm   hsm.Signer
	keyID string
}

// NewAttestingSigner is SignShares for those who sign with one share, by the name of the seed documents: inner signs with the share of
// key, and the token's key keyID attests. The token must tell the public half (hsm.PublicKeyer).
func NewAttestingSigner(inner threshold.Signer, key threshold.KeyInfo, h hsm.Signer, keyID string) *Signer {
	return &Signer{inner: inner, key: key, hsm: h, keyID: keyID}
}

// SignShare makes the share of one request and has it attested with one operation of the token. intent is Intent.Hash; of hdr it takes
// Cluster, Node and Time.
func (s *Signer) SignShare(ctx context.Context, hdr Header, req threshold.SignRequest, intent [32]byte) (*AttestedShare, error) {
	key, err := keyOf(ctx, s.hsm, s.keyID)
	if err != nil {
		return nil, err
	}
	out, _, err := SignShares(ctx, s.hsm, key, hdr, []Item{{Signer: s.inner, Key: s.key, Request: req, Intent: intent}})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// keyOf asks the token for the public half of a key.
func keyOf(ctx context.Context, h hsm.Signer, keyID string) (Key, error) {
	p, ok := hsm.As[hsm.PublicKeyer](h)
	if !ok {
		return Key{}, fmt.Errorf("attest: %s tells no public keys; take SignShares and VerifyShare, which are given them", h.Provider())
	}
	pub, err := p.PublicKey(ctx, keyID)
	if err != nil {
		return Key{}, fmt.Errorf("attest: public key of %q: %w", clip(keyID), err)
	}
	return Key{ID: keyID, Public: pub}, nil
}
