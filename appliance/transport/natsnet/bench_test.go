package natsnet_test

import (
	"math/rand/v2"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: a secured request and its answer between two nodes on loopback. Method: 500-byte private bodies, there and
// back through two embedded servers and a TLS route.
func BenchmarkRoundTrip(b *testing.B) {
	nodes := []transport.NodeID{"a", "b"}
	bed := newTestbed(b, nodes)
	nets := bed.startAll(nodes)
	rnd := rand.NewChaCha8([32]byte{1})
	ids, peers := map[transport.NodeID]transport.Identity{}, transport.Peers{}
	for _, n := range nodes {
		id, p, err := transport.NewIdentity(n, rnd)
		if err != nil {
			b.Fatal(err)
		}
		ids[n], peers[n] = id, p
	}
	conns := map[transport.NodeID]transport.Conn{}
	for _, n := range nodes {
		c, err := transport.Secure(nets[n], ids[n], peers, transport.Options{Cluster: cluster}).Join(b.Context(), "news")
		if err != nil {
			b.Fatal(err)
		}
		conns[n] = c
	}
	untilHeard(b, conns["a"], conns["b"])
	untilHeard(b, conns["b"], conns["a"])
	e := transport.Envelope{Kind: 1, Private: true, Body: make([]byte, 500)}
	hop := func(from, to transport.NodeID) {
		e.To = []transport.NodeID{to}
		if err := conns[from].Send(b.Context(), e); err != nil {
			b.Fatal(err)
		}
		for {
			got, err := conns[to].Recv(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if got.Kind == 1 { // else left over from the greeting
				return
			}
		}
	}
	for b.Loop() {
		hop("a", "b")
		hop("b", "a")
	}
}
