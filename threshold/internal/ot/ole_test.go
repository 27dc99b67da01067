// Goal: the vector OLE multiplies, and nothing but an honest run does. Method: honest runs on random inputs; then every message field
// changed, cut, spliced and replayed.
package ot

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

func TestVectorOLE(t *testing.T) {
	s, r := thePair()
	rand := newSeeded("ole")
	seen := map[[32]byte]bool{}
	for range 1000 {
		var sid [32]byte
		rand.Read(sid[:])
		var a [ell]secp256k1.Scalar
		for i := range a {
			if err := randomScalar(&a[i], rand); err != nil {
				t.Fatal(err)
			}
		}
		x, b, msg1, err := r.Start(sid, rand)
		if err != nil {
			t.Fatal(err)
		}
		c, msg2, err := s.Reply(sid, msg1, &a, rand)
		if err != nil {
			t.Fatal(err)
		}
		d, err := x.Finish(msg2)
		if err != nil {
			t.Fatal(err)
		}
		if !isShared(&a, b, c, d) {
			t.Fatal("c + d is not a·b")
		}
		if len(msg1) != Msg1Len || len(msg2) != Msg2Len {
			t.Fatalf("messages of %d and %d bytes", len(msg1), len(msg2))
		}
		for _, v := range []*secp256k1.Scalar{b, &c[0], &c[1], &d[0], &d[1]} {
			var k [32]byte
			v.PutBytes(&k)
			if seen[k] {
				t.Fatal("a value comes twice")
			}
			seen[k] = true
		}
	}
}

// TestEdgeInputs multiplies the scalars at the edge.
func TestEdgeInputs(t *testing.T) {
	s, r := thePair()
	sid, rand := sidOf("edge"), newSeeded("edge")
	minusOne := *new(secp256k1.Scalar).Negate(new(secp256k1.Scalar).SetOne())
	for _, a := range [][ell]secp256k1.Scalar{{}, {minusOne, minusOne}, {*new(secp256k1.Scalar).SetOne(), {}}} {
		x, b, msg1, _ := r.Start(sid, rand)
		c, msg2, err := s.Reply(sid, msg1, &a, rand)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := x.Finish(msg2); err != nil || !isShared(&a, b, c, d) {
			t.Errorf("c + d is not a·b: %v", err)
		}
	}
}

// TestParallel runs sessions of one pair at once; with -race it shows that they share nothing but the wiped spare.
func TestParallel(t *testing.T) {
	s, r := pairWith(element{1, 2}, newSeeded("parallel"))
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		group.Go(func() {
			sid, rand, a := sidOf(name), newSeeded(name), inputs(name)
			for range 8 {
				x, b, msg1, err1 := r.Start(sid, rand)
				c, msg2, err2 := s.Reply(sid, msg1, a, rand)
				d, err3 := x.Finish(msg2)
				if err := errors.Join(err1, err2, err3); err != nil || !isShared(a, b, c, d) {
					t.Errorf("session %s: %v", name, err)
				}
			}
		})
	}
	group.Wait()
}

// session is an honest run up to Alice's answer, whose last step can be repeated.
type session struct {
	s          *Sender
	sid        [32]byte
	a          *[ell]secp256k1.Scalar
	b          *secp256k1.Scalar
	x          *Receiving
	c          [ell]secp256k1.Scalar
	msg1, msg2 []byte
}

func newSession(t *testing.T, s *Sender, r *Receiver, name string) *session {
	t.Helper()
	n := &session{s: s, sid: sidOf(name), a: inputs(name)}
	var err error
	if n.x, n.b, n.msg1, err = r.Start(n.sid, newSeeded(name+" Bob")); err != nil {
		t.Fatal(err)
	}
	if n.c, n.msg2, err = s.Reply(n.sid, n.msg1, n.a, newSeeded(name+" Alice")); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *session) reply(msg1 []byte) ([ell]secp256k1.Scalar, error) {
	c, msg2, err := n.s.Reply(n.sid, msg1, n.a, newSeeded("reply"))
	if err != nil && (msg2 != nil || c != [ell]secp256k1.Scalar{}) {
		panic("output besides an error")
	}
	return c, err
}

func (n *session) finish(msg2 []byte) ([ell]secp256k1.Scalar, error) {
	x := *n.x
	d, err := x.Finish(msg2)
	if err != nil && d != [ell]secp256k1.Scalar{} {
		panic("output besides an error")
	}
	return d, err
}

// TestLengths is C3: no other length than the one is read.
func TestLengths(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "lengths")
	for _, l := range []int{0, 1, saltLen, Msg1Len - 1, Msg1Len + 1, Msg2Len, 1 << 20} {
		_, err := n.reply(resized(n.msg1, l))
		wantError(t, "reply", err, ErrMalformed)
	}
	for _, l := range []int{0, 1, saltLen, Msg1Len, Msg2Len - 1, Msg2Len + 1, Msg2Len + scalar, 1 << 20} {
		_, err := n.finish(resized(n.msg2, l))
		wantError(t, "finish", err, ErrMalformed)
	}
	_, err := n.reply(nil)
	wantError(t, "reply to nil", err, ErrMalformed)
}

func resized(b []byte, l int) []byte {
	out := make([]byte, l)
	copy(out, b)
	return out
}

// TestScalars is C4: n, n+1 and 2²⁵⁶-1 in the place of a scalar.
func TestScalars(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "scalars")
	order := new(secp256k1.Scalar).Negate(new(secp256k1.Scalar).SetOne()).Bytes() // n - 1 ends in 40
	order[31]++
	next := bytes.Clone(order)
	next[31]++
	places := []int{offEta}
	for k := 0; k < xi*width; k += 13 {
		places = append(places, offA+k*scalar)
	}
	places = append(places, offA+(xi*width-1)*scalar)
	for _, at := range places {
		for _, v := range [][]byte{order, next, bytes.Repeat([]byte{255}, 32)} {
			bad := bytes.Clone(n.msg2)
			copy(bad[at:], v)
			_, err := n.finish(bad)
			wantError(t, "scalar", err, ErrMalformed)
		}
	}
}

// TestExtensionTampering is C7, field by field of Bob's message. A change of x~ goes unseen only by Δ = 0, which has chance 2⁻¹²⁸.
func TestExtensionTampering(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "extension")
	if c, err := n.reply(n.msg1); err != nil || c == n.c {
		t.Fatalf("the honest message: %v", err) // other randomness, other shares
	}
	for what, bit := range map[string]int{
		"salt": 8*0 + 5, "salt's end": 8*offU - 1,
		"x~": 8 * offClaim, "x~'s end": 8*(offClaim+16) - 1,
	} {
		_, err := n.reply(flipped(n.msg1, bit))
		wantError(t, what, err, ErrCheat)
	}
	for i := range rows {
		_, err := n.reply(flipped(n.msg1, 8*(offClaim+16*(i+1))+i))
		wantError(t, "t~", err, ErrCheat)
	}
}

// TestCheatingAlice is C8, field by field of Alice's message.
func TestCheatingAlice(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "alice")
	if d, err := n.finish(n.msg2); err != nil || !isShared(n.a, n.b, n.c, d) {
		t.Fatalf("the honest message: %v", err)
	}
	for what, at := range map[string]int{"salt": 0, "eta": offEta, "hash of mu": offMu, "hash of mu, end": Msg2Len - 1} {
		_, err := n.finish(flipped(n.msg2, 8*at))
		wantError(t, what, err, ErrCheat)
	}
	for k := 0; k < xi*width; k += 11 {
		_, err := n.finish(flipped(n.msg2, 8*(offA+k*scalar+31))) // the lowest bit of the scalar: it stays canonical
		wantError(t, "a~", err, ErrCheat)
	}
}

// TestWrongSession splices messages between sessions, directions and pairs.
func TestWrongSession(t *testing.T) {
	s, r := thePair()
	n, other := newSession(t, s, r, "this"), newSession(t, s, r, "other")
	_, err := n.reply(other.msg1)
	wantError(t, "first message of another sid", err, ErrCheat)
	_, err = n.finish(other.msg2)
	wantError(t, "second message of another sid", err, ErrCheat)

	_, _, err = s.Reply(sidOf("the other direction"), n.msg1, n.a, newSeeded(""))
	wantError(t, "swapped direction", err, ErrCheat)

	s2, r2 := pairWith(element{3, 4}, newSeeded("another pair"))
	m := newSession(t, s2, r2, "this")
	_, err = n.reply(m.msg1)
	wantError(t, "first message of another pair", err, ErrCheat)
	_, err = n.finish(m.msg2)
	wantError(t, "second message of another pair", err, ErrCheat)
}

// TestReplay answers one first message twice: Alice's salt keeps the two answers apart, so Bob learns no difference of her inputs from
// them.
func TestReplay(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "replay")
	_, second, err := s.Reply(n.sid, n.msg1, inputs("others"), newSeeded("fresh"))
	if err != nil {
		t.Fatal(err)
	}
	for j := range xi * width {
		at := offA + j*scalar
		var a, b, diff, want secp256k1.Scalar
		if _, err := a.SetBytes(n.msg2[at : at+scalar]); err != nil {
			t.Fatal(err)
		}
		if _, err := b.SetBytes(second[at : at+scalar]); err != nil {
			t.Fatal(err)
		}
		if i := j % width; i < ell {
			diff.Sub(&a, &b)
			want.Sub(&n.a[i], &inputs("others")[i])
			if diff.Equal(&want) == 1 {
				t.Fatal("two answers differ by Alice's inputs alone")
			}
		}
	}
}

// TestSpent uses Receiving once too often, and after Wipe.
func TestSpent(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "spent")
	if _, err := n.x.Finish(n.msg2); err != nil {
		t.Fatal(err)
	}
	if _, err := n.x.Finish(n.msg2); !errors.Is(err, ErrSpent) {
		t.Errorf("used twice: %v", err)
	}
	n = newSession(t, s, r, "failed")
	if _, err := n.x.Finish(flipped(n.msg2, 8*offMu)); !errors.Is(err, ErrCheat) {
		t.Fatal(err)
	}
	if _, err := n.x.Finish(n.msg2); !errors.Is(err, ErrSpent) {
		t.Errorf("used after a failure: %v", err)
	}
	n = newSession(t, s, r, "wiped")
	n.x.Wipe()
	n.x.Wipe()
	if n.x.beta != [words]uint64{} || n.x.t != (columns{}) || n.x.session != [32]byte{} {
		t.Error("Wipe leaves something")
	}
	if _, err := n.x.Finish(n.msg2); !errors.Is(err, ErrSpent) {
		t.Errorf("used after Wipe: %v", err)
	}
	(*Receiving)(nil).Wipe()
}

// TestScratchIsWiped looks into the working memory after each step, failed ones too.
func TestScratchIsWiped(t *testing.T) {
	s, r := pairWith(element{5, 6}, newSeeded("scratch"))
	clean := func(what string, p *spare) {
		w := p.p.Load()
		if w == nil || *w != (scratch{}) {
			t.Errorf("%s leaves its scratch dirty", what)
		}
	}
	n := newSession(t, s, r, "scratch")
	clean("Start", &r.spare)
	clean("Reply", &s.spare)
	_, _ = n.reply(flipped(n.msg1, 8*offClaim))
	clean("a failed Reply", &s.spare)
	_, _ = n.finish(n.msg2)
	clean("Finish", &r.spare)
	_, _ = n.finish(flipped(n.msg2, 8*offMu))
	clean("a failed Finish", &r.spare)
}

// TestAllocations holds the number of allocations to a few hashes and messages, far below one per transfer.
func TestAllocations(t *testing.T) {
	s, r := thePair()
	sid, a, rand := sidOf("allocations"), inputs("allocations"), newSeeded("allocations")
	got := testing.AllocsPerRun(20, func() {
		x, _, msg1, _ := r.Start(sid, rand)
		_, msg2, _ := s.Reply(sid, msg1, a, rand)
		_, _ = x.Finish(msg2)
	})
	if got > xi/2 {
		t.Errorf("%v allocations, want fewer than %d", got, xi/2)
	}
}

// TestShortRandomness gives too few bytes, at every place that reads them.
func TestShortRandomness(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "short")
	for _, l := range []int{0, 31, dataLen, saltLen + 47} {
		if _, _, _, err := r.Start(n.sid, bytes.NewReader(make([]byte, l))); err == nil {
			t.Errorf("Start with %d random bytes", l)
		}
		if _, _, err := s.Reply(n.sid, n.msg1, n.a, bytes.NewReader(make([]byte, l))); err == nil {
			t.Errorf("Reply with %d random bytes", l)
		}
	}
}
