package appliance

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
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
	Version uint8   `cbor:"1,keyasint"`
	KeyID   string  `cbor:"2,keyasint"`
	Epoch   uint64  `cbor:"3,keyasint"`
	Each    []proof `cbor:"4,keyasint"`
}

const proofsVersion = 2

func proofsKey(id string) []byte { return []byte("node/proofs/" + id) }

func parseProofs(id string, b []byte) (*proofs, error) {
	var ps proofs
	if err := canon.UnmarshalVersion(b, proofsVersion, &ps); err != nil {
		return nil, problem.Unreadable("the proof of the threshold of wallet "+id, problem.Restore, err)
	}
	return &ps, nil
}

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
			all = append(all, ceremony.SortedParties(q))
		}
	}
	return all
}

// prove has every quorum of a certified key sign, shows that t-1 parties cannot, and makes the key active everywhere.
func (n *making) prove(ctx context.Context, key keys.Key) error {
	id, rec := key.ID, key.Record
	if err := key.Scheme.CheckSharing(rec.Info); err != nil {
		return &problem.Error{Code: problem.Integrity, Message: "the threshold of wallet " + id + " does not hold",
			Next: "make another key", Err: err}
	}
	quorums := provingQuorums(rec.Info.Committee)
	ps := proofs{Version: proofsVersion, KeyID: id, Epoch: rec.Info.Epoch, Each: make([]proof, len(quorums))}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, q := range quorums {
		g.Go(func() error {
			in := n.token.intent(attest.OpSign, fmt.Sprintf("prove/%s/%d/%v/%d", id, rec.Info.Epoch, q, n.cfg.Clock().UnixNano()), "mpcd", q)
			in.KeyID, in.Scheme, in.Epoch, in.Message = id, key.Scheme.ID(), rec.Info.Epoch, proofMessage(id, rec.Info.Epoch, q)
			out, err := n.signing.lead(gctx, asked{op: opProve, signers: q, intents: []*attest.Intent{in}, keys: []keys.Key{key}})
			if err != nil {
				return fmt.Errorf("quorum %v: %w", n.members.Nodes(q), err)
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
func (n *making) acceptProofs(ctx context.Context, ps proofs) error {
	if rec, err := n.keys.Record(ctx, ps.KeyID); err != nil || rec.State == keys.Active {
		return err
	}
	unlock, ok := n.keys.LockSoon(ctx, ps.KeyID)
	if !ok {
		return problem.New(problem.Conflict, "repeat it", "wallet %s is being changed", ps.KeyID)
	}
	defer unlock()
	return n.acceptProofsLocked(ctx, ps)
}

// acceptProofsLocked is acceptProofs for a caller who holds the key's lock.
func (n *making) acceptProofsLocked(ctx context.Context, ps proofs) error {
	key, err := n.keys.Key(ctx, ps.KeyID)
	if err != nil || key.Record.State == keys.Active {
		return err
	}
	rec, scheme := key.Record, key.Scheme
	if rec.State != keys.Proving || ps.Epoch != rec.Info.Epoch {
		return problem.New(problem.Invalid, "", "the proofs are not of wallet %s as it stands", ps.KeyID)
	}
	if err := verifyProofs(key, ps); err != nil {
		return err
	}
	if err := scheme.CheckSharing(rec.Info); err != nil {
		return &problem.Error{Code: problem.Integrity, Message: "the threshold of wallet " + ps.KeyID + " does not hold", Err: err}
	}
	if err := n.cfg.AuditLog.Append(ctx,
		audit.Event{Name: "key.active", Facts: map[string]string{"wallet": ps.KeyID, "quorums": fmt.Sprint(len(ps.Each))}}); err != nil {
		return err
	}
	if err := n.cfg.Store.Batch(ctx, []vault.Pair{{Key: proofsKey(ps.KeyID), Value: canon.MustMarshal(ps)}}, nil); err != nil {
		return err
	}
	if u, err := n.gate.uses.Get(ctx, rec.SessionID); err == nil && u != nil {
		own := slices.DeleteFunc(provingQuorums(rec.Info.Committee), func(q []threshold.PartyID) bool {
			return !slices.Contains(q, n.members.SelfParty())
		})
		n.quotas.proved(n.cfg.Clock(), transport.NodeID(u.Coordinator), len(own))
	}
	rec.State = keys.Active
	return n.keys.Put(ctx, ps.KeyID, rec)
}

// verifyProofs checks that every quorum of a key has signed, at whichever epoch.
func verifyProofs(key keys.Key, ps proofs) error {
	quorums := provingQuorums(key.Record.Info.Committee)
	if ps.Version != proofsVersion || len(ps.Each) != len(quorums) {
		return problem.New(problem.Invalid, "", "the proofs are not of wallet %s as it stands", key.ID)
	}
	for i, q := range quorums {
		if !slices.Equal(ps.Each[i].Signers, q) {
			return problem.New(problem.Invalid, "", "the proofs of wallet %s lack a quorum", key.ID)
		}
		if err := key.Scheme.Verify(key.Record.Info.GroupKey, nil, proofMessage(key.ID, ps.Epoch, q), ps.Each[i].Signature); err != nil {
			return &problem.Error{Code: problem.Invalid, Message: "a threshold proof of wallet " + key.ID + " does not verify", Err: err}
		}
	}
	return nil
}

// spreadProofs tells the other parties and waits for their word, so that the key signs everywhere when keygen returns. A
// party that does not answer learns it later by asking.
func (n *making) spreadProofs(ctx context.Context, committee threshold.Committee, ps proofs) error {
	body := canon.MustMarshal(ps)
	topic := canon.Hash("mpcd/v1/proofs/topic", body, []byte(n.cfg.Node))
	want, peers := n.members.Others(committee.Parties)
	c, err := n.router.Enter(topic, n.cfg.Node, peers)
	if err != nil {
		return nil // told before
	}
	defer c.Leave()
	c.Tell(ceremony.KindProved, body)
	err = c.Gather(ctx, ceremony.KindAck, want, func(threshold.PartyID, transport.Envelope) error { return nil })
	if err != nil {
		n.cfg.Logger.Warn("some parties have not confirmed that the key is active; they will ask", "wallet", ps.KeyID, "error", err)
	}
	return nil
}

// learnProof is a party's side of spreadProofs.
func (n *making) learnProof(ctx context.Context, env transport.Envelope) {
	var ps proofs
	if err := canon.Unmarshal(env.Body, &ps); err != nil {
		return
	}
	if err := n.acceptProofs(ctx, ps); err != nil {
		n.remark(env.From, "threshold proofs refused", err)
		return
	}
	n.send(transport.Envelope{To: []transport.NodeID{env.From}, Kind: ceremony.KindAck, Topic: env.Topic, Body: []byte{1}})
}
