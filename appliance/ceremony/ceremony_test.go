package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: a node that stops, or whose caller leaves, calls nobody silent. Method: end the context both ways.
func TestCancelledIsNotSilence(t *testing.T) {
	c, err := NewRouter(hallOf("self", "b")).Enter([32]byte{1}, "self", []transport.NodeID{"b"})
	if err != nil {
		t.Fatal(err)
	}
	missing := func() []threshold.PartyID { return []threshold.PartyID{2} }
	st := newStall(c)
	defer st.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var silent *SilenceError
	if _, err := c.next(ctx, st, missing); errors.As(err, &silent) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if _, err := c.next(late, st, missing); !errors.As(err, &silent) {
		t.Errorf("late: %v", err)
	}
}

// Goal: who refuses a ceremony is heard at once while another runs inside of it, and nothing else that comes meanwhile is lost. Method:
// an envelope of each kind for the outer one, from a peer and from a stranger, while the inner one waits.
func TestRefusalReachesInside(t *testing.T) {
	r := NewRouter(hallOf("self", "a", "b", "stranger"))
	outer, err := r.Enter([32]byte{1}, "a", []transport.NodeID{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := outer.Inside([32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []transport.Envelope{{From: "b", Kind: KindEngine}, {From: "stranger", Kind: KindRefusal},
		{From: "b", Kind: KindRefusal}} {
		e.Topic = outer.Topic
		r.Deliver(e)
	}
	wait := newStall(inner)
	defer wait.stop()
	nobody := func() []threshold.PartyID { return nil }
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // what does not come by then never does
	defer cancel()
	if e, err := inner.next(ctx, wait, nobody); err != nil || e.From != "b" || e.Kind != KindRefusal {
		t.Errorf("inside: %+v %v", e, err)
	}
	inner.Leave()
	if e, err := outer.next(ctx, wait, nobody); err != nil || e.Kind != KindEngine {
		t.Errorf("around it: %+v %v", e, err)
	}
	if n := r.held.held["b"]; n != 0 {
		t.Errorf("%d bytes are counted when nothing is held", n)
	}
}

// Goal: what the outer ceremony is told while another runs inside of it is bounded as if it waited there. Method: more than there is room
// for, while the inner one looks again and again.
func TestInsideKeepsItsPart(t *testing.T) {
	r := NewRouter(hallOf("self", "a", "b"))
	outer, err := r.Enter([32]byte{1}, "a", []transport.NodeID{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := outer.Inside([32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	wait := newStall(inner)
	defer wait.stop()
	for range 3 * inboxPeer {
		r.Deliver(transport.Envelope{From: "b", Kind: KindAck, Topic: outer.Topic})
		r.Deliver(transport.Envelope{From: "a", Kind: KindAck, Topic: inner.Topic})
		if e, err := inner.next(t.Context(), wait, nil); err != nil || e.From != "a" {
			t.Fatalf("inside: %+v %v", e, err)
		}
		for len(outer.box.in) > 0 { // select chooses by chance
			outer.kept = append(outer.kept, <-outer.box.in)
		}
	}
	if len(outer.kept) != inboxPeer || outer.box.from["b"] != inboxPeer {
		t.Errorf("%d envelopes are kept for the outer ceremony, at most %d of a peer", len(outer.kept), inboxPeer)
	}
	inner.Leave()
	outer.Leave()
	if n := r.held.held["b"]; n != 0 {
		t.Errorf("%d bytes are counted when nothing is held", n)
	}
}

// Goal: who leaves a ceremony ends it for all at once, whether they run the engine's session or wait for what follows it; a stranger ends
// nothing. Method: both, with a refusal of a peer, and one of a node that is not in it; the clock tells who waited.
func TestRefusalEndsCeremony(t *testing.T) {
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2}, Identities: [][]byte{bytes.Repeat([]byte{1}, 32),
		bytes.Repeat([]byte{2}, 32)}, Threshold: 2}
	waits := map[string]func(context.Context, *Ceremony) error{
		"drive": func(ctx context.Context, c *Ceremony) error {
			s, err := threshold.NewSession(threshold.Setup{Ceremony: c.Topic, Committee: committee, Self: 1}, rand.Reader,
				threshold.Opening[int]{Begin: func(io.Reader, threshold.SessionID, []threshold.Received) (threshold.Step[int], error) {
					return threshold.Step[int]{}, nil
				}})
			if err != nil {
				return err
			}
			_, err = Drive(ctx, c, s)
			return err
		},
		"gather": func(ctx context.Context, c *Ceremony) error {
			return c.Gather(ctx, KindAck, committee.Parties[1:], func(threshold.PartyID, transport.Envelope) error { return nil })
		},
	}
	told := map[string][]transport.NodeID{"drive": {"self"}, "gather": {"self", "stranger"}}
	for name, wait := range waits {
		for _, from := range []transport.NodeID{"b", "stranger"} {
			synctest.Test(t, func(t *testing.T) {
				hall := hallOf("self", "b", "stranger")
				c, err := NewRouter(hall).Enter([32]byte{1}, "b", []transport.NodeID{"b"})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Leave()
				c.router.Deliver(transport.Envelope{From: from, To: told[name], Kind: KindRefusal, Topic: c.Topic,
					Body: canon.MustMarshal(Refusal{Code: problem.Denied, Message: "no"})})
				began := time.Now()
				f := FailureOf(wait(t.Context(), c))
				if waited := time.Since(began) > 0; waited != (from == "stranger") || (f.Code() == problem.Denied) == waited ||
					(f.Silent != nil) != waited {
					t.Errorf("%s, %s refuses: %v after %s", name, from, f.Err, time.Since(began))
				}
				if f.Refused != nil && f.Refused.Declined != (len(told[name]) == 1) {
					t.Errorf("%s: told to %v, it counts as told to us alone: %v", name, told[name], f.Refused.Declined)
				}
			})
		}
	}
}

// Goal: every party that is waited for is judged, by its first word alone, also what came before it was waited for; what judges ends it.
// Method: words of each kind, before and after, twice, and of one who is not waited for.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRouter(hallOf("self", "b", "c", "d"))
		c, err := r.Enter([32]byte{1}, "self", []transport.NodeID{"b", "c", "d"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		c.keep(transport.Envelope{From: "b", Kind: KindShares, Body: []byte("b")})
		c.keep(transport.Envelope{From: "b", Kind: KindShares, Body: []byte("again")})
		if len(c.stash) != 1 {
			t.Errorf("%d words of one kind of one peer are kept", len(c.stash))
		}
		for _, e := range []transport.Envelope{{From: "b", Kind: KindShares, Body: []byte("B")}, {From: "d", Kind: KindShares,
			Body: []byte("d")}, {From: "c", Kind: KindAck, Body: []byte("C")}, {From: "c", Kind: KindShares, Body: []byte("c")}} {
			e.Topic = c.Topic
			r.Deliver(e)
		}
		var heard string
		hear := func(p threshold.PartyID, e transport.Envelope) error {
			heard += string(e.Body)
			return nil
		}
		if err := c.Gather(t.Context(), KindShares, []threshold.PartyID{2, 3}, hear); err != nil || heard != "bc" {
			t.Errorf("heard %q: %v", heard, err)
		}
		bad := errors.New("it does not fit")
		if err := c.Gather(t.Context(), KindShares, []threshold.PartyID{2}, func(threshold.PartyID, transport.Envelope) error {
			return bad
		}); !errors.Is(err, bad) {
			t.Errorf("what does not fit: %v", err)
		}
		var silent *SilenceError
		if err := c.Gather(t.Context(), KindAck, []threshold.PartyID{3}, hear); !errors.As(err, &silent) || silent.Missing[0] != 3 {
			t.Errorf("nobody speaks: %v", err)
		}
	})
}
