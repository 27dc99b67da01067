package threshold

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
)

// SessionID is the hash of everything the parties must agree on and of a fresh nonce from each of them (PROTOCOLS 1.2): no
// coordinator can make one occur twice.
type SessionID [32]byte

// Setup is what a session is told at its start.
type Setup struct {
	// Ceremony names the ceremony for routing: the hash of the proposal.
	Ceremony [32]byte
	// Context is everything the parties must agree on before the first secret-dependent message: operation, key, epoch,
	// digests. Its hash is in every OPEN; a party with another context makes a Retry abort, never a ban.
	Context   []byte
	Committee Committee
	// Signers take part, ascending; nil means the whole committee.
	Signers []PartyID
	// Self is this party. If it is not among Signers, the session observes: it sends nothing and learns the public result.
	Self PartyID
	// Authentic judges Message.Proof. Without it no abort is Proven by equivocation.
	Authentic func(Message) bool
	// Parallel runs f(0) to f(n-1), perhaps at once; nil runs them in order.
	Parallel func(n int, f func(i int))
}

func (s *Setup) validate() error {
	if err := s.Committee.Validate(); err != nil {
		return err
	}
	if s.Signers == nil {
		s.Signers = slices.Clone(s.Committee.Parties)
	}
	if err := s.Committee.CheckQuorum(s.Signers); err != nil {
		return err
	}
	if s.Parallel == nil {
		s.Parallel = func(n int, f func(int)) {
			for i := range n {
				f(i)
			}
		}
	}
	return nil
}

const (
	openNonceLen = 32
	openFixedLen = openNonceLen + 32 // nonce ‖ hash of the context
)

// inbox is what one party sent in one round.
type inbox struct {
	broadcast, direct *Message
	payload           Payload
	checked           bool
}

// Session drives one party through a ceremony: it buffers and orders messages, drops duplicates, compares echoes and names
// who is to blame. It is a function of its inputs: no clock, no goroutine, no network. It is not safe for concurrent use.
//
// Duties of the caller: move every returned message to its recipients, signed; hand every received one to Step with From,
// Ceremony and Proof authenticated; call Erase on every way out. Messages may be repeated, reordered and, if resent from
// Outbox, lost.
type Session[R any] struct {
	setup   Setup
	rand    io.Reader
	opening Opening[R]
	ctxHash [32]byte
	peers   []PartyID // the signers without self, ascending
	active  bool      // self is a signer

	id       SessionID
	round    int // current; 0 is OPEN
	cur      Round[R]
	in       [MaxRounds + 2]map[PartyID]*inbox
	own      [MaxRounds + 2]*Message // our broadcasts
	outbox   []Message
	echo     [MaxRounds + 2][32]byte // what we saw in each finished round
	disputed int                     // round+1 whose originals we have shown; 0 if none
	dispute  bool                    // a peer's echo is not ours: no further round, originals decide
	started  bool
	done     bool
	result   R
	abort    *Abort
}

// NewSession prepares a session; Start begins it. The opening's secrets are the session's from here on.
func NewSession[R any](s Setup, rand io.Reader, o Opening[R]) (*Session[R], error) {
	if err := s.validate(); err != nil {
		if o.Erase != nil {
			o.Erase()
		}
		return nil, err
	}
	x := &Session[R]{setup: s, rand: rand, opening: o, ctxHash: canon.Hash("mpcd/v1/open/context", s.Context)}
	for _, p := range s.Signers {
		if p == s.Self {
			x.active = true
		} else {
			x.peers = append(x.peers, p)
		}
	}
	for r := range x.in {
		x.in[r] = make(map[PartyID]*inbox, len(x.peers))
	}
	if x.active && len(o.Payload) != o.PayloadLen {
		x.Erase()
		return nil, fmt.Errorf("threshold: our payload has %d bytes, the protocol wants %d", len(o.Payload), o.PayloadLen)
	}
	return x, nil
}

// Start returns our OPEN message, none for an observer.
func (x *Session[R]) Start() ([]Message, error) {
	if x.started {
		return nil, errors.New("threshold: session started twice")
	}
	x.started = true
	if !x.active {
		return nil, nil
	}
	body := make([]byte, openFixedLen, openFixedLen+len(x.opening.Payload))
	if _, err := io.ReadFull(x.rand, body[:openNonceLen]); err != nil {
		return nil, x.fail(&Abort{Kind: Local, Check: "random", Err: err})
	}
	copy(body[openNonceLen:], x.ctxHash[:])
	return x.emit([]Outgoing{{Everybody, append(body, x.opening.Payload...)}}), nil
}

// ID is the session ID, zero before every OPEN is in.
func (x *Session[R]) ID() SessionID { return x.id }

// Round is the current round; 0 is OPEN.
func (x *Session[R]) Round() int { return x.round }

// Result returns the result, once there is one.
func (x *Session[R]) Result() (R, bool) { return x.result, x.done }

// Outbox is everything this party has sent, for resending after a loss. The messages are not secret to their recipients.
func (x *Session[R]) Outbox() []Message { return x.outbox }

// Opens returns the OPEN messages received, with their proofs: the originals for a dispute about the session ID.
func (x *Session[R]) Opens() []Message { return x.broadcasts(0) }

// Missing names the parties whose messages the current round still lacks.
func (x *Session[R]) Missing() []PartyID {
	if x.done || x.abort != nil {
		return nil
	}
	var out []PartyID
	e := x.expect()
	for _, p := range x.peers {
		if x.dispute && x.claim(p) != nil || !x.in[x.round][p].complete(e) {
			out = append(out, p)
		}
	}
	return out
}

// Erase ends the session and wipes what it holds. It is idempotent; a result already taken stays its owner's.
func (x *Session[R]) Erase() {
	if x.cur != nil {
		x.cur.Erase()
		x.cur = nil
	}
	if x.opening.Erase != nil {
		x.opening.Erase()
		x.opening.Erase = nil
	}
	if !x.done && x.abort == nil {
		x.abort = &Abort{Kind: Local, Check: "erased", Round: x.round, Err: errors.New("session was erased")}
	}
}

func (x *Session[R]) fail(a *Abort) error {
	if x.abort == nil {
		x.abort = a
		x.Erase()
	}
	return x.abort
}

// blame is fail for an error of a round; from is whose message led to it, if one did. A Proven abort without evidence of its
// own gets what the culprits and the accuser have broadcast, from which the protocol's verifier can repeat the judgement.
func (x *Session[R]) blame(err error, from PartyID) error {
	a := asAbort(err, x.round, from)
	if a.Kind == Proven && a.Evidence == nil {
		for r := 1; r <= x.round; r++ {
			for _, m := range x.broadcasts(r) {
				if m.From == from || slices.Contains(a.Culprits, m.From) {
					a.Evidence = append(a.Evidence, m)
				}
			}
		}
	}
	return x.fail(a)
}

func (in *inbox) complete(e Expect) bool {
	return in != nil && (!e.Broadcast || in.broadcast != nil) && (!e.Direct || in.direct != nil)
}

func (x *Session[R]) expect() Expect {
	if x.round == 0 {
		return Expect{Broadcast: true, MaxBytes: openFixedLen + x.opening.PayloadLen}
	}
	return x.cur.Expect()
}

// Step takes one message, in any order, and returns what is to be sent. Strangers' messages, other ceremonies' and
// duplicates are dropped. The error is an *Abort and final.
func (x *Session[R]) Step(m Message) ([]Message, error) {
	if x.abort != nil {
		return nil, x.abort
	}
	if !x.started {
		return nil, errors.New("threshold: session not started")
	}
	if m.Ceremony != x.setup.Ceremony || m.Round > MaxRounds || !slices.Contains(x.peers, m.From) ||
		(m.To != Everybody && m.To != x.setup.Self) || len(m.Body) > MaxBody {
		return nil, nil
	}
	if m.Kind == Originals {
		return x.originals(m)
	}
	if x.done {
		return nil, nil
	}
	stored, err := x.store(m)
	if err != nil || !stored || int(m.Round) != x.round || x.dispute {
		return nil, err
	}
	return x.progress()
}

// store buffers the message; one of each kind per party and round, so a stranger can fill nothing.
func (x *Session[R]) store(m Message) (bool, error) {
	in := x.in[m.Round][m.From]
	if in == nil {
		in = &inbox{}
		x.in[m.Round][m.From] = in
	}
	place := &in.broadcast
	if m.To != Everybody {
		place = &in.direct
	}
	if *place == nil {
		*place = &m
		return true, nil
	}
	if x.setup.Authentic != nil && VerifyEquivocation(x.setup.Authentic, **place, m) {
		return false, x.fail(&Abort{Kind: Proven, Check: "equivocation", Round: int(m.Round), Culprits: []PartyID{m.From},
			Evidence: []Message{**place, m}, Err: errors.New("two messages in one place")})
	}
	return false, nil
}

// progress advances as many rounds as the buffered messages allow.
func (x *Session[R]) progress() ([]Message, error) {
	var out []Message
	for !x.done {
		e := x.expect()
		if err := x.checkArrived(e); err != nil {
			return out, err
		}
		if x.dispute {
			return append(out, x.showOriginals(x.round-1)...), nil
		}
		for _, p := range x.peers {
			if !x.in[x.round][p].complete(e) {
				return out, nil
			}
		}
		more, err := x.advance()
		out = append(out, more...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// checkArrived runs the round's Check on every complete inbox that has not had it yet.
func (x *Session[R]) checkArrived(e Expect) error {
	var todo []PartyID
	for _, p := range x.peers {
		in := x.in[x.round][p]
		if !in.complete(e) || in.checked {
			continue
		}
		in.checked = true
		if x.claim(p) != nil {
			x.dispute = true
			continue
		}
		todo = append(todo, p)
	}
	errs := make([]error, len(todo))
	x.setup.Parallel(len(todo), func(i int) {
		in := x.in[x.round][todo[i]]
		in.payload, errs[i] = x.check(e, todo[i], in)
	})
	for i, err := range errs {
		if err != nil {
			return x.blame(err, todo[i])
		}
	}
	return nil
}

func (in *inbox) messages() []Message {
	var ms []Message
	for _, m := range []*Message{in.broadcast, in.direct} {
		if m != nil {
			ms = append(ms, *m)
		}
	}
	return ms
}

// claim returns the message of p in the current round that shows p saw other broadcasts in the round before than we did, if
// there is one: the session ID stands for round 0, Echo for the others.
func (x *Session[R]) claim(p PartyID) *Message {
	in := x.in[x.round][p]
	if x.round == 0 || in == nil {
		return nil
	}
	for _, m := range []*Message{in.broadcast, in.direct} {
		if m != nil && (m.Session != x.id || (x.round > 1 && m.Echo != x.echo[x.round-1])) {
			return m
		}
	}
	return nil
}

func (x *Session[R]) check(e Expect, from PartyID, in *inbox) (Payload, error) {
	for _, m := range in.messages() {
		if len(m.Body) > e.MaxBytes {
			return nil, Faultf(Proven, "length", "%d bytes, at most %d", len(m.Body), e.MaxBytes)
		}
	}
	if x.round == 0 {
		return x.checkOpen(from, in.broadcast.Body)
	}
	var i Inbound
	if in.broadcast != nil {
		i.Broadcast = in.broadcast.Body
	}
	if in.direct != nil {
		i.Direct = in.direct.Body
	}
	return x.cur.Check(from, i)
}

func (x *Session[R]) checkOpen(from PartyID, body []byte) (Payload, error) {
	if len(body) < openFixedLen {
		return nil, Faultf(Proven, "open-length", "OPEN of %d bytes", len(body))
	}
	if [32]byte(body[openNonceLen:openFixedLen]) != x.ctxHash {
		return nil, &Abort{Kind: Retry, Check: "config-mismatch", Err: fmt.Errorf("party %d sees another operation, key, epoch or digest than we do", from)}
	}
	if n := len(body) - openFixedLen; n != x.opening.PayloadLen {
		return nil, Faultf(Proven, "open-length", "OPEN payload of %d bytes, want %d", n, x.opening.PayloadLen)
	}
	if x.opening.Check == nil {
		return nil, nil
	}
	return x.opening.Check(from, body[openFixedLen:])
}

// advance ends the current round, whose messages are all in and checked.
func (x *Session[R]) advance() ([]Message, error) {
	in := make([]Received, len(x.peers))
	for i, p := range x.peers {
		in[i] = Received{p, x.in[x.round][p].payload}
	}
	var step Step[R]
	var err error
	if x.round == 0 {
		x.id = x.sessionID()
		x.echo[0] = x.id
		step, err = x.opening.Begin(x.rand, x.id, in)
	} else {
		x.echo[x.round] = x.echoOf(x.round)
		step, err = x.cur.Advance(x.rand, in)
	}
	if err != nil {
		return nil, x.blame(err, 0)
	}
	if x.round == 0 {
		if x.opening.Erase != nil {
			x.opening.Erase()
			x.opening.Erase = nil
		}
	} else {
		x.cur.Erase()
	}
	x.cur = step.Next
	if step.Next == nil {
		x.result, x.done = step.Result, true
		return x.emitIn(x.round+1, step.Out), nil
	}
	x.round++
	if x.round > MaxRounds {
		panic("threshold: protocol has too many rounds")
	}
	return x.emit(step.Out), nil
}

func (x *Session[R]) emit(out []Outgoing) []Message { return x.emitIn(x.round, out) }

func (x *Session[R]) emitIn(round int, out []Outgoing) []Message {
	if !x.active {
		return nil
	}
	ms := make([]Message, 0, len(out))
	for _, o := range out {
		m := Message{Ceremony: x.setup.Ceremony, Round: uint8(round), Kind: Data, From: x.setup.Self, To: o.To, Body: o.Body}
		if round > 0 {
			m.Session = x.id
		}
		if round > 1 {
			m.Echo = x.echo[round-1]
		}
		if o.To == Everybody {
			x.own[round] = &m
		}
		ms = append(ms, m)
	}
	x.outbox = append(x.outbox, ms...)
	return ms
}

// sessionID is H("open"; ceremony, context, committee, signers, and of each party its nonce and payload).
func (x *Session[R]) sessionID() SessionID {
	h := canon.NewHasher("mpcd/v1/open", 4+2*len(x.setup.Signers))
	committee := x.setup.Committee.Digest()
	h.Field(x.setup.Ceremony[:])
	h.Field(x.ctxHash[:])
	h.Field(committee[:])
	h.Field(canon.MustMarshal(x.setup.Signers))
	for _, p := range x.setup.Signers {
		body := x.broadcastBody(0, p)
		h.Field(body[:openNonceLen])
		h.Field(body[openFixedLen:])
	}
	return h.Sum()
}

func (x *Session[R]) broadcastBody(round int, p PartyID) []byte {
	if p == x.setup.Self {
		return x.own[round].Body
	}
	if m := x.in[round][p]; m != nil && m.broadcast != nil {
		return m.broadcast.Body
	}
	return nil
}

// echoOf is E_r (PROTOCOLS 1.4): all broadcasts of the round in the order of the parties, and what they echoed.
func (x *Session[R]) echoOf(round int) [32]byte {
	bodies := make([][]byte, len(x.setup.Signers))
	for i, p := range x.setup.Signers {
		if p != x.setup.Self || x.own[round] != nil {
			bodies[i] = x.broadcastBody(round, p)
		}
	}
	return echoHash(x.id, round, x.echo[round-1], bodies)
}

func echoHash(id SessionID, round int, before [32]byte, bodies [][]byte) [32]byte {
	h := canon.NewHasher("mpcd/v1/echo", 3+len(bodies))
	h.Field(id[:])
	h.Field([]byte{byte(round)})
	h.Field(before[:])
	for _, b := range bodies {
		h.Field(b)
	}
	return h.Sum()
}
