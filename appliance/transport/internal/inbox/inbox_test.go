package inbox

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: neither count nor bytes exceed their limits, and what was taken makes room. Method: the edges.
func TestLimits(t *testing.T) {
	for name, c := range map[string]struct{ size, fit int }{
		"count": {0, LenMax},
		"bytes": {BytesMax / 16, 16},
	} {
		g := &gate{lost: map[transport.NodeID]int{}}
		b, body := New(g), make([]byte, c.size)
		for i := range c.fit {
			if !b.Put(transport.Envelope{Body: body}) {
				t.Fatalf("%s: full after %d", name, i)
			}
		}
		if b.Put(transport.Envelope{Body: []byte("x")}) || g.lost[""] != 1 {
			t.Errorf("%s: not full", name)
		}
		if _, err := b.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !b.Put(transport.Envelope{Body: []byte("x")}) {
			t.Errorf("%s: no room after Get", name)
		}
	}
}

// Goal: who floods a node loses its own envelopes and no other's, and does not make them wait behind its own. Method: one sender fills the
// inbox, by count and by bytes; another sends a little, which is there, and comes among the first.
func TestFlood(t *testing.T) {
	for name, size := range map[string]int{"count": 0, "bytes": BytesMax / 16} {
		g := &gate{lost: map[transport.NodeID]int{}}
		b, body := New(g), make([]byte, size)
		for range LenMax + 10 {
			b.Put(transport.Envelope{From: "flooder", Body: body})
		}
		lost := g.lost["flooder"]
		for range 3 {
			if !b.Put(transport.Envelope{From: "other", Body: body}) {
				t.Fatalf("%s: no place for another sender", name)
			}
		}
		if g.lost["flooder"] != lost+3 || g.lost["other"] != 0 || lost == 0 {
			t.Errorf("%s: %d of the flooder's made room for 3: %v", name, g.lost["flooder"]-lost, g.lost)
		}
		if b.Put(transport.Envelope{From: "flooder", Body: body}) {
			t.Errorf("%s: the flooder crowds out another", name)
		}
		got := 0
		for range 6 {
			if e, err := b.Get(t.Context()); err != nil || e.From == "other" {
				got++
			}
		}
		if got != 3 {
			t.Errorf("%s: %d of another's 3 are among the first six", name, got)
		}
		for b.count > 0 {
			if _, err := b.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if b.bytes != 0 || len(b.from) != 0 || len(b.turn) != 0 {
			t.Errorf("%s: an empty inbox counts %d bytes of %d senders, %d in turn", name, b.bytes, len(b.from), len(b.turn))
		}
	}
}

// Goal: a large envelope of one may push out several of the largest holder, and the last of it. Method: such ones.
func TestMakesRoom(t *testing.T) {
	b := New(nil)
	b.Put(transport.Envelope{From: "whole", Body: make([]byte, BytesMax)})
	if !b.Put(transport.Envelope{From: "other", Body: []byte("x")}) || len(b.turn) != 1 || b.bytes != 1 {
		t.Fatalf("a sender that held all keeps it: %d bytes of %d senders", b.bytes, len(b.turn))
	}
	for range 64 {
		b.Put(transport.Envelope{From: "many", Body: make([]byte, BytesMax/64-1)})
	}
	if !b.Put(transport.Envelope{From: "large", Body: make([]byte, BytesMax/8)}) || b.bytes > BytesMax {
		t.Errorf("%d bytes, at most %d", b.bytes, BytesMax)
	}
}

// Goal: order is kept, and a queue that never runs empty does not grow. Method: keep ten inside while thousands pass.
func TestOrder(t *testing.T) {
	b := New(nil)
	for i := range 10_000 {
		b.Put(transport.Envelope{Body: strconv.AppendInt(nil, int64(i), 10)})
		if i < 10 {
			continue
		}
		if e, err := b.Get(t.Context()); err != nil || string(e.Body) != strconv.Itoa(i-10) {
			t.Fatalf("got %q, %v", e.Body, err)
		}
	}
	if n := cap(b.from[""].envelopes); n > 1024 {
		t.Errorf("queue of 10 holds room for %d", n)
	}
}

// Goal: no waiter sleeps while there is something to take, and Close wakes all. Method: many waiters, many envelopes.
func TestWaiters(t *testing.T) {
	const waiters, each = 8, 100
	b := New(nil)
	var wg sync.WaitGroup
	for range waiters {
		wg.Go(func() {
			for range each {
				if _, err := b.Get(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range waiters * each {
		b.Put(transport.Envelope{})
	}
	wg.Wait()
	for range waiters {
		wg.Go(func() {
			if _, err := b.Get(context.Background()); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Get after Close: %v", err)
			}
		})
	}
	b.Close()
	b.Close()
	wg.Wait()
	if b.Put(transport.Envelope{}) {
		t.Error("Put after Close")
	}
}

// gate admits all but those of the refused, says that what another named is from somebody else, and counts what is lost.
type gate struct{ lost map[transport.NodeID]int }

func (g *gate) Admit(e *transport.Envelope) bool {
	if e.From == "claimed" {
		e.From = "true"
	}
	return e.From != "refused"
}

func (g *gate) Lost(from transport.NodeID) { g.lost[from]++ }

// Goal: what the gate refuses takes no place and pushes nothing out, and what it admits takes one of whom the gate names. Method: a full
// inbox of one sender; the same sender is refused, and another's name is on envelopes of it.
func TestGate(t *testing.T) {
	g := &gate{lost: map[transport.NodeID]int{}}
	b := New(g)
	for range LenMax {
		b.Put(transport.Envelope{From: "claimed"})
	}
	if b.Put(transport.Envelope{From: "refused"}) || len(g.lost) != 0 || b.count != LenMax {
		t.Errorf("what is refused costs somebody a place: %v", g.lost)
	}
	if len(b.from) != 1 || b.from["true"].count() != LenMax {
		t.Errorf("counted for %d senders, not for the one that the gate named", len(b.from))
	}
	if e, err := b.Get(t.Context()); err != nil || e.From != "true" {
		t.Errorf("from %q, %v", e.From, err)
	}
}
