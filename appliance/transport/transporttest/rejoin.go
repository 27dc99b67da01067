package transporttest

import (
	"maps"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// OpenRestartable is Open with a way to start a node anew after its network was closed.
type OpenRestartable func(t *testing.T, nodes []transport.NodeID) (map[transport.NodeID]transport.Network,
	func(transport.NodeID) transport.Network)

// Rejoin checks that the others go on while a node is away, and that it is heard and hears when it is back, as a new boot.
func Rejoin(t *testing.T, open OpenRestartable) {
	r := newRoster(t)
	started, restart := open(t, honest)
	nets := map[transport.NodeID]joiner{}
	for id, n := range started {
		nets[id] = r.secure(id, n)
	}
	places := map[transport.NodeID]*place{}
	places["a"], places["b"], places["c"] = joinAll(t, nets, "news")
	for _, victim := range to("b", "a") { // a is the one by which the others may have found the cluster
		if err := nets[victim].Close(); err != nil {
			t.Fatal(err)
		}
		delete(places, victim)
		meet(t, "without "+string(victim), values(places)...)
		nets[victim] = r.secure(victim, restart(victim))
		places[victim] = join(t, victim, nets[victim], "news")
		meet(t, "again with "+string(victim), values(places)...)
	}
	places["a"].send(transport.Envelope{To: to("b"), Body: []byte("after all that"), Private: true})
	places["b"].wait("after all that")
}

func values(places map[transport.NodeID]*place) []*place { return slices.Collect(maps.Values(places)) }
