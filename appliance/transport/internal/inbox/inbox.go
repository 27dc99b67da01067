// Package inbox is the bounded queue between a network and Recv: what finds no room is lost, and counted.
package inbox

import (
	"context"
	"slices"
	"sync"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Limits of one inbox; whichever is met first.
const (
	LenMax   = 8192
	BytesMax = 64 << 20
)

// Inbox holds the envelopes of each sender in their order, and gives them out in turn. When it is full, the newest of the sender that holds
// most is lost: whoever floods it crowds out nobody. It is safe for concurrent use.
type Inbox struct {
	gate   transport.Gate
	mu     sync.Mutex
	from   map[transport.NodeID]*queue // of those who have any
	turn   []*queue                    // the same, whose turn is next first
	count  int
	bytes  int
	closed bool

	ready chan struct{} // holds a token while there may be something to take
	done  chan struct{}
}

// queue is what one sender has here.
type queue struct {
	from      transport.NodeID
	envelopes []transport.Envelope
	head      int
	bytes     int
}

func (q *queue) count() int { return len(q.envelopes) - q.head }

// New returns an empty inbox behind a gate, or behind none.
func New(gate transport.Gate) *Inbox {
	return &Inbox{gate: gate, from: map[transport.NodeID]*queue{}, ready: make(chan struct{}, 1), done: make(chan struct{})}
}

// Put appends e, which the inbox owns from now on, or drops it: the gate does not admit it, the inbox is closed, or full and no other
// sender holds more than e's would.
func (b *Inbox) Put(e transport.Envelope) bool {
	if b.gate != nil && !b.gate.Admit(&e) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	q := b.from[e.From]
	if q == nil {
		q = &queue{from: e.From}
	}
	for b.count >= LenMax || b.bytes+len(e.Body) > BytesMax {
		if !b.evict(q, len(e.Body)) {
			b.lost(e.From)
			return false
		}
	}
	if q.count() == 0 {
		b.from[e.From], b.turn = q, append(b.turn, q)
	}
	q.envelopes = append(q.envelopes, e)
	q.bytes += len(e.Body)
	b.count++
	b.bytes += len(e.Body)
	b.signal()
	return true
}

// evict drops the newest envelope of the sender that holds most, unless that would be q's with so many bytes more. The caller holds mu.
func (b *Inbox) evict(q *queue, more int) bool {
	holds := func(x *queue) int { return x.bytes }
	if b.count >= LenMax {
		holds, more = (*queue).count, 1
	}
	var most *queue
	for _, x := range b.turn {
		if most == nil || holds(x) > holds(most) {
			most = x
		}
	}
	if most == nil || holds(q)+more >= holds(most) {
		return false
	}
	b.lost(most.from)
	last := len(most.envelopes) - 1
	b.removed(most, &most.envelopes[last])
	most.envelopes = most.envelopes[:last]
	if most.count() == 0 {
		b.turn = slices.DeleteFunc(b.turn, func(x *queue) bool { return x == most })
		delete(b.from, most.from)
	}
	return true
}

// lost tells of an envelope for which there was no room. The caller holds mu.
func (b *Inbox) lost(from transport.NodeID) {
	if b.gate != nil {
		b.gate.Lost(from)
	}
}

// removed counts e of q as gone, and lets its memory go. The caller holds mu.
func (b *Inbox) removed(q *queue, e *transport.Envelope) {
	b.count--
	b.bytes -= len(e.Body)
	q.bytes -= len(e.Body)
	*e = transport.Envelope{}
}

// Get waits for the next envelope. It returns the context's error, or transport.ErrClosed after Close.
func (b *Inbox) Get(ctx context.Context) (transport.Envelope, error) {
	for {
		if err := ctx.Err(); err != nil {
			return transport.Envelope{}, err
		}
		if e, ok, err := b.take(); ok || err != nil {
			return e, err
		}
		select {
		case <-b.ready:
		case <-b.done:
		case <-ctx.Done():
		}
	}
}

func (b *Inbox) take() (transport.Envelope, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return transport.Envelope{}, false, transport.ErrClosed
	}
	if b.count == 0 {
		return transport.Envelope{}, false, nil
	}
	q := b.turn[0]
	e := q.envelopes[q.head]
	b.removed(q, &q.envelopes[q.head])
	q.head++
	b.turn = slices.Delete(b.turn, 0, 1)
	if q.count() == 0 {
		delete(b.from, q.from)
	} else {
		q.compact()
		b.turn = append(b.turn, q)
	}
	if b.count > 0 {
		b.signal() // for the next waiter
	}
	return e, true, nil
}

// compact moves the rest to the front once the taken part is the larger, so that a queue that never runs empty stays bounded.
func (q *queue) compact() {
	if q.head < 64 || q.head*2 < len(q.envelopes) {
		return
	}
	n := copy(q.envelopes, q.envelopes[q.head:])
	clear(q.envelopes[n:])
	q.envelopes, q.head = q.envelopes[:n], 0
}

func (b *Inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// Close ends every Get and drops what is left. It is idempotent.
func (b *Inbox) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	b.from, b.turn, b.count, b.bytes = nil, nil, 0, 0
	close(b.done)
}
