package frost

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

const checkShare = "frost-share"

var (
	errShare       = errors.New("frost: signature share does not verify")
	errSelfCheck   = errors.New("frost: our own signature share does not verify: memory or key record is corrupt, do not use this key share")
	errVerify      = errors.New("frost: signature does not verify")
	errKeyShareFit = errors.New("frost: key share does not fit its key record")
)

// decodeShares reads the signers' shares, which must be in the order of the presignature's signers. A share that is not
// even a scalar, or is of another presignature, becomes nil: its sender is to blame.
func decodeShares(g group.Group, pre *threshold.Presignature, shares []*threshold.SignatureShare) ([]group.Scalar, error) {
	if len(shares) != len(pre.Signers) {
		return nil, fmt.Errorf("frost: %d signature shares, one of each of the %d signers is needed", len(shares), len(pre.Signers))
	}
	out := make([]group.Scalar, len(shares))
	for i, s := range shares {
		if s == nil || s.From != pre.Signers[i] {
			return nil, fmt.Errorf("frost: signature share %d is not party %d's", i, pre.Signers[i])
		}
		if z, err := decodeShare(g, pre, s); err == nil {
			out[i] = z
		}
	}
	return out, nil
}

func decodeShare(g group.Group, pre *threshold.Presignature, s *threshold.SignatureShare) (group.Scalar, error) {
	if s.Pre != pre.ID {
		return nil, errors.New("frost: share of another presignature")
	}
	return g.NewScalar().SetCanonical(s.Payload)
}

// sumShares adds up; false if one is missing.
func sumShares(g group.Group, zs []group.Scalar) (group.Scalar, bool) {
	sum := g.NewScalar()
	for _, z := range zs {
		if z == nil {
			return nil, false
		}
		sum.Add(sum, z)
	}
	return sum, true
}

// culprits verifies every share and makes the abort that names all bad ones (RFC 9591 §5.4).
func culprits(signers []threshold.PartyID, zs []group.Scalar, fits func(i int, z group.Scalar) bool) error {
	a := &threshold.Abort{Kind: threshold.Ban, Check: checkShare, Err: errShare}
	for i, z := range zs {
		if z == nil || !fits(i, z) {
			a.Culprits = append(a.Culprits, signers[i])
		}
	}
	if len(a.Culprits) == 0 {
		return &threshold.Abort{Kind: threshold.Local, Check: "frost-combine",
			Err: errors.New("frost: every share verifies, the signature does not")}
	}
	return a
}

// parseKeyShare reads a key share and proves that it is whole: the secret fits its public share, and all public shares lie on
// one polynomial of degree t-1 whose value at 0 is the group key. So a record of another key, epoch or party is found out
// before it signs.
func parseKeyShare(g group.Group, kind threshold.KindID, b []byte) (*threshold.KeyShare, error) {
	k, err := threshold.DecodeKeyShare(b)
	if err != nil {
		return nil, err
	}
	if k.Kind != kind || !secretFits(g, k) || !publicSharesFit(g, k.KeyInfo) {
		k.Destroy()
		return nil, errKeyShareFit
	}
	return k, nil
}

func secretFits(g group.Group, k *threshold.KeyShare) bool {
	s, err := g.NewScalar().SetCanonical(k.Secret())
	if err != nil {
		return false
	}
	defer s.Wipe()
	return bytes.Equal(g.NewPoint().ScalarBaseMult(s).Bytes(), k.PublicShare(k.Party))
}

// publicSharesFit interpolates the group key from t consecutive public shares, for every such window: windows overlap in t-1
// shares, so all of them determine one polynomial.
func publicSharesFit(g group.Group, info threshold.KeyInfo) bool {
	key, public, err := points(g, info)
	if err != nil {
		return false
	}
	t := info.Committee.Threshold
	for i := 0; i+t <= info.Committee.N(); i++ {
		if !interpolate(g, public, info.Committee.Parties[i:i+t]).Equal(key) {
			return false
		}
	}
	return true
}
