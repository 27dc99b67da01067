package attest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

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

// Request is a request to a Signer.
type Request struct {
	threshold.SignRequest
	Intent [32]byte // Intent.Hash
}

// Signer wraps a threshold.Signer so that every share it makes leaves attested.
type Signer struct {
	inner threshold.Signer
	key   threshold.KeyInfo
	hsm   hsm.Signer
	at    Key
	hdr   Header
	now   func() time.Time
}

// Option sets what NewAttestingSigner cannot know.
type Option func(*Signer)

// WithNode names the cluster and this node, as the roster does.
func WithNode(cluster, node string) Option {
	return func(s *Signer) { s.hdr.Cluster, s.hdr.Node = cluster, node }
}

// WithPublicKey gives the public half of the attestation key; without it the token is asked once per operation.
func WithPublicKey(pub crypto.PublicKey) Option { return func(s *Signer) { s.at.Public = pub } }

// WithClock gives the time; without it, the machine's.
func WithClock(now func() time.Time) Option { return func(s *Signer) { s.now = now } }

// NewAttestingSigner wraps inner, which signs with the share of key, so that the token's key keyID attests every share.
// WithNode is required in a cluster; without it the node is "local" in cluster "local".
func NewAttestingSigner(inner threshold.Signer, key threshold.KeyInfo, h hsm.Signer, keyID string, opts ...Option) *Signer {
	s := &Signer{inner: inner, key: key, hsm: h, at: Key{ID: keyID}, hdr: Header{Cluster: "local", Node: "local"}, now: time.Now}
	for _, o := range opts {
		o(s)
	}
	return s
}

// SignShare makes one attested share.
func (s *Signer) SignShare(ctx context.Context, req Request) (*AttestedShare, error) {
	out, err := s.SignShares(ctx, []Request{req})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// SignShares makes many with one operation of the token. Failures are told as the function SignShares tells them.
func (s *Signer) SignShares(ctx context.Context, reqs []Request) ([]*AttestedShare, error) {
	at := s.at
	if at.Public == nil {
		p, ok := hsm.As[hsm.PublicKeyer](s.hsm)
		if !ok {
			return nil, fmt.Errorf("attest: %s tells no public keys; give it with WithPublicKey", s.hsm.Provider())
		}
		pub, err := p.PublicKey(ctx, at.ID)
		if err != nil {
			return nil, fmt.Errorf("attest: public key of %q: %w", at.ID, err)
		}
		at.Public = pub
	}
	hdr := s.hdr
	hdr.Time = s.now().UnixMilli()
	items := make([]Item, len(reqs))
	for i, r := range reqs {
		items[i] = Item{Signer: s.inner, Key: s.key, Request: r.SignRequest, Intent: r.Intent}
	}
	out, _, err := SignShares(ctx, s.hsm, at, hdr, items)
	return out, err
}
