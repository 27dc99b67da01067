package appliance

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// item is one signature of a ceremony, as this node sees it.
type item struct {
	intent  *attest.Intent
	hash    [32]byte
	info    threshold.KeyInfo // Party is 0
	scheme  threshold.Scheme
	held    *heldShare // nil where this node only coordinates
	verdict policy.Verdict
	req     threshold.SignRequest
}

// admit checks the intents of a signing proposal against our keys and our policy, and opens the shares they need. The caller
// releases what admit returned, also with an error.
func (n *Node) admit(ctx context.Context, op string, signers []threshold.PartyID, intents []*attest.Intent) ([]*item, error) {
	items := make([]*item, 0, len(intents))
	signing := slices.Contains(signers, n.self.Party)
	for i, in := range intents {
		rec, err := n.keys.recordWhen(ctx, in.KeyID, func(r walletRecord) bool {
			return !(r.State == StateStaged && op == opProve) && !(r.State == StateProving && op == opSign) && r.Info.Epoch >= in.Epoch
		})
		if err != nil {
			return items, problem.At(i, err)
		}
		if err := n.judgeSign(op, in, rec); err != nil {
			return items, problem.At(i, err)
		}
		if i > 0 && (rec.Info.Scheme != items[0].info.Scheme || !rec.Info.Committee.Equal(items[0].info.Committee)) {
			return items, problem.New(problem.Invalid, "", "intent %d is for another scheme or committee than the first", i)
		}
		v, err := n.allow(ctx, in, rec.Info.Committee)
		if err != nil {
			return items, problem.At(i, err)
		}
		if err := n.seen.admit(in); err != nil { // last: what we refuse takes no session_id away
			return items, problem.At(i, err)
		}
		scheme, err := n.Schemes(rec.Info.Scheme)
		if err != nil {
			return items, err
		}
		it := &item{intent: in, hash: in.Hash(), info: rec.Info, scheme: scheme, verdict: v, req: in.SignRequest()}
		if signing {
			if it.held, err = n.keys.open(ctx, in.KeyID, in.Epoch); err != nil {
				return items, err
			}
		}
		items = append(items, it)
	}
	return items, nil
}

func (n *Node) releaseItems(items []*item) {
	for _, it := range items {
		n.keys.release(it.held)
		it.req.Pre.Burn()
	}
}

// judgeSign holds one intent against the key's record.
func (n *Node) judgeSign(op string, in *attest.Intent, rec walletRecord) error {
	if err := n.judgeKey(op, in, rec); err != nil {
		return err
	}
	if op == opProve {
		if len(in.Path)+len(in.Tweaks) > 0 {
			return problem.New(problem.Denied, "", "a threshold proof is by the wallet key itself, without a path or tweaks")
		}
		if want := proofMessage(in.KeyID, in.Epoch, in.Signers); string(in.Message) != string(want) {
			return problem.New(problem.Denied, "", "a threshold proof signs nothing but its own message")
		}
		return nil
	}
	if err := n.judgePath(in, rec.Info); err != nil {
		return err
	}
	return checkMessage(rec.Info, in.Message)
}

// judgeKey checks that the intent is for the key as it is, and for a quorum of it.
func (n *Node) judgeKey(op string, in *attest.Intent, rec walletRecord) error {
	c := rec.Info.Committee
	switch {
	case in.Scheme != rec.Info.Scheme:
		return problem.New(problem.Invalid, "", "wallet %s is of scheme %s", in.KeyID, rec.Info.Scheme)
	case in.Epoch != rec.Info.Epoch:
		return problem.New(problem.Conflict, "repeat the request; the key was refreshed", "wallet %s is at epoch %d here, the intent says %d", in.KeyID, rec.Info.Epoch, in.Epoch)
	case op != opProve && rec.State != StateActive:
		return problem.New(problem.Conflict, "run `mpcd key prove-threshold`, or wait until keygen has ended", "wallet %s is not active yet (%s)", in.KeyID, rec.State)
	case op == opProve && rec.State == StateStaged:
		return problem.New(problem.Conflict, "wait until keygen has ended", "wallet %s is not certified yet", in.KeyID)
	case len(in.Signers) != c.Threshold:
		return problem.Field("signers", "name exactly as many signers as the threshold", "%d signers, wallet %s needs %d", len(in.Signers), in.KeyID, c.Threshold)
	}
	if err := c.CheckQuorum(in.Signers); err != nil {
		return problem.Field("signers", "name members of the wallet's committee, each once", "%v", err)
	}
	return nil
}

// checkMessage refuses what the scheme cannot or must not sign.
func checkMessage(info threshold.KeyInfo, message []byte) error {
	switch {
	case info.Purpose == threshold.PurposeECDSA && len(message) != 32:
		return problem.Field("message_hash", "hash the transaction first, as its chain does, and send the 32-byte digest", "the digest to sign has %d bytes, ECDSA keys sign exactly 32", len(message))
	case info.Purpose == threshold.PurposeBIP340 && len(message) != 32:
		return problem.Field("message_hash", "hash the transaction first (BIP-341) and send the 32-byte digest", "the digest to sign has %d bytes, BIP-340 keys sign exactly 32", len(message))
	case len(message) == 0:
		return problem.Field("message", "send the message to sign in hex", "the message is empty")
	case len(message) > MaxMessage:
		return problem.Field("message", "hash the message, or split it", "the message has %d bytes, at most %d", len(message), MaxMessage)
	}
	return nil
}

// joinSign is a signer's side.
func (n *Node) joinSign(ctx context.Context, c *ceremony, p *proposal, intents []*attest.Intent) error {
	// Whatever comes of the proposal, the presignatures it names are out of the pool from here on.
	pres, err := n.pool.take(c.leader, p.Signers, intents, p.Pres)
	defer burn(pres)
	if err != nil {
		return err
	}
	items, err := n.admit(ctx, p.Operation, p.Signers, intents)
	defer n.releaseItems(items)
	if err != nil {
		return err
	}
	_, batch, err := n.contribute(ctx, c, p, items, pres)
	if err != nil {
		return err
	}
	e := transport.Envelope{To: []transport.NodeID{c.leader}, Kind: kindShares, Topic: c.topic, Private: true,
		Body: canon.MustMarshal(sharesBody{c.view, batch.Bytes()})}
	c.outbox = append(c.outbox, e)
	n.send(e)
	return nil
}

// sharesBody is what a signer sends the coordinator. The session stands outside the attested batch so that two views of OPEN
// are told from a bad attestation.
type sharesBody struct {
	Session threshold.SessionID `cbor:"1,keyasint"`
	Batch   []byte              `cbor:"2,keyasint"` // attest.ShareBatch
}

// contribute runs presigning, or the agreement on presignatures of the pool, and, on a signer, makes the attested shares. Order: the act is on record before a share is made;
// SignShares burns each presignature before it computes, and the hardware attests before anything leaves.
func (n *Node) contribute(ctx context.Context, c *ceremony, p *proposal, items []*item, pres []*threshold.Presignature) ([]*attest.AttestedShare, *attest.ShareBatch, error) {
	signing := items[0].held != nil
	var record errgroup.Group
	if signing {
		record.Go(func() error {
			events := make([]audit.Event, len(items))
			for i, it := range items {
				events[i] = audit.Event{Name: "share." + p.Operation, Facts: intentFacts(it.intent)}
			}
			return n.AuditLog.Append(ctx, events...)
		})
	}
	keys, reqs := make([]threshold.PresignKey, len(items)), make([]threshold.SignRequest, len(items))
	for i, it := range items {
		keys[i], reqs[i] = threshold.PresignKey{Info: it.info}, it.req
		if it.held != nil {
			keys[i].Share = it.held.share
		}
	}
	var err error
	if pres == nil {
		pres, err = n.presign(ctx, c, p, items[0].scheme, items[0].info.Committee, keys, reqs)
		for i, pre := range pres {
			items[i].req.Pre = pre
		}
	} else {
		err = n.agree(ctx, c, p, items, pres)
	}
	if recErr := record.Wait(); err == nil {
		err = recErr
	}
	if err != nil || !signing {
		return nil, nil, err
	}
	work := make([]attest.Item, len(items))
	for i, it := range items {
		work[i] = attest.Item{Signer: it.held.signer, Key: it.held.share.KeyInfo, KeyID: it.intent.KeyID, Request: it.req, Intent: it.hash}
	}
	shares, batch, err := attest.SignShares(ctx, n.HSM, n.attestKey, n.header(attest.KindShare), work)
	var abort *threshold.Abort
	if errors.Is(err, threshold.ErrBurnt) || errors.As(err, &abort) && abort.Kind == threshold.Retry {
		// The presignature died meanwhile, with its epoch or its pair state: another one signs.
		return nil, nil, &problem.Error{Code: problem.Presig, Message: "the presignature is no longer good", Next: "repeat the request", Err: err}
	}
	if err != nil {
		return nil, nil, &problem.Error{Code: problem.HSM, Message: "the shares could not be made and attested", Next: "run mpcd doctor; check the token and its session", Err: err}
	}
	sb := attest.NewShareBatch(shares, batch)
	return shares, &sb, nil
}

// presign runs the engine's rounds. Its session answers disputes about OPEN until the ceremony is left.
func (n *Node) presign(ctx context.Context, c *ceremony, p *proposal, scheme threshold.Scheme, committee threshold.Committee, keys []threshold.PresignKey, reqs []threshold.SignRequest) ([]*threshold.Presignature, error) {
	pairs, state, err := n.pairsFor(ctx, p, scheme, committee)
	if err != nil {
		return nil, err
	}
	setup := n.signSetup(c, p, committee)
	var s *threshold.Session[[]*threshold.Presignature]
	if pairs == nil {
		s, err = scheme.Presign(setup, keys, n.Rand)
	} else {
		c.aborted = func(err error) error { return n.pairs.keepBans(ctx, pairs, committee, state, err) }
		s, err = pairs.PresignFor(state, setup, keys, reqs, n.Rand)
	}
	if err != nil {
		return nil, err
	}
	pres, err := drive(ctx, c, s)
	c.opens, c.view = s, s.ID()
	return pres, err
}

// pairsFor finds the pair state that a proposal goes by, and refuses another than ours and one with a banned signer.
func (n *Node) pairsFor(ctx context.Context, p *proposal, scheme threshold.Scheme, committee threshold.Committee) (threshold.Provisioner, threshold.Provision, error) {
	pairs, state, err := n.provisioned(ctx, scheme, committee)
	if err == nil {
		err = checkPairing(pairs, state, p.Pairs)
	}
	if err == nil && state != nil && slices.Contains(p.Signers, n.self.Party) {
		err = n.checkBans(state, p.Signers)
	}
	return pairs, state, err
}

func (n *Node) signSetup(c *ceremony, p *proposal, committee threshold.Committee) threshold.Setup {
	return threshold.Setup{Ceremony: c.topic, Context: []byte(p.Operation), Committee: committee, Signers: p.Signers,
		Self: n.self.Party, Authentic: n.authentic}
}

// signed is the outcome for one intent.
type signed struct {
	item      *item
	shares    []*attest.AttestedShare
	signature threshold.Signature
	cosign    attest.Attestation
}

// leadSign is the coordinator's side: propose, take part or observe, collect, combine. The outcomes are in the order of the
// intents. Nothing unverified is ever returned.
func (n *Node) leadSign(ctx context.Context, op string, signers []threshold.PartyID, intents []*attest.Intent, pres []*threshold.Presignature, before func(context.Context) error) ([]*signed, error) {
	var items []*item
	var p *proposal
	var cosign *attest.Batch
	var body []byte
	defer func() { n.releaseItems(items) }()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { items, err = n.admit(gctx, op, signers, intents); return err })
	g.Go(func() error {
		pairs, err := n.pairsOf(gctx, intents[0])
		if err == nil {
			p, cosign, body, err = n.propose(gctx, op, signers, intents, terms{pairs: pairs, pres: idsOf(pres)})
		}
		return err
	})
	if before != nil {
		g.Go(func() error { return before(gctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var peers []transport.NodeID
	for _, id := range n.nodesOf(signers) {
		if id != n.Node {
			peers = append(peers, id)
		}
	}
	c, err := n.enter(proposalTopic(body), n.Node, peers)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	n.counts.batches.Add(1)
	n.counts.ceremonies.Add(1)
	started := n.Clock()
	e := transport.Envelope{To: peers, Kind: kindProposal, Topic: c.topic, Body: body}
	c.outbox = append(c.outbox, e)
	n.send(e)

	own, _, err := n.contribute(ctx, c, p, items, pres)
	if err == nil {
		var out []*signed
		if out, err = n.collect(ctx, c, p, items, own, cosign, started); err == nil {
			return out, nil
		}
	}
	n.record(ctx, op, c.topic, err)
	var refused *refusedError
	if !errors.As(err, &refused) {
		c.refuse(n.explain(err))
	}
	return nil, err
}

// collect gathers the signers' attested shares, refuses what is not exactly what was asked for, and combines.
func (n *Node) collect(ctx context.Context, c *ceremony, p *proposal, items []*item, own []*attest.AttestedShare, cosign *attest.Batch, started time.Time) ([]*signed, error) {
	shares := map[threshold.PartyID][]*attest.AttestedShare{}
	var want []threshold.PartyID
	for _, s := range p.Signers {
		if s == n.self.Party {
			shares[s] = own
		} else {
			want = append(want, s)
		}
	}
	err := c.gather(ctx, kindShares, want, func(from threshold.PartyID, env transport.Envelope) error {
		got, err := n.openShares(ctx, c, from, env, items, started)
		if err != nil {
			return err
		}
		shares[from] = got
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]*signed, len(items))
	for i, it := range items {
		s := &signed{item: it, cosign: cosign.Proof(i)}
		plain := make([]*threshold.SignatureShare, len(p.Signers))
		for j, party := range p.Signers {
			s.shares = append(s.shares, shares[party][i])
			plain[j] = &shares[party][i].Share
		}
		if s.signature, err = it.scheme.Combine(it.info, it.req, plain); err != nil {
			return nil, err
		}
		out[i] = s
	}
	n.counts.signatures.Add(uint64(len(items)))
	return out, nil
}

// openShares re-derives what the signer's hardware must have attested and verifies it with the pinned key.
func (n *Node) openShares(ctx context.Context, c *ceremony, from threshold.PartyID, env transport.Envelope, items []*item, started time.Time) ([]*attest.AttestedShare, error) {
	ban := func(check string, err error) error {
		return &threshold.Abort{Kind: threshold.Ban, Check: check, Culprits: []threshold.PartyID{from}, Err: err}
	}
	var body sharesBody
	if err := canon.Unmarshal(env.Body, &body); err != nil {
		return nil, ban("shares", err)
	}
	if body.Session != c.view {
		if err := n.dispute(ctx, c, from); err != nil {
			return nil, err
		}
		return nil, ban("session", errors.New("it showed the OPENs we saw, and claims another session"))
	}
	sb, err := attest.ParseShareBatch(body.Batch)
	if err != nil {
		return nil, ban("shares", err)
	}
	expected := make([]attest.Statement, len(items))
	for i, it := range items {
		info := it.info
		info.Party = from
		expected[i] = attest.NewStatement(n.Cluster, string(env.From), info, it.intent.KeyID, it.req, it.hash)
	}
	now := n.Clock()
	got, err := sb.Open(n.rosterKeys[env.From].attest, attest.Window{NotBefore: started.Add(-intentAge), NotAfter: now.Add(intentAge)}, expected)
	if errors.Is(err, attest.ErrStale) { // a clock, most likely: no reason to ban
		return nil, &refusedError{env.From, refusal{Code: problem.Conflict, Message: "its attestation is not of now; compare the clocks"}}
	}
	if err != nil {
		return nil, ban("attestation", err)
	}
	if slices.Contains(got, nil) {
		return nil, ban("shares", errors.New("a share is missing"))
	}
	return got, nil
}

// dispute finds out who sent different OPENs to us and to a signer whose session is not ours: both show the originals they
// received. The error names who equivocated; nil means that the signer showed what we have, so it lies.
func (n *Node) dispute(ctx context.Context, c *ceremony, with threshold.PartyID) error {
	ours := c.opens.OpenOriginals()
	c.tell([]threshold.Message{ours})
	st := newStall(c)
	defer st.stop()
	for {
		env, err := c.next(ctx, st, func() []threshold.PartyID { return []threshold.PartyID{with} })
		if err != nil {
			return err
		}
		if env.Kind != kindEngine {
			c.keep(env)
			continue
		}
		m, err := c.message(env)
		if err != nil || m.Kind != threshold.Originals {
			continue
		}
		if _, err := c.opens.Step(m); err != nil {
			return err
		}
		if m.From == with {
			return nil
		}
	}
}

// proofMessage is what a quorum signs to prove that it can: 32 bytes that are a hash under our own tag, so that they are a
// valid digest for BIP-340 keys and no other protocol's message.
func proofMessage(keyID string, epoch uint64, signers []threshold.PartyID) []byte {
	h := canon.Hash("mpcd/v1/prove", []byte(keyID), canon.MustMarshal(epoch), canon.MustMarshal(signers))
	return h[:]
}

// pairsOf is the pair state that a signature with the intent's key goes by, nil if its scheme needs none.
func (n *Node) pairsOf(ctx context.Context, in *attest.Intent) (*pairing, error) {
	rec, err := n.keys.record(ctx, in.KeyID)
	if err != nil {
		return nil, err
	}
	scheme, err := n.Schemes(rec.Info.Scheme)
	if err != nil {
		return nil, err
	}
	return n.pairingFor(ctx, scheme, rec.Info.Committee, false, 0)
}
