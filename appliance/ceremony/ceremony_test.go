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
