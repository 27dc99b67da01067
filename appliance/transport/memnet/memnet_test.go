package memnet_test

import (
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
)

// Goal: memnet is a transport.Network. Method: the conformance suite.
func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, nodes []transport.NodeID) map[transport.NodeID]transport.Network {
		nets, _ := open(t, nodes)
		return nets
	})
}

// Goal: a killed node comes back as a new boot. Method: the conformance suite.
func TestRejoin(t *testing.T) { transporttest.Rejoin(t, open) }

func open(t *testing.T, nodes []transport.NodeID) (map[transport.NodeID]transport.Network, func(transport.NodeID) transport.Network) {
	hub, nets := memnet.New(), map[transport.NodeID]transport.Network{}
	start := func(id transport.NodeID) transport.Network {
		n := hub.Node(id)
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	for _, id := range nodes {
		nets[id] = start(id)
	}
	return nets, start
}
