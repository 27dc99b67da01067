package transporttest

import (
	"context"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Open returns connected networks for the nodes, and closes them by t.Cleanup. They may still be meeting each other.
type Open func(t *testing.T, nodes []transport.NodeID) map[transport.NodeID]transport.Network

// nodes of every test: three of the roster, and mallory, who is on the network but in no roster.
var (
	honest = []transport.NodeID{"a", "b", "c"}
	all    = []transport.NodeID{"a", "b", "c", "mallory"}
)

// Run checks that the networks keep the promises of transport.Network and transport.Conn, and that transport.Secure over them
// keeps its own against everything that mallory and the network can do.
func Run(t *testing.T, open Open) {
	t.Run("raw", func(t *testing.T) {
		testDelivery(t, open, func(*testing.T) wrap {
			return func(_ transport.NodeID, n transport.Network) joiner { return raw{n} }
		})
		t.Run("oversize", func(t *testing.T) { testLimit(t, open, transport.FrameMax) })
		t.Run("gate", func(t *testing.T) { testGate(t, open) })
	})
	t.Run("secure", func(t *testing.T) {
		testDelivery(t, open, func(t *testing.T) wrap {
			r := newRoster(t)
			return func(id transport.NodeID, n transport.Network) joiner { return r.secure(id, n) }
		})
		t.Run("authentic", func(t *testing.T) { testAuthentic(t, open) })
		t.Run("private", func(t *testing.T) { testPrivate(t, open) })
		t.Run("forged", func(t *testing.T) { testForged(t, open) })
		t.Run("strangers", func(t *testing.T) { testStrangers(t, open) })
		t.Run("oversize", func(t *testing.T) { testSecureLimit(t, open) })
	})
}

// joiner is a network, raw or secured.
type joiner interface {
	Join(ctx context.Context, channel string) (transport.Conn, error)
	Close() error
}

// raw is a raw network with its gate open.
type raw struct{ transport.Network }

func (r raw) Join(ctx context.Context, channel string) (transport.Conn, error) {
	return r.Network.Join(ctx, channel, nil)
}

// wrap turns a raw network into the one under test.
type wrap func(transport.NodeID, transport.Network) joiner

// testDelivery holds for raw and secured networks alike.
func testDelivery(t *testing.T, open Open, with func(*testing.T) wrap) {
	for name, test := range map[string]func(*testing.T, map[transport.NodeID]joiner){
		"broadcast": testBroadcast,
		"directed":  testDirected,
		"channels":  testChannels,
		"copies":    testCopies,
		"close":     testClose,
	} {
		t.Run(name, func(t *testing.T) {
			nets, w := map[transport.NodeID]joiner{}, with(t)
			for id, n := range open(t, honest) {
				nets[id] = w(id, n)
			}
			test(t, nets)
		})
	}
}

// opened are raw networks with their gates open.
func opened(nets map[transport.NodeID]transport.Network) map[transport.NodeID]joiner {
	out := map[transport.NodeID]joiner{}
	for id, n := range nets {
		out[id] = raw{n}
	}
	return out
}
