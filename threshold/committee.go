package threshold

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
)

// MaxParties bounds a committee: quorum proofs and buffers grow with it.
const MaxParties = 64

// PartyID is a party's number in the roster, 1 to 65535, given at enrolment and never given again. It is also the party's
// evaluation point x_i of the sharing polynomial (PROTOCOLS 1.5) and, minus one, its BIP 445 identifier.
type PartyID uint16

// Committee is who holds a key: ascending party numbers, their identity keys, and how many must sign.
type Committee struct {
	Parties    []PartyID `cbor:"1,keyasint"`
	Identities [][]byte  `cbor:"2,keyasint"` // Ed25519 public keys, 32 bytes each, in the order of Parties
	Threshold  int       `cbor:"3,keyasint"` // signers needed, t; the polynomial has degree t-1
}

// Validate refuses a committee that no key may have: t < 2, t > n, unordered, repeated or zero numbers, or identity keys
// that are missing or shared. The policy t ≥ ⌊n/2⌋+1 is the appliance's, not the engine's.
func (c Committee) Validate() error {
	n := len(c.Parties)
	switch {
	case n > MaxParties:
		return fmt.Errorf("threshold: %d parties, at most %d", n, MaxParties)
	case c.Threshold < 2:
		return fmt.Errorf("threshold: threshold %d, at least 2 (one signer would hold the whole key)", c.Threshold)
	case c.Threshold > n:
		return fmt.Errorf("threshold: threshold %d exceeds the %d parties", c.Threshold, n)
	case len(c.Identities) != n:
		return fmt.Errorf("threshold: %d identity keys for %d parties", len(c.Identities), n)
	}
	seen := map[string]bool{}
	for i, p := range c.Parties {
		if p == 0 {
			return fmt.Errorf("threshold: party number 0 is the secret's own point")
		}
		if i > 0 && p <= c.Parties[i-1] {
			return fmt.Errorf("threshold: party numbers must ascend, %d follows %d", p, c.Parties[i-1])
		}
		k := c.Identities[i]
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("threshold: identity key of party %d has %d bytes, want %d", p, len(k), ed25519.PublicKeySize)
		}
		if seen[string(k)] {
			return fmt.Errorf("threshold: party %d shares an identity key with another party", p)
		}
		seen[string(k)] = true
	}
	return nil
}

// N is the number of parties.
func (c Committee) N() int { return len(c.Parties) }

// Position is the place of p in Parties, or -1.
func (c Committee) Position(p PartyID) int {
	i, ok := slices.BinarySearch(c.Parties, p)
	if !ok {
		return -1
	}
	return i
}

// Contains tells whether p is a member.
func (c Committee) Contains(p PartyID) bool { return c.Position(p) >= 0 }

// Identity is the Ed25519 identity key of p, nil if p is no member.
func (c Committee) Identity(p PartyID) ed25519.PublicKey {
	if i := c.Position(p); i >= 0 {
		return c.Identities[i]
	}
	return nil
}

// CheckQuorum refuses a signer set that is not an ascending list of distinct members, at least Threshold of them
// (RFC 9591 §5.2: between MIN_PARTICIPANTS and MAX_PARTICIPANTS).
func (c Committee) CheckQuorum(q []PartyID) error {
	if len(q) < c.Threshold {
		return fmt.Errorf("threshold: %d signers, %d needed", len(q), c.Threshold)
	}
	if len(q) > c.N() {
		return fmt.Errorf("threshold: %d signers, the committee has %d parties", len(q), c.N())
	}
	for i, p := range q {
		if !c.Contains(p) {
			return fmt.Errorf("threshold: signer %d is not a member of the committee", p)
		}
		if i > 0 && p <= q[i-1] {
			return fmt.Errorf("threshold: signers must ascend without repetition, %d follows %d", p, q[i-1])
		}
	}
	return nil
}

// Equal tells whether both committees are the same in every respect.
func (c Committee) Equal(o Committee) bool {
	return c.Threshold == o.Threshold && slices.Equal(c.Parties, o.Parties) && slices.EqualFunc(c.Identities, o.Identities, bytes.Equal)
}

// Digest binds the committee record: numbers, identity keys, threshold.
func (c Committee) Digest() [32]byte { return canon.Hash("mpcd/v1/committee", canon.MustMarshal(c)) }

// Subsets calls f with every subset of size k of the committee's parties, in lexicographic order, until f returns false.
// The slice is f's to keep.
func (c Committee) Subsets(k int, f func([]PartyID) bool) {
	idx := make([]int, k)
	var walk func(start, depth int) bool
	walk = func(start, depth int) bool {
		if depth == k {
			s := make([]PartyID, k)
			for i, j := range idx {
				s[i] = c.Parties[j]
			}
			return f(s)
		}
		for i := start; i <= c.N()-(k-depth); i++ {
			idx[depth] = i
			if !walk(i+1, depth+1) {
				return false
			}
		}
		return true
	}
	walk(0, 0)
}
