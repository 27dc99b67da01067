package host

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// told is a counter that tells of each count.
type told struct {
	hsm.MonotonicCounter
	counts chan uint64
}

func (c told) Increment(ctx context.Context, id string) (uint64, error) {
	n, err := c.MonotonicCounter.Increment(ctx, id)
	if err == nil {
		select {
		case c.counts <- n:
		default: // nobody listens any more
		}
	}
	return n, err
}

// Goal: a running node counts from time to time, and ends that with its context. Method: a counter and a short time.
func TestKeepAnchor(t *testing.T) {
	counter := told{vaulttest.NewCounter(), make(chan uint64, 1)}
	v, err := vault.Open(t.Context(), vault.Config{Store: vaulttest.NewMemory(), Wrapper: vaulttest.NewWrapper("k"), KEK: "k", Node: "n",
		Counter: counter, CounterID: "g"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	_, before := v.Anchored()
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); keepAnchor(ctx, v.Advance, time.Millisecond, slog.New(slog.DiscardHandler)) }()
	for n := before; n < before+3; {
		n = <-counter.counts
	}
	end()
	<-done
	if _, now := v.Anchored(); now < before+3 {
		t.Errorf("the vault is at %d, was at %d", now, before)
	}
	if now, err := counter.Read(t.Context(), "g"); err != nil || now < before+3 {
		t.Errorf("%d %v", now, err)
	}
}
