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
		b, body := New(), make([]byte, c.size)
		for i := range c.fit {
			if !b.Put(transport.Envelope{Body: body}) {
				t.Fatalf("%s: full after %d", name, i)
			}
		}
		if b.Put(transport.Envelope{Body: []byte("x")}) || b.Lost() != 1 {
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

// Goal: order is kept, and a queue that never runs empty does not grow. Method: keep ten inside while thousands pass.
func TestOrder(t *testing.T) {
	b := New()
	for i := range 10_000 {
		b.Put(transport.Envelope{Body: strconv.AppendInt(nil, int64(i), 10)})
		if i < 10 {
			continue
		}
		if e, err := b.Get(t.Context()); err != nil || string(e.Body) != strconv.Itoa(i-10) {
			t.Fatalf("got %q, %v", e.Body, err)
		}
	}
	if cap(b.queue) > 1024 {
		t.Errorf("queue of 10 holds room for %d", cap(b.queue))
	}
}

// Goal: no waiter sleeps while there is something to take, and Close wakes all. Method: many waiters, many envelopes.
func TestWaiters(t *testing.T) {
	const waiters, each = 8, 100
	b := New()
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
