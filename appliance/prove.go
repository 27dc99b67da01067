package appliance

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// provedQuorumsMax bounds the quorums that sign before a key is active. A committee with more quorums proves this many, spread
// over all of them, so that every party signs in some.
const provedQuorumsMax = 64

// proof is one quorum's signature over its proof message.
type proof struct {
	Signers   []threshold.PartyID `cbor:"1,keyasint"`
	Signature []byte              `cbor:"2,keyasint"`
}

// proofs make a key active: verified by every party for itself.
type proofs struct {
	KeyID string  `cbor:"1,keyasint"`
	Epoch uint64  `cbor:"2,keyasint"`
	Each  []proof `cbor:"3,keyasint"`
}

func proofsKey(id string) []byte { return []byte("node/proofs/" + id) }

// provingQuorums lists the quorums that must sign.
func provingQuorums(c threshold.Committee) [][]threshold.PartyID {
	var all [][]threshold.PartyID
	const listMax = 1 << 14
	c.Subsets(c.Threshold, func(q []threshold.PartyID) bool {
		all = append(all, q)
		return len(all) < listMax
	})
	if len(all) == listMax || len(all) > provedQuorumsMax {
		// Windows over the circle of parties touch every party; they are as many as there are parties.
		all = all[:0]
		for i := range c.Parties {
			q := make([]threshold.PartyID, c.Threshold)
			for j := range q {
				q[j] = c.Parties[(i+j)%c.N()]
			}
			all = append(all, sortedParties(q))
		}
	}
	return all
}

// prove has every quorum of a certified key sign, shows that t-1 parties cannot, and makes the key active everywhere.
func (n *Node) prove(ctx context.Context, id string) error {
	rec, err := n.keys.record(ctx, id)
	if err != nil {
		return err
	}
	scheme, err := n.Schemes(rec.Info.Scheme)
	if err != nil {
		return err
	}
	if err := scheme.CheckSharing(rec.Info); err != nil {
		return &problem.Error{Code: problem.Integrity, Message: "the threshold of wallet " + id + " does not hold", Next: "make another key", Err: err}
	}
	quorums := provingQuorums(rec.Info.Committee)
	ps := proofs{KeyID: id, Epoch: rec.Info.Epoch, Each: make([]proof, len(quorums))}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, q := range quorums {
		g.Go(func() error {
			in := n.newIntent(attest.OpSign, fmt.Sprintf("prove/%s/%d/%v/%d", id, rec.Info.Epoch, q, n.Clock().UnixNano()), "mpcd", q)
			in.KeyID, in.Scheme, in.Epoch, in.Message = id, rec.Info.Scheme, rec.Info.Epoch, proofMessage(id, rec.Info.Epoch, q)
			out, err := n.leadSign(gctx, opProve, q, []*attest.Intent{in}, nil, nil)
			if err != nil {
				return fmt.Errorf("quorum %v: %w", n.nodesOf(q), err)
			}
			ps.Each[i] = proof{q, out[0].signature.Bytes}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := n.acceptProofs(ctx, ps); err != nil {
		return err
	}
	return n.spreadProofs(ctx, rec.Info.Committee, ps)
}

// acceptProofs verifies that every quorum signed, and makes the key active. It has the key to itself: between reading the record
// and writing it, a refresh may not put another epoch in its place.
func (n *Node) acceptProofs(ctx context.Context, ps proofs) error {
	if rec, err := n.keys.record(ctx, ps.KeyID); err != nil || rec.State == StateActive {
		return err
	}
	unlock, ok := n.keys.lockRefreshSoon(ctx, ps.KeyID)
	if !ok {
		return problem.New(problem.Conflict, "repeat it", "wallet %s is being changed", ps.KeyID)
	}
	defer unlock()
	return n.acceptProofsLocked(ctx, ps)
}

// acceptProofsLocked is acceptProofs for a caller who holds the key's lock.
func (n *Node) acceptProofsLocked(ctx context.Context, ps proofs) error {
	rec, err := n.keys.record(ctx, ps.KeyID)
	if err != nil {
		return err
	}
	if rec.State == StateActive {
		return nil
	}
	scheme, err := n.Schemes(rec.Info.Scheme)
	if err != nil {
		return err
	}
	quorums := provingQuorums(rec.Info.Committee)
	if rec.State != StateProving || ps.Epoch != rec.Info.Epoch || len(ps.Each) != len(quorums) {
		return problem.New(problem.Invalid, "", "the proofs are not of wallet %s as it stands", ps.KeyID)
	}
	for i, q := range quorums {
		if !slices.Equal(ps.Each[i].Signers, q) {
			return problem.New(problem.Invalid, "", "the proofs of wallet %s lack a quorum", ps.KeyID)
		}
		if err := scheme.Verify(rec.Info.GroupKey, nil, proofMessage(ps.KeyID, ps.Epoch, q), ps.Each[i].Signature); err != nil {
			return &problem.Error{Code: problem.Invalid, Message: "a threshold proof of wallet " + ps.KeyID + " does not verify", Err: err}
		}
	}
	if err := scheme.CheckSharing(rec.Info); err != nil {
		return &problem.Error{Code: problem.Integrity, Message: "the threshold of wallet " + ps.KeyID + " does not hold", Err: err}
	}
	if err := n.AuditLog.Append(ctx, audit.Event{Name: "key.active", Facts: map[string]string{"wallet": ps.KeyID, "quorums": fmt.Sprint(len(quorums))}}); err != nil {
		return err
	}
	if err := n.Store.Batch(ctx, []vault.Pair{{Key: proofsKey(ps.KeyID), Value: canon.MustMarshal(ps)}}, nil); err != nil {
		return err
	}
	rec.State = StateActive
	return n.keys.put(ctx, ps.KeyID, rec)
}

// spreadProofs tells the other parties and waits for their word, so that the key signs everywhere when keygen returns. A
// party that does not answer learns it later by asking.
func (n *Node) spreadProofs(ctx context.Context, committee threshold.Committee, ps proofs) error {
	body := canon.MustMarshal(ps)
	topic := canon.Hash("mpcd/v1/proofs/topic", body, []byte(n.Node))
	var peers []transport.NodeID
	var want []threshold.PartyID
	for _, p := range committee.Parties {
		if p != n.self.Party {
			peers, want = append(peers, n.nodeOf(p)), append(want, p)
		}
	}
	c, err := n.enter(topic, n.Node, peers)
	if err != nil {
		return nil // told before
	}
	defer c.leave()
	e := transport.Envelope{To: peers, Kind: kindProved, Topic: topic, Body: body}
	c.outbox = append(c.outbox, e)
	n.send(e)
	err = c.gather(ctx, kindAck, want, func(threshold.PartyID, transport.Envelope) error { return nil })
	if err != nil {
		n.Logger.Warn("some parties have not confirmed that the key is active; they will ask", "wallet", ps.KeyID, "error", err)
	}
	return nil
}

// learnProof is a party's side of spreadProofs.
func (n *Node) learnProof(ctx context.Context, env transport.Envelope) {
	var ps proofs
	if err := canon.Unmarshal(env.Body, &ps); err != nil {
		return
	}
	if err := n.acceptProofs(ctx, ps); err != nil {
		n.Logger.Warn("threshold proofs refused", "from", env.From, "error", err)
		return
	}
	n.send(transport.Envelope{To: []transport.NodeID{env.From}, Kind: kindAck, Topic: env.Topic, Body: []byte{1}})
}

// ProveThreshold repeats the proof for a wallet: a key that keygen left unproven becomes active, an active one is shown to
// sign with every quorum.
func (n *Node) ProveThreshold(ctx context.Context, wallet string) (*Wallet, error) {
	ctx, done, err := n.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	id, err := n.keys.find(ctx, wallet, nil)
	if err != nil {
		return nil, err
	}
	rec, err := n.keys.record(ctx, id)
	if err != nil {
		return nil, err
	}
	if rec.State == StateStaged {
		return nil, problem.New(problem.Conflict, "wait until all parties have certified it, or make another key", "wallet %s is not certified yet", id)
	}
	if err := n.allUp(ctx, rec.Info.Committee); err != nil {
		return nil, err
	}
	if err := n.prove(ctx, id); err != nil {
		return nil, n.explain(err)
	}
	return n.Wallet(ctx, id)
}
