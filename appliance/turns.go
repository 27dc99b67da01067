package appliance

import (
	"cmp"
	"slices"
	"time"
)

// turns say which of the keys that wait are asked about next. One goroutine has them.
type turns struct {
	m map[string]*turn
}

type turn struct {
	count int
	first time.Time // that it was seen to wait
	last  time.Time // that it was asked about, or first
}

// turnsFresh is how often a key is asked about before others that have begun to wait come first.
const turnsFresh = 16

// next chooses at most so many of the keys that wait, and forgets what waits no more. Half are those asked about least, so that what has
// just begun to wait is asked about at once; the others those that were not asked about for the longest time, so that each has its turn,
// however many keys a member has us wait for.
func (t *turns) next(now time.Time, waiting []string, most int) []string {
	old := t.m
	t.m = make(map[string]*turn, len(waiting))
	var fresh []string
	for _, id := range waiting {
		x := old[id]
		if x == nil {
			x = &turn{first: now, last: now}
		}
		if t.m[id] = x; x.count < turnsFresh {
			fresh = append(fresh, id)
		}
	}
	slices.SortFunc(fresh, func(a, b string) int { return cmp.Or(cmp.Compare(t.m[a].count, t.m[b].count), cmp.Compare(a, b)) })
	out := fresh[:min(len(fresh), most/2)]
	for _, id := range out {
		t.m[id].count, t.m[id].last = t.m[id].count+1, now
	}
	rest := slices.Clone(waiting)
	slices.SortFunc(rest, func(a, b string) int { return cmp.Or(t.m[a].last.Compare(t.m[b].last), cmp.Compare(a, b)) })
	for _, id := range rest {
		if len(out) == most {
			break
		}
		if !slices.Contains(out, id) {
			t.m[id].count, t.m[id].last = t.m[id].count+1, now
			out = append(out, id)
		}
	}
	return out
}

// asked is how long a key that waits has been asked about.
func (t *turns) asked(now time.Time, id string) time.Duration {
	if x := t.m[id]; x != nil && x.count > 0 {
		return now.Sub(x.first)
	}
	return 0
}
