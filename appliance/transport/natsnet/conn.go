package natsnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/internal/inbox"
)

// What waits for the callback of a subscription, unread: so many bytes, and so many messages, each of which takes some 300 bytes beside.
// The callback asks the gate, and nothing else, so little ever waits.
const (
	unreadBytes = 64 << 20
	unreadMax   = 1 << 17
)

// conn is a place on one channel: two subscriptions that fill one inbox.
type conn struct {
	network *Network
	prefix  string
	in      *inbox.Inbox

	mu     sync.Mutex
	closed bool
	subs   []*nats.Subscription
}

func newConn(n *Network, channel string, gate transport.Gate) (*conn, error) {
	c := &conn{network: n, prefix: prefix(n.config.Cluster) + channel + ".", in: inbox.New(gate)}
	for _, s := range []struct {
		subject string
		to      []transport.NodeID
	}{{c.all(), nil}, {c.one(n.config.Node), []transport.NodeID{n.config.Node}}} {
		sub, err := n.client.Subscribe(s.subject, func(m *nats.Msg) {
			from, _ := transport.ParseNodeID(m.Reply) // nobody knows yet
			e := transport.Envelope{From: from, Body: m.Data}
			e.To = append(e.To, s.to...)
			c.in.Put(e)
		})
		if err != nil {
			c.leave()
			return nil, fmt.Errorf("natsnet: join: %w", translate(err))
		}
		c.subs = append(c.subs, sub)
		if err := sub.SetPendingLimits(unreadMax, unreadBytes); err != nil {
			c.leave()
			return nil, fmt.Errorf("natsnet: join: %w", translate(err))
		}
	}
	return c, nil
}

func (c *conn) all() string                      { return c.prefix + "all" }
func (c *conn) one(node transport.NodeID) string { return c.prefix + "n." + string(node) }
func (c *conn) self() transport.NodeID           { return c.network.config.Node }

// Send publishes once for everybody, or once for each recipient.
func (c *conn) Send(ctx context.Context, e transport.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.checkSize(len(e.Body)); err != nil {
		return err
	}
	if c.isClosed() {
		return transport.ErrClosed
	}
	if len(e.To) == 0 {
		return c.publish(c.all(), e.Body)
	}
	for i, to := range e.To {
		if err := transport.CheckName("node", string(to)); err != nil {
			return err
		}
		if to == c.self() || slices.Contains(e.To[:i], to) {
			continue
		}
		if err := c.publish(c.one(to), e.Body); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) checkSize(n int) error {
	limit := int64(transport.FrameMax)
	if broker := c.network.client.MaxPayload(); broker > 0 && broker < limit {
		limit = broker // 0 while not connected
	}
	if int64(n) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d: raise the broker's max_payload to %d", transport.ErrTooLarge, n, limit, transport.FrameMax)
	}
	return nil
}

// publish copies the body into the client's buffer; the reply subject names us.
func (c *conn) publish(subject string, body []byte) error {
	if err := c.network.client.PublishMsg(&nats.Msg{Subject: subject, Reply: string(c.self()), Data: body}); err != nil {
		return fmt.Errorf("natsnet: send: %w", translate(err))
	}
	return nil
}

// Recv waits for the next envelope.
func (c *conn) Recv(ctx context.Context) (transport.Envelope, error) { return c.in.Get(ctx) }

// Close unsubscribes.
func (c *conn) Close() error {
	c.leave()
	c.network.forget(c)
	return nil
}

func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.in.Close()
	for _, s := range c.subs {
		_ = s.Unsubscribe() // fails only if the connection is closed already
	}
}

// overrun is how many messages the subscriptions had no room for.
func (c *conn) overrun() (lost uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		n, _ := s.Dropped() // fails only where it was closed
		lost += uint64(max(n, 0))
	}
	return lost
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	return closed || c.network.isClosed()
}

// ErrOffline is returned by Send while the external broker cannot be reached; the Network keeps trying.
var ErrOffline = errors.New("no connection to the broker")

func translate(err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return transport.ErrClosed
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return transport.ErrTooLarge
	}
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return ErrOffline
	}
	return err
}
