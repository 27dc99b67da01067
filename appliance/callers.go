package appliance

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
)

// callerKeys is how many key ceremonies one caller may have under way here, or have dropped of which it did not wait for the end: of those,
// so many are forgotten in a minute. Peers refuse all of this node's where 20 a minute come to nothing (quotaKeys, failedKey).
const callerKeys = 12

// callers count the key ceremonies of each caller. They are safe for concurrent use.
type callers struct {
	mu sync.Mutex
	m  map[string]*calls
}

type calls struct {
	at      time.Time // of dropped
	dropped float64
	open    int
}

// begin counts one more under way, and returns what is to be called at its end, with the caller's context and how it ended; or it refuses.
func (c *callers) begin(now time.Time, caller string) (end func(context.Context, *error), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.m, func(_ string, x *calls) bool {
		x.dropped, x.at = max(0, x.dropped-callerKeys*now.Sub(x.at).Minutes()), now
		return x.dropped == 0 && x.open == 0
	})
	x := c.m[caller]
	if x == nil {
		x = &calls{at: now}
		if c.m == nil {
			c.m = map[string]*calls{}
		}
		c.m[caller] = x
	}
	if float64(x.open)+x.dropped > callerKeys-1 {
		return nil, problem.New(problem.Overload, "wait for the end of each; what was dropped is forgotten within a minute",
			"%d key ceremonies of yours are under way or were dropped, no more are begun", callerKeys)
	}
	x.open++
	return func(ctx context.Context, err *error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		x.open--
		if *err != nil && errors.Is(ctx.Err(), context.Canceled) {
			x.dropped++
		}
	}, nil
}
