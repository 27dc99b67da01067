package sim

import (
	"bytes"
	"context"
	"sync"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Wire keeps what nodes handed to the raw network and what they took from it: what NATS sees, inside its TLS.
type Wire struct {
	mu     sync.Mutex
	frames []Frame
}

// Frame is one raw envelope.
type Frame struct {
	Node     transport.NodeID // who sent or received it
	Received bool
	Envelope transport.Envelope
}

// Frames is a copy of the list so far.
func (w *Wire) Frames() []Frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Frame(nil), w.frames...)
}

// Bytes is every body, one after the other, with the other fields between them.
func (w *Wire) Bytes() []byte {
	var b bytes.Buffer
	for _, f := range w.Frames() {
		e := f.Envelope
		b.WriteString("\n" + string(f.Node) + " " + string(e.From) + " ")
		b.Write(e.Topic[:])
		b.Write(e.Body)
		b.Write(e.Proof)
	}
	return b.Bytes()
}

func (w *Wire) note(n transport.NodeID, received bool, e transport.Envelope) {
	e.Body, e.Proof = bytes.Clone(e.Body), bytes.Clone(e.Proof)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, Frame{n, received, e})
}

// tap wraps a node's raw network.
func (w *Wire) tap(n transport.NodeID, inner transport.Network) transport.Network {
	return &tapped{Network: inner, w: w, n: n}
}

type tapped struct {
	transport.Network
	w *Wire
	n transport.NodeID
}

func (t *tapped) Join(ctx context.Context, channel string, gate transport.Gate) (transport.Conn, error) {
	c, err := t.Network.Join(ctx, channel, gate)
	if err != nil {
		return nil, err
	}
	return &tappedConn{c, t}, nil
}

type tappedConn struct {
	transport.Conn
	t *tapped
}

func (c *tappedConn) Send(ctx context.Context, e transport.Envelope) error {
	c.t.w.note(c.t.n, false, e)
	return c.Conn.Send(ctx, e)
}

func (c *tappedConn) Recv(ctx context.Context) (transport.Envelope, error) {
	e, err := c.Conn.Recv(ctx)
	if err == nil {
		c.t.w.note(c.t.n, true, e)
	}
	return e, err
}
