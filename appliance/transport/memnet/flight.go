package memnet

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// flight is one copy of a frame under way. Its target is the node that was attached at sending: its successor under the same
// name does not get it.
type flight struct {
	Frame
	copy   int
	target *Node
	to     []transport.NodeID
	due    time.Time
}

// before orders flights by arrival; those that arrive at the same instant by link and number, never by the order in which
// goroutines sent, so that a run under a fake clock replays.
func (f flight) before(g flight) int {
	return cmp.Or(f.due.Compare(g.due), cmp.Compare(f.From, g.From), cmp.Compare(f.To, g.To), cmp.Compare(f.Channel, g.Channel),
		cmp.Compare(f.N, g.N), cmp.Compare(f.copy, g.copy))
}

// schedule lets f arrive after the delay. It needs the lock.
func (h *Hub) schedule(delay time.Duration, f flight) {
	f.Body, f.to = bytes.Clone(f.Body), slices.Clone(f.to)
	if delay <= 0 {
		h.arrive(f)
		return
	}
	f.due = time.Now().Add(delay)
	i, _ := slices.BinarySearchFunc(h.flights, f, flight.before)
	h.flights = slices.Insert(h.flights, i, f)
	time.AfterFunc(delay, h.land)
}

// land lets all flights arrive that are due, in their order.
func (h *Hub) land() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, n := time.Now(), 0
	for n < len(h.flights) && !h.flights[n].due.After(now) {
		h.arrive(h.flights[n])
		n++
	}
	h.flights = slices.Delete(h.flights, 0, n)
}

// arrive puts f into the inboxes of its target, unless the link is cut now. It needs the lock.
func (h *Hub) arrive(f flight) {
	if h.cut[pair(f.From, f.To)] {
		return
	}
	e := transport.Envelope{From: f.From, To: f.to, Body: f.Body}
	for i, c := range f.target.conns[f.Channel] {
		mine := e
		if i > 0 {
			mine.Body, mine.To = bytes.Clone(e.Body), slices.Clone(e.To)
		}
		c.in.Put(mine)
	}
}
