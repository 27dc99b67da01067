package host

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
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

// Goal: what stands in the place of a kept head is that head or damaged, and neither ends the process. Method: fuzz.
func FuzzHead(f *testing.F) {
	f.Add(canon.MustMarshal(keptHead{headVersion, audit.Head{Size: 7}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := parseHead(b)
		if err != nil && problem.As(err).Code != problem.Integrity {
			t.Errorf("%x: %v", b, err)
		}
		if err == nil && !bytes.Equal(canon.MustMarshal(keptHead{headVersion, head}), b) {
			t.Errorf("%x was read as %+v, which is written another way", b, head)
		}
	})
}
