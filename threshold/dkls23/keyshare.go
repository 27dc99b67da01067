package dkls23

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

var (
	errKeyShareFit = errors.New("dkls23: key share does not fit its key record")
	errSharing     = errors.New("the public shares do not have the threshold they should")
)

func kindError(got threshold.KindID) error {
	return fmt.Errorf("dkls23: a key of kind %q, this scheme is for %q", got, threshold.ECDSA.ID)
}

// ParseKeyShare implements threshold.Scheme. It proves that the record is whole: the secret fits its public share, and all
// public shares lie on one polynomial of degree t-1 whose value at 0 is the group key.
func (Scheme) ParseKeyShare(b []byte) (*threshold.KeyShare, error) {
	k, err := threshold.DecodeKeyShare(b)
	if err != nil {
		return nil, err
	}
	if k.Kind != threshold.ECDSA.ID || !secretFits(k) || !publicSharesFit(k.KeyInfo) {
		k.Destroy()
		return nil, errKeyShareFit
	}
	return k, nil
}

func secretFits(k *threshold.KeyShare) bool {
	s, err := group.Secp256k1.NewScalar().SetCanonical(k.Secret())
	if err != nil {
		return false
	}
	defer s.Wipe()
	return bytes.Equal(group.Secp256k1.NewPoint().ScalarBaseMult(s).Bytes(), k.PublicShare(k.Party))
}

// publicSharesFit interpolates the group key from t consecutive public shares, for every such window: windows overlap in t-1
// shares, so all of them determine one polynomial.
func publicSharesFit(info threshold.KeyInfo) bool {
	key, public, err := points(info)
	if err != nil {
		return false
	}
	t := info.Committee.Threshold
	for i := 0; i+t <= info.Committee.N(); i++ {
		if !interpolate(public, info.Committee.Parties[i:i+t]).Equal(key) {
			return false
		}
	}
	return true
}

// CheckSharing implements threshold.Scheme. The public shares lie on one polynomial of degree t-1 at most, with the key at 0, so any t of
// them give it. Where t-1 of them do not, its degree is t-1 exactly, and no t-1 do: what the polynomial through those of x_1 … x_(t-1)
// has at 0 differs from the key by the leading coefficient times ±x_1⋯x_(t-1).
func (Scheme) CheckSharing(info threshold.KeyInfo) error {
	key, public, err := points(info)
	if err != nil {
		return err
	}
	c := info.Committee
	if !publicSharesFit(info) || interpolate(public, c.Parties[:c.Threshold-1]).Equal(key) {
		return fmt.Errorf("dkls23: a %d-of-%d key: %w", c.Threshold, c.N(), errSharing)
	}
	return nil
}

// points decodes the group key and the public shares.
func points(info threshold.KeyInfo) (key group.Point, public map[threshold.PartyID]group.Point, err error) {
	if key, err = group.Secp256k1.NewPoint().SetCanonical(info.GroupKey); err != nil {
		return nil, nil, errors.New("dkls23: group key is not a point")
	}
	public = map[threshold.PartyID]group.Point{}
	for _, p := range info.Committee.Parties {
		if public[p], err = group.Secp256k1.NewPoint().SetCanonical(info.PublicShare(p)); err != nil {
			return nil, nil, fmt.Errorf("dkls23: public share of party %d is not a point", p)
		}
	}
	return key, public, nil
}

// interpolate is the public key that the parties q would sign under by themselves.
func interpolate(public map[threshold.PartyID]group.Point, q []threshold.PartyID) group.Point {
	ls, ps := make([]group.Scalar, len(q)), make([]group.Point, len(q))
	for i, p := range q {
		ls[i], ps[i] = lagrange(p, q), public[p]
	}
	return group.Secp256k1.VarTimeMultiScalarMult(ls, ps)
}

// lagrange is λ_p at 0 for the quorum q.
func lagrange(p threshold.PartyID, q []threshold.PartyID) group.Scalar {
	xs := make([]uint16, len(q))
	for i, x := range q {
		xs[i] = uint16(x)
	}
	return poly.Lagrange(group.Secp256k1, uint16(p), xs)
}
