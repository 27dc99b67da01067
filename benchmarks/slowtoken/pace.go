package main

import (
	"context"
	"sync"
	"time"
)

// pace is a device that is busy for a fixed time with every operation, one at a time, in the order of their coming.
type pace struct {
	each time.Duration // of an operation
	mu   sync.Mutex
	free time.Time // when the device has done all that was asked so far
}

// newPace does rate operations a second.
func newPace(rate int) *pace { return &pace{each: time.Second / time.Duration(rate)} }

// wait returns when the device has done the operation: what is asked of an idle one takes its time too. A caller who leaves before has
// kept the device busy all the same.
func (p *pace) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(p.each)
	done := time.NewTimer(time.Until(p.free))
	p.mu.Unlock()
	defer done.Stop()
	select {
	case <-done.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
