package appliance

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Liveness: a hint for choosing quorums, never a proof of anything.
const (
	beatEvery = time.Second
	firstBeat = 25 * time.Millisecond // the first beats follow each other quickly: routes form while a node boots
	liveFor   = 3500 * time.Millisecond
)

type heartbeat struct {
	Version string `cbor:"1,keyasint"`
	Ready   bool   `cbor:"2,keyasint"`
	Boot    bootID `cbor:"3,keyasint"`
}

// bootID names one run of a node. A proposal names the boots it is for, because a node that was restarted has forgotten which
// ceremonies it was in: were it to join one again, its two OPENs would convict it of equivocation.
type bootID [16]byte

// peerTable is what this node noticed of the others since it started.
type peerTable struct {
	n  *Node
	mu sync.Mutex
	m  map[transport.NodeID]*peerNotes
}

type peerNotes struct {
	last    time.Time
	boot    bootID
	ready   bool
	version string
	suspect time.Time // silent in a ceremony; cleared by the next message
	accused string    // check that an abort blamed it for
}

func newPeerTable(n *Node) *peerTable {
	t := &peerTable{n: n, m: map[transport.NodeID]*peerNotes{}}
	for id := range n.rosterKeys {
		if id != n.Node {
			t.m[id] = &peerNotes{}
		}
	}
	return t
}

// beat tells the others that we live, until ctx ends.
func (t *peerTable) beat(ctx context.Context) {
	pause := firstBeat
	tick := time.NewTimer(pause)
	defer tick.Stop()
	for {
		t.n.send(transport.Envelope{Kind: kindHeartbeat, Body: canon.MustMarshal(heartbeat{t.n.Release, t.n.ready.Load(), t.n.boot})})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			pause = min(2*pause, beatEvery)
			tick.Reset(pause)
		}
	}
}

func (t *peerTable) heard(id transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		p.last = t.n.Clock()
	}
}

func (t *peerTable) heartbeat(env transport.Envelope) {
	var h heartbeat
	if canon.Unmarshal(env.Body, &h) != nil || len(h.Version) > 64 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[env.From]; p != nil {
		if p.boot != h.Boot && p.boot != (bootID{}) {
			t.n.pool.dropLeader(env.From)
		}
		p.ready, p.version, p.boot = h.Ready, h.Version, h.Boot
	}
}

// silent notes that a peer did not answer in time; it is chosen last for a while.
func (t *peerTable) silent(id transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		p.suspect = t.n.Clock()
	}
}

// accuse notes that an abort named a peer; it is no longer chosen by this process.
func (t *peerTable) accuse(id transport.NodeID, check string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		p.accused = check
	}
}

const suspectFor = 5 * time.Second

// usable tells whether a peer may be chosen for a quorum, and whether it was silent lately.
func (t *peerTable) usable(id transport.NodeID) (ok, suspect bool) {
	if id == t.n.Node {
		return true, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[id]
	if p == nil || p.accused != "" || p.boot == (bootID{}) {
		return false, false
	}
	now := t.n.Clock()
	return now.Sub(p.last) < liveFor, now.Sub(p.suspect) < suspectFor
}

// boots are the current runs of the nodes, as far as they have told.
func (t *peerTable) boots(ids []transport.NodeID) []bootID {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]bootID, len(ids))
	for i, id := range ids {
		if id == t.n.Node {
			out[i] = t.n.boot
		} else if p := t.m[id]; p != nil {
			out[i] = p.boot
		}
	}
	return out
}

// awaitBoot waits up to lateFor for one of the nodes to tell of another run than in boots.
func (t *peerTable) awaitBoot(ctx context.Context, ids []transport.NodeID, boots []bootID) bool {
	ctx, cancel := context.WithTimeout(ctx, lateFor)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for slices.Equal(t.boots(ids), boots) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

func (t *peerTable) liveCount(ids []transport.NodeID) int {
	live := 0
	for _, id := range ids {
		if ok, _ := t.usable(id); ok {
			live++
		}
	}
	return live
}

func (n *Node) allParties() []threshold.PartyID {
	ps := make([]threshold.PartyID, len(n.Roster.Roster.Nodes))
	for i, m := range n.Roster.Roster.Nodes {
		ps[i] = m.Party
	}
	return ps
}

// Nodes lists the roster with what this node knows of each member.
func (n *Node) Nodes() []NodeStatus {
	var out []NodeStatus
	for _, m := range n.Roster.Roster.Nodes {
		id := transport.NodeID(m.ID)
		s := NodeStatus{ID: id, Party: m.Party, Facility: m.Facility}
		if id == n.Config.Node {
			s.Self, s.Live, s.LastSeen, s.Version = true, true, n.Clock(), n.Release
		} else {
			n.peers.mu.Lock()
			p := n.peers.m[id]
			s.LastSeen, s.Version, s.Accused = p.last, p.version, p.accused != ""
			n.peers.mu.Unlock()
			s.Live = n.Clock().Sub(s.LastSeen) < liveFor
			s.Accused = s.Accused || n.pairs.banned(m.Party)
		}
		out = append(out, s)
	}
	return out
}

// quorum chooses the signers of a key: this node first if it is a party, then the others by place after it, those that were
// silent lately last. Always the same peers are chosen, so that concurrent requests share ceremonies.
func (n *Node) quorum(c threshold.Committee, avoid map[threshold.PartyID]bool) ([]threshold.PartyID, error) {
	self := n.self.Party
	start := 0
	for i, p := range c.Parties {
		if p >= self {
			start = i
			break
		}
	}
	var good, doubtful []threshold.PartyID
	for i := range c.N() {
		p := c.Parties[(start+i)%c.N()]
		ok, suspect := n.peers.usable(n.nodeOf(p))
		switch {
		case !ok || avoid[p]:
		case suspect:
			doubtful = append(doubtful, p)
		default:
			good = append(good, p)
		}
	}
	all := append(good, doubtful...)
	if len(all) < c.Threshold {
		return nil, problem.New(problem.Quorum, "start the missing nodes, then repeat the request", "%d of %d parties can be reached, %d must sign", len(all), c.N(), c.Threshold)
	}
	return sortedParties(all[:c.Threshold]), nil
}
