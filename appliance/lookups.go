package appliance

import (
	"maps"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
)

// A name that this node does not know it asks every other node about, and whoever may read may make names up: what callers have it ask is
// bounded, or the others would call it one that floods.
const (
	lookupsAll    = 8 // under way at once
	lookupsCaller = 4 // of them, of one caller; and how many of its names nobody may have known within a second
)

// lookups count what callers have this node ask others about. They are safe for concurrent use.
type lookups struct {
	mu   sync.Mutex
	open int
	m    map[string]*looked
}

type looked struct {
	open   int
	since  time.Time // of missed
	missed int
}

// begin counts one more of a caller under way, and returns what is to be called at its end, with whether anybody knew the name; or it
// refuses. Who only reads is one caller, "".
func (l *lookups) begin(now time.Time, caller string) (end func(found bool), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.m, func(_ string, x *looked) bool { return x.open == 0 && now.Sub(x.since) >= time.Second })
	x := l.m[caller]
	if x == nil {
		x = &looked{since: now}
		if l.m == nil {
			l.m = map[string]*looked{}
		}
		l.m[caller] = x
	}
	if now.Sub(x.since) >= time.Second {
		x.since, x.missed = now, 0
	}
	if l.open >= lookupsAll || x.open+x.missed >= lookupsCaller {
		return nil, problem.New(problem.Overload, "repeat the request in a second, or ask a node that has what it names",
			"this node does not know the name, and asks others about as many already as it may")
	}
	l.open++
	x.open++
	return func(found bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		x.open--
		if !found {
			x.missed++
		}
	}, nil
}
