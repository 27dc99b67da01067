// Package inbox is the bounded queue between a network and Recv: what arrives when it is full is lost, and counted.
package inbox

import (
	"context"
	"sync"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Limits of one inbox; whichever is met first.
const (
	LenMax   = 8192
	BytesMax = 64 << 20
)

// Inbox is a queue of envelopes. It is safe for concurrent use.
type Inbox struct {
	mu     sync.Mutex
	queue  []transport.Envelope
	head   int
	bytes  int
	lost   uint64
	closed bool

	ready chan struct{} // holds a token while the queue may be non-empty
	done  chan struct{}
}

// New returns an empty inbox.
func New() *Inbox { return &Inbox{ready: make(chan struct{}, 1), done: make(chan struct{})} }

// Put appends e, which the inbox owns from now on, or drops it if the inbox is full or closed.
func (b *Inbox) Put(e transport.Envelope) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if len(b.queue)-b.head >= LenMax || b.bytes+len(e.Body) > BytesMax {
		b.lost++
		return false
	}
	b.queue = append(b.queue, e)
	b.bytes += len(e.Body)
	b.signal()
	return true
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
	if b.head == len(b.queue) {
		return transport.Envelope{}, false, nil
	}
	e := b.queue[b.head]
	b.queue[b.head] = transport.Envelope{}
	b.head++
	b.bytes -= len(e.Body)
	if b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
	} else {
		b.compact()
		b.signal() // for the next waiter
	}
	return e, true, nil
}

// compact moves the rest to the front once the taken part is the larger, so that a queue that never runs empty stays bounded.
func (b *Inbox) compact() {
	if b.head < 64 || b.head*2 < len(b.queue) {
		return
	}
	n := copy(b.queue, b.queue[b.head:])
	clear(b.queue[n:])
	b.queue, b.head = b.queue[:n], 0
}

func (b *Inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// Lost is how many envelopes found the inbox full.
func (b *Inbox) Lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// Close ends every Get and drops what is left. It is idempotent.
func (b *Inbox) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	b.queue, b.head, b.bytes = nil, 0, 0
	close(b.done)
}
