package frost

import (
	"errors"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// maxTweaks bounds the tweaks of one request: a BIP-32 path has at most 255 steps, and BIP-341 adds one.
const maxTweaks = 256

var (
	errTweakRange    = errors.New("frost: the tweak value is out of range: want 1 to n-1")
	errTweakInfinity = errors.New("frost: the tweak makes the key the point at infinity; use another")
	errTweakCount    = errors.New("frost: more than 256 tweaks")
)

// tweakContext is the Tweak Context of BIP 445: the tweaked key Q with gacc, a sign, and tacc, so that its secret is
// gacc·secret + tacc. All of it is public.
type tweakContext struct {
	q       secp256k1.Point // Q
	x       [32]byte        // xbytes(Q)
	odd     int             // 1 if y(Q) is odd
	negated int             // 1 if gacc = -1
	tacc    secp256k1.Scalar
}

// newTweakContext is TweakCtxInit; key is not the identity.
func newTweakContext(key *secp256k1.Point) *tweakContext {
	c := &tweakContext{q: *key}
	c.encode()
	return c
}

// newTweakedKey is TweakCtxInit and then ApplyTweak for every tweak.
func newTweakedKey(key *secp256k1.Point, tweaks []threshold.Tweak) (*tweakContext, error) {
	if len(tweaks) > maxTweaks {
		return nil, errTweakCount
	}
	c := newTweakContext(key)
	for _, t := range tweaks {
		if err := c.apply(t); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// apply is ApplyTweak: Q' = g·Q + t·G, with g = -1 for an x-only tweak of a key whose y is odd.
func (c *tweakContext) apply(tweak threshold.Tweak) error {
	var t secp256k1.Scalar
	if _, err := t.SetBytes(tweak.T[:]); err != nil || t.IsZero() == 1 {
		return errTweakRange
	}
	if tweak.XOnly && c.odd == 1 {
		c.q.Negate(&c.q)
		c.tacc.Negate(&c.tacc)
		c.negated ^= 1
	}
	c.q.Add(&c.q, new(secp256k1.Point).ScalarBaseMult(&t))
	c.tacc.Add(&c.tacc, &t)
	if c.q.IsIdentity() == 1 {
		return errTweakInfinity
	}
	c.encode()
	return nil
}

func (c *tweakContext) encode() {
	b := c.q.Bytes()
	copy(c.x[:], b[1:])
	c.odd = int(b[0] & 1)
}

// signFlip is 1 if the secret enters the signature negated: g·gacc of BIP 445, where g = -1 for odd y(Q).
func (c *tweakContext) signFlip() int { return c.odd ^ c.negated }

// aggregateTerm is e·g·tacc, the tweaks' part of the signature.
func (c *tweakContext) aggregateTerm(e *secp256k1.Scalar) *secp256k1.Scalar {
	s := new(secp256k1.Scalar).Mul(e, &c.tacc)
	return s.CondNegate(c.odd)
}
