package durable

import (
	"context"
	"slices"
	"sync"
)

// Group joins concurrent commits into one: whoever comes first commits for all who wait, then hands on. It has no goroutine
// of its own, keeps the order of arrival, and never runs two commits at a time.
type Group[T any] struct {
	commit func([]T) error
	weigh  func(T) int
	max    int

	running sync.Mutex // held during a commit

	mu    sync.Mutex
	busy  bool
	queue []*waiter[T]
}

type waiter[T any] struct {
	item T
	done chan error
	turn chan struct{}
}

// NewGroup returns a Group over commit, which gets items together as long as their weights sum up to at most max; a heavier
// item goes alone. Its error goes to all of them.
func NewGroup[T any](max int, weigh func(T) int, commit func([]T) error) *Group[T] {
	return &Group[T]{commit: commit, weigh: weigh, max: max}
}

// Do returns when a commit with the item in it has ended. A context that ends while the item still waits takes it back; once
// its commit has begun, Do waits for the outcome.
func (g *Group[T]) Do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter[T]{item: item, done: make(chan error, 1), turn: make(chan struct{}, 1)}
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return g.run(w)
	}
	g.queue = append(g.queue, w)
	g.mu.Unlock()

	select {
	case err := <-w.done:
		return err
	case <-w.turn:
		return g.run(w)
	case <-ctx.Done():
	}
	if g.withdraw(w) {
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-w.turn:
		return g.run(w)
	}
}

// Idle calls f while no commit runs.
func (g *Group[T]) Idle(f func() error) error {
	g.running.Lock()
	defer g.running.Unlock()
	return f()
}

// run commits w and whoever waits behind it, then hands the turn to the next.
func (g *Group[T]) run(w *waiter[T]) error {
	g.mu.Lock()
	n, weight := 0, g.weigh(w.item)
	for n < len(g.queue) && weight+g.weigh(g.queue[n].item) <= g.max {
		weight += g.weigh(g.queue[n].item)
		n++
	}
	followers := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	g.mu.Unlock()

	items := make([]T, 0, n+1)
	items = append(items, w.item)
	for _, f := range followers {
		items = append(items, f.item)
	}
	g.running.Lock()
	err := g.commit(items)
	g.running.Unlock()

	g.mu.Lock()
	if len(g.queue) > 0 {
		next := g.queue[0]
		g.queue = slices.Delete(g.queue, 0, 1)
		next.turn <- struct{}{}
	} else {
		g.busy = false
	}
	g.mu.Unlock()
	for _, f := range followers {
		f.done <- err
	}
	return err
}

func (g *Group[T]) withdraw(w *waiter[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, w)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	return true
}
