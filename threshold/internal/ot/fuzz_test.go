// Goal: no message makes a step panic, and no changed message passes. Method: fuzz, from honest messages with bytes changed at a place.
package ot

import (
	"bytes"
	"errors"
	"testing"
)

// changed writes patch over a copy of honest, at any place; a patch of another length than fits makes another length.
func changed(honest []byte, at uint32, patch []byte) []byte {
	k := int(at % uint32(len(honest)+1))
	out := append(bytes.Clone(honest[:k]), patch...)
	if len(out) < len(honest) {
		out = append(out, honest[len(out):]...)
	}
	return out
}

// judge fails unless what passes is honest and what does not is refused for a reason.
func judge(t *testing.T, honest, msg []byte, err error) {
	t.Helper()
	switch same := bytes.Equal(honest, msg); {
	case same && err != nil:
		t.Errorf("the honest message is refused: %v", err)
	case !same && !errors.Is(err, ErrCheat) && !errors.Is(err, ErrMalformed):
		t.Errorf("a changed message passes, or without a reason: %v", err)
	}
}

func FuzzReply(f *testing.F) {
	f.Add(uint32(0), []byte{})
	f.Add(uint32(offU), []byte{1})
	f.Add(uint32(offClaim), bytes.Repeat([]byte{255}, 16))
	f.Add(uint32(Msg1Len), []byte{1})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		s, r := thePair()
		n := newSession(t, s, r, "fuzz")
		msg := changed(n.msg1, at, patch)
		_, err := n.reply(msg)
		judge(t, n.msg1, msg, err)
	})
}

func FuzzFinish(f *testing.F) {
	f.Add(uint32(0), []byte{})
	f.Add(uint32(offA), []byte{1})
	f.Add(uint32(offA), bytes.Repeat([]byte{255}, 32))
	f.Add(uint32(offEta), []byte{1})
	f.Add(uint32(Msg2Len), []byte{1})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		s, r := thePair()
		n := newSession(t, s, r, "fuzz")
		msg := changed(n.msg2, at, patch)
		_, err := n.finish(msg)
		judge(t, n.msg2, msg, err)
	})
}

// FuzzSetup feeds both messages of the setup. Only the border and the absence of panics are judged: what A does not use may change.
func FuzzSetup(f *testing.F) {
	f.Add(uint32(0), []byte{})
	f.Add(uint32(1), []byte{1})
	f.Add(uint32(baseOTs*2*point), []byte{1})
	f.Add(uint32(MsgSetup2Len), []byte{1})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		h := theHandshake()
		if _, _, err := RespondSetup(sidOf("pair"), changed(h.msg1, at, patch), newSeeded("")); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("first message: %v", err)
		}
		if _, err := h.again().Finish(changed(h.msg2, at, patch)); err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrCheat) {
			t.Errorf("answer: %v", err)
		}
	})
}

// FuzzParseState reads anything as a state; what is taken encodes to itself.
func FuzzParseState(f *testing.F) {
	s, r := thePair()
	f.Add(bytes.Clone(s.state.Bytes()))
	f.Add(bytes.Clone(r.state.Bytes()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSender(b); err == nil {
			if !s.state.Equal(b) {
				t.Error("a second encoding of a sender")
			}
			s.Wipe()
		}
		if r, err := ParseReceiver(b); err == nil {
			if !r.state.Equal(b) {
				t.Error("a second encoding of a receiver")
			}
			r.Wipe()
		}
	})
}
