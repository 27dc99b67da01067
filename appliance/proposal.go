package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// opProve is the operation of a proposal whose sign intents are by one quorum of a new key, over a message of our own making. The other
// operations of proposals are those of their intents.
const opProve attest.Operation = "prove"

// intentOp is the operation that the intents of a proposal name.
func intentOp(op attest.Operation) attest.Operation {
	if op == opProve {
		return attest.OpSign
	}
	return op
}

// proposal is how a coordinator asks parties into a ceremony. Its hash is the ceremony's topic, so whoever is in the same
// ceremony has seen the same proposal.
type proposal struct {
	Version   uint8               `cbor:"1,keyasint"`
	Operation attest.Operation    `cbor:"2,keyasint"`
	Signers   []threshold.PartyID `cbor:"3,keyasint"` // who takes part
	Intents   [][]byte            `cbor:"4,keyasint"`
	Cosign    []byte              `cbor:"5,keyasint"` // COSE_Sign1 of the coordinator's hardware over the root of the intents
	Nonce     [16]byte            `cbor:"6,keyasint"`
	Boots     []ceremony.Boot     `cbor:"7,keyasint"` // the runs of the signers it is for, in their order
	Pairs     *keys.ProposedPairs `cbor:"8,keyasint,omitempty"`
	Next      uint64              `cbor:"9,keyasint,omitempty"`  // of a refresh: the epoch it makes
	Count     uint8               `cbor:"10,keyasint,omitempty"` // of a presign: how many presignatures
	Pres      [][32]byte          `cbor:"11,keyasint,omitempty"` // of a sign from the pool: the presignatures, one an intent
	Again     bool                `cbor:"12,keyasint,omitempty"` // its coordinator has asked for the answer under the request IDs: none
	Only      bool                `cbor:"13,keyasint,omitempty"` // of a sign: there are no other signers to try
}

// only tells whether no others can take the place of a party that is late.
func (p *proposal) only() bool {
	return p.Only || p.Operation != attest.OpSign && p.Operation != attest.OpPresign
}

const (
	proposalVersion = 1
	// intentAge is how old an intent may be when its ceremony begins, either way.
	intentAge = 2 * time.Minute
	// repeatAfter is when a ceremony's messages are first repeated to who is missing.
	repeatAfter = 200 * time.Millisecond
)

func proposalTopic(body []byte) [32]byte { return canon.Hash("mpcd/v1/proposal", body) }

// draft is a proposal of this node that nobody has seen yet.
type draft struct {
	*proposal
	intents []*attest.Intent
	body    []byte
	cosign  *attest.Batch
	started time.Time
}

// propose has the hardware co-sign the intents of a proposal, of which the caller has filled in what its operation needs. Nothing is sent.
func (n *core) propose(ctx context.Context, p *proposal, intents []*attest.Intent) (*draft, error) {
	p.Version, p.Intents, p.Boots = proposalVersion, make([][]byte, len(intents)), n.peers.Boots(n.members.Nodes(p.Signers))
	hashes := make([][]byte, len(intents))
	for i, in := range intents {
		h := in.Hash()
		p.Intents[i], hashes[i] = in.Bytes(), h[:]
	}
	if _, err := io.ReadFull(n.rand("proposal", hashes...), p.Nonce[:]); err != nil {
		return nil, err
	}
	batch, err := n.token.cosigns(ctx, hashes)
	if err != nil {
		return nil, err
	}
	p.Cosign = batch.Cose
	return &draft{p, intents, canon.MustMarshal(p), batch, n.cfg.Clock()}, nil
}

// lead is the coordinator's frame of every ceremony: once what was permitted is on record, the proposal goes to its parties, and act is our
// side. When that fails it is on record before the others are told why.
func (n *core) lead(ctx context.Context, d *draft, permitted *permission, act func(c *ceremony.Ceremony) error) error {
	if err := permitted.recorded(); err != nil {
		return err
	}
	_, peers := n.members.Others(d.Signers)
	c, err := n.router.Enter(proposalTopic(d.body), n.cfg.Node, peers)
	if err != nil {
		return err
	}
	defer c.Leave()
	c.Only = d.only()
	n.counts.ceremonies.Add(1)
	c.Tell(ceremony.KindProposal, d.body)
	if err = act(c); err != nil {
		n.goElsewhere(ceremony.FailureOf(err))
		n.record(ctx, d.Operation, c.Topic, d.intents, err)
		n.refuse(c, err)
	}
	return err
}

// goElsewhere has a coordinator choose last, for a while, a party that refuses what others may not: the parties count what a ceremony that
// comes to nothing leaves on their disks against who asked for it. What other runs, or a refresh, explain is no reason, so often a minute.
func (n *core) goElsewhere(f ceremony.Failure) {
	if f.Refused == nil {
		return
	}
	switch f.Refused.Code {
	case problem.Starting, problem.Conflict, problem.Held, problem.PairState, problem.Attempt, problem.Presig:
		if n.excuses.allow(n.cfg.Clock(), refusedTo{peer: f.Refused.From}, excusesMinute) {
			return
		}
	}
	n.peers.Silent(f.Refused.From)
}

// refuse tells the ceremony why we leave it, unless a peer did: whoever refused has told everybody, or its coordinator alone, which tells
// the others.
func (n *core) refuse(c *ceremony.Ceremony, err error) {
	if f := ceremony.FailureOf(err).Refused; f == nil || f.Declined && c.Coordinator == n.cfg.Node {
		c.Refuse(n.members.Explain(err))
	}
}

var errOtherProposal = errors.New("it is of another version of this program, or was changed")

// answerProposal is a party's side of every ceremony: check who asks and what its hardware signed, then take part.
func (n *Node) answerProposal(ctx context.Context, env transport.Envelope) {
	topic := proposalTopic(env.Body)
	var p proposal
	if err := canon.Unmarshal(env.Body, &p); err != nil || p.Version != proposalVersion || topic != env.Topic ||
		len(p.Signers) > threshold.MaxParties {
		n.counts.refused.Add(1)
		n.remark(env.From, "a proposal cannot be read", cmp.Or(err, errOtherProposal))
		return
	}
	peers := slices.DeleteFunc(n.members.Nodes(p.Signers), func(id transport.NodeID) bool {
		return id == n.cfg.Node || id == env.From || id == ""
	})
	c, err := n.router.Enter(topic, env.From, append(peers, env.From))
	if err != nil { // a repeated proposal: its coordinator may have missed our last words
		n.router.Again(env)
		return
	}
	defer c.Leave()
	c.Only = p.only()
	n.counts.ceremonies.Add(1)
	most := n.cfg.Limits.Request
	if p.Operation == attest.OpKeygen || p.Operation == attest.OpRefresh {
		most = n.cfg.Limits.forKeys(len(p.Signers))
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	intents, err := n.judgeProposal(&p, env.From)
	if err == nil && !n.router.Date(topic, env.From, newest(intents)) {
		err = problem.New(problem.Invalid, "", "a proposal older than one that is forgotten")
	}
	if err == nil {
		err = n.within(ctx, env.From, p.Operation, intents, func(ctx context.Context) error {
			return n.lines()[p.Operation](ctx, c, &p, intents)
		})
	}
	if err == nil {
		return
	}
	n.counts.refused.Add(1)
	// what we refuse a member cannot fill our disk with, nor what the others keep for us
	if ceremony.FailureOf(err).Own != nil {
		filling := p.Operation == attest.OpPresign
		if !n.refusals.allow(n.cfg.Clock(), refusedTo{env.From, filling}, refusalsMinute) {
			c.Decline(n.members.Explain(err))
			return
		}
		if filling {
			n.refuse(c, err)
			return
		}
	}
	n.refuse(c, err)
	op := p.Operation
	if n.lines()[op] == nil {
		op = "proposal" // a stranger's text is no name of an event
	}
	n.record(ctx, op, topic, intents, err)
}

// join is a party's side of a line, for a proposal that judgeProposal has passed.
type join func(ctx context.Context, c *ceremony.Ceremony, p *proposal, intents []*attest.Intent) error

// lines are the operations that a proposal may name, and a party's side of each. All of them pass the gate.
func (n *Node) lines() map[attest.Operation]join {
	return map[attest.Operation]join{
		attest.OpSign:    n.signing.join,
		opProve:          n.signing.join,
		attest.OpPresign: n.filling.join,
		attest.OpKeygen:  n.making.joinKeygen,
		attest.OpRefresh: n.making.joinRefresh,
	}
}

func newest(intents []*attest.Intent) int64 {
	var at int64
	for _, in := range intents {
		at = max(at, in.Created)
	}
	return at
}

// judgeProposal checks everything about a proposal that does not depend on a key.
func (n *Node) judgeProposal(p *proposal, from transport.NodeID) ([]*attest.Intent, error) {
	signs := p.Operation == attest.OpSign || p.Operation == opProve
	switch {
	case n.lines()[p.Operation] == nil:
		return nil, problem.New(problem.Invalid, "run the same version on all nodes", "unknown operation in a proposal")
	case !signs && len(p.Intents) != 1:
		return nil, problem.New(problem.Invalid, "", "a %s proposal has %d intents, want 1", p.Operation, len(p.Intents))
	case len(p.Intents) == 0 || len(p.Intents) > n.cfg.Limits.Batch:
		return nil, problem.New(problem.Invalid, "set the same limits on all nodes", "a proposal of %d intents, at most %d",
			len(p.Intents), n.cfg.Limits.Batch)
	case len(p.Pres) > 0 && (p.Operation != attest.OpSign || len(p.Pres) != len(p.Intents)):
		return nil, problem.New(problem.Invalid, "run the same version on all nodes", "a %s proposal of %d intents with %d presignatures",
			p.Operation, len(p.Intents), len(p.Pres))
	}
	i := slices.Index(p.Signers, n.members.SelfParty())
	if i < 0 || len(p.Boots) != len(p.Signers) {
		return nil, problem.New(problem.Invalid, "", "a proposal for other parties")
	}
	if p.Boots[i] != n.peers.Boots([]transport.NodeID{n.cfg.Node})[0] {
		return nil, problem.New(problem.Starting, "repeat the request", "the proposal is for an earlier run of this node")
	}
	coordinator, ok := n.members.Member(from)
	if !ok {
		return nil, problem.New(problem.Denied, "", "a proposal by a stranger")
	}
	if twice := n.peers.Twice(from); twice != "" {
		return nil, problem.New(problem.Denied, stopOne, "the coordinator %s %s", from, twice)
	}
	for _, id := range append(n.members.Nodes(p.Signers), from) {
		if why, next := n.witness.unfit(id); why != "" {
			return nil, problem.New(problem.Starting, next, "%s: %s", id, why)
		}
	}
	return n.judgeIntents(p, coordinator)
}

// judgeIntents checks that the intents are the coordinator's, of now, and co-signed by its hardware.
func (n *Node) judgeIntents(p *proposal, coordinator *ceremony.Member) ([]*attest.Intent, error) {
	now, from := n.cfg.Clock(), string(coordinator.ID)
	out, hashes := make([]*attest.Intent, len(p.Intents)), make([][]byte, len(p.Intents))
	for i, b := range p.Intents {
		in, err := attest.ParseIntent(b)
		if err != nil {
			return nil, &problem.Error{Code: problem.Invalid, Message: "an unreadable intent", Err: err}
		}
		age := now.Sub(time.UnixMilli(in.Created))
		switch {
		case in.Cluster != n.cfg.Cluster, in.Node != from, in.Operation != intentOp(p.Operation), !slices.Equal(in.Signers, p.Signers):
			return nil, problem.New(problem.Invalid, "", "intent %d does not belong to its proposal", i)
		case age > intentAge || age < -intentAge:
			return nil, problem.New(problem.Invalid, "set the clocks of the nodes", "intent %d is %s old, at most %s",
				i, age.Round(time.Second), intentAge)
		case (p.Operation == attest.OpKeygen || p.Operation == attest.OpRefresh) && !slices.Contains(p.Signers, coordinator.Party):
			return nil, problem.New(problem.Invalid, "", "a %s by a node that is no party of the key", p.Operation)
		}
		h := in.Hash()
		out[i], hashes[i] = &in, h[:]
	}
	if _, err := attest.VerifyBatch(coordinator.Cosign, attest.Expect{Kind: attest.KindCosign, Cluster: n.cfg.Cluster, Node: from,
		NotBefore: now.Add(-intentAge), NotAfter: now.Add(intentAge)}, hashes, p.Cosign); err != nil {
		return nil, &problem.Error{Code: problem.Denied, Message: "the coordinator's hardware did not co-sign these intents",
			Next: "check the coordinator's token and both clocks", Err: err}
	}
	return out, nil
}

// record turns what ended a ceremony into notes on peers and an entry of the audit log. There are no intents where they were not readable.
func (n *core) record(ctx context.Context, op attest.Operation, topic [32]byte, intents []*attest.Intent, err error) {
	facts := map[string]string{"ceremony": fmt.Sprintf("%x", topic[:8]), "operation": string(op)}
	f := ceremony.FailureOf(err)
	if len(intents) > 0 {
		hashes := make([][]byte, len(intents))
		for i, in := range intents {
			h := in.Hash()
			hashes[i] = h[:]
		}
		facts["intents"] = intentsID(hashes)
		if i := f.Item(); i > 0 && i <= len(intents) {
			facts["intent"] = fmt.Sprintf("%x", hashes[i-1])
		}
	}
	switch {
	case f.Abort != nil:
		facts["check"], facts["kind"] = f.Abort.Check, f.Abort.Kind.String()
		for _, id := range n.members.Nodes(f.Abort.Culprits) {
			facts["culprit."+string(id)] = f.Abort.Check
			n.peers.Accuse(id, f.Abort.Check)
			n.cfg.Logger.Error("peer misbehaved", "member", id, "check", f.Abort.Check, "kind", f.Abort.Kind, "operation", op)
		}
	case f.Silent != nil:
		for _, p := range f.Silent.Missing {
			id, how := n.members.Node(p), "late"
			if slices.Contains(f.Silent.Absent, p) {
				how = "true"
			}
			facts["silent."+string(id)] = how
			n.peers.Silent(id)
		}
	case f.Refused != nil:
		facts["refused_by"], facts["reason"] = string(f.Refused.From), f.Refused.Message
	default:
		facts["reason"] = problem.As(n.members.Explain(err)).Message
	}
	n.counts.aborts.Add(1)
	if aerr := n.cfg.AuditLog.Append(context.WithoutCancel(ctx), audit.Event{Name: string(op) + ".abort", Facts: facts}); aerr != nil {
		n.cfg.Logger.Error("audit", "error", aerr)
	}
}

// refusalRate bounds how many refusals count: of a peer's proposals, on record and told to others than the peer; by a peer, as excused; and
// how many authorities of a peer are looked at.
type refusalRate struct {
	mu sync.Mutex
	m  map[refusedTo]*refusals
}

// refusedTo is what refusals are counted by: fillings of the pool are refused often, and by themselves.
type refusedTo struct {
	peer    transport.NodeID
	filling bool
}

type refusals struct {
	since time.Time
	count int
}

// refusalsMinute is how many of them there may be in a minute; the counter of refusals counts all.
const refusalsMinute = 60

// excusesMinute is how often a minute a peer may refuse us for what it says passes by itself.
const excusesMinute = 20

// allow counts one more, and tells whether it is among the first so many of a minute.
func (r *refusalRate) allow(now time.Time, to refusedTo, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[refusedTo]*refusals{}
	}
	x := r.m[to]
	if x == nil || now.Sub(x.since) >= time.Minute {
		x = &refusals{since: now}
		r.m[to] = x
	}
	x.count++
	return x.count <= most
}
