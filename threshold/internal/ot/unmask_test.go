package ot

import (
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// unmasked is what a sender's state makes of the first transfer of a recorded vector OLE, whether its extension holds under it or not:
// Alice's inputs, if it is her state of that session.
func unmasked(s *Sender, sid [32]byte, msg1, msg2 []byte) (out [ell]secp256k1.Scalar) {
	session := sessionKey(&sid, msg1[:saltLen])
	var w scratch
	s.expand(&session, msg1[offU:offClaim], &w.matrix)
	w.column.setRows(&w.matrix)
	hash := newRandomiser(&session, msg2[:saltLen])
	q := w.column[0]
	for i := range out {
		var zero, one secp256k1.Scalar
		hash.scalar(&zero, 0, i, q)
		hash.scalar(&one, 0, i, element{q.lo ^ s.delta.lo, q.hi ^ s.delta.hi})
		_, _ = out[i].SetBytes(msg2[offA+i*scalar:][:scalar])
		out[i].Sub(&out[i], &zero)
		out[i].Add(&out[i], &one)
	}
	return out
}

// Goal: a state unmasks the sessions that were run with it and no others, so that a setup anew, as of a refresh, leaves nothing to whoever
// takes either state, also to one who does not ask for C7. Method: a session each with two pairs of states, unmasked with either, and with
// one that has the right Δ and other leaves.
func TestStateUnmasksItsOwn(t *testing.T) {
	type dealt struct {
		sender *Sender
		sid    [32]byte
		a      *[ell]secp256k1.Scalar
		one    []byte
		two    []byte
	}
	var pairs []dealt
	for i, name := range []string{"before", "after"} {
		s, r := pairWith(element{lo: uint64(i) + 1, hi: 77}, newSeeded(name))
		p := dealt{sender: s, sid: sidOf(name), a: inputs(name)}
		var err error
		if _, _, p.one, err = r.Start(p.sid, newSeeded("bob "+name)); err != nil {
			t.Fatal(err)
		}
		if _, p.two, err = s.Reply(p.sid, p.one, p.a, newSeeded("alice "+name)); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	for i, p := range pairs {
		for j, by := range pairs {
			if got := unmasked(by.sender, p.sid, p.one, p.two); (got == *p.a) != (i == j) {
				t.Errorf("session %d with state %d: unmasked %v", i, j, got == *p.a)
			}
		}
	}
	half, _ := pairWith(pairs[0].sender.delta, newSeeded("after"))
	if unmasked(half, pairs[0].sid, pairs[0].one, pairs[0].two) == *pairs[0].a {
		t.Error("Δ alone unmasks")
	}
}
