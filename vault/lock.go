package vault

import (
	"context"
	"sync"
)

// refLocks lets one call at a time work on an id.
type refLocks struct {
	mu sync.Mutex
	m  map[ref]*refLock
}

type refLock struct {
	held  chan struct{}
	users int
}

// lock returns the unlock function.
func (l *refLocks) lock(ctx context.Context, r ref) (func(), error) {
	l.mu.Lock()
	if l.m == nil {
		l.m = make(map[ref]*refLock)
	}
	k := l.m[r]
	if k == nil {
		k = &refLock{held: make(chan struct{}, 1)}
		l.m[r] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		if k.users--; k.users == 0 {
			delete(l.m, r)
		}
		l.mu.Unlock()
	}
	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
