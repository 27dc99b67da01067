package transporttest

import (
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
			return func(_ transport.NodeID, n transport.Network) transport.Network { return n }
		})
		t.Run("oversize", func(t *testing.T) { testLimit(t, open, transport.FrameMax) })
	})
	t.Run("secure", func(t *testing.T) {
		testDelivery(t, open, func(t *testing.T) wrap { return newRoster(t).secure })
		t.Run("authentic", func(t *testing.T) { testAuthentic(t, open) })
		t.Run("private", func(t *testing.T) { testPrivate(t, open) })
		t.Run("forged", func(t *testing.T) { testForged(t, open) })
		t.Run("strangers", func(t *testing.T) { testStrangers(t, open) })
		t.Run("oversize", func(t *testing.T) { testSecureLimit(t, open) })
	})
}

// wrap turns a raw network into the one under test.
type wrap func(transport.NodeID, transport.Network) transport.Network

// testDelivery holds for raw and secured networks alike.
func testDelivery(t *testing.T, open Open, with func(*testing.T) wrap) {
	for name, test := range map[string]func(*testing.T, map[transport.NodeID]transport.Network){
		"broadcast": testBroadcast,
		"directed":  testDirected,
		"channels":  testChannels,
		"copies":    testCopies,
		"close":     testClose,
	} {
		t.Run(name, func(t *testing.T) {
			nets, w := open(t, honest), with(t)
			for id, n := range nets {
				nets[id] = w(id, n)
			}
			test(t, nets)
		})
	}
}
