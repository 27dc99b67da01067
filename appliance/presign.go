package appliance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// leadPresign makes count presignatures of a key with signers and puts them into the pool once every signer has said that it has
// its part.
func (n *Node) leadPresign(ctx context.Context, id poolID, rec walletRecord, signers []threshold.PartyID, count int) error {
	var request [16]byte
	_, _ = rand.Read(request[:])
	in := n.newIntent(attest.OpPresign, "presign/"+hex.EncodeToString(request[:]), "", signers)
	in.KeyID, in.Scheme, in.Epoch = id.key, rec.Info.Scheme, rec.Info.Epoch
	pairs, err := n.pairsOf(ctx, in)
	if err != nil {
		return err
	}
	p, _, body, err := n.propose(ctx, opPresign, signers, []*attest.Intent{in}, terms{pairs: pairs, count: uint8(count)})
	if err != nil {
		return err
	}
	var peers []transport.NodeID
	var others []threshold.PartyID
	for _, s := range signers {
		if s != n.self.Party {
			peers, others = append(peers, n.nodeOf(s)), append(others, s)
		}
	}
	c, err := n.enter(proposalTopic(body), n.Node, peers)
	if err != nil {
		return err
	}
	defer c.leave()
	n.counts.ceremonies.Add(1)
	e := transport.Envelope{To: peers, Kind: kindProposal, Topic: c.topic, Body: body}
	c.outbox = append(c.outbox, e)
	n.send(e)
	pres, err := n.presignMany(ctx, c, p, rec)
	if err == nil {
		err = c.gather(ctx, kindAck, others, func(from threshold.PartyID, env transport.Envelope) error {
			if string(env.Body) != string(c.view[:]) {
				return fmt.Errorf("party %d has made other presignatures", from) // its part is dropped in time
			}
			return nil
		})
	}
	if err != nil {
		burn(pres)
		c.refuse(n.explain(err))
		n.record(ctx, opPresign, c.topic, err)
		return err
	}
	n.pool.add(id, signers, p.Pairs.Digest, p.Boots, pres)
	n.stillCurrent(ctx, id, rec.Info, signers, p.Pairs.Digest)
	n.counts.presMade.Add(uint64(len(pres)))
	return nil
}

// stillCurrent drops what was just put into the pool if meanwhile the key got another epoch, the committee other pair state, or a
// signer was banned: whoever changes these empties the pool first, and does not see what comes after. Presignatures of an epoch that is
// over cannot sign, but with those of all signers they are the key, so they must not outlive it.
func (n *Node) stillCurrent(ctx context.Context, id poolID, info threshold.KeyInfo, signers []threshold.PartyID, pairs [32]byte) {
	ctx = context.WithoutCancel(ctx)
	if now, err := n.keys.record(ctx, id.key); err != nil || now.Info.Epoch > id.epoch {
		n.pool.dropKey(id.key, id.epoch+1)
	}
	scheme, err := n.Schemes(info.Scheme)
	if err != nil {
		return
	}
	_, state, err := n.provisioned(ctx, scheme, info.Committee)
	if err != nil || state == nil || state.Digest() != pairs {
		n.pool.dropPairs(pairs)
		return
	}
	for _, b := range state.Banned() {
		if slices.Contains(signers, b) {
			n.pool.dropPeers([]threshold.PartyID{b})
		}
	}
}

// joinPresign is a signer's side: it holds what was made until its leader uses it.
func (n *Node) joinPresign(ctx context.Context, c *ceremony, p *proposal, in *attest.Intent) error {
	rec, err := n.keys.recordWhen(ctx, in.KeyID, func(r walletRecord) bool { return r.State == StateActive && r.Info.Epoch >= in.Epoch })
	if err != nil {
		return err
	}
	if err := n.judgeKey(opPresign, in, rec); err != nil {
		return err
	}
	if k := int(p.Count); k < 1 || k > n.batchMax(rec.Info.Scheme) || p.Pairs == nil {
		return problem.New(problem.Invalid, "set the same limits on all nodes", "a proposal of %d presignatures, at most %d", k, n.batchMax(rec.Info.Scheme))
	}
	leave, err := n.pool.enter(c.leader, int(p.Count))
	if err != nil {
		return err
	}
	defer leave()
	pres, err := n.presignMany(ctx, c, p, rec)
	if err != nil {
		burn(pres)
		return err
	}
	id := idOf(c.leader, in.KeyID, in.Epoch, p.Signers)
	n.pool.add(id, p.Signers, p.Pairs.Digest, nil, pres)
	n.stillCurrent(ctx, id, rec.Info, p.Signers, p.Pairs.Digest)
	e := transport.Envelope{To: []transport.NodeID{c.leader}, Kind: kindAck, Topic: c.topic, Body: c.view[:]}
	c.outbox = append(c.outbox, e)
	n.send(e)
	return nil
}

// presignMany runs presigning for any request, p.Count times the same key.
func (n *Node) presignMany(ctx context.Context, c *ceremony, p *proposal, rec walletRecord) ([]*threshold.Presignature, error) {
	scheme, err := n.Schemes(rec.Info.Scheme)
	if err != nil {
		return nil, err
	}
	id := attest.KeyID(rec.Info.Scheme, rec.Info.GroupKey)
	key := threshold.PresignKey{Info: rec.Info}
	if slices.Contains(p.Signers, n.self.Party) {
		held, err := n.keys.open(ctx, id, rec.Info.Epoch)
		if err != nil {
			return nil, err
		}
		defer n.keys.release(held)
		key.Share = held.share
	}
	keys := make([]threshold.PresignKey, p.Count)
	for i := range keys {
		keys[i] = key
	}
	return n.presign(ctx, c, p, scheme, rec.Info.Committee, keys, nil)
}

// agree binds presignatures of the pool to the requests of a proposal, one each: all signers to the same, with fresh nonces.
func (n *Node) agree(ctx context.Context, c *ceremony, p *proposal, items []*item, pres []*threshold.Presignature) error {
	committee := items[0].info.Committee
	pairs, _, err := n.pairsFor(ctx, p, items[0].scheme, committee)
	if err != nil {
		return err
	}
	if pairs == nil {
		return problem.New(problem.Invalid, "", "scheme %s has no pool of presignatures", items[0].info.Scheme)
	}
	reqs := make([]threshold.SignRequest, len(items))
	for i, it := range items {
		it.req.Pre = pres[i]
		reqs[i] = it.req
	}
	s, err := pairs.Agree(n.signSetup(c, p, committee), reqs, n.Rand)
	if err != nil {
		return err
	}
	nonces, err := drive(ctx, c, s)
	c.opens, c.view = s, s.ID()
	for _, it := range items {
		it.req.Agreement = nonces
	}
	return err
}
