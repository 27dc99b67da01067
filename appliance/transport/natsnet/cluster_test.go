package natsnet_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
)

const cluster = "test-cluster"

// testbed starts embedded nodes that route to each other on loopback.
type testbed struct {
	t     testing.TB
	ca    *natsnet.CA
	peers transport.Peers
	addrs map[transport.NodeID]string // of every node ever started
}

func newTestbed(t testing.TB, nodes []transport.NodeID) *testbed {
	t.Helper()
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	b := &testbed{t: t, ca: ca, peers: transport.Peers{}, addrs: map[transport.NodeID]string{}}
	for _, id := range nodes {
		b.peers[id] = transport.Peer{Node: id}
	}
	return b
}

// start starts the node, at its old address if it had one, with routes to all that were started before.
func (b *testbed) start(id transport.NodeID) *natsnet.Network {
	b.t.Helper()
	c := b.config(id)
	for other, addr := range b.addrs {
		if other != id {
			c.Routes = append(c.Routes, addr)
		}
	}
	if addr, ok := b.addrs[id]; ok {
		c.RouteListen = addr
	}
	n, err := natsnet.Start(b.t.Context(), c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = n.Close() })
	b.addrs[id] = n.RouteAddr().String()
	return n
}

func (b *testbed) config(id transport.NodeID) natsnet.Config {
	return natsnet.Config{Cluster: cluster, Node: id, Peers: b.peers, RouteListen: "127.0.0.1:0", TLS: nodeTLS(b.t, b.ca, id)}
}

// nodeTLS issues a certificate for the node and trusts the CA.
func nodeTLS(t testing.TB, ca *natsnet.CA, id transport.NodeID) *tls.Config {
	t.Helper()
	certPEM, keyPEM, err := ca.Issue(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM())
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool}
}

func (b *testbed) startAll(nodes []transport.NodeID) map[transport.NodeID]transport.Network {
	nets := map[transport.NodeID]transport.Network{}
	var last *natsnet.Network
	for _, id := range nodes {
		last = b.start(id)
		nets[id] = last
	}
	waitPeers(b.t, last, len(nodes)-1)
	return nets
}

func waitPeers(t testing.TB, n *natsnet.Network, peers int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.WaitPeers(ctx, peers); err != nil {
		t.Fatal(err)
	}
}

// Goal: natsnet is a transport.Network. Method: the conformance suite over one embedded server per node, mutual TLS routes.
func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, nodes []transport.NodeID) map[transport.NodeID]transport.Network {
		return newTestbed(t, nodes).startAll(nodes)
	})
}

// Goal: a member's own server may publish anything as anybody, and cuts nobody off by it. Method: bursts of more than an inbox holds, in a
// peer's name, forged and repeated, among which that one speaks: each word arrives.
func TestFlood(t *testing.T) {
	transporttest.Flood(t, func(t *testing.T, nodes []transport.NodeID) map[transport.NodeID]transport.Network {
		return newTestbed(t, nodes).startAll(nodes)
	}, func(over transport.Network, channel string, as, to transport.NodeID, frame []byte) error {
		return over.(*natsnet.Network).Publish(channel, as, to, frame)
	})
}

// Goal: messages flow among the rest while a node's server is down, and with it once it is back on the same port, whoever
// dialled whom. Method: the conformance suite; node a dials nobody, node b dials a, node c dials both.
func TestRejoin(t *testing.T) {
	transporttest.Rejoin(t, func(t *testing.T, nodes []transport.NodeID) (map[transport.NodeID]transport.Network,
		func(transport.NodeID) transport.Network) {
		b := newTestbed(t, nodes)
		return b.startAll(nodes), func(id transport.NodeID) transport.Network { return b.start(id) }
	})
}
