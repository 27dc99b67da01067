package ceremony

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
	beatEvery  = time.Second
	firstBeat  = 25 * time.Millisecond // the first beats follow each other quickly: routes form while a node boots
	liveFor    = 3500 * time.Millisecond
	suspectFor = 5 * time.Second
	versionMax = 64 // bytes
)

// LateFor is how long a party waits for what it may only not have heard yet: a peer's new run, or its own end of a ceremony that
// others have already ended.
const LateFor = 2 * time.Second

// Boot names one run of a node. A proposal names the boots it is for, because a node that was restarted has forgotten which
// ceremonies it was in: were it to join one again, its two OPENs would convict it of equivocation.
type Boot [16]byte

type heartbeat struct {
	Version string `cbor:"1,keyasint"`
	Ready   bool   `cbor:"2,keyasint"`
	Boot    Boot   `cbor:"3,keyasint"`
}

// Peers is what this node noticed of the others since it started. It is safe for concurrent use.
type Peers struct {
	hall      Hall
	boot      Boot
	version   string
	restarted func(transport.NodeID)

	mu      sync.Mutex
	m       map[transport.NodeID]*Notes
	changed chan struct{} // closed and made anew when a peer tells something new of itself
}

// Notes are what is noticed of one peer.
type Notes struct {
	LastSeen time.Time // zero if never
	Version  string
	Accused  string // the check that an abort blamed it for; empty if none did
	boot     Boot
	suspect  time.Time // silent in a ceremony
}

// NewPeers begins to take notes. This run of the node is boot, of a program of the version; restarted is called when a peer tells of
// another run of itself than before.
func NewPeers(h Hall, boot Boot, version string, restarted func(transport.NodeID)) *Peers {
	t := &Peers{hall: h, boot: boot, version: version, restarted: restarted, m: map[transport.NodeID]*Notes{}, changed: make(chan struct{})}
	_, others := h.Others(h.parties())
	for _, id := range others {
		t.m[id] = &Notes{}
	}
	return t
}

// parties are all of the roster.
func (m *Members) parties() []threshold.PartyID {
	ps := make([]threshold.PartyID, 0, len(m.party))
	for _, x := range m.Roster.Roster.Nodes {
		ps = append(ps, x.Party)
	}
	return ps
}

// Beat tells the others that we live, until ctx ends; ready tells whether we serve.
func (t *Peers) Beat(ctx context.Context, ready func() bool) {
	pause := firstBeat
	tick := time.NewTimer(pause)
	defer tick.Stop()
	for {
		t.hall.Send(transport.Envelope{Kind: KindHeartbeat, Body: canon.MustMarshal(heartbeat{t.version, ready(), t.boot})})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			pause = min(2*pause, beatEvery)
			tick.Reset(pause)
		}
	}
}

// Heard notes that a peer lives.
func (t *Peers) Heard(id transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		now := t.hall.Clock()
		if now.Sub(p.LastSeen) >= liveFor {
			t.tell()
		}
		p.LastSeen = now
	}
}

// Heartbeat notes what a peer tells of itself.
func (t *Peers) Heartbeat(env transport.Envelope) {
	var h heartbeat
	if canon.Unmarshal(env.Body, &h) != nil || len(h.Version) > versionMax {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[env.From]
	if p == nil {
		return
	}
	if p.boot != h.Boot {
		if p.boot != (Boot{}) {
			t.restarted(env.From)
		}
		t.tell()
	}
	p.Version, p.boot = h.Version, h.Boot
}

// tell wakes those who wait. The caller holds mu.
func (t *Peers) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// Silent notes that a peer did not answer in time; it is chosen last for a while.
func (t *Peers) Silent(id transport.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		p.suspect = t.hall.Clock()
	}
}

// Accuse notes that an abort named a peer; it is no longer chosen by this process, unless it is forgiven, which an empty check says.
func (t *Peers) Accuse(id transport.NodeID, check string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		p.Accused = check
	}
}

// usable tells whether a peer may be chosen for a quorum, and whether it was silent lately.
func (t *Peers) usable(id transport.NodeID) (ok, suspect bool) {
	if id == t.hall.Self {
		return true, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.m[id]
	if p == nil || p.Accused != "" || p.boot == (Boot{}) {
		return false, false
	}
	now := t.hall.Clock()
	return now.Sub(p.LastSeen) < liveFor, now.Sub(p.suspect) < suspectFor
}

// Usable tells whether a node may be chosen for a quorum.
func (t *Peers) Usable(id transport.NodeID) bool {
	ok, _ := t.usable(id)
	return ok
}

// Notes are what is noticed of a peer, and whether it was heard lately.
func (t *Peers) Notes(id transport.NodeID) (n Notes, live bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.m[id]; p != nil {
		n = *p
	}
	return n, t.hall.Clock().Sub(n.LastSeen) < liveFor
}

// Boots are the current runs of the nodes, as far as they have told.
func (t *Peers) Boots(ids []transport.NodeID) []Boot {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Boot, len(ids))
	for i, id := range ids {
		if id == t.hall.Self {
			out[i] = t.boot
		} else if p := t.m[id]; p != nil {
			out[i] = p.boot
		}
	}
	return out
}

// Await returns true as soon as ok holds, which may depend on what peers tell of themselves, and false when ctx ends before.
func (t *Peers) Await(ctx context.Context, ok func() bool) bool {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if ok() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// AwaitBoot waits up to LateFor for one of the nodes to tell of another run than in boots.
func (t *Peers) AwaitBoot(ctx context.Context, ids []transport.NodeID, boots []Boot) bool {
	ctx, cancel := context.WithTimeout(ctx, LateFor)
	defer cancel()
	return t.Await(ctx, func() bool { return !slices.Equal(t.Boots(ids), boots) })
}

// AwaitAll waits up to LateFor for every party of the committee to be usable; it fails with those who are not.
func (t *Peers) AwaitAll(ctx context.Context, c threshold.Committee) error {
	ctx, cancel := context.WithTimeout(ctx, LateFor)
	defer cancel()
	down := func() []transport.NodeID {
		return slices.DeleteFunc(t.hall.Nodes(c.Parties), t.Usable)
	}
	if !t.Await(ctx, func() bool { return len(down()) == 0 }) {
		if ids := down(); len(ids) > 0 {
			return problem.New(problem.Quorum, "start them, then repeat the request: every party of a key takes part in making and refreshing it",
				"cannot reach %v", ids)
		}
	}
	return nil
}

// Live counts the usable nodes of the roster, this one among them.
func (t *Peers) Live() int {
	return len(slices.DeleteFunc(t.hall.All(), func(id transport.NodeID) bool { return !t.Usable(id) }))
}

// Quorum chooses the signers of a committee: this node first if it is a party, then the others by place after it, those that were
// silent lately last, none to be avoided. Always the same peers are chosen, so that concurrent requests share ceremonies.
func (t *Peers) Quorum(c threshold.Committee, avoid map[threshold.PartyID]bool) ([]threshold.PartyID, error) {
	self := t.hall.SelfParty()
	start := max(0, slices.IndexFunc(c.Parties, func(p threshold.PartyID) bool { return p >= self }))
	var good, doubtful []threshold.PartyID
	for i := range c.N() {
		p := c.Parties[(start+i)%c.N()]
		ok, suspect := t.usable(t.hall.Node(p))
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
		return nil, problem.New(problem.Quorum, "start the missing nodes, then repeat the request",
			"%d of %d parties can be reached, %d must sign", len(all), c.N(), c.Threshold)
	}
	return SortedParties(all[:c.Threshold]), nil
}
