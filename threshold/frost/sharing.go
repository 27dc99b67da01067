package frost

import (
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// sharingSubsetsMax bounds the subsets that checkSharing looks at, of each size.
const sharingSubsetsMax = 2048

// checkSharing shows from the public shares alone that t parties hold the key and t-1 do not: for every subset of t parties
// the sum of λ_i·X_i is the group key, and for every subset of t-1 parties it is not, so that whatever such a subset signs by
// itself is under another key. Both follow for all subsets if the public shares lie on a polynomial of degree t-1 exactly;
// for large committees the first subsets are looked at.
func checkSharing(g group.Group, info threshold.KeyInfo) error {
	c := info.Committee
	key, err := g.NewPoint().SetCanonical(info.GroupKey)
	if err != nil {
		return errors.New("frost: group key is not a point")
	}
	public := map[threshold.PartyID]group.Point{}
	for _, p := range c.Parties {
		if public[p], err = g.NewPoint().SetCanonical(info.PublicShare(p)); err != nil {
			return fmt.Errorf("frost: public share of party %d is not a point", p)
		}
	}
	for size := c.Threshold - 1; size <= c.Threshold; size++ {
		left, bad := sharingSubsetsMax, error(nil)
		c.Subsets(size, func(q []threshold.PartyID) bool {
			if size == 0 {
				return false
			}
			if interpolate(g, public, q).Equal(key) != (size == c.Threshold) {
				bad = fmt.Errorf("frost: parties %v of a %d-of-%d key: %w", q, c.Threshold, c.N(), errSharing)
			}
			left--
			return bad == nil && left > 0
		})
		if bad != nil {
			return bad
		}
	}
	return nil
}

var errSharing = errors.New("the public shares do not have the threshold they should")

// interpolate is the public key that the subset q would sign under by itself.
func interpolate(g group.Group, public map[threshold.PartyID]group.Point, q []threshold.PartyID) group.Point {
	xs := make([]uint16, len(q))
	ps := make([]group.Point, len(q))
	ls := make([]group.Scalar, len(q))
	for i, p := range q {
		xs[i], ps[i] = uint16(p), public[p]
	}
	for i, x := range xs {
		ls[i] = poly.Lagrange(g, x, xs)
	}
	return g.VarTimeMultiScalarMult(ls, ps)
}

// CheckSharing implements threshold.Scheme.
func (s *rfcScheme) CheckSharing(info threshold.KeyInfo) error { return checkSharing(s.group, info) }

// CheckSharing implements threshold.Scheme.
func (taproot) CheckSharing(info threshold.KeyInfo) error { return checkSharing(group.Secp256k1, info) }
