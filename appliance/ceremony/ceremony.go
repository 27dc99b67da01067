package ceremony

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Ceremony is this node's side of one run among parties: its topic, its peers, and what came in too early for the phase. One goroutine
// has it.
type Ceremony struct {
	Topic       [32]byte
	Coordinator transport.NodeID
	Peers       []transport.NodeID  // everybody in it but this node
	View        threshold.SessionID // of the session that Opened got: what everybody's OPENs come to
	// Only, if set, says that no others can take the parties' place, so that one that lives and is late is waited for longer.
	Only bool
	// Aborted, if set, is called with what ends a session before anybody is told. Its error is joined to the session's.
	Aborted func(error) error

	router *Router
	pace   Pace
	around *Ceremony // that this one is inside of; nil for most
	box    *inbox
	kept   []transport.Envelope // of box, while a ceremony inside of this one ran; they wait as those in it
	stash  []transport.Envelope // for a later phase
	outbox []transport.Envelope
	opens  disputable
}

// disputable is a presigning session after its end, as far as disputes need it.
type disputable interface {
	OpenOriginals() (threshold.Message, bool)
	Step(threshold.Message) ([]threshold.Message, error)
	ID() threshold.SessionID
}

// ErrRanBefore says that this node was in the ceremony before.
var ErrRanBefore = errors.New("this ceremony was run before")

// Enter opens a ceremony's topic. It fails with ErrRanBefore if this node was in it before.
func (r *Router) Enter(topic [32]byte, coordinator transport.NodeID, peers []transport.NodeID) (*Ceremony, error) {
	box, ok := r.join(topic, coordinator, peers)
	if !ok {
		return nil, ErrRanBefore
	}
	return &Ceremony{Topic: topic, Coordinator: coordinator, Peers: peers, router: r, box: box, pace: r.hall.Pace.of(len(peers)+1, 1)}, nil
}

// Inside opens another ceremony of the same nodes, whose end is not this one's. It hears who refuses this one, which goes on when the
// other has been left.
func (c *Ceremony) Inside(topic [32]byte) (*Ceremony, error) {
	inner, err := c.router.Enter(topic, c.Coordinator, c.Peers)
	if err == nil {
		inner.around, inner.Only = c, c.Only
	}
	return inner, err
}

// Heavy says that the parties compute for long between two messages: oblivious transfer.
func (c *Ceremony) Heavy() { c.pace = c.router.hall.Pace.of(len(c.Peers)+1, 2) }

// Leave closes the topic; peers that missed our last messages still get them, and the OPENs we saw if they dispute.
func (c *Ceremony) Leave() {
	if c.opens != nil && c.Coordinator != c.router.hall.Self {
		if m, ok := c.opens.OpenOriginals(); ok {
			c.outbox = append(c.outbox, transport.Envelope{To: []transport.NodeID{c.Coordinator}, Kind: KindEngine, Topic: c.Topic,
				Body: m.Encode()})
		}
	}
	c.router.leave(c.Topic, c.outbox, slices.Concat(c.kept, c.stash)...)
}

// Opened keeps a session of presigning that has ended, for disputes about its OPENs.
func (c *Ceremony) Opened(s disputable) { c.opens, c.View = s, s.ID() }

// Tell sends an envelope to all peers and keeps it for those that miss it.
func (c *Ceremony) Tell(kind uint8, body []byte) {
	c.post(transport.Envelope{To: c.Peers, Kind: kind, Body: body})
}

// Answer is Tell to the coordinator alone; private seals it to it.
func (c *Ceremony) Answer(kind uint8, body []byte, private bool) {
	c.post(transport.Envelope{To: []transport.NodeID{c.Coordinator}, Kind: kind, Body: body, Private: private})
}

func (c *Ceremony) post(e transport.Envelope) {
	if len(e.To) == 0 {
		return
	}
	e.Topic = c.Topic
	c.outbox = append(c.outbox, e)
	c.router.hall.Send(e)
}

// Refuse tells everybody in the ceremony why we leave it. What the peers learn is the code and a text without secrets.
func (c *Ceremony) Refuse(err error) { c.leaving(c.Peers, err) }

// Decline is Refuse to the coordinator alone, where it has us refuse so much that the others would drown in it.
func (c *Ceremony) Decline(err error) { c.leaving([]transport.NodeID{c.Coordinator}, err) }

func (c *Ceremony) leaving(to []transport.NodeID, err error) {
	if len(to) == 0 {
		return
	}
	e := problem.As(err)
	c.router.hall.Send(transport.Envelope{To: to, Kind: KindRefusal, Topic: c.Topic, Body: canon.MustMarshal(
		Refusal{Code: e.Code, Message: e.Message[:min(len(e.Message), refusalMax)], Epoch: e.Epoch, Item: e.Item,
			Holder: e.Holder, Alike: e.Alike, Also: e.Also})})
}

func (c *Ceremony) message(env transport.Envelope) (threshold.Message, error) {
	m, err := threshold.DecodeMessage(env.Body)
	if err != nil {
		return m, err
	}
	m.Ceremony, m.From = c.Topic, c.router.hall.Party(env.From)
	m.Proof = canon.MustMarshal(proofOf{env.To, env.Proof, env.Private})
	return m, nil
}

// tell sends the engine's messages and keeps them for peers that miss them.
func (c *Ceremony) tell(ms []threshold.Message) {
	for _, m := range ms {
		to := c.Peers
		if m.To != threshold.Everybody {
			to = []transport.NodeID{c.router.hall.Node(m.To)}
		}
		c.post(transport.Envelope{To: to, Kind: KindEngine, Body: m.Encode(), Private: m.To != threshold.Everybody})
	}
}

// Drive runs one session of the engine to its end. It is the only loop that does. It fails with a *threshold.Abort, *SilenceError,
// *RefusedError, or what Aborted said.
func Drive[R any](ctx context.Context, c *Ceremony, s *threshold.Session[R]) (R, error) {
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
		case KindEngine:
		case KindRefusal:
			return none, refusalOf(env)
		default:
			c.keep(env)
			continue
		}
		m, err := c.message(env)
		if err != nil {
			return none, &threshold.Abort{Kind: threshold.Ban, Check: "decode",
				Culprits: []threshold.PartyID{c.router.hall.Party(env.From)}, Err: err}
		}
		round, missing := s.Round(), len(s.Missing())
		out, err := s.Step(m)
		if err != nil && c.Aborted != nil {
			if kept := c.Aborted(err); kept != nil {
				return none, errors.Join(kept, err)
			}
		}
		c.tell(out)
		if err != nil {
			return none, err
		}
		if s.Round() != round || len(s.Missing()) < missing {
			stall.progress(env.From)
		}
	}
}

// keep stashes what belongs to a later phase: the first of its kind of each peer, so that no peer can fill our memory.
func (c *Ceremony) keep(env transport.Envelope) {
	again := slices.ContainsFunc(c.stash, func(e transport.Envelope) bool { return e.From == env.From && e.Kind == env.Kind })
	if !again && c.router.hold(env) {
		c.stash = append(c.stash, env)
	}
}

// stall watches for parties that fall silent: it repeats our messages, with growing pauses, and gives up after Pace.Silence without
// progress, which is any message that was missing. Who lives, and cannot be done without, is waited for busyFor times as long.
type stall struct {
	c      *Ceremony
	timer  *time.Timer
	pause  time.Duration
	waited time.Duration
	since  time.Time // of the last progress
}

func newStall(c *Ceremony) *stall {
	first := c.pace.Repeat
	return &stall{c: c, timer: time.NewTimer(first), pause: first, since: c.router.hall.Clock()}
}

// progress starts the wait anew for a peer's message that was missing. One that took half as long as silence does is told: a peer that
// answers a little before each deadline would have every ceremony wait, and is not silent in any.
func (s *stall) progress(from transport.NodeID) {
	now := s.c.router.hall.Clock()
	if slow := s.c.router.hall.Slow; slow != nil && now.Sub(s.since) >= s.c.pace.Silence/2 {
		slow(from)
	}
	s.since = now
	s.pause, s.waited = s.c.pace.Repeat, 0
	s.timer.Reset(s.pause)
}

// over tells, after another pause without progress, whether that is enough; if it is not, the next pause has begun.
func (s *stall) over(missing []threshold.PartyID) bool {
	s.waited += s.pause
	enough := s.c.pace.Silence
	if s.c.Only && s.waited >= enough && len(s.c.silence(missing).Absent) == 0 {
		enough *= busyFor
	}
	if s.waited >= enough {
		return true
	}
	s.pause = min(2*s.pause, s.c.pace.Silence, enough-s.waited)
	s.timer.Reset(s.pause)
	return false
}

// silence says who is missing, and who of them is gone: was not heard while it was waited for, though nodes beat every second.
func (c *Ceremony) silence(missing []threshold.PartyID) *SilenceError {
	e := &SilenceError{Missing: missing}
	since := c.router.hall.Clock().Add(-max(2*beatEvery, min(c.pace.Silence, liveFor)))
	for _, p := range missing {
		if !c.router.hall.Heard(c.router.hall.Node(p)).After(since) {
			e.Absent = append(e.Absent, p)
		}
	}
	return e
}

func (s *stall) stop() { s.timer.Stop() }

// next waits for an envelope of the ceremony. When nothing comes it repeats what we sent to the parties that are missing.
func (c *Ceremony) next(ctx context.Context, s *stall, missing func() []threshold.PartyID) (transport.Envelope, error) {
	var around <-chan transport.Envelope
	if c.around != nil {
		around = c.around.box.in
	}
	for {
		if len(c.kept) > 0 {
			env := c.kept[0]
			c.kept = slices.Delete(c.kept, 0, 1)
			c.router.taken(c.box, env)
			return env, nil
		}
		select {
		case env := <-around:
			if env.Kind == KindRefusal {
				c.router.taken(c.around.box, env)
				return env, nil
			}
			c.around.kept = append(c.around.kept, env)
		case env := <-c.box.in:
			c.router.taken(c.box, env)
			return env, nil
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // our caller went away, or we stop: nobody was silent
				return transport.Envelope{}, ctx.Err()
			}
			return transport.Envelope{}, c.silence(missing())
		case <-s.timer.C:
			late := missing()
			if s.over(late) {
				return transport.Envelope{}, c.silence(late)
			}
			c.again(late)
		}
	}
}

// again repeats our messages to the parties we wait for: either ours or theirs was lost.
func (c *Ceremony) again(missing []threshold.PartyID) {
	for _, e := range c.outbox {
		for _, p := range missing {
			if id := c.router.hall.Node(p); slices.Contains(e.To, id) {
				c.router.hall.Send(e)
				break
			}
		}
	}
}

// Gather collects one envelope of the kind from every party of want, after the engine is done; judge takes each.
func (c *Ceremony) Gather(ctx context.Context, kind uint8, want []threshold.PartyID,
	judge func(from threshold.PartyID, env transport.Envelope) error) error {
	left := map[threshold.PartyID]bool{}
	for _, p := range want {
		left[p] = true
	}
	missing := func() []threshold.PartyID {
		var out []threshold.PartyID
		for p := range left {
			out = append(out, p)
		}
		return SortedParties(out)
	}
	take := func(env transport.Envelope) error {
		p := c.router.hall.Party(env.From)
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
		if env.Kind == KindRefusal {
			return refusalOf(env)
		}
		before := len(left)
		if err := c.dispute(env); err != nil {
			return err
		}
		if err := take(env); err != nil {
			return err
		}
		if len(left) < before {
			st.progress(env.From)
		}
	}
	return nil
}

// dispute hands what the engine says after the end of a presigning session to it: a peer may show, or pass on, what convicts a third.
func (c *Ceremony) dispute(env transport.Envelope) error {
	if env.Kind != KindEngine || c.opens == nil {
		return nil
	}
	m, err := c.message(env)
	if err != nil {
		return nil // our session has ended well: what nobody can read is no reason to end it otherwise
	}
	out, err := c.opens.Step(m)
	c.tell(out)
	return err
}

// Dispute finds out who sent different OPENs to us and to a signer whose session is not ours: both show the originals they
// received. The error names who equivocated; nil means that the signer showed what we have, so it lies.
func (c *Ceremony) Dispute(ctx context.Context, with threshold.PartyID) error {
	if ours, ok := c.opens.OpenOriginals(); ok {
		c.tell([]threshold.Message{ours})
	}
	st := newStall(c)
	defer st.stop()
	for {
		env, err := c.next(ctx, st, func() []threshold.PartyID { return []threshold.PartyID{with} })
		if err != nil {
			return err
		}
		if env.Kind != KindEngine {
			c.keep(env)
			continue
		}
		if err := c.dispute(env); err != nil {
			return err
		}
		if m, err := c.message(env); err == nil && m.Kind == threshold.Originals && m.From == with {
			return nil
		}
	}
}
