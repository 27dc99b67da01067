package appliance

import (
	"context"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// makePairs runs the ceremony that makes the next pair state of the committee, inside the ceremony c, and stores it as next. The
// caller holds the committee's lock.
func (n *making) makePairs(ctx context.Context, c *ceremony.Ceremony, s threshold.Pairer, committee threshold.Committee, context [32]byte,
	epoch uint64) ([32]byte, error) {
	var none [32]byte
	topic := canon.Hash("mpcd/v1/pair-setup/topic", c.Topic[:])
	inner, err := c.Inside(topic)
	if err != nil {
		return none, err
	}
	defer inner.Leave()
	inner.Heavy()
	x, err := s.NewPairState(threshold.Setup{Ceremony: topic, Context: context[:], Committee: committee, Self: n.members.SelfParty(),
		Authentic: n.members.Authentic}, epoch, n.rand("pair setup", topic[:]))
	if err != nil {
		return none, err
	}
	p, err := ceremony.Drive(ctx, inner, x)
	if err != nil {
		return none, err
	}
	defer p.Destroy()
	return p.Digest(), n.pairs.StoreNext(ctx, s, committee, p)
}

// pairUp checks a key ceremony's pair state and, if it asks for a new pair setup, runs it. It returns the digest of the pair state that
// the key goes with, zero where the scheme has none. Until unlock, no other ceremony changes the committee's pair state here.
func (n *making) pairUp(ctx context.Context, c *ceremony.Ceremony, scheme threshold.Scheme, committee threshold.Committee,
	in *attest.Intent, x *keys.ProposedPairs) (digest [32]byte, unlock func(), err error) {
	unlock = func() {}
	if s, ok := scheme.(threshold.Pairer); ok && x != nil && x.Epoch != 0 {
		if unlock, ok = n.keys.LockSoon(ctx, keys.LockName(s, committee)); !ok {
			return digest, nil, problem.New(problem.PairState, "repeat the request", "another pair setup of this committee is under way")
		}
	}
	s, state, err := n.pairs.Proposed(ctx, scheme, committee, x, in.Operation == attest.OpRefresh)
	switch {
	case err != nil || s == nil:
	case x.Epoch != 0:
		digest, err = n.makePairs(ctx, c, s, committee, in.Hash(), x.Epoch)
	default:
		digest = state.Digest()
	}
	if err != nil {
		unlock()
		return digest, nil, err
	}
	return digest, unlock, nil
}
