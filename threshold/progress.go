package threshold

import (
	"errors"
	"fmt"
)

// The course of a session's rounds: check what has arrived, and go on when everything has.

func (in *inbox) complete(e Expect) bool {
	return in != nil && (!e.Broadcast || in.broadcast != nil) && (!e.Direct || in.direct != nil)
}

// expected lists the messages that the round wants of this party; whatever else it sent is nobody's business.
func (in *inbox) expected(e Expect) []*Message {
	var ms []*Message
	if e.Broadcast && in.broadcast != nil {
		ms = append(ms, in.broadcast)
	}
	if e.Direct && in.direct != nil {
		ms = append(ms, in.direct)
	}
	return ms
}

func (x *Session[R]) expect() Expect {
	if x.round == 0 {
		return Expect{Broadcast: true, MaxBytes: MaxBody}
	}
	return x.cur.Expect()
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
			if x.setup.Authentic == nil {
				return out, x.fail(&Abort{Kind: Retry, Check: "echo", Round: x.round,
					Err: fmt.Errorf("parties %v saw other broadcasts than we did, and there are no signatures to tell who lies", x.Missing())})
			}
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
		more, err = x.earlyOriginals()
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
	x.setup.Each(len(todo), func(i int) {
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

// claim returns the message of p in the current round that shows p saw other broadcasts in the round before than we did, if
// there is one: the session ID stands for round 0, Echo for the others.
func (x *Session[R]) claim(p PartyID) *Message {
	in := x.in[x.round][p]
	if x.round == 0 || in == nil {
		return nil
	}
	for _, m := range in.expected(x.expect()) {
		if m.Session != x.id || (x.round > 1 && m.Echo != x.echo[x.round-1]) {
			return m
		}
	}
	return nil
}

func (x *Session[R]) check(e Expect, from PartyID, in *inbox) (Payload, error) {
	if x.round == 0 {
		return x.checkOpen(from, in.broadcast.Body)
	}
	var i Inbound
	for _, m := range in.expected(e) {
		if len(m.Body) > e.MaxBytes {
			return nil, Faultf(Proven, "length", "%d bytes, at most %d", len(m.Body), e.MaxBytes)
		}
		if m.To == Everybody {
			i.Broadcast = m.Body
		} else {
			i.Direct = m.Body
		}
	}
	return x.cur.Check(from, i)
}

func (x *Session[R]) checkOpen(from PartyID, body []byte) (Payload, error) {
	if err := judgeOpen(x.ctxHash, x.opening.PayloadLen, body); err != nil {
		var a *Abort
		if errors.As(err, &a) {
			a.Err = fmt.Errorf("party %d: %w", from, a.Err)
		}
		return nil, err
	}
	if x.opening.Check == nil {
		return nil, nil
	}
	return x.opening.Check(from, body[openFixedLen:])
}

// judgeOpen compares views before it judges the length: a party that believes in another ceremony may rightly send another
// payload.
func judgeOpen(context [32]byte, payloadLen int, body []byte) error {
	if len(body) < openFixedLen {
		return Faultf(Proven, "open-length", "OPEN of %d bytes, at least %d", len(body), openFixedLen)
	}
	if [32]byte(body[openNonceLen:openFixedLen]) != context {
		return &Abort{Kind: Retry, Check: "config-mismatch",
			Err: errors.New("a peer sees another operation, key, epoch, digest, committee or signer set than we do, or speaks another draft " +
				"of the scheme: compare the peers' releases, proposals and key records")}
	}
	if n := len(body) - openFixedLen; n != payloadLen {
		return Faultf(Proven, "open-length", "OPEN payload of %d bytes, want %d", n, payloadLen)
	}
	return nil
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
		x.id = sessionID(x.setup, x.ctxHash, x.bodies(0))
		x.echo[0] = x.id
		step, err = x.opening.Begin(x.randomness(), x.id, in)
	} else {
		x.echo[x.round] = echoHash(x.id, x.round, x.echo[x.round-1], x.bodies(x.round))
		step, err = x.cur.Advance(x.randomness(), in)
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
	x.spoken[x.round] = x.cur.Expect().Broadcast
	return x.emit(step.Out), nil
}

// bodies are the broadcasts of a round in the order of the signers.
func (x *Session[R]) bodies(round int) [][]byte {
	out := make([][]byte, len(x.setup.Signers))
	for i, p := range x.setup.Signers {
		if p == x.setup.Self {
			if x.own[round] != nil {
				out[i] = x.own[round].Body
			}
		} else if m := x.broadcast(round, p); m != nil {
			out[i] = m.Body
		}
	}
	return out
}

// broadcast is what a peer said to everybody in a round that wants it, nil if it has not yet. A stray one in another round counts for
// nothing: it would tell parties apart that it reaches from those that it does not.
func (x *Session[R]) broadcast(round int, p PartyID) *Message {
	if in := x.in[round][p]; in != nil && x.spoken[round] {
		return in.broadcast
	}
	return nil
}

// broadcasts lists the peers' broadcasts of a round.
func (x *Session[R]) broadcasts(round int) []Message {
	var ms []Message
	for _, p := range x.peers {
		if m := x.broadcast(round, p); m != nil {
			ms = append(ms, *m)
		}
	}
	return ms
}
