package frost

import (
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// checkSharing shows from the public shares alone that any t parties hold the key and no t-1 do. They lie on one polynomial of degree t-1
// at most, with the key at 0, so any t of them give it. Where t-1 of them do not, its degree is t-1 exactly, and no t-1 do: what the
// polynomial through those of x_1 … x_(t-1) has at 0 differs from the key by the leading coefficient times ±x_1⋯x_(t-1).
func checkSharing(g group.Group, info threshold.KeyInfo) error {
	c := info.Committee
	key, public, err := points(g, info)
	if err != nil {
		return fmt.Errorf("frost: %w", err)
	}
	if !publicSharesFit(g, info) || interpolate(g, public, c.Parties[:c.Threshold-1]).Equal(key) {
		return fmt.Errorf("frost: a %d-of-%d key: %w", c.Threshold, c.N(), errSharing)
	}
	return nil
}

// points decodes the group key and the public shares.
func points(g group.Group, info threshold.KeyInfo) (key group.Point, public map[threshold.PartyID]group.Point, err error) {
	if key, err = g.NewPoint().SetCanonical(info.GroupKey); err != nil {
		return nil, nil, errors.New("the group key is not a point")
	}
	public = map[threshold.PartyID]group.Point{}
	for _, p := range info.Committee.Parties {
		if public[p], err = g.NewPoint().SetCanonical(info.PublicShare(p)); err != nil {
			return nil, nil, fmt.Errorf("the public share of party %d is not a point", p)
		}
	}
	return key, public, nil
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
