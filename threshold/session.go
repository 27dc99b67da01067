package threshold

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// SessionID is the hash of everything the parties must agree on and of a fresh nonce from each of them (PROTOCOLS 1.2): no
// coordinator can make one occur twice.
type SessionID [32]byte

// Setup is what a session is told at its start.
type Setup struct {
	// Ceremony names the ceremony for routing: the hash of the proposal. A party starts at most one session under it, ever:
	// two OPENs of one party in one ceremony are evidence against that party.
	Ceremony [32]byte
	// Context is everything the parties must agree on before the first secret-dependent message: operation, key, epoch,
	// digests. Its hash, with the committee's and the signers', is in every OPEN; a party with another view makes a Retry
	// abort, never a ban.
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
	return nil
}

// Each runs f(0) to f(n-1), in parallel if the setup says how.
func (s *Setup) Each(n int, f func(i int)) {
	if s.Parallel != nil {
		s.Parallel(n, f)
		return
	}
	for i := range n {
		f(i)
	}
}

const (
	openNonceLen = 32
	openFixedLen = openNonceLen + 32 // nonce ‖ hash of the context

	exhibitMax = MaxProof + 256 // the most that a message among originals takes beside its body, in bytes
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
// Duties of the caller: move every returned message to its recipients, signed, also those returned with an error; hand every
// received one to Step with From, Ceremony and Proof authenticated; go on resending the Outbox and stepping after the result
// until the peers have theirs; call Erase on every way out. Messages may be repeated, reordered and, if resent from Outbox,
// lost.
type Session[R any] struct {
	setup   Setup
	rand    io.Reader
	opening Opening[R]
	ctxHash [32]byte
	peers   []PartyID // the signers without self, ascending
	active  bool      // self is a signer

	id      SessionID
	round   int // current; 0 is OPEN
	cur     Round[R]
	in      [MaxRounds + 1]map[PartyID]*inbox
	own     [MaxRounds + 2]*Message // our broadcasts
	outbox  []Message
	echo    [MaxRounds + 1][32]byte // what we saw in each finished round
	spoken  [MaxRounds + 1]bool     // rounds that want broadcasts; others have none, whatever a peer sends
	shown   [MaxRounds + 1]bool     // rounds whose originals we have shown
	early   map[PartyID]Message     // originals of the current round, which we cannot compare yet
	heard   map[PartyID]bool        // whose accusation we have judged
	dispute bool                    // a peer's echo is not ours: no further round, originals decide
	started bool
	done    bool
	taken   bool
	result  R
	abort   *Abort
}

// NewSession prepares a session; Start begins it. The opening's secrets are the session's from here on.
func NewSession[R any](s Setup, rand io.Reader, o Opening[R]) (*Session[R], error) {
	if err := s.validate(); err != nil {
		if o.Erase != nil {
			o.Erase()
		}
		return nil, err
	}
	if n := len(s.Signers) * (openFixedLen + o.PayloadLen + exhibitMax); n > MaxOriginals {
		if o.Erase != nil {
			o.Erase()
		}
		return nil, fmt.Errorf("threshold: the OPENs of %d signers take %d bytes, a dispute can show %d: presign fewer at a time",
			len(s.Signers), n, MaxOriginals)
	}
	x := &Session[R]{setup: s, rand: rand, opening: o, ctxHash: contextHash(s), early: map[PartyID]Message{},
		heard: map[PartyID]bool{}, spoken: [MaxRounds + 1]bool{0: true}}
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
	if x.abort != nil {
		return nil, x.abort
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

// Result returns the result, once there is one. It is the caller's from then on.
func (x *Session[R]) Result() (R, bool) {
	x.taken = x.taken || x.done
	return x.result, x.done
}

// Outbox is everything this party has sent, for resending after a loss. The messages are not secret to their recipients.
func (x *Session[R]) Outbox() []Message { return x.outbox }

// Opens returns the OPEN messages received, with their proofs: the originals for a dispute about the session ID.
func (x *Session[R]) Opens() []Message { return x.broadcasts(0) }

// Missing names the parties whose messages the current round still lacks; in a dispute, those who have not shown the
// originals behind what they claim.
func (x *Session[R]) Missing() []PartyID {
	if x.done || x.abort != nil {
		return nil
	}
	var out []PartyID
	e := x.expect()
	for _, p := range x.peers {
		if x.dispute && x.claim(p) != nil || !x.dispute && !x.in[x.round][p].complete(e) {
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
	if x.done && !x.taken && x.opening.Discard != nil {
		x.opening.Discard(x.result)
		x.opening.Discard = nil
	}
	if x.done && !x.taken {
		var none R
		x.result, x.done = none, false
	}
	if !x.done && x.abort == nil {
		x.abort = &Abort{Kind: Local, Check: "erased", Round: x.round, Err: errors.New("session was erased")}
	}
}

// Step takes one message, in any order, and returns what is to be sent. Strangers' messages, other ceremonies' and
// duplicates are dropped. The error is an *Abort and final; messages that come with it are to be sent all the same.
func (x *Session[R]) Step(m Message) ([]Message, error) {
	if x.abort != nil {
		return nil, x.abort
	}
	if !x.started {
		return nil, errors.New("threshold: session not started")
	}
	if m.Ceremony != x.setup.Ceremony || m.Round > MaxRounds || !slices.Contains(x.peers, m.From) ||
		(m.To != Everybody && m.To != x.setup.Self) || len(m.Body) > m.Kind.maxBody() || len(m.Proof) > MaxProof {
		return nil, nil
	}
	out, err := x.step(m)
	if err != nil {
		out = append(out, x.accuse()...)
	}
	return out, err
}

func (x *Session[R]) step(m Message) ([]Message, error) {
	switch m.Kind {
	case Originals:
		return x.originals(m)
	case Accusation:
		return nil, x.accused(m)
	case Data:
		stored, err := x.store(m)
		if err != nil || !stored || int(m.Round) != x.round || x.dispute {
			return nil, err
		}
		return x.progress()
	}
	return nil, nil
}

// horizon is the highest round whose messages are kept: a peer cannot be more than one round ahead of us, because it needs
// our message for every round. Nobody waits for an observer.
func (x *Session[R]) horizon() int {
	if x.active {
		return min(x.round+1, MaxRounds)
	}
	return MaxRounds
}

// store buffers the message: one of each kind per party and round, in the current round and the next, so that a peer can
// fill no more than that. What it sent before is only compared.
func (x *Session[R]) store(m Message) (bool, error) {
	round := int(m.Round)
	if round > x.horizon() {
		return false, nil
	}
	in := x.in[round][m.From]
	if in == nil {
		in = &inbox{}
		x.in[round][m.From] = in
	}
	place := &in.broadcast
	if m.To != Everybody {
		place = &in.direct
	}
	if *place == nil {
		if round < x.round || x.done {
			return false, nil
		}
		*place = &m
		return true, nil
	}
	if x.setup.Authentic != nil && VerifyEquivocation(x.setup.Authentic, **place, m) {
		return false, x.fail(equivocated(**place, m))
	}
	return false, nil
}

func (x *Session[R]) fail(a *Abort) error {
	if x.abort == nil {
		x.abort = a
		x.Erase()
	}
	return x.abort
}

// blame is fail for an error of a round; from is whose message led to it, if one did. A Proven abort without evidence of its
// own gets every broadcast of the rounds before, ours included: the culprit's echo tells third parties that it saw the same, so that they
// can repeat the judgement. Of this round it gets what from said, or everything if the round as a whole is judged.
func (x *Session[R]) blame(err error, from PartyID) error {
	a := asAbort(err, x.round, from)
	if a.Kind == Proven && a.Evidence == nil {
		for r := 0; r <= x.round; r++ {
			if r == x.round && from != 0 {
				for _, m := range x.in[r][from].expected(x.expect()) {
					a.Evidence = append(a.Evidence, *m)
				}
				break
			}
			if x.own[r] != nil {
				a.Evidence = append(a.Evidence, *x.own[r])
			}
			a.Evidence = append(a.Evidence, x.broadcasts(r)...)
		}
	}
	return x.fail(a)
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
