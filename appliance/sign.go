package appliance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/presign"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// signing is the line that makes signatures: of requests, and of quorums that prove that they can.
type signing struct {
	*core
	pool *presign.Pool
}

// item is one signature of a ceremony, as this node sees it.
type item struct {
	intent  *attest.Intent
	hash    [32]byte
	key     keys.Key
	held    *keys.Held // nil where this node only coordinates
	verdict policy.Verdict
	req     threshold.SignRequest
}

// lookUp is how a signer looks up the key of an intent: once more in a moment if it has not yet heard what others know already.
func (n *signing) lookUp(ctx context.Context, op attest.Operation, in *attest.Intent) (keys.Key, error) {
	return n.keys.KeyWhen(ctx, in.KeyID, in.Scheme, func(r keys.Record) bool {
		early := r.State == keys.Staged && op == opProve || r.State == keys.Proving && op == attest.OpSign
		return !early && r.Info.Epoch >= in.Epoch
	})
}

// permit passes the intents of a ceremony through the gate; of holds their keys. The caller releases the items.
func (n *signing) permit(ctx context.Context, op attest.Operation, intents []*attest.Intent, of []keys.Key, again bool,
	events ...string) ([]*item, *permission, error) {
	items, passages := make([]*item, len(intents)), make([]passage, len(intents))
	for i, in := range intents {
		key := of[i]
		items[i] = &item{intent: in, hash: in.Hash(), key: key, req: in.SignRequest()}
		passages[i] = passage{in, key.Record.Info, key.Record.Group, func() error {
			if in.Scheme != intents[0].Scheme || !key.Record.Info.Committee.Equal(of[0].Record.Info.Committee) {
				return problem.New(problem.Invalid, "", "intent %d is for another scheme or committee than the first", i)
			}
			return judgeSign(op, in, key)
		}, func() (*intent.Decoded, error) { return judgePayload(in, key) }, again, nil}
	}
	permitted, err := n.gate.permit(ctx, op, passages, events...)
	if err != nil {
		return nil, nil, err
	}
	for i, it := range items {
		it.verdict = permitted.verdicts[i]
	}
	return items, permitted, nil
}

// open opens the shares that a signer needs.
func (n *signing) open(ctx context.Context, items []*item) (err error) {
	for i, it := range items {
		if !slices.Contains(it.intent.Signers, n.members.SelfParty()) {
			continue
		}
		if it.held, err = n.keys.Open(ctx, it.key.Scheme, it.intent.KeyID, it.intent.Epoch); err != nil {
			return problem.At(i, err)
		}
	}
	return nil
}

func (n *signing) release(items []*item) {
	for _, it := range items {
		n.keys.Release(it.held)
		it.req.Pre.Burn()
	}
}

// judgeSign holds one intent against the key's record.
func judgeSign(op attest.Operation, in *attest.Intent, key keys.Key) error {
	if err := judgeKey(op, in, key); err != nil {
		return err
	}
	if op == opProve {
		if len(in.Path)+len(in.Tweaks) > 0 || in.Payload != nil {
			return problem.New(problem.Denied, "", "a threshold proof is by the wallet key itself, without a path, tweaks or a payload")
		}
		if want := proofMessage(in.KeyID, in.Epoch, in.Signers); string(in.Message) != string(want) {
			return problem.New(problem.Denied, "", "a threshold proof signs nothing but its own message")
		}
		return nil
	}
	if err := judgePath(in, key); err != nil {
		return err
	}
	return CheckMessage(key.Scheme.Kind(), "", in.Message)
}

// judgePayload reads the payload, nil where there is none, and refuses an intent with another message than it gives.
func judgePayload(in *attest.Intent, key keys.Key) (*intent.Decoded, error) {
	d, err := in.Decode(key.Scheme, key.Record.Info)
	if errors.Is(err, attest.ErrPayload) {
		return nil, &problem.Error{Code: problem.Denied, Message: "the intent would sign something else than its transaction",
			Next: "find out why the coordinator asked for it", Err: err}
	}
	if err != nil {
		return nil, unread(err)
	}
	return d, nil
}

// judgeKey checks that the intent is for the key as it is, and for a quorum of it.
func judgeKey(op attest.Operation, in *attest.Intent, key keys.Key) error {
	rec, c := key.Record, key.Record.Info.Committee
	switch {
	case in.Scheme != key.Scheme.ID() || key.Scheme.Kind().ID != rec.Info.Kind:
		return problem.New(problem.Invalid, "", "scheme %s does not sign with keys of kind %s, as wallet %s is",
			in.Scheme, rec.Info.Kind, in.KeyID)
	case in.Epoch != rec.Info.Epoch:
		return problem.New(problem.Conflict, "repeat the request; the key was refreshed", "wallet %s is at epoch %d here, the intent says %d",
			in.KeyID, rec.Info.Epoch, in.Epoch)
	case op != opProve && rec.State != keys.Active:
		return problem.New(problem.Conflict, "run `mpcd key prove-threshold`, or wait until keygen has ended", "wallet %s is not active yet (%s)",
			in.KeyID, rec.State)
	case op == opProve && rec.State == keys.Staged:
		return problem.New(problem.Conflict, "wait until keygen has ended", "wallet %s is not certified yet", in.KeyID)
	case len(in.Signers) != c.Threshold:
		return problem.Field("signers", "name exactly as many signers as the threshold", "%d signers, wallet %s needs %d",
			len(in.Signers), in.KeyID, c.Threshold)
	}
	if err := c.CheckQuorum(in.Signers); err != nil {
		return problem.Field("signers", "name members of the wallet's committee, each once", "%v", err)
	}
	return nil
}

// CheckMessage refuses what no key of the kind signs. field is what the request calls the message, "" for its usual name.
func CheckMessage(k threshold.Kind, field string, message []byte) error {
	if field == "" && k.Digest > 0 {
		field = "message_hash"
	} else if field == "" {
		field = "message"
	}
	switch {
	case k.Digest > 0 && len(message) != k.Digest:
		return problem.Field(field, "hash the transaction first, as "+k.Hashing+", and send the digest",
			"%s has %d bytes, %s signs exactly %d", field, len(message), k.Signs, k.Digest)
	case len(message) == 0:
		return problem.Field(field, "send the message to sign in hex", "%s is empty", field)
	case len(message) > MaxMessage:
		return problem.Field(field, "hash the message, or split it", "%s has %d bytes, at most %d", field, len(message), MaxMessage)
	}
	return nil
}

// join is a signer's side.
func (n *signing) join(ctx context.Context, c *ceremony.Ceremony, p *proposal, intents []*attest.Intent) error {
	groups := make([]presign.Group, len(intents))
	for i, in := range intents {
		groups[i] = presign.Group{Coordinator: c.Coordinator, Key: in.KeyID, Epoch: in.Epoch, Scheme: in.Scheme, Signers: p.Signers}
	}
	// Whatever comes of the proposal, the presignatures it names are out of the pool from here on.
	pres, err := n.pool.Take(groups, p.Pres)
	defer presign.Burn(pres)
	if err != nil {
		return err
	}
	of, errs := make([]keys.Key, len(intents)), make([]error, len(intents))
	var looked sync.WaitGroup // at once: each may have to wait for what others know already
	for i, in := range intents {
		looked.Go(func() { of[i], errs[i] = n.lookUp(ctx, p.Operation, in) })
	}
	if looked.Wait(); problem.All(errs) != nil {
		return problem.All(errs)
	}
	items, permitted, err := n.permit(ctx, p.Operation, intents, of, p.Again, "share."+string(p.Operation))
	if err != nil {
		return err
	}
	defer permitted.end(ctx)
	defer n.release(items)
	if err := n.open(ctx, items); err != nil {
		return err
	}
	_, batch, err := n.contribute(ctx, c, p, items, pres, permitted)
	if err != nil {
		return err
	}
	c.Answer(ceremony.KindShares, canon.MustMarshal(sharesBody{c.View, batch.Bytes()}), true)
	return nil
}

// sharesBody is what a signer sends the coordinator. The session stands outside the attested batch so that two views of OPEN
// are told from a bad attestation.
type sharesBody struct {
	Session threshold.SessionID `cbor:"1,keyasint"`
	Batch   []byte              `cbor:"2,keyasint"` // attest.ShareBatch
}

// contribute runs presigning, or the agreement on presignatures of the pool, and, on a signer, makes the attested shares. Order: the act
// is on record before a share is made; SignShares burns each presignature before it computes, and the hardware attests before anything
// leaves.
func (n *signing) contribute(ctx context.Context, c *ceremony.Ceremony, p *proposal, items []*item, pres []*threshold.Presignature,
	permitted *permission) ([]*attest.AttestedShare, *attest.ShareBatch, error) {
	var err error
	if pres == nil {
		err = n.presignFor(ctx, c, p, items)
	} else {
		err = n.agree(ctx, c, p, items, pres)
	}
	if err == nil {
		err = permitted.recorded()
	}
	if err != nil || items[0].held == nil {
		return nil, nil, err
	}
	work := make([]attest.Item, len(items))
	for i, it := range items {
		signer, err := n.keys.Signer(it.held, it.key.Scheme)
		if err != nil {
			return nil, nil, err
		}
		work[i] = attest.Item{Signer: signer, Key: it.held.Share.KeyInfo, KeyID: it.intent.KeyID, Request: it.req, Intent: it.hash}
	}
	permitted.acted.Store(true)
	shares, batch, err := attest.SignShares(ctx, n.token.hsm, n.token.attest, n.token.header(attest.KindShare), work)
	var abort *threshold.Abort
	if errors.Is(err, threshold.ErrBurnt) || errors.As(err, &abort) && abort.Kind == threshold.Retry {
		// The presignature died meanwhile, with its epoch or its pair state: another one signs.
		return nil, nil, &problem.Error{Code: problem.Presig, Message: "the presignature is no longer good", Next: "repeat the request", Err: err}
	}
	if err != nil {
		return nil, nil, tokenFailed("the shares could not be made and attested", err)
	}
	sb := attest.NewShareBatch(shares, batch)
	return shares, &sb, nil
}

// presignFor presigns for the requests of a ceremony.
func (n *signing) presignFor(ctx context.Context, c *ceremony.Ceremony, p *proposal, items []*item) error {
	of, reqs := make([]threshold.PresignKey, len(items)), make([]threshold.SignRequest, len(items))
	for i, it := range items {
		of[i], reqs[i] = threshold.PresignKey{Info: it.key.Record.Info}, it.req
		if it.held != nil {
			of[i].Share = it.held.Share
		}
	}
	pres, err := n.presign(ctx, c, p, items[0].key, of, reqs)
	for i, pre := range pres {
		items[i].req.Pre = pre
	}
	return err
}

// presign runs the engine's rounds. Its session answers disputes about OPEN until the ceremony is left.
func (n *signing) presign(ctx context.Context, c *ceremony.Ceremony, p *proposal, key keys.Key, of []threshold.PresignKey,
	reqs []threshold.SignRequest) ([]*threshold.Presignature, error) {
	committee := key.Record.Info.Committee
	pairs, state, err := n.pairsFor(ctx, p, key)
	if err != nil {
		return nil, err
	}
	setup := n.setup(c, p, committee)
	var s *threshold.Session[[]*threshold.Presignature]
	scheme := key.Scheme
	if state != nil {
		c.Heavy()
		c.Aborted = func(err error) error { return n.pairs.KeepBans(ctx, pairs, committee, state, err) }
		if scheme, err = pairs.WithPairState(state); err != nil {
			return nil, err
		}
	}
	rand := n.rand("presign", c.Topic[:])
	if x, ok := scheme.(threshold.Pooler); ok && reqs != nil {
		s, err = x.PresignFor(setup, of, reqs, rand)
	} else {
		s, err = scheme.Presign(setup, of, rand)
	}
	if err != nil {
		return nil, err
	}
	pres, err := ceremony.Drive(ctx, c, s)
	c.Opened(s)
	return pres, err
}

// agree binds presignatures of the pool to the requests of a proposal, one each: all signers to the same, with fresh nonces.
func (n *signing) agree(ctx context.Context, c *ceremony.Ceremony, p *proposal, items []*item, pres []*threshold.Presignature) error {
	key := items[0].key
	if _, _, err := n.pairsFor(ctx, p, key); err != nil {
		return err
	}
	pooler, ok := key.Scheme.(threshold.Pooler)
	if !ok {
		return problem.New(problem.Invalid, "", "scheme %s has no pool of presignatures", key.Scheme.ID())
	}
	reqs := make([]threshold.SignRequest, len(items))
	for i, it := range items {
		it.req.Pre = pres[i]
		reqs[i] = it.req
	}
	s, err := pooler.Agree(n.setup(c, p, key.Record.Info.Committee), reqs, n.rand("agree", c.Topic[:]))
	if err != nil {
		return err
	}
	nonces, err := ceremony.Drive(ctx, c, s)
	c.Opened(s)
	for _, it := range items {
		it.req.Agreement = nonces
	}
	return err
}

// pairsFor finds the pair state that a proposal goes by, and refuses another than ours and one with a banned signer.
func (n *signing) pairsFor(ctx context.Context, p *proposal, key keys.Key) (threshold.Pairer, threshold.PairState, error) {
	pairs, state, err := n.pairs.Proposed(ctx, key.Scheme, key.Record.Info.Committee, p.Pairs, false)
	if err == nil && state != nil && slices.Contains(p.Signers, n.members.SelfParty()) {
		err = keys.CheckBans(state, p.Signers, n.members.Nodes)
	}
	return pairs, state, err
}

func (n *signing) setup(c *ceremony.Ceremony, p *proposal, committee threshold.Committee) threshold.Setup {
	return threshold.Setup{Ceremony: c.Topic, Context: []byte(p.Operation), Committee: committee, Signers: p.Signers,
		Self: n.members.SelfParty(), Authentic: n.members.Authentic}
}

// signed is the outcome for one intent.
type signed struct {
	item      *item
	shares    []*attest.AttestedShare
	signature threshold.Signature
	cosign    attest.Attestation
}

// asked is what a signing ceremony of ours is about: intents by one quorum, of one scheme and committee, and their keys.
type asked struct {
	op      attest.Operation
	signers []threshold.PartyID
	intents []*attest.Intent
	keys    []keys.Key
	pres    []*threshold.Presignature   // of the pool, one an intent; or none
	again   bool                        // who did it before was asked, and nobody has
	only    bool                        // there are no other signers to try
	before  func(context.Context) error // done before anything is sent, of what the gate lets pass; may be nil
}

// lead is the coordinator's side: pass the gate, propose, take part or observe, collect, combine. The outcomes are in the order of the
// intents. Nothing unverified is ever returned.
func (n *signing) lead(ctx context.Context, a asked) ([]*signed, error) {
	events := []string{string(a.op) + ".accept"}
	if slices.Contains(a.signers, n.members.SelfParty()) {
		events = append(events, "share."+string(a.op))
	}
	items, permitted, err := n.permit(ctx, a.op, a.intents, a.keys, a.again, events...)
	if err != nil {
		return nil, err
	}
	defer permitted.end(ctx)
	defer n.release(items)
	var d *draft
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.open(gctx, items) })
	g.Go(func() error {
		pairs, err := n.pairs.Propose(gctx, a.keys[0].Scheme, a.keys[0].Record.Info.Committee, false, 0)
		if err == nil {
			d, err = n.propose(gctx, &proposal{Operation: a.op, Signers: a.signers, Pairs: pairs, Pres: presign.IDs(a.pres), Again: a.again,
				Only: a.only},
				a.intents)
		}
		return err
	})
	if a.before != nil {
		g.Go(func() error { return a.before(gctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	n.counts.batches.Add(1)
	var out []*signed
	err = n.core.lead(ctx, d, permitted, func(c *ceremony.Ceremony) error {
		own, _, err := n.contribute(ctx, c, d.proposal, items, a.pres, permitted)
		if err == nil {
			out, err = n.collect(ctx, c, d, items, own)
		}
		return err
	})
	permitted.acted.CompareAndSwap(false, err == nil)
	return out, err
}

// collect gathers the signers' attested shares, refuses what is not exactly what was asked for, and combines.
func (n *signing) collect(ctx context.Context, c *ceremony.Ceremony, d *draft, items []*item,
	own []*attest.AttestedShare) ([]*signed, error) {
	shares := map[threshold.PartyID][]*attest.AttestedShare{n.members.SelfParty(): own}
	want, _ := n.members.Others(d.Signers)
	err := c.Gather(ctx, ceremony.KindShares, want, func(from threshold.PartyID, env transport.Envelope) (err error) {
		shares[from], err = n.openShares(ctx, c, from, env, items, d.started)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]*signed, len(items))
	for i, it := range items {
		s := &signed{item: it, cosign: d.cosign.Proof(i)}
		plain := make([]*threshold.SignatureShare, len(d.Signers))
		for j, party := range d.Signers {
			s.shares = append(s.shares, shares[party][i])
			plain[j] = &shares[party][i].Share
		}
		if s.signature, err = it.key.Scheme.Combine(it.key.Record.Info, it.req, plain); err != nil {
			return nil, err
		}
		out[i] = s
	}
	n.counts.signatures.Add(uint64(len(items)))
	return out, nil
}

// openShares re-derives what the signer's hardware must have attested and verifies it with the pinned key.
func (n *signing) openShares(ctx context.Context, c *ceremony.Ceremony, from threshold.PartyID, env transport.Envelope, items []*item,
	started time.Time) ([]*attest.AttestedShare, error) {
	ban := func(check string, err error) error {
		return &threshold.Abort{Kind: threshold.Ban, Check: check, Culprits: []threshold.PartyID{from}, Err: err}
	}
	member, ok := n.members.Member(env.From)
	if !ok {
		return nil, &ceremony.RefusedError{From: env.From,
			Refusal: ceremony.Refusal{Code: problem.Conflict, Message: "it was removed from the roster meanwhile; repeat the request"}}
	}
	var body sharesBody
	if err := canon.Unmarshal(env.Body, &body); err != nil {
		return nil, ban("shares", err)
	}
	if body.Session != c.View {
		if err := c.Dispute(ctx, from); err != nil {
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
		info := it.key.Record.Info
		info.Party = from
		expected[i] = attest.NewStatement(n.cfg.Cluster, string(env.From), info, it.intent.KeyID, it.req, it.hash)
	}
	now := n.cfg.Clock()
	got, err := sb.Open(member.Attest, attest.Window{NotBefore: started.Add(-intentAge), NotAfter: now.Add(intentAge)}, expected)
	if errors.Is(err, attest.ErrStale) { // a clock, most likely: no reason to ban
		return nil, &ceremony.RefusedError{From: env.From,
			Refusal: ceremony.Refusal{Code: problem.Conflict, Message: "its attestation is not of now; compare the clocks"}}
	}
	if err != nil {
		return nil, ban("attestation", err)
	}
	if slices.Contains(got, nil) {
		return nil, ban("shares", errors.New("a share is missing"))
	}
	return got, nil
}

// proofMessage is what a quorum signs to prove that it can: 32 bytes that are a hash under our own tag, so that they are a
// valid digest for BIP-340 keys and no other protocol's message.
func proofMessage(keyID string, epoch uint64, signers []threshold.PartyID) []byte {
	h := canon.Hash("mpcd/v1/prove", []byte(keyID), canon.MustMarshal(epoch), canon.MustMarshal(signers))
	return h[:]
}
