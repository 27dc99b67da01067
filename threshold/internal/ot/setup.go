package ot

import (
	"fmt"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// Setup is A's side of a pair setup in progress (PROTOCOLS A.3.1). It ends with Finish or Wipe.
type Setup struct {
	sid   [32]byte
	msg1  []byte
	o     *oblivious
	spent bool
}

// NewSetup begins a pair setup as A, who will be Alice, the sender of the vector OLE. sid is the session id of this pair, this direction
// and this pair-epoch, used once. msg1, MsgSetup1Len bytes, goes to B.
func NewSetup(sid [32]byte, rand io.Reader) (setup *Setup, msg1 []byte, err error) {
	o, msg1, err := newOblivious(&sid, rand)
	if err != nil {
		return nil, nil, err
	}
	return &Setup{sid: sid, msg1: append([]byte(nil), msg1...), o: o}, msg1, nil
}

// RespondSetup answers A's msg1 as B, who will be Bob, and returns his state and the MsgSetup2Len bytes that go to A. An error wraps
// ErrMalformed if msg1 is at fault.
func RespondSetup(sid [32]byte, msg1 []byte, rand io.Reader) (receiver *Receiver, msg2 []byte, err error) {
	if len(msg1) != MsgSetup1Len {
		return nil, nil, malformed("setup message of %d bytes, want %d", len(msg1), MsgSetup1Len)
	}
	msg2 = make([]byte, MsgSetup2Len)
	keys, err := respondOblivious(&sid, msg1, msg2, rand)
	if err != nil {
		return nil, nil, err
	}
	state := secret.New(receiverLen)
	for j := range trees {
		t := growTree(&sid, j, keys, treeOf(msg2, j))
		putReceiverTree(state.Bytes(), j, &t)
		clear(t[:])
	}
	*keys = [2]baseKeys{}
	id := setupID(&sid, msg1, msg2)
	putHeader(state.Bytes(), roleReceiver, &id)
	return newReceiver(state), msg2, nil
}

// Finish takes B's msg2 and returns A's state. It checks the punctured PRF (C6): an error that wraps ErrCheat bans B, one that wraps
// ErrMalformed names what he sent. Setup is spent in every case.
func (s *Setup) Finish(msg2 []byte) (*Sender, error) {
	if s.spent {
		return nil, ErrSpent
	}
	defer s.Wipe()
	if len(msg2) != MsgSetup2Len {
		return nil, malformed("setup answer of %d bytes, want %d", len(msg2), MsgSetup2Len)
	}
	keys, err := s.o.finish(&s.sid, s.msg1, msg2)
	if err != nil {
		return nil, err
	}
	defer clear(keys[:])

	state := secret.New(senderLen)
	good := 1
	for j := range trees {
		known, delta, ok := punctureTree(&s.sid, j, &s.o.choice, keys, treeOf(msg2, j))
		good &= ok
		putSenderTree(state.Bytes(), j, &known, delta)
		clear(known[:])
	}
	if good != 1 {
		state.Wipe()
		return nil, cheat("C6: the proof of the punctured PRF does not hold")
	}
	id := setupID(&s.sid, s.msg1, msg2)
	putHeader(state.Bytes(), roleSender, &id)
	return newSender(state), nil
}

// Wipe destroys the setup. It is idempotent.
func (s *Setup) Wipe() {
	if s == nil || s.spent {
		return
	}
	s.spent = true
	s.o.wipe()
}

// Format redacts under every verb.
func (s Setup) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// treeOf returns the corrections and the proof of tree j in B's message.
func treeOf(msg2 []byte, j int) []byte {
	at := baseOTs*2*point + j*treeLen
	return msg2[at : at+treeLen : at+treeLen]
}

// setupID names the outcome of a setup by all its messages.
func setupID(sid *[32]byte, msg1, msg2 []byte) [32]byte {
	return canon.Hash(tagSetup, sid[:], msg1, msg2)
}
