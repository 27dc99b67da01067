package attest

import (
	"crypto"
	"fmt"
	"time"
)

// Expect is what a verifier knows without the attestation. Kind, Cluster and Node are required; a zero time is no bound.
type Expect struct {
	Kind      Kind
	Cluster   string
	Node      string
	NotBefore time.Time
	NotAfter  time.Time
}

// check compares a genuine header with what is expected.
func (e Expect) check(h Header) error {
	switch {
	case h.Kind != e.Kind:
		return misbound("kind")
	case h.Cluster != e.Cluster:
		return misbound("cluster")
	case h.Node != e.Node:
		return fmt.Errorf("%w: %s, not %s", ErrWrongNode, h.Node, clip(e.Node))
	}
	t := time.UnixMilli(h.Time)
	if (!e.NotBefore.IsZero() && t.Before(e.NotBefore)) || (!e.NotAfter.IsZero() && t.After(e.NotAfter)) {
		return fmt.Errorf("%w: node %s at %s; compare the clocks", ErrStale, h.Node, t.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// VerifyBatch judges one signature over leaves that are all present, in order. pub is the node's key for want.Kind, pinned
// in the roster. The Batch it returns gives each leaf's Proof to others.
func VerifyBatch(pub crypto.PublicKey, want Expect, leaves [][]byte, cose []byte) (*Batch, error) {
	h, err := verify1(pub, want.Kind, cose)
	if err != nil {
		return nil, err
	}
	if err := want.check(h); err != nil {
		return nil, err
	}
	return open(h, leaves, cose)
}

// open binds leaves to a header that has been verified.
func open(h Header, leaves [][]byte, cose []byte) (*Batch, error) {
	if int(h.Count) != len(leaves) {
		return nil, fmt.Errorf("%w: it covers %d leaves, not %d", ErrForged, h.Count, len(leaves))
	}
	t := newTree(leaves)
	if t.root() != h.Root {
		return nil, fmt.Errorf("%w: the leaves have another root", ErrForged)
	}
	return &Batch{Cose: cose, Header: h, tree: t}, nil
}

// Verify judges one leaf by its path and returns when the node signed.
func Verify(pub crypto.PublicKey, want Expect, leaf []byte, a Attestation) (time.Time, error) {
	h, err := verify1(pub, want.Kind, a.Cose)
	if err != nil {
		return time.Time{}, err
	}
	if err := want.check(h); err != nil {
		return time.Time{}, err
	}
	if err := a.covers(h, leaf); err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(h.Time), nil
}

// covers tells whether the leaf is at its place beneath the header's root.
func (a Attestation) covers(h Header, leaf []byte) error {
	root, ok := rootFromPath(leaf, a.Index, a.Count, a.Path)
	if !ok || a.Count != h.Count || root != h.Root {
		return fmt.Errorf("%w: the leaf is not beneath its root", ErrForged)
	}
	return nil
}

// Time is when the node says it signed, before any judgement: for deriving a Statement that is then verified.
func (a Attestation) Time() (time.Time, error) {
	m, err := parse1(a.Cose)
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(m.header.Time), nil
}
