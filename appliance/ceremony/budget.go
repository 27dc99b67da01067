package ceremony

import (
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
)

// What a peer can make this node hold is bounded in bytes. Every peer has the same part of its own, so whatever one sends, what another
// sends has its place. Of a peer that has used up its part the newest is dropped, as on any network: it repeats what is missing.
const (
	// messageMax is what the largest message of a ceremony's rounds takes: the engine's, in its envelope. Accusations are larger, and one
	// fits beside it, since each peer has one.
	messageMax = threshold.MaxBody + 64<<10
	// waitingPeer is the least that waits here of one peer: of two ceremonies of one quorum a message each, come twice.
	waitingPeer = 4 * messageMax
	waitingAll  = 64 << 20 // of all peers, unless there are so many that waitingPeer makes it more

	proposalsPeer = slotsPeerMin * transport.FrameMax // likewise of what is being answered: proposals, of which a batch may take a frame
	proposalsAll  = 64 << 20

	// envelopeCost is what an envelope takes beside its bytes: its place in queues and maps.
	envelopeCost = 1 << 10
)

// budget counts the bytes that are held for each peer. Its owner's lock guards it.
type budget struct {
	part int // of each peer
	held map[transport.NodeID]int
	lost map[transport.NodeID]uint64 // envelopes of each peer for which there was no room, these bytes or another
}

func newBudget(all, least, peers int) budget {
	return budget{max(least, all/max(1, peers)), map[transport.NodeID]int{}, map[transport.NodeID]uint64{}}
}

// take counts an envelope, unless its sender has no room left for it.
func (b *budget) take(e transport.Envelope) bool {
	n := b.held[e.From] + cost(e)
	if n > b.part {
		return false
	}
	b.held[e.From] = n
	return true
}

// lose counts an envelope that is dropped as there is no room for it.
func (b *budget) lose(e transport.Envelope) { b.lost[e.From]++ }

// give ends what take counted.
func (b *budget) give(e transport.Envelope) { b.held[e.From] -= cost(e) }

func cost(e transport.Envelope) int {
	n := envelopeCost + len(e.Body) + len(e.Proof)
	for _, to := range e.To {
		n += len(to) + 16 // and the string's head
	}
	return n
}
