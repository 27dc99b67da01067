package ceremony

import (
	"maps"
	"sync"

	"github.com/luxfi/mpcd/appliance/transport"
)

// slotsPeerMin is how many slots a peer may have at least, however many peers there are.
const slotsPeerMin = 4

// Slots bounds how many ceremonies a node takes part in at once for each peer that asks, and how many bytes they were asked for with.
type Slots struct {
	mu    sync.Mutex
	part  int
	taken map[transport.NodeID]int
	held  budget
}

// NewSlots makes n slots for a number of peers, each of which has the same part, and slotsPeerMin at least.
func NewSlots(n, peers int) *Slots {
	return &Slots{part: max(slotsPeerMin, n/max(1, peers)), taken: map[transport.NodeID]int{},
		held: newBudget(proposalsAll, proposalsPeer, peers)}
}

// Take takes a slot for what a peer asks if it has one left; a flood of proposals is dropped, their coordinators try again elsewhere. The
// slot is given back by the function returned.
func (s *Slots) Take(env transport.Envelope) (giveBack func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[env.From] >= s.part || !s.held.take(env) {
		s.held.lose(env)
		return nil, false
	}
	s.taken[env.From]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken[env.From]--
		s.held.give(env)
	}, true
}

// Lost is how many times each peer asked and there was no slot for it.
func (s *Slots) Lost() map[transport.NodeID]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.held.lost)
}
