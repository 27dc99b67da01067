package memnet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/internal/inbox"
)

// Frame is one copy of an envelope on its way over one link.
type Frame struct {
	Channel  string
	From, To transport.NodeID
	// N counts the frames of this channel from From to To, from 0.
	N    uint64
	Body []byte // lent: must be neither changed nor kept
}

// Fate is what happens to a frame: it arrives once after each of the delays. No delays means lost.
type Fate []time.Duration

// Once is the fate of a frame on a good network.
var Once = Fate{0}

// Fault decides the fate of each frame. It is called with the hub's lock held and must not call the hub.
type Fault func(Frame) Fate

// Hub connects the nodes of one process. It is safe for concurrent use.
type Hub struct {
	mu    sync.Mutex
	fault Fault
	tap   func(Frame)
	nodes map[transport.NodeID]*Node
	cut   map[[2]transport.NodeID]bool
	count map[link]uint64
	// flights under way, sorted by flight.before.
	flights []flight
}

type link struct {
	channel  string
	from, to transport.NodeID
}

// New returns a hub without nodes or faults.
func New() *Hub {
	return &Hub{nodes: map[transport.NodeID]*Node{}, cut: map[[2]transport.NodeID]bool{}, count: map[link]uint64{}}
}

// SetFault replaces the fault; nil removes it.
func (h *Hub) SetFault(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// SetTap lets f see every frame at sending, before its fate. It is called with the hub's lock held.
func (h *Hub) SetTap(f func(Frame)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tap = f
}

// Node attaches a node to the hub, in place of a killed or closed one of the same name. It panics if the name is bad or in use.
func (h *Hub) Node(id transport.NodeID) *Node {
	if err := transport.CheckName("node", string(id)); err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nodes[id] != nil {
		panic(fmt.Sprintf("memnet: node %s is already there", id))
	}
	n := &Node{hub: h, id: id}
	h.nodes[id] = n
	return n
}

// Kill closes the node as if its process had died; frames to it that are under way are lost.
func (h *Hub) Kill(id transport.NodeID) {
	h.mu.Lock()
	n := h.nodes[id]
	h.mu.Unlock()
	if n != nil {
		_ = n.Close()
	}
}

// Partition cuts the link between a and b, both ways; frames under way are lost.
func (h *Hub) Partition(a, b transport.NodeID) { h.setCut(a, b, true) }

// Heal mends the link between a and b.
func (h *Hub) Heal(a, b transport.NodeID) { h.setCut(a, b, false) }

func (h *Hub) setCut(a, b transport.NodeID, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cut {
		h.cut[pair(a, b)] = true
	} else {
		delete(h.cut, pair(a, b))
	}
}

func pair(a, b transport.NodeID) [2]transport.NodeID {
	return [2]transport.NodeID{min(a, b), max(a, b)}
}

// send gives every recipient's copy its fate.
func (h *Hub) send(from *Node, channel string, e transport.Envelope) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if from.closed {
		return transport.ErrClosed
	}
	for _, to := range h.recipients(from.id, e.To) {
		l := link{channel, from.id, to}
		f := Frame{Channel: channel, From: from.id, To: to, N: h.count[l], Body: e.Body}
		h.count[l]++
		if h.tap != nil {
			h.tap(f)
		}
		fate := Once
		if h.fault != nil {
			fate = h.fault(f)
		}
		for copy, delay := range fate {
			h.schedule(delay, flight{Frame: f, copy: copy, target: h.nodes[to], to: e.To})
		}
	}
	return nil
}

// recipients are the attached nodes an envelope is for, sorted, so that a run does not depend on the order of a map.
func (h *Hub) recipients(from transport.NodeID, to []transport.NodeID) []transport.NodeID {
	var out []transport.NodeID
	for id := range h.nodes {
		if id != from && (len(to) == 0 || slices.Contains(to, id)) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Node is one node's attachment: a transport.Network.
type Node struct {
	hub    *Hub
	id     transport.NodeID
	closed bool // guarded by hub.mu, like conns
	conns  map[string][]*conn
}

var _ transport.Network = (*Node)(nil)

// Join takes a place on the channel.
func (n *Node) Join(ctx context.Context, channel string, gate transport.Gate) (transport.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := transport.CheckName("channel", channel); err != nil {
		return nil, err
	}
	n.hub.mu.Lock()
	defer n.hub.mu.Unlock()
	if n.closed {
		return nil, transport.ErrClosed
	}
	c := &conn{node: n, channel: channel, in: inbox.New(gate)}
	if n.conns == nil {
		n.conns = map[string][]*conn{}
	}
	n.conns[channel] = append(n.conns[channel], c)
	return c, nil
}

// Close detaches the node from its hub.
func (n *Node) Close() error {
	n.hub.mu.Lock()
	defer n.hub.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	for _, conns := range n.conns {
		for _, c := range conns {
			c.in.Close()
		}
	}
	n.conns = nil
	delete(n.hub.nodes, n.id)
	return nil
}

type conn struct {
	node    *Node
	channel string
	in      *inbox.Inbox
	closed  bool // guarded by hub.mu
}

func (c *conn) Send(ctx context.Context, e transport.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(e.Body) > transport.FrameMax {
		return fmt.Errorf("%w: %d bytes, at most %d", transport.ErrTooLarge, len(e.Body), transport.FrameMax)
	}
	if c.isClosed() {
		return transport.ErrClosed
	}
	return c.node.hub.send(c.node, c.channel, e)
}

func (c *conn) isClosed() bool {
	c.node.hub.mu.Lock()
	defer c.node.hub.mu.Unlock()
	return c.closed
}

func (c *conn) Recv(ctx context.Context) (transport.Envelope, error) { return c.in.Get(ctx) }

func (c *conn) Close() error {
	h := c.node.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	c.closed = true
	c.in.Close()
	if c.node.closed {
		return nil
	}
	c.node.conns[c.channel] = slices.DeleteFunc(c.node.conns[c.channel], func(o *conn) bool { return o == c })
	return nil
}
