package appliance

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
)

// counters are the node's own numbers; the program exports them.
type counters struct {
	signatures, ceremonies, batches, aborts, refused, keygens, refreshes, retries atomic.Uint64

	signed tally
	token  TokenTimes
	tokens sync.Mutex // held to read and to change token
}

// SignResult is how requests to sign with keys of a scheme ended: "ok", or the code of the error. The scheme is "" where no key was found.
type SignResult struct{ Scheme, Result string }

// LostOf are the envelopes of a peer for which a room of the node had no place: "inbox", where what is authentic waits to be verified,
// "ceremonies", of those that run or are not proposed yet, "proposals", of what the peer asks for,
// or "questions", about what it does not know.
type LostOf struct {
	Peer transport.NodeID
	Room string
}

// tally counts how requests to sign ended.
type tally struct {
	mu sync.Mutex
	m  map[SignResult]uint64
}

func (t *tally) add(scheme string, err error) {
	r := SignResult{scheme, "ok"}
	if err != nil {
		r.Result = string(problem.As(err).Code)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[SignResult]uint64{}
	}
	t.m[r]++
}

// TokenBounds are the upper bounds, in seconds, by which TokenTimes tells signatures of the token apart.
var TokenBounds = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}

// TokenTimes is how long the token took to sign, and how often it failed.
type TokenTimes struct {
	Signed, Failed uint64
	Sum            time.Duration // of those that were signed
	Below          [len(TokenBounds)]uint64
}

// signing notes a signature of the token, or that it failed.
func (c *counters) signing(took time.Duration, err error) {
	c.tokens.Lock()
	defer c.tokens.Unlock()
	if err != nil {
		c.token.Failed++
		return
	}
	c.token.Signed++
	c.token.Sum += took
	for i, bound := range TokenBounds {
		if took.Seconds() <= bound {
			c.token.Below[i]++
		}
	}
}

// Counts is a reading of the node's counters, all since its start.
type Counts struct {
	Signatures uint64 // made as coordinator
	Ceremonies uint64 // taken part in
	Batches    uint64 // led
	Aborts     uint64
	Refused    uint64 // proposals refused or dropped
	Keygens    uint64
	Refreshes  uint64
	Retries    uint64 // requests tried again with another quorum
	AuditSeq   uint64
	Freezes    int // in force
	// Presignatures of the pool.
	PresReady   int               // now, to sign with
	PresHeld    int               // now, for all coordinators
	PresMade    uint64            // as coordinator
	PresUsed    uint64            // as coordinator
	PresMissed  uint64            // requests that found too few and presigned for themselves
	PresDropped uint64            // never used
	Network     map[string]uint64 // envelopes dropped, by reason
	Lost        map[LostOf]uint64
	Signed      map[SignResult]uint64
	Token       TokenTimes
}

// Counts reads the counters.
func (n *Node) Counts() Counts {
	c := &n.counts
	pool := n.pool.Counts()
	out := Counts{
		Signatures: c.signatures.Load(), Ceremonies: c.ceremonies.Load(), Batches: c.batches.Load(), Aborts: c.aborts.Load(),
		Refused: c.refused.Load(), Keygens: c.keygens.Load(), Refreshes: c.refreshes.Load(), Retries: c.retries.Load(),
		AuditSeq: n.cfg.AuditLog.Len(), Freezes: n.freezer.inForce(),
		PresReady: pool.Ready, PresHeld: pool.Held, PresMade: pool.Made, PresUsed: pool.Used, PresMissed: pool.Missed,
		PresDropped: pool.Dropped, Network: map[string]uint64{},
	}
	c.signed.mu.Lock()
	out.Signed = maps.Clone(c.signed.m)
	c.signed.mu.Unlock()
	c.tokens.Lock()
	out.Token = c.token
	c.tokens.Unlock()
	out.Lost = lostAt(n)
	if net := n.net.Load(); net != nil {
		s := net.Stats()
		out.Network["sent"], out.Network["received"] = s.Sent, s.Received
		for reason, v := range s.Dropped {
			out.Network[reason] = v
		}
	}
	return out
}

// lostAt is what of each peer was dropped for want of room.
func lostAt(n *Node) map[LostOf]uint64 {
	rooms := map[string]map[transport.NodeID]uint64{"ceremonies": n.router.Lost(), "proposals": n.slots.Lost(),
		"questions": n.asked.Lost()}
	if net := n.net.Load(); net != nil {
		rooms["inbox"] = net.Stats().Lost
	}
	out := map[LostOf]uint64{}
	for room, lost := range rooms {
		for peer, v := range lost {
			out[LostOf{peer, room}] = v
		}
	}
	return out
}
