package vaulttest

import (
	"context"
	"fmt"
	"sync"

	"github.com/luxfi/mpcd/hsm"
)

// Counter is an hsm.MonotonicCounter in memory that fails on cue. It outlives the vault, as a token does.
type Counter struct {
	mu     sync.Mutex
	values map[string]uint64
	calls  int // CreateCounter and Increment
	failAt int
	when   When
	away   bool
	lose   bool // the reply only
}

var _ hsm.MonotonicCounter = (*Counter)(nil)

// NewCounter returns a token without counters.
func NewCounter() *Counter { return &Counter{values: make(map[string]uint64)} }

// FailAt makes the n-th CreateCounter or Increment from now fail, undone or done, and the token stay away until Heal.
func (c *Counter) FailAt(n int, when When) { c.cue(n, when, false) }

// LoseReply makes the n-th from now fail, undone or done, while the token stays there and can be read.
func (c *Counter) LoseReply(n int, when When) { c.cue(n, when, true) }

func (c *Counter) cue(n int, when When, lose bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failAt, c.when, c.lose = c.calls+n, when, lose
}

// Heal ends all faults.
func (c *Counter) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failAt, c.away = 0, false
}

// Set puts a counter to any value, or takes it away at -1: another token, or a cleared one.
func (c *Counter) Set(id string, value int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value < 0 {
		delete(c.values, id)
		return
	}
	c.values[id] = uint64(value)
}

// Calls is the number of CreateCounter and Increment that were called.
func (c *Counter) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// CreateCounter implements hsm.MonotonicCounter. The first value is 7.
func (c *Counter) CreateCounter(ctx context.Context, id string) (uint64, error) {
	return c.change(ctx, func() (uint64, error) {
		if _, ok := c.values[id]; ok {
			return 0, fmt.Errorf("vaulttest: counter %q: %w", id, hsm.ErrKeyExists)
		}
		c.values[id] = 7
		return 7, nil
	})
}

// Increment implements hsm.MonotonicCounter.
func (c *Counter) Increment(ctx context.Context, id string) (uint64, error) {
	return c.change(ctx, func() (uint64, error) {
		if _, ok := c.values[id]; !ok {
			return 0, fmt.Errorf("vaulttest: counter %q: %w", id, hsm.ErrNoKey)
		}
		c.values[id]++
		return c.values[id], nil
	})
}

func (c *Counter) change(ctx context.Context, f func() (uint64, error)) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.there(ctx); err != nil {
		return 0, err
	}
	c.calls++
	fails := c.calls == c.failAt
	if fails {
		c.away = !c.lose
	}
	if fails && c.when == Before {
		return 0, fmt.Errorf("vaulttest: not counted: %w", hsm.ErrUnavailable)
	}
	n, err := f()
	if fails {
		return 0, fmt.Errorf("vaulttest: reply lost: %w", hsm.ErrUnavailable)
	}
	return n, err
}

// Read implements hsm.MonotonicCounter.
func (c *Counter) Read(ctx context.Context, id string) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.there(ctx); err != nil {
		return 0, err
	}
	n, ok := c.values[id]
	if !ok {
		return 0, fmt.Errorf("vaulttest: counter %q: %w", id, hsm.ErrNoKey)
	}
	return n, nil
}

func (c *Counter) there(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.away {
		return fmt.Errorf("vaulttest: %w", hsm.ErrUnavailable)
	}
	return nil
}
