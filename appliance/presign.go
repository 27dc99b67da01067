package appliance

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/presign"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// filling is the line that makes presignatures for the pools of a coordinator and its signers.
type filling struct {
	*core
	signing *signing
	pool    *presign.Pool
}

// lead makes up to count presignatures and puts them into the pool once every signer has said that it has its part. It tells whether the
// group may get more: not if its epoch is over.
func (n *filling) lead(ctx context.Context, g presign.Group, count int) (more bool, err error) {
	key, err := n.keys.KeyWhen(ctx, g.Key, g.Scheme, func(keys.Record) bool { return true })
	if err != nil || key.Record.Info.Epoch != g.Epoch || key.Record.State != keys.Active {
		return false, err
	}
	count = min(count, batchMax(n.cfg.Limits, key.Scheme))
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Limits.Request)
	defer cancel()
	var request [16]byte
	if _, err := io.ReadFull(n.rand("presign request", []byte(g.Key), canon.MustMarshal(g.Signers)), request[:]); err != nil {
		return false, err
	}
	in := n.token.intent(attest.OpPresign, fmt.Sprintf("presign/%x", request), "", g.Signers)
	in.KeyID, in.Scheme, in.Epoch = g.Key, key.Scheme.ID(), g.Epoch
	pairs, err := n.pairs.Propose(ctx, key.Scheme, key.Record.Info.Committee, false, 0)
	if err != nil {
		return false, err
	}
	p := &proposal{Operation: attest.OpPresign, Signers: g.Signers, Pairs: pairs, Count: uint8(count)}
	permitted, err := n.permit(ctx, p, in, key)
	if err != nil {
		return false, err
	}
	d, err := n.propose(ctx, p, []*attest.Intent{in})
	if err != nil {
		return false, err
	}
	return true, n.core.lead(ctx, d, permitted, func(c *ceremony.Ceremony) error {
		pres, err := n.make(ctx, c, p, key, permitted)
		if err == nil {
			others, _ := n.members.Others(g.Signers)
			err = c.Gather(ctx, ceremony.KindAck, others, func(from threshold.PartyID, env transport.Envelope) error {
				if string(env.Body) != string(c.View[:]) {
					return fmt.Errorf("party %d has made other presignatures", from) // its part is dropped in time
				}
				return nil
			})
		}
		if err != nil {
			presign.Burn(pres)
			return err
		}
		n.add(ctx, g, key, p, p.Boots, pres)
		return nil
	})
}

// join is a signer's side: it holds what was made until its coordinator uses it.
func (n *filling) join(ctx context.Context, c *ceremony.Ceremony, p *proposal, intents []*attest.Intent) error {
	in := intents[0]
	key, err := n.keys.KeyWhen(ctx, in.KeyID, in.Scheme,
		func(r keys.Record) bool { return r.State == keys.Active && r.Info.Epoch >= in.Epoch })
	if err != nil {
		return err
	}
	// First whether there is room, which costs nothing: what is refused for that is not on record, or a coordinator could fill the log.
	leave, err := n.pool.Enter(c.Coordinator, int(p.Count))
	if err != nil {
		return err
	}
	defer leave()
	permitted, err := n.permit(ctx, p, in, key)
	if err != nil {
		return err
	}
	pres, err := n.make(ctx, c, p, key, permitted)
	if err != nil {
		presign.Burn(pres)
		return err
	}
	g := presign.Group{Coordinator: c.Coordinator, Key: in.KeyID, Epoch: in.Epoch, Scheme: in.Scheme, Signers: p.Signers}
	n.add(ctx, g, key, p, nil, pres)
	c.Answer(ceremony.KindAck, c.View[:], false)
	return nil
}

// permit passes the gate.
func (n *filling) permit(ctx context.Context, p *proposal, in *attest.Intent, key keys.Key) (*permission, error) {
	return n.gate.permit(ctx, attest.OpPresign, []passage{{in, key.Record.Info, key.Record.Group, func() error {
		if err := judgeKey(attest.OpPresign, in, key); err != nil {
			return err
		}
		if k, most := int(p.Count), batchMax(n.cfg.Limits, key.Scheme); k < 1 || k > most || !dear(key.Scheme) {
			return problem.New(problem.Invalid, "set the same limits on all nodes", "a proposal of %d presignatures, at most %d", k, most)
		}
		return nil
	}, nil, false, nil}}, "presign.begin")
}

// make runs presigning for any request, p.Count times the same key.
func (n *filling) make(ctx context.Context, c *ceremony.Ceremony, p *proposal, key keys.Key,
	permitted *permission) ([]*threshold.Presignature, error) {
	if err := permitted.recorded(); err != nil {
		return nil, err
	}
	one := threshold.PresignKey{Info: key.Record.Info}
	if slices.Contains(p.Signers, n.members.SelfParty()) {
		held, err := n.keys.Open(ctx, key.Scheme, key.ID, key.Record.Info.Epoch)
		if err != nil {
			return nil, err
		}
		defer n.keys.Release(held)
		one.Share = held.Share
	}
	return n.signing.presign(ctx, c, p, key, slices.Repeat([]threshold.PresignKey{one}, int(p.Count)), nil)
}

// add puts presignatures into the pool, and drops them again if meanwhile the key got another epoch, the committee other pair state, or a
// signer was banned: whoever changes these empties the pool first, and does not see what comes after. Presignatures of an epoch that is
// over cannot sign, but with those of all signers they are the key, so they must not outlive it.
func (n *filling) add(ctx context.Context, g presign.Group, key keys.Key, p *proposal, boots []ceremony.Boot,
	pres []*threshold.Presignature) {
	n.pool.Add(g, p.Pairs.DigestOf(), boots, pres)
	ctx = context.WithoutCancel(ctx)
	if now, err := n.keys.Record(ctx, g.Key); err != nil || now.Info.Epoch > g.Epoch {
		n.pool.DropKey(g.Key, g.Epoch+1)
	}
	pairer, state, err := n.pairs.State(ctx, key.Scheme, key.Record.Info.Committee)
	if err == nil && pairer == nil {
		return
	}
	if err != nil || state == nil || state.Digest() != p.Pairs.DigestOf() {
		n.pool.DropPairs(p.Pairs.DigestOf())
		return
	}
	for _, b := range state.Banned() {
		if slices.Contains(g.Signers, b) {
			n.pool.DropPeers([]threshold.PartyID{b})
		}
	}
}
