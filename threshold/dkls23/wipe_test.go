package dkls23

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// wiped asserts that a session that has ended keeps no secret.
func (p *presigning) wiped(t *testing.T) {
	t.Helper()
	zero := func(what string, s *secp256k1.Scalar) {
		if s.IsZero() != 1 {
			t.Errorf("party %d keeps %s", p.setup.Self, what)
		}
	}
	for _, e := range p.entries {
		zero("r", &e.r)
		zero("φ", &e.phi)
		zero("sk", &e.sk)
	}
	for _, x := range p.peers {
		if x.key != [threshold.StreamKeyLen]byte{} {
			t.Errorf("party %d keeps the randomness of its answer", p.setup.Self)
		}
		for _, o := range x.ole {
			zero("χ", &o.chi)
			zero("ψ", &o.psi)
			for i := range o.c {
				zero("c", &o.c[i])
				zero("d", &o.d[i])
			}
			if o.receiving != nil {
				if _, err := o.receiving.Finish(nil); !errors.Is(err, ot.ErrSpent) {
					t.Errorf("party %d keeps β: %v", p.setup.Self, err)
				}
			}
		}
	}
}

// Goal: when a later entry of a batch fails, or a peer is banned meanwhile, the presignatures made before it end with the session; when
// nothing fails they do not. Method: the last round of a batch of two by itself, with a peer's opening that fits both entries, one or both.
func TestFailedBatchLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(e *entry, o *opened, x *peer)
		check  string
		made   int
	}{
		"C13 of the second": {func(e *entry, o *opened, _ *peer) { o.public[1].Set(&e.public) }, "C13", 1},
		"C14 of the second": {func(e *entry, o *opened, _ *peer) { o.point[1].Negate(&e.point) }, "C14", 1},
		"a ban meanwhile":   {func(_ *entry, _ *opened, x *peer) { x.close(banned) }, "C17", 2},
		"nothing":           {func(*entry, *opened, *peer) {}, "", 2},
	} {
		f := newFixture(t, 3, 2)
		q := f.Committee.Parties[:2]
		p, err := f.scheme(q[0]).newPresigning(f.setup(q[0], q), f.keys(q[0], q, 2), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.begin(f.rand(q[0]), threshold.SessionID{1}, nil); err != nil {
			t.Fatal(err)
		}
		o := &opened{make([]secp256k1.Point, 2), make([]secp256k1.Point, 2)}
		for i, e := range p.entries {
			o.point[i].Set(&e.point)
			o.public[i].Sub(&e.key.point, &e.public)
		}
		c.change(p.entries[1], o, p.peers[0])
		r := &round2{p: p}
		st, err := r.Advance(nil, []threshold.Received{{From: q[1], Payload: o}})
		made := append(r.made, st.Result...)
		var a *threshold.Abort
		if c.check == "" && err != nil || c.check != "" && (!errors.As(err, &a) || a.Check != c.check) || len(made) != c.made {
			t.Fatalf("%s: %v, %d made", name, err, len(made))
		}
		r.Erase()
		p.wiped(t)
		for i, pre := range made {
			n := pre.Nonces.(*secrets)
			gone := n.state.Load() == burnt && n.phi.IsZero()&n.u.IsZero()&n.v.IsZero() == 1
			if gone != (c.check != "") {
				t.Errorf("%s: presignature %d is gone: %v", name, i, gone)
			}
		}
	}
}

// Goal: an agreement that nobody took burns its presignatures, because the others may sign by it; one that was taken does not. Method: end
// the session after its result, taken and not.
func TestAgreementNobodyTook(t *testing.T) {
	for _, take := range []bool{true, false} {
		f := newFixture(t, 3, 2)
		q := f.Committee.Parties[:2]
		pres := f.presign(t, q, 1)
		f.next()
		sessions := map[party]*threshold.Session[[][32]byte]{}
		opens := map[party][]threshold.Message{}
		for _, p := range q {
			var err error
			req := threshold.SignRequest{Message: digestOf("m"), Pre: pres[p][0]}
			if sessions[p], err = f.scheme(p).Agree(f.setup(p, q), []threshold.SignRequest{req}, f.rand(p)); err != nil {
				t.Fatal(err)
			}
			if opens[p], err = sessions[p].Start(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := sessions[q[0]].Step(f.Sign(opens[q[1]][0])); err != nil {
			t.Fatal(err)
		}
		n := pres[q[0]][0].Nonces.(*secrets)
		if n.state.Load() != agreed {
			t.Fatalf("no agreement: state %d", n.state.Load())
		}
		if take {
			if _, ok := sessions[q[0]].Result(); !ok {
				t.Fatal("no result")
			}
		}
		sessions[q[0]].Erase()
		if got := n.state.Load() == burnt; got == take {
			t.Errorf("result taken %v: burnt %v", take, got)
		}
		if !take && n.phi.IsZero()&n.u.IsZero()&n.v.IsZero() != 1 {
			t.Error("burnt with its secrets left")
		}
	}
}

// Goal: presignatures that nobody took are burnt when their session ends; those that were taken are not. Method: end a session after its
// result, taken and not; the untaken one is looked at inside the session.
func TestPresignaturesNobodyTook(t *testing.T) {
	for _, take := range []bool{true, false} {
		f := newFixture(t, 3, 2)
		q := f.Committee.Parties[:2]
		run, _ := f.presigning(t, q, nil, 1)
		var queue []threshold.Message
		for _, p := range q {
			ms, err := run.Sessions[p].Start()
			if err != nil {
				t.Fatal(err)
			}
			queue = append(queue, ms...)
		}
		for len(queue) > 0 {
			m := f.Sign(queue[0])
			queue = queue[1:]
			for _, p := range q {
				ms, err := run.Sessions[p].Step(m) // who sent it drops it
				if err != nil {
					t.Fatal(err)
				}
				queue = append(queue, ms...)
			}
		}
		x := run.Sessions[q[0]]
		inside := reflect.ValueOf(x).Elem().FieldByName("result")
		if inside.Len() != 1 {
			t.Fatal("no result")
		}
		n := (pre)(inside.Index(0).UnsafePointer()).Nonces.(*secrets)
		if take {
			x.Result()
		}
		x.Erase()
		if got := n.state.Load() == burnt; got == take {
			t.Errorf("result taken %v: burnt %v", take, got)
		}
	}
}

// Goal: the same randomness never answers two messages: with one a^ for two the masks of Alice's inputs would be known from the other
// answer. Method: give one party back the key that it had drawn, as a restored machine has it, and let it answer another message of the
// same session.
func TestAnswersShareNoRandomness(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	p, err := f.scheme(q[0]).newPresigning(f.setup(q[0], q), f.keys(q[0], q, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.begin(f.rand(q[0]), threshold.SessionID{1}, nil); err != nil {
		t.Fatal(err)
	}
	x, key := p.peers[0], p.peers[0].key
	bob := f.pairs[q[1]].pair(q[0]).receiver
	answer := func(label string) []byte {
		_, _, msg, err := bob.Start(directed(p.entries[0].sid, q[1], q[0]), bytes.NewReader(digests(label)))
		if err != nil {
			t.Fatal(err)
		}
		x.key = key
		if err := p.answer(x, msg); err != nil {
			t.Fatal(err)
		}
		return x.answer
	}
	first, again, second := answer("first"), answer("first"), answer("second")
	// The answer begins with Alice's salt, the first thing that she draws.
	if !bytes.Equal(first[:saltLen], again[:saltLen]) {
		t.Fatal("the key was not given back: the test shows nothing")
	}
	if bytes.Equal(first[:saltLen], second[:saltLen]) {
		t.Error("two messages are answered with the same randomness")
	}
}

// digests is reproducible randomness, enough for one message of Bob.
func digests(label string) []byte { return bytes.Repeat(digestOf(label), 8) }
