package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// The operations of intents.
const (
	opSign    = "sign"
	opKeygen  = "keygen"
	opRefresh = "refresh"
	opPresign = "presign"
	opProve   = "prove" // sign intents by one quorum of a new key over a message of our own making
)

// intentOp is the operation that the intents of a proposal name.
func intentOp(op string) attest.Operation {
	if op == opProve {
		return attest.OpSign
	}
	return attest.Operation(op)
}

// proposal is how a coordinator asks parties into a ceremony. Its hash is the ceremony's topic, so whoever is in the same
// ceremony has seen the same proposal.
type proposal struct {
	Version   uint8               `cbor:"1,keyasint"`
	Operation string              `cbor:"2,keyasint"`
	Signers   []threshold.PartyID `cbor:"3,keyasint"` // who takes part
	Intents   [][]byte            `cbor:"4,keyasint"`
	Cosign    []byte              `cbor:"5,keyasint"` // COSE_Sign1 of the coordinator's hardware over the root of the intents
	Nonce     [16]byte            `cbor:"6,keyasint"`
	Boots     []bootID            `cbor:"7,keyasint"` // the runs of the signers it is for, in their order
	Pairs     *pairing            `cbor:"8,keyasint,omitempty"`
	Next      uint64              `cbor:"9,keyasint,omitempty"`  // of a refresh: the epoch it makes
	Count     uint8               `cbor:"10,keyasint,omitempty"` // of a presign: how many presignatures
	Pres      [][32]byte          `cbor:"11,keyasint,omitempty"` // of a sign from the pool: the presignatures, one an intent
}

// terms are what a coordinator proposes beside signers and intents.
type terms struct {
	pairs *pairing
	next  uint64
	count uint8
	pres  [][32]byte
}

const (
	proposalVersion = 1
	// intentAge is how old an intent may be when its ceremony begins, either way.
	intentAge = 2 * time.Minute
)

func proposalTopic(body []byte) [32]byte { return canon.Hash("mpcd/v1/proposal", body) }

// propose has the hardware co-sign the intents and makes the proposal. Nothing is sent yet.
func (n *Node) propose(ctx context.Context, op string, signers []threshold.PartyID, intents []*attest.Intent, t terms) (*proposal, *attest.Batch, []byte, error) {
	p := &proposal{Version: proposalVersion, Operation: op, Signers: signers, Intents: make([][]byte, len(intents)), Boots: n.peers.boots(n.nodesOf(signers)), Pairs: t.pairs, Next: t.next, Count: t.count, Pres: t.pres}
	hashes := make([][]byte, len(intents))
	for i, in := range intents {
		h := in.Hash()
		p.Intents[i], hashes[i] = in.Bytes(), h[:]
	}
	if _, err := io.ReadFull(n.Rand, p.Nonce[:]); err != nil {
		return nil, nil, nil, err
	}
	began := time.Now()
	batch, err := attest.Attest(ctx, n.HSM, n.cosign, n.header(attest.KindCosign), hashes)
	n.sign.tokenTook(time.Since(began))
	if err != nil {
		return nil, nil, nil, &problem.Error{Code: problem.HSM, Message: "the token did not co-sign the intent", Next: "run mpcd doctor; check the token and its session", Err: err}
	}
	p.Cosign = batch.Cose
	return p, batch, canon.MustMarshal(p), nil
}

// answerProposal is a party's side of every ceremony: check who asks and what its hardware signed, then take part.
func (n *Node) answerProposal(ctx context.Context, env transport.Envelope) {
	topic := proposalTopic(env.Body)
	var p proposal
	if err := canon.Unmarshal(env.Body, &p); err != nil || p.Version != proposalVersion || topic != env.Topic || len(p.Signers) > threshold.MaxParties {
		n.counts.refused.Add(1)
		n.Logger.Warn("unreadable proposal", "from", env.From)
		return
	}
	var peers []transport.NodeID
	for _, id := range n.nodesOf(p.Signers) {
		if id != n.Node && id != env.From && id != "" {
			peers = append(peers, id)
		}
	}
	peers = append(peers, env.From)
	c, err := n.enter(topic, env.From, peers)
	if err != nil { // a repeated proposal: its leader may have missed our last words
		n.router.again(env)
		return
	}
	defer c.leave()
	n.counts.ceremonies.Add(1)
	ctx, cancel := context.WithTimeout(ctx, n.Limits.Request)
	defer cancel()
	intents, err := n.judgeProposal(&p, env.From)
	if err == nil && !n.router.date(topic, env.From, newest(intents)) {
		err = problem.New(problem.Invalid, "", "a proposal older than one that is forgotten")
	}
	if err == nil {
		switch p.Operation {
		case opSign, opProve:
			err = n.joinSign(ctx, c, &p, intents)
		case opPresign:
			err = n.joinPresign(ctx, c, &p, intents[0])
		case opKeygen:
			err = n.joinKeygen(ctx, c, &p, intents[0])
		case opRefresh:
			err = n.joinRefresh(ctx, c, &p, intents[0])
		}
	}
	if err == nil {
		return
	}
	var refused *refusedError
	if !errors.As(err, &refused) { // whoever refused has told everybody
		c.refuse(n.explain(err))
	}
	n.counts.refused.Add(1)
	var own *problem.Error
	if errors.As(err, &own) && (p.Operation == opPresign || !n.refusals.allow(n.Clock(), env.From)) { // what we refuse a member cannot fill our disk with
		return
	}
	op := p.Operation
	if !slices.Contains([]string{opSign, opProve, opKeygen, opRefresh, opPresign}, op) {
		op = "proposal" // a stranger's text is no name of an event
	}
	n.record(ctx, op, topic, err)
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
	switch p.Operation {
	case opSign, opProve:
	case opKeygen, opRefresh, opPresign:
		if len(p.Intents) != 1 {
			return nil, problem.New(problem.Invalid, "", "a %s proposal has %d intents, want 1", p.Operation, len(p.Intents))
		}
	default:
		return nil, problem.New(problem.Invalid, "run the same version on all nodes", "unknown operation in a proposal")
	}
	if len(p.Intents) == 0 || len(p.Intents) > n.Limits.Batch {
		return nil, problem.New(problem.Invalid, "set the same limits on all nodes", "a proposal of %d intents, at most %d", len(p.Intents), n.Limits.Batch)
	}
	if len(p.Pres) > 0 && (p.Operation != opSign || len(p.Pres) != len(p.Intents)) {
		return nil, problem.New(problem.Invalid, "run the same version on all nodes", "a %s proposal of %d intents with %d presignatures", p.Operation, len(p.Intents), len(p.Pres))
	}
	i := slices.Index(p.Signers, n.self.Party)
	if i < 0 || len(p.Boots) != len(p.Signers) {
		return nil, problem.New(problem.Invalid, "", "a proposal for other parties")
	}
	if p.Boots[i] != n.boot {
		return nil, problem.New(problem.Starting, "repeat the request", "the proposal is for an earlier run of this node")
	}
	now := n.Clock()
	keys, ok := n.rosterKeys[from]
	if !ok {
		return nil, problem.New(problem.Denied, "", "a proposal by a stranger")
	}
	out, hashes := make([]*attest.Intent, len(p.Intents)), make([][]byte, len(p.Intents))
	for i, b := range p.Intents {
		in, err := attest.ParseIntent(b)
		if err != nil {
			return nil, &problem.Error{Code: problem.Invalid, Message: "an unreadable intent", Err: err}
		}
		age := now.Sub(time.UnixMilli(in.Created))
		switch {
		case in.Cluster != n.Cluster, in.Node != string(from), in.Operation != intentOp(p.Operation), !slices.Equal(in.Signers, p.Signers):
			return nil, problem.New(problem.Invalid, "", "intent %d does not belong to its proposal", i)
		case age > intentAge || age < -intentAge:
			return nil, problem.New(problem.Invalid, "set the clocks of the nodes", "intent %d is %s old, at most %s", i, age.Round(time.Second), intentAge)
		}
		h := in.Hash()
		out[i], hashes[i] = &in, h[:]
	}
	if _, err := attest.VerifyBatch(keys.cosign, attest.Expect{Kind: attest.KindCosign, Cluster: n.Cluster, Node: string(from),
		NotBefore: now.Add(-intentAge), NotAfter: now.Add(intentAge)}, hashes, p.Cosign); err != nil {
		return nil, &problem.Error{Code: problem.Denied, Message: "the coordinator's hardware did not co-sign these intents", Next: "check the coordinator's token and both clocks", Err: err}
	}
	return out, nil
}

// intentMemory remembers what each request ID was for, so that one ID cannot be used for two messages, whoever coordinates.
// It is bounded, for each coordinator by itself so that none can make us forget another's, and lives as long as the process;
// across restarts the coordinator's own durable record holds.
type intentMemory struct {
	mu    sync.Mutex
	m     map[string][32]byte
	age   map[string][]string // by coordinator, oldest first
	quota int                 // of each
}

const intentMemoryMax = 1 << 16

func newIntentMemory(nodes int) *intentMemory {
	return &intentMemory{m: map[string][32]byte{}, age: map[string][]string{}, quota: intentMemoryMax / max(1, nodes)}
}

func (s *intentMemory) admit(in *attest.Intent) error {
	coordinator := ""
	if in.Operation != attest.OpSign {
		// The same signature may be asked for again through another node. A second key, or a second refresh, is not the same.
		coordinator = in.Node
	}
	what := canon.Hash("mpcd/v1/intent/purpose", []byte(in.Operation), []byte(coordinator), []byte(in.KeyID), in.Message, canon.MustMarshal(in.Keygen), canon.MustMarshal(append([]uint32(nil), in.Path...)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[in.RequestID]; ok {
		if old != what {
			return operation.Reused(in.RequestID)
		}
		return nil
	}
	age := s.age[in.Node]
	if len(age) >= s.quota {
		delete(s.m, age[0])
		age = age[1:]
	}
	s.m[in.RequestID] = what
	s.age[in.Node] = append(age, in.RequestID)
	return nil
}

func (n *Node) allow(ctx context.Context, in *attest.Intent, c threshold.Committee) (policy.Verdict, error) {
	v, err := n.Policy.Judge(ctx, in, c)
	if err != nil {
		return v, &problem.Error{Code: problem.Denied, Message: "the policy could not be evaluated, so it denies", Next: "check the policy", Err: err}
	}
	if !v.Allow {
		return v, problem.New(problem.Denied, "change the request, or have the policy changed", "denied by policy rule %q: %s", v.Rule, v.Why)
	}
	return v, nil
}

func intentFacts(in *attest.Intent) map[string]string {
	h := in.Hash()
	facts := map[string]string{"session": in.RequestID, "wallet": in.KeyID, "intent": fmt.Sprintf("%x", h[:]),
		"requester": in.Requester, "coordinator": in.Node}
	if len(in.Path) > 0 {
		facts["path"] = strings.Trim(strings.ReplaceAll(fmt.Sprint(in.Path), " ", "/"), "[]")
	}
	return facts
}

// header is the head of an attestation by this node, now.
func (n *Node) header(k attest.Kind) attest.Header {
	return attest.Header{Kind: k, Cluster: n.Cluster, Node: string(n.Node), Time: n.Clock().UnixMilli()}
}

// newIntent is an intent of this node, made now.
func (n *Node) newIntent(op attest.Operation, request, requester string, signers []threshold.PartyID) *attest.Intent {
	return &attest.Intent{Version: attest.IntentVersion, Cluster: n.Cluster, Operation: op, RequestID: request, Signers: signers,
		Requester: requester, Node: string(n.Node), Created: n.Clock().UnixMilli()}
}

// refusalRate bounds how many refused proposals of a peer go on record.
type refusalRate struct {
	mu sync.Mutex
	m  map[transport.NodeID]*refusals
}

type refusals struct {
	since time.Time
	count int
}

// refusalsMinute is how many refusals of one peer's proposals go on record in a minute; the counter of refusals counts all.
const refusalsMinute = 60

func (r *refusalRate) allow(now time.Time, peer transport.NodeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[transport.NodeID]*refusals{}
	}
	x := r.m[peer]
	if x == nil || now.Sub(x.since) >= time.Minute {
		x = &refusals{since: now}
		r.m[peer] = x
	}
	x.count++
	return x.count <= refusalsMinute
}
