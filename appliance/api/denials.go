package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// denialsEvery is how long refusals are counted before they are put on record.
	denialsEvery = time.Minute
	// denialsMax is how many entries one such time makes at most: what is refused to more addresses and requesters is summed up.
	denialsMax = 32
	// addressOthers stands for the addresses beyond that.
	addressOthers = "others"
)

// Denials counts who was turned away at the door, with 401 or 403, and has the counts put on record: of each address, requester and status
// one entry a minute, and no more than 32 in all, so that nobody can fill the record. It is safe for concurrent use.
type Denials struct {
	// Record puts an entry on record.
	Record func(ctx context.Context, name string, facts map[string]string)

	mu sync.Mutex
	m  map[denied]*denial
}

// denied is to whom something was refused.
type denied struct {
	address, requester string
	status             int
}

// denial is how often, and what the last time.
type denial struct {
	count         uint64
	route, reason string
}

// add counts a refusal. requester is "" where nobody is known.
func (d *Denials) add(r *http.Request, route, requester string, p *refusal) {
	if d == nil || p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden {
		return
	}
	to := denied{network(r.RemoteAddr), requester, p.Status}
	if to.address == "" {
		to.address, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.m == nil {
		d.m = map[denied]*denial{}
	}
	if d.m[to] == nil && len(d.m) >= denialsMax-2 { // the two statuses of others have a place
		to = denied{addressOthers, "", p.Status}
	}
	if d.m[to] == nil {
		d.m[to] = &denial{}
	}
	n := d.m[to]
	n.count++
	n.route, n.reason = route, p.Why()
}

// Flush puts on record what was counted since the last time.
func (d *Denials) Flush(ctx context.Context) {
	d.mu.Lock()
	m := d.m
	d.m = nil
	d.mu.Unlock()
	all := make([]denied, 0, len(m))
	for to := range m {
		all = append(all, to)
	}
	slices.SortFunc(all, func(a, b denied) int {
		return strings.Compare(fmt.Sprint(a.address, " ", a.requester, " ", a.status), fmt.Sprint(b.address, " ", b.requester, " ", b.status))
	})
	for _, to := range all {
		n := m[to]
		facts := map[string]string{"address": to.address, "status": fmt.Sprint(to.status), "count": fmt.Sprint(n.count), "route": n.route,
			"reason": n.reason}
		if to.requester != "" {
			facts["requester"] = to.requester
		}
		d.Record(ctx, "api.refuse", facts)
	}
}

// Run flushes every minute until ctx ends.
func (d *Denials) Run(ctx context.Context) {
	tick := time.NewTicker(denialsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.Flush(ctx)
		case <-ctx.Done():
			return
		}
	}
}
