package appliance

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// clock says what time it is where something is forgotten for good, or counted, by that. A node's own clock alone does neither: it may be
// off by a year until NTP has answered, or jump for a moment. What the others' clocks said last is taken as it was said, and not as an
// offset to the node's own, so that it is the same before a jump and after.
type clock struct {
	core *core
	run  func() time.Duration // this process runs, by a clock that does not jump

	held   bool         // enough of the others have confirmed base. Only look has both
	base   int64        // Unix milliseconds: when it began to run
	steady atomic.Int64 // base, for others to read; 0 while there is none but by the node's own clock
	sure   atomic.Int64 // Unix milliseconds that are past by as many others' clocks as one of them is honest; 0 while too few were heard
}

func newClock(c *core) *clock {
	began := time.Now()
	return &clock{core: c, run: func() time.Duration { return time.Since(began) }}
}

// look is called with each beat, by one goroutine.
func (c *clock) look() {
	n, run := c.core, c.run().Milliseconds()
	var ever, lately []int64 // what each of the others said last; of lately, late where it was long ago
	for _, id := range n.members.All() {
		if id == n.cfg.Node {
			continue
		}
		said, now := n.peers.Said(id)
		ever = append(ever, said)
		if !now {
			said = math.MaxInt64
		}
		lately = append(lately, said)
	}
	sure, most := int64(math.MaxInt64), int64(math.MaxInt64) // one alone has nobody to ask
	if len(ever) > 0 {
		slices.Sort(ever)
		slices.Sort(lately)
		sure, most = ever[len(ever)-c.confirms(len(ever))], lately[len(lately)/2]
	}
	c.sure.Store(sure)
	base, skew := n.cfg.Clock().UnixMilli()-run, transport.SkewMax.Milliseconds()
	if c.held {
		base = c.base
	}
	off := most < base+run-skew // as where clockCheck fails
	if off {
		base = most - run
	}
	if c.held = len(ever) > 0 && (c.held || sure >= base+run-skew); c.held {
		base = max(base, sure-run)
	}
	if c.base = base; !c.held && !off {
		base = 0
	}
	c.steady.Store(base)
}

// confirms is how many of so many others must say that a time is past: more than half of all members, and as many as sign with any key, or
// all where they are fewer. One of them is honest then.
func (c *clock) confirms(others int) int {
	need := (others+1)/2 + 1
	for _, k := range c.core.committees() {
		need = max(need, k.Threshold)
	}
	return min(need, others)
}

// ran is a time of this run, for ages: it goes on evenly where the node's clock is put, and is no date.
func (c *clock) ran() time.Time { return time.Unix(0, 0).Add(c.run()) }

// stored is when, by ran, something was whose date (Unix milliseconds) a run before has stored. What is dated at a time to come, by a clock
// that was ahead, was now: it would count for as long as that clock was ahead.
func (c *clock) stored(date int64) time.Time {
	return c.ran().Add(-max(c.core.cfg.Clock().Sub(time.UnixMilli(date)), 0))
}

// date is the date of a time of ran, by the node's clock as it is now.
func (c *clock) date(ran time.Time) time.Time { return c.core.cfg.Clock().Add(ran.Sub(c.ran())) }

// past is the time that is past for sure, by this node's clock and by enough of the others': what is over by it may be removed. While too
// few were heard since the start it is 1970, and nothing is.
func (c *clock) past() time.Time {
	return time.UnixMilli(min(c.core.cfg.Clock().UnixMilli(), c.sure.Load()))
}

// early is now by the node's own clock, or by the steady time where that is earlier. A time that lasts until now ends by it: where a clock
// has jumped ahead, or most others say that it is ahead, nothing drops out of a window.
func (c *clock) early() time.Time {
	now := c.core.cfg.Clock()
	if x, ok := c.steadily(); ok && x.Before(now) {
		return x
	}
	return now
}

// late is now by the one that is later. What is kept for a time is kept from it on, and what holds until a time is held against it: where
// a clock has jumped back, nothing goes too soon or holds for longer.
func (c *clock) late() time.Time {
	now := c.core.cfg.Clock()
	if x, ok := c.steadily(); ok && x.After(now) {
		return x
	}
	return now
}

// said tells, in words, that sums over a time are not by the node's clock; "" if they are.
func (c *clock) said() string {
	lag := c.core.cfg.Clock().Sub(c.early())
	if lag <= transport.SkewMax {
		return ""
	}
	return fmt.Sprintf("; it has jumped ahead by %s, which too few peers confirm: limits over a time are by the time before",
		lag.Round(time.Second))
}

// steadily is the time at which enough of the others confirmed the clock, and as long as the node has run since; corrected by what they
// say. Before they did there is none, unless most say that the node's own clock is ahead.
func (c *clock) steadily() (time.Time, bool) {
	base := c.steady.Load()
	return time.UnixMilli(base).Add(c.run()), base != 0
}
