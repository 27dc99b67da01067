package ceremony

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: a node that stops, or whose caller leaves, calls nobody silent. Method: end the context both ways.
func TestCancelledIsNotSilence(t *testing.T) {
	r := NewRouter(Hall{Pace: Pace{Repeat: time.Minute, Silence: time.Minute}})
	c := &Ceremony{router: r, in: make(chan transport.Envelope)}
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
	r := NewRouter(Hall{Clock: time.Now, Send: func(transport.Envelope) {}, Pace: Pace{Repeat: time.Minute, Silence: time.Minute}})
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
}
