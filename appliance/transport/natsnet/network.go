package natsnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Network is a node's connection to the others through NATS. It implements transport.Network.
type Network struct {
	config Config
	server *server.Server // nil with an external broker
	client *nats.Conn

	mu     sync.Mutex
	closed bool
	conns  []*conn
}

var _ transport.Network = (*Network)(nil)

// Start starts the embedded server, or begins to connect to the external broker, which need not be reachable yet. The context
// bounds the start only; Close ends the Network.
func Start(ctx context.Context, c Config) (*Network, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	n := &Network{config: c}
	var err error
	if c.ExternalURL == "" {
		if n.server, err = startServer(c); err != nil {
			return nil, err
		}
	}
	if n.client, err = n.connect(); err != nil {
		_ = n.Close()
		return nil, err
	}
	return n, nil
}

// RouteAddr is the address on which routes are accepted, or nil if none are.
func (n *Network) RouteAddr() net.Addr {
	if n.server == nil || n.config.RouteListen == "" {
		return nil
	}
	return n.server.ClusterAddr()
}

// Connected is the number of other nodes' servers with a route to ours; with an external broker, 1 while it is connected.
func (n *Network) Connected() int {
	if n.server != nil {
		return n.server.NumRemotes()
	}
	if n.client != nil && n.client.IsConnected() {
		return 1
	}
	return 0
}

// WaitPeers waits until routes to at least peers other nodes stand, and returns the context's error if they do not. Their
// subscriptions may need a moment more.
func (n *Network) WaitPeers(ctx context.Context, peers int) error {
	if n.server == nil {
		return ErrNoRoutes
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n.Connected() < peers {
		select {
		case <-ctx.Done():
			return fmt.Errorf("natsnet: %d of %d peers connected: %w", n.Connected(), peers, ctx.Err())
		case <-tick.C:
		}
		if n.isClosed() {
			return transport.ErrClosed
		}
	}
	return nil
}

// Join subscribes to what is for everybody and for this node. With an external broker that is not connected yet, the
// subscription stands once it is.
func (n *Network) Join(ctx context.Context, channel string, gate transport.Gate) (transport.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := transport.CheckName("channel", channel); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, transport.ErrClosed
	}
	c, err := newConn(n, channel, gate)
	if err != nil {
		return nil, err
	}
	n.conns = append(n.conns, c)
	return c, nil
}

// Lost is how many envelopes came at the Conns that are open faster than anybody could ask whose they were.
func (n *Network) Lost() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var lost uint64
	for _, c := range n.conns {
		lost += c.overrun()
	}
	return lost
}

// Close leaves the cluster and stops the embedded server.
func (n *Network) Close() error {
	n.mu.Lock()
	conns, closed := n.conns, n.closed
	n.conns, n.closed = nil, true
	n.mu.Unlock()
	if closed {
		return nil
	}
	for _, c := range conns {
		c.in.Close()
	}
	if n.client != nil {
		n.client.Close()
	}
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
	return nil
}

func (n *Network) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = slices.DeleteFunc(n.conns, func(o *conn) bool { return o == c })
}

// prefix begins every subject of the cluster.
func prefix(cluster string) string { return "mpcd." + cluster + "." }

// connect opens the client's connection: in process, or to the external broker.
func (n *Network) connect() (*nats.Conn, error) {
	c := n.config
	opts := []nats.Option{
		nats.Name("mpcd " + string(c.Node)),
		nats.NoEcho(),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1), // what cannot be sent now is refused, not sent late
		nats.NoCallbacksAfterClientClose(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { n.log("nats: disconnected", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { n.log("nats: connected again to "+nc.ConnectedUrlRedacted(), nil) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { n.log("nats: client", err) }),
	}
	url := ""
	if n.server != nil {
		opts = append(opts, nats.InProcessServer(n.server), nats.ReconnectWait(10*time.Millisecond))
	} else {
		external, err := c.externalOptions()
		if err != nil {
			return nil, err
		}
		url, opts = c.ExternalURL, append(opts, external...)
	}
	client, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("natsnet: connect: %w", err)
	}
	return client, nil
}

func (c Config) externalOptions() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
		nats.Timeout(startTimeout),
	}
	if c.CredsFile != "" {
		if err := checkCreds(c.CredsFile); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(c.CredsFile)) // which is read again for every connection
	}
	t, err := c.tlsBase()
	if err != nil {
		return nil, err
	}
	if t == nil && strings.Contains(c.ExternalURL, "tls://") {
		t = tls13()
	}
	if t != nil {
		opts = append(opts, nats.Secure(t))
	}
	return opts, nil
}

func (n *Network) log(what string, err error) {
	if n.config.Logger == nil {
		return
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		n.config.Logger.Warn(what, "error", err)
		return
	}
	n.config.Logger.Debug(what)
}
