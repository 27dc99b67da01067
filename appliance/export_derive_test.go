package appliance

import (
	"context"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// SignForged leads a ceremony over an intent that nobody judges here, with any path and tweaks, and returns the signature: what a
// coordinator does that is no longer ours. It must not be a signer. With prove it asks for a proof of the threshold instead of a payment.
func (n *Node) SignForged(ctx context.Context, wallet, session string, signers []threshold.PartyID, message []byte, path []uint32, tweaks []attest.IntentTweak, prove bool) ([]byte, error) {
	rec, err := n.keys.record(ctx, wallet)
	if err != nil {
		return nil, err
	}
	op := opSign
	if prove {
		op, message = opProve, proofMessage(wallet, rec.Info.Epoch, signers)
	}
	in := n.newIntent(attest.OpSign, session, "rogue", signers)
	in.KeyID, in.Scheme, in.Epoch, in.Message, in.Path, in.Tweaks = wallet, rec.Info.Scheme, rec.Info.Epoch, message, path, tweaks
	scheme, err := n.Schemes(in.Scheme)
	if err != nil {
		return nil, err
	}
	pairs, err := n.pairsOf(ctx, in)
	if err != nil {
		return nil, err
	}
	p, cosign, body, err := n.propose(ctx, op, signers, []*attest.Intent{in}, terms{pairs: pairs})
	if err != nil {
		return nil, err
	}
	c, err := n.enter(proposalTopic(body), n.Node, n.nodesOf(signers))
	if err != nil {
		return nil, err
	}
	defer c.leave()
	e := transport.Envelope{To: n.nodesOf(signers), Kind: kindProposal, Topic: c.topic, Body: body}
	c.outbox = append(c.outbox, e)
	n.send(e)
	items := []*item{{intent: in, hash: in.Hash(), info: rec.Info, scheme: scheme, req: in.SignRequest()}}
	defer n.releaseItems(items)
	started := n.Clock()
	own, _, err := n.contribute(ctx, c, p, items, nil)
	if err != nil {
		return nil, err
	}
	out, err := n.collect(ctx, c, p, items, own, cosign, started)
	if err != nil {
		return nil, err
	}
	return out[0].signature.Bytes, nil
}

// RefusedWith is the code that a signer refused with, "" for any other end.
func RefusedWith(err error) problem.Code {
	if r, ok := err.(*refusedError); ok {
		return r.Code
	}
	return ""
}
