package dkg

import (
	"errors"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
)

// outcome makes the key of everything dealt. The public record is a function of the broadcasts; share is the caller's sum of
// what was dealt to it (of no matter to who only judges), and the returned scalar takes its place.
func (pub *public) outcome(share group.Scalar) (group.Scalar, threshold.KeyInfo, error) {
	g, c := pub.Group, pub.committee
	sum := make([]group.Point, pub.t)
	for k := range sum {
		sum[k] = g.NewPoint()
		for _, p := range c.Parties {
			sum[k].Add(sum[k], pub.dealt[p].commitments[k])
		}
	}
	o := Outcome{Share: share, GroupKey: sum[0], Public: make([]group.Point, pub.n)}
	for j, p := range c.Parties {
		o.Public[j] = poly.EvalCommitments(g, sum, uint16(p))
	}
	info := threshold.KeyInfo{Kind: pub.Kind, Epoch: 1, Committee: c}
	if pub.old != nil {
		if err := pub.addOld(&o); err != nil {
			return nil, info, err
		}
		info.Epoch, info.ChainCode = pub.old.Epoch+1, pub.old.ChainCode
	} else {
		info.ChainCode = pub.chainCode()
		if pub.Finish != nil {
			pub.Finish(&o)
		}
	}
	if o.GroupKey.IsIdentity() || slices.ContainsFunc(o.Public, group.Point.IsIdentity) {
		return nil, info, &threshold.Abort{Kind: threshold.Retry, Check: "dkg-identity", Err: errors.New("a public share is the identity")}
	}
	info.GroupKey = o.GroupKey.Bytes()
	for _, p := range o.Public {
		info.PublicShares = append(info.PublicShares, p.Bytes())
	}
	return o.Share, info, nil
}

// addOld turns the public images of a sharing of zero into those of the key's next epoch.
func (pub *public) addOld(o *Outcome) error {
	g := pub.Group
	for j := range o.Public {
		x, err := g.NewPoint().SetCanonical(pub.old.PublicShares[j])
		if err != nil {
			return err
		}
		o.Public[j].Add(o.Public[j], x)
	}
	var err error
	o.GroupKey, err = g.NewPoint().SetCanonical(pub.old.GroupKey)
	return err
}

// chainCode is BIP-32's, from everybody's share of it.
func (pub *public) chainCode() [32]byte {
	h := canon.NewHasher("mpcd/v1/dkg/chain-code", 1+pub.n)
	h.Field(pub.id[:])
	for _, p := range pub.committee.Parties {
		h.Field(pub.dealt[p].chain[:])
	}
	return h.Sum()
}
