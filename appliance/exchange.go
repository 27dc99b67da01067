package appliance

import (
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// exchange is the pace at which nodes tell each other which records they have, of those that hold by what is signed in them, and send what
// is lacking: of requests that wait and of freezes. It is safe for concurrent use.
type exchange struct {
	heard refusalRate // what peers tell

	mu    sync.Mutex
	given map[transport.NodeID]time.Time // when a peer was last sent what it lacks
	told  time.Time                      // when the others were last told what is here
}

const (
	// exchangeEvery is how often peers are told what a node has, and sent what they lack; exchangePart is how many records at once.
	exchangeEvery = 5 * time.Second
	exchangePart  = 32
)

// tells is whether the others are to be told now.
func (x *exchange) tells(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if now.Sub(x.told) < exchangeEvery {
		return false
	}
	x.told = now
	return true
}

// reads is whether one more envelope of a peer is read, of so many a minute. What is not is told again.
func (x *exchange) reads(now time.Time, peer transport.NodeID, minute int) bool {
	return x.heard.allow(now, refusedTo{peer: peer}, minute)
}

// supplies is whether a peer is sent now what it lacks.
func (x *exchange) supplies(now time.Time, peer transport.NodeID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if now.Sub(x.given[peer]) < exchangeEvery/2 {
		return false
	}
	if x.given == nil {
		x.given = map[transport.NodeID]time.Time{}
	}
	x.given[peer] = now
	return true
}

// differ is what of ours a peer has not, and whether it has what we have not.
func differ[D comparable](ours, theirs []D) (lacks map[D]bool, more bool) {
	lacks = make(map[D]bool, len(ours))
	for _, d := range ours {
		lacks[d] = true
	}
	for _, d := range theirs {
		if _, here := lacks[d]; here {
			lacks[d] = false
		} else {
			more = true
		}
	}
	return lacks, more
}
