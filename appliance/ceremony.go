package appliance

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// ceremony is this node's side of one run among parties: its topic, its peers, and what came in too early for the phase.
type ceremony struct {
	n      *Node
	topic  [32]byte
	leader transport.NodeID
	peers  []transport.NodeID // everybody in it but this node
	in     <-chan transport.Envelope
	stash  []transport.Envelope
	outbox []transport.Envelope
	opens  disputable
	view   threshold.SessionID // of the session that made opens: what everybody's OPENs come to
	// aborted, if set, is called with what ends a session before anybody is told.
	aborted func(error) error
}

// disputable is a presigning session after its end, as far as disputes need it.
type disputable interface {
	OpenOriginals() threshold.Message
	Step(threshold.Message) ([]threshold.Message, error)
}

// refusal is what a party says when it leaves a ceremony.
type refusal struct {
	Code    problem.Code `cbor:"1,keyasint"`
	Message string       `cbor:"2,keyasint"`
	Epoch   uint64       `cbor:"3,keyasint,omitempty"` // the highest epoch or pair-epoch of the party that refuses, where that is why
	Item    int          `cbor:"4,keyasint,omitempty"` // the number of the intent that is refused, from 1, where it is one
}

const refusalMax = 512 // bytes of Message

type refusedError struct {
	from transport.NodeID
	refusal
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("node %s refuses: %s", e.from, e.Message)
}

// enter opens the ceremony's topic. It fails if this node was in it before.
func (n *Node) enter(topic [32]byte, leader transport.NodeID, peers []transport.NodeID) (*ceremony, error) {
	in, ok := n.router.join(topic, len(peers))
	if !ok {
		return nil, errors.New("this ceremony was run before")
	}
	return &ceremony{n: n, topic: topic, leader: leader, peers: peers, in: in}, nil
}

// leave closes the topic; peers that missed our last messages still get them, and the OPENs we saw if they dispute.
func (c *ceremony) leave() {
	if c.opens != nil && c.leader != c.n.Node {
		c.outbox = append(c.outbox, transport.Envelope{To: []transport.NodeID{c.leader}, Kind: kindEngine, Topic: c.topic, Body: c.opens.OpenOriginals().Encode()})
	}
	c.n.router.leave(c.topic, c.outbox)
}

func (c *ceremony) send(kind uint8, to []transport.NodeID, body []byte) {
	if len(to) > 0 {
		c.n.send(transport.Envelope{To: to, Kind: kind, Topic: c.topic, Body: body})
	}
}

// refuse tells everybody in the ceremony why we leave it. What the peers learn is the code and a text without secrets.
func (c *ceremony) refuse(err error) {
	e := problem.As(err)
	msg := e.Message
	c.send(kindRefusal, c.peers, canon.MustMarshal(refusal{Code: e.Code, Message: msg[:min(len(msg), refusalMax)], Epoch: e.Epoch, Item: e.Item}))
}

// proofOf is Message.Proof: what is needed beside the message to check the sender's signature again.
type proofOf struct {
	To      []transport.NodeID `cbor:"1,keyasint"`
	Proof   []byte             `cbor:"2,keyasint"`
	Private bool               `cbor:"3,keyasint,omitempty"`
}

// authentic is Setup.Authentic: it checks the transport's signature that a message carries.
func (n *Node) authentic(m threshold.Message) bool {
	var p proofOf
	if canon.Unmarshal(m.Proof, &p) != nil {
		return false
	}
	id := n.nodeOf(m.From)
	member, err := n.Roster.Roster.Node(string(id))
	if err != nil {
		return false
	}
	return transport.VerifyProof(ed25519.PublicKey(member.Identity), transport.Envelope{
		From: id, To: p.To, Kind: kindEngine, Topic: m.Ceremony, Body: m.Encode(), Private: p.Private, Proof: p.Proof})
}

func (c *ceremony) message(env transport.Envelope) (threshold.Message, error) {
	m, err := threshold.DecodeMessage(env.Body)
	if err != nil {
		return m, err
	}
	m.Ceremony, m.From = c.topic, c.n.party(env.From)
	m.Proof = canon.MustMarshal(proofOf{env.To, env.Proof, env.Private})
	return m, nil
}

// tell sends the engine's messages and keeps them for peers that miss them.
func (c *ceremony) tell(ms []threshold.Message) {
	for _, m := range ms {
		to := c.peers
		if m.To != threshold.Everybody {
			to = []transport.NodeID{c.n.nodeOf(m.To)}
		}
		if len(to) == 0 {
			continue
		}
		e := transport.Envelope{To: to, Kind: kindEngine, Topic: c.topic, Body: m.Encode(), Private: m.To != threshold.Everybody}
		c.outbox = append(c.outbox, e)
		c.n.send(e)
	}
}

// silenceError names who did not answer in time.
type silenceError struct{ missing []threshold.PartyID }

func (e *silenceError) Error() string { return fmt.Sprintf("no answer from parties %v", e.missing) }

// drive runs one session of the engine to its end. It is the only loop that does.
func drive[R any](ctx context.Context, c *ceremony, s threshold.Ceremony[R]) (R, error) {
	var none R
	defer s.Erase()
	out, err := s.Start()
	c.tell(out)
	if err != nil {
		return none, err
	}
	stall := newStall(c)
	defer stall.stop()
	for {
		if r, ok := s.Result(); ok {
			return r, nil
		}
		env, err := c.next(ctx, stall, s.Missing)
		if err != nil {
			return none, err
		}
		switch env.Kind {
		case kindEngine:
		case kindRefusal:
			if err := c.heed(env); err != nil {
				return none, err
			}
			continue
		default:
			c.keep(env)
			continue
		}
		m, err := c.message(env)
		if err != nil {
			return none, &threshold.Abort{Kind: threshold.Proven, Check: "decode", Culprits: []threshold.PartyID{c.n.party(env.From)}, Err: err}
		}
		round := s.Round()
		out, err := s.Step(m)
		if err != nil && c.aborted != nil {
			if kept := c.aborted(err); kept != nil {
				return none, errors.Join(kept, err)
			}
		}
		c.tell(out)
		if err != nil {
			return none, err
		}
		if s.Round() != round {
			stall.progress()
		}
	}
}

// keep stashes what belongs to a later phase: the first of its kind of each peer, so that no peer can fill our memory.
func (c *ceremony) keep(env transport.Envelope) {
	if !slices.ContainsFunc(c.stash, func(e transport.Envelope) bool { return e.From == env.From && e.Kind == env.Kind }) {
		c.stash = append(c.stash, env)
	}
}

// heed judges a refusal: the leader's word, and any signer's, ends the ceremony for us.
func (c *ceremony) heed(env transport.Envelope) error {
	var r refusal
	if canon.Unmarshal(env.Body, &r) != nil || len(r.Message) > refusalMax {
		r = refusal{Code: problem.Internal, Message: "an unreadable refusal"}
	}
	return &refusedError{env.From, r}
}

// stall watches for parties that fall silent: it repeats our messages, with growing pauses, and gives up after Limits.Silence
// without progress.
type stall struct {
	c      *ceremony
	timer  *time.Timer
	pause  time.Duration
	waited time.Duration
}

const firstPause = 200 * time.Millisecond

func newStall(c *ceremony) *stall {
	return &stall{c: c, timer: time.NewTimer(firstPause), pause: firstPause}
}

func (s *stall) progress() {
	s.pause, s.waited = firstPause, 0
	s.timer.Reset(s.pause)
}

func (s *stall) stop() { s.timer.Stop() }

// next waits for an envelope of the ceremony. When nothing comes it repeats what we sent to the parties that are missing.
func (c *ceremony) next(ctx context.Context, s *stall, missing func() []threshold.PartyID) (transport.Envelope, error) {
	for {
		select {
		case env := <-c.in:
			if slices.Contains(c.peers, env.From) {
				return env, nil
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // our caller went away, or we stop: nobody was silent
				return transport.Envelope{}, ctx.Err()
			}
			return transport.Envelope{}, &silenceError{missing()}
		case <-s.timer.C:
			s.waited += s.pause
			if s.waited >= c.n.Limits.Silence {
				return transport.Envelope{}, &silenceError{missing()}
			}
			c.again(missing())
			s.pause *= 2
			s.timer.Reset(min(s.pause, c.n.Limits.Silence-s.waited))
		}
	}
}

// again repeats our messages to the parties we wait for: either ours or theirs was lost.
func (c *ceremony) again(missing []threshold.PartyID) {
	for _, e := range c.outbox {
		for _, p := range missing {
			if id := c.n.nodeOf(p); slices.Contains(e.To, id) {
				c.n.send(e)
				break
			}
		}
	}
}

// gather collects one envelope of the kind from every party of want, after the engine is done; judge takes each.
func (c *ceremony) gather(ctx context.Context, kind uint8, want []threshold.PartyID, judge func(from threshold.PartyID, env transport.Envelope) error) error {
	left := map[threshold.PartyID]bool{}
	for _, p := range want {
		left[p] = true
	}
	missing := func() []threshold.PartyID {
		var out []threshold.PartyID
		for p := range left {
			out = append(out, p)
		}
		return sortedParties(out)
	}
	take := func(env transport.Envelope) error {
		p := c.n.party(env.From)
		if env.Kind != kind || !left[p] {
			return nil
		}
		if err := judge(p, env); err != nil {
			return err
		}
		delete(left, p)
		return nil
	}
	for _, env := range c.stash {
		if err := take(env); err != nil {
			return err
		}
	}
	st := newStall(c)
	defer st.stop()
	for len(left) > 0 {
		env, err := c.next(ctx, st, missing)
		if err != nil {
			return err
		}
		if env.Kind == kindRefusal {
			if err := c.heed(env); err != nil {
				return err
			}
		}
		before := len(left)
		if err := take(env); err != nil {
			return err
		}
		if len(left) < before {
			st.progress()
		}
	}
	return nil
}

func sortedParties(ps []threshold.PartyID) []threshold.PartyID {
	out := slices.Clone(ps)
	slices.Sort(out)
	return out
}

// record turns what ended a ceremony into notes on peers and an entry of the audit log.
func (n *Node) record(ctx context.Context, op string, topic [32]byte, err error) {
	facts := map[string]string{"ceremony": fmt.Sprintf("%x", topic[:8]), "operation": op}
	var abort *threshold.Abort
	var silent *silenceError
	var refused *refusedError
	switch {
	case errors.As(err, &abort):
		facts["check"], facts["kind"] = abort.Check, abort.Kind.String()
		for _, p := range abort.Culprits {
			id := n.nodeOf(p)
			facts["culprit."+string(id)] = abort.Check
			n.peers.accuse(id, abort.Check)
			n.Logger.Error("peer misbehaved", "node", id, "check", abort.Check, "kind", abort.Kind, "operation", op)
		}
	case errors.As(err, &silent):
		for _, p := range silent.missing {
			id := n.nodeOf(p)
			facts["silent."+string(id)] = "true"
			n.peers.silent(id)
		}
	case errors.As(err, &refused):
		facts["refused_by"], facts["reason"] = string(refused.from), refused.Message
	default:
		facts["reason"] = problem.As(n.explain(err)).Message
	}
	n.counts.aborts.Add(1)
	if aerr := n.AuditLog.Append(context.WithoutCancel(ctx), audit.Event{Name: op + ".abort", Facts: facts}); aerr != nil {
		n.Logger.Error("audit", "error", aerr)
	}
}

// explain makes the caller's error of what ended a ceremony.
func (n *Node) explain(err error) error {
	var abort *threshold.Abort
	var silent *silenceError
	var refused *refusedError
	var known *problem.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &abort):
		e := &problem.Error{Code: problem.Blame, Message: "the ceremony was aborted", Next: "repeat the request; see `mpcd node list` for accused nodes", Err: err}
		if abort.Kind == threshold.Local {
			e.Code, e.Next = problem.Integrity, "run mpcd doctor on this node"
		}
		for _, p := range abort.Culprits {
			e.Culprits = append(e.Culprits, n.nodeOf(p))
		}
		return e
	case errors.As(err, &silent):
		return problem.New(problem.Quorum, "start the missing nodes or choose other signers, then repeat the request", "no answer in time from %v", n.nodesOf(silent.missing))
	case errors.As(err, &refused):
		code := refused.Code
		switch code {
		case problem.Invalid, problem.Denied, problem.NotFound, problem.Conflict, problem.Overload, problem.HSM, problem.Starting, problem.Integrity, problem.PairState, problem.Attempt, problem.Presig:
		default:
			code = problem.Quorum
		}
		return problem.New(code, "see that node's log", "node %s refuses: %s", refused.from, refused.Message)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem.New(problem.Timeout, "repeat the request with the same session_id", "the request did not end in time")
	}
	return err
}
