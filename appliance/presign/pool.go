// Package presign keeps presignatures for requests still to come: of keys that are in use and whose presigning is dear, made by one
// coordinator with one set of signers (PROTOCOLS A.3.5). It is a data structure with a clock; how presignatures are made is told to it.
package presign

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
)

// Config is what a Pool stands on.
type Config struct {
	Self  transport.NodeID
	Nodes int // of the cluster
	Ready int // how many are kept ready for a key in use; less than 0 keeps none at all, 0 makes none
	// Fill makes up to count presignatures and adds them; it is called by one goroutine at a time. It tells whether the group may get
	// more: not if its epoch is over.
	Fill func(ctx context.Context, g Group, count int) (more bool, err error)
	// Idle waits, at most for the time given, until no request is in work that filling would slow down.
	Idle func(ctx context.Context, most time.Duration) error
	// Go runs f on its own until the node ends.
	Go     func(f func(ctx context.Context))
	Clock  func() time.Time
	Logger *slog.Logger
}

// Pool holds presignatures. They are in memory only. Each is taken out before anything is done with it, on every signer, so it signs once
// or never; which request it signs the signers agree with fresh nonces (threshold.Agree). They go when the node ends, when a peer is
// banned, when key or pair state change, when a signer was restarted, and when the clocks tell that the machine was stopped and resumed,
// perhaps as a copy. It is safe for concurrent use.
type Pool struct {
	c      Config
	mu     sync.Mutex
	groups map[groupID]*group
	making map[transport.NodeID]bool // coordinators for whom presignatures are being made here
	closed bool
	counts Counts

	refilling sync.Mutex // one filling at a time: requests share the machine and the slots of the others with it
}

// Counts are a pool's numbers since its start, all as coordinator but Dropped and Held.
type Counts struct {
	Ready   int    // now
	Held    int    // now, for all coordinators
	Made    uint64 // put in
	Used    uint64
	Missed  uint64 // requests that found too few and presigned for themselves
	Dropped uint64 // never used
}

// Group is whose presignatures, for what. Only the coordinator who asked for them may use them.
type Group struct {
	Coordinator transport.NodeID
	Key         string
	Epoch       uint64
	Scheme      threshold.SchemeID
	Signers     []threshold.PartyID
}

type groupID struct {
	coordinator transport.NodeID
	key         string
	epoch       uint64
	scheme      threshold.SchemeID
	signers     string
}

func (g Group) id() groupID {
	return groupID{g.Coordinator, g.Key, g.Epoch, g.Scheme, fmt.Sprint(g.Signers)}
}

type group struct {
	Group
	pairs   [32]byte        // digest of the pair state they were made with
	boots   []ceremony.Boot // of the signers, when they were made; the coordinator's only
	order   [][32]byte
	pres    map[[32]byte]*threshold.Presignature
	touched time.Time

	// The coordinator's side of filling it.
	uses    int
	since   time.Time // uses are counted from here
	filling bool
	pause   time.Time // no filling before: the last try failed
	failed  int       // tries in a row
}

const (
	poolAll   = 8192 // presignatures a node holds, for all coordinators, unless Limits.Presignatures asks for more
	hotAfter  = 4    // signatures within hotWithin make a key hot
	hotWithin = 10 * time.Second
	coldAfter = 10 * time.Minute // a group that nobody used for so long is dropped
	// signers wait longer, so that a coordinator does not propose what they have just dropped.
	coldSlack    = 2 * time.Minute
	fillPause    = 5 * time.Second // after a failure; twice as long after the next, to fillPauseMax
	fillPauseMax = 5 * time.Minute
	// fillWait is how long requests may keep the filling waiting; then fillBatch presignatures are made beside them.
	fillWait = time.Second
	// fillBatch is how many presignatures are made at once: a request that comes meanwhile waits for them.
	fillBatch = 6
	// A clock of the machine that moved differently by more than this from the one that counts only our own time means that the
	// machine was stopped between.
	resumed = 2 * time.Second
)

// New makes an empty pool.
func New(c Config) *Pool {
	return &Pool{c: c, groups: map[groupID]*group{}, making: map[transport.NodeID]bool{}}
}

// Burn burns presignatures.
func Burn(pres []*threshold.Presignature) {
	for _, p := range pres {
		p.Burn()
	}
}

// IDs names presignatures, in their order.
func IDs(pres []*threshold.Presignature) [][32]byte {
	var ids [][32]byte
	for _, p := range pres {
		ids = append(ids, p.ID)
	}
	return ids
}

// room tells whether a coordinator may have k more presignatures on this node, and whether the node keeps any.
func (p *Pool) room(coordinator transport.NodeID, k int) error {
	if p.c.Ready < 0 {
		return problem.New(problem.Unsupported, "set limits.presignatures", "this node keeps no presignatures")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	has := 0
	for _, g := range p.groups {
		if g.Coordinator == coordinator {
			has += len(g.order)
		}
	}
	if share := max(poolAll/p.c.Nodes, 2*p.c.Ready); has+k > share {
		return problem.New(problem.Overload, "", "node %q has %d presignatures here, at most %d", coordinator, has, share)
	}
	return nil
}

// Enter lets one presigning of a coordinator in at a time, if there is room for the k presignatures that it makes.
func (p *Pool) Enter(coordinator transport.NodeID, k int) (leave func(), err error) {
	if err := p.room(coordinator, k); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.making[coordinator] {
		return nil, problem.New(problem.Overload, "", "presignatures are being made for node %q already", coordinator)
	}
	p.making[coordinator] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.making, coordinator)
	}, nil
}

// Add keeps new presignatures, made with pair state of the digest by signers of these runs. Of one group no more than twice
// Config.Ready is kept: the oldest go, they were left over when a proposal of the coordinator's was lost.
func (p *Pool) Add(id Group, pairs [32]byte, boots []ceremony.Boot, pres []*threshold.Presignature) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		Burn(pres)
		return
	}
	if id.Coordinator == p.c.Self {
		p.counts.Made += uint64(len(pres))
	}
	g := p.groups[id.id()]
	if g != nil && len(g.order) > 0 && (g.pairs != pairs || !slices.Equal(g.boots, boots)) {
		p.empty(g)
	}
	if g == nil {
		g = &group{Group: id, pres: map[[32]byte]*threshold.Presignature{}}
		p.groups[id.id()] = g
	}
	g.pairs, g.boots, g.touched = pairs, boots, p.c.Clock()
	for _, x := range pres {
		g.order = append(g.order, x.ID)
		g.pres[x.ID] = x
	}
	for len(g.order) > 2*p.c.Ready {
		p.remove(g, g.order[0]).Burn()
		p.counts.Dropped++
	}
}

// remove takes one out, nil if it is not there. The caller holds mu.
func (p *Pool) remove(g *group, id [32]byte) *threshold.Presignature {
	x := g.pres[id]
	if x == nil {
		return nil
	}
	delete(g.pres, id)
	i := slices.Index(g.order, id)
	g.order = slices.Delete(g.order, i, i+1)
	return x
}

// empty burns what a group has. The caller holds mu.
func (p *Pool) empty(g *group) {
	for _, x := range g.pres {
		x.Burn()
	}
	p.counts.Dropped += uint64(len(g.order))
	clear(g.pres)
	g.order = nil
}

// Take gives a signer the presignatures that a coordinator's proposal names, each out of the group that it must have been made for. All
// that are there leave the pool, also when one is missing: then it fails with code Presig, and they are burnt.
func (p *Pool) Take(from []Group, ids [][32]byte) ([]*threshold.Presignature, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var pres []*threshold.Presignature
	for i, id := range ids {
		g := p.groups[from[i].id()]
		if g == nil {
			continue
		}
		g.touched = p.c.Clock()
		if x := p.remove(g, id); x != nil {
			pres = append(pres, x)
		}
	}
	if len(pres) < len(ids) {
		Burn(pres)
		return nil, problem.New(problem.Presig, "repeat the request",
			"%d of %d presignatures are not here: used, or of an earlier run", len(ids)-len(pres), len(ids))
	}
	return pres, nil
}

// Reserve takes presignatures out for requests of this node's, one of each group given, or none if there are not enough for all. Those of
// signers that are in other runs than boots by now are dropped: they have forgotten their part.
func (p *Pool) Reserve(of []Group, boots []ceremony.Boot) []*threshold.Presignature {
	if p.c.Ready < 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	need := map[groupID]int{}
	for _, g := range of {
		need[g.id()]++
	}
	enough := true
	for id, k := range need {
		g := p.groups[id]
		if g != nil && len(g.order) > 0 && !slices.Equal(g.boots, boots) {
			p.empty(g)
		}
		enough = enough && g != nil && len(g.order) >= k
	}
	if !enough {
		p.counts.Missed += uint64(len(of))
		return nil
	}
	pres := make([]*threshold.Presignature, len(of))
	for i, x := range of {
		g := p.groups[x.id()]
		pres[i] = p.remove(g, g.order[0])
	}
	p.counts.Used += uint64(len(of))
	return pres
}

// Used notes that keys have signed, one signature of each group given, and starts filling those that are hot.
func (p *Pool) Used(of []Group) {
	if p.c.Ready <= 0 {
		return
	}
	now := p.c.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, x := range of {
		g := p.groups[x.id()]
		if g == nil {
			g = &group{Group: x, pres: map[[32]byte]*threshold.Presignature{}}
			p.groups[x.id()] = g
		}
		g.touched = now
		if now.Sub(g.since) > hotWithin {
			g.since, g.uses = now, 0
		}
		if g.uses++; g.uses >= hotAfter || len(g.order) > 0 {
			p.fill(g)
		}
	}
}

// fill starts the filling of a group that has run low. The caller holds mu.
func (p *Pool) fill(g *group) {
	if g.filling || len(g.order) > p.c.Ready/2 || p.c.Clock().Before(g.pause) {
		return
	}
	g.filling = true
	id := g.Group
	p.c.Go(func(ctx context.Context) {
		err := p.refill(ctx, id)
		p.mu.Lock()
		defer p.mu.Unlock()
		g.filling = false
		if err == nil {
			g.failed = 0
			return
		}
		g.pause = p.c.Clock().Add(min(fillPause<<min(g.failed, 10), fillPauseMax))
		g.failed++
		if ctx.Err() == nil {
			p.c.Logger.Warn("the pool of presignatures was not filled", "wallet", id.Key, "error", err)
		}
	})
}

// refill makes presignatures until the group is full. Requests come first: it waits while any are in work, but not for ever.
func (p *Pool) refill(ctx context.Context, id Group) error {
	for {
		if more, err := p.refillSome(ctx, id); !more || err != nil {
			return err
		}
	}
}

// refillSome makes a few presignatures, and tells whether more are missing.
func (p *Pool) refillSome(ctx context.Context, id Group) (more bool, err error) {
	p.refilling.Lock()
	defer p.refilling.Unlock()
	if err := p.c.Idle(ctx, fillWait); err != nil {
		return false, err
	}
	p.mu.Lock()
	missing := 0
	if g := p.groups[id.id()]; g != nil {
		missing = p.c.Ready - len(g.order)
	}
	p.mu.Unlock()
	if missing <= 0 {
		return false, nil
	}
	count := min(missing, fillBatch)
	if err := p.room(p.c.Self, count); err != nil { // the others have no more for us either
		return false, err
	}
	return p.c.Fill(ctx, id, count)
}

// drop forgets the groups for which f holds.
func (p *Pool) drop(f func(*group) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, g := range p.groups {
		if f(g) {
			p.empty(g)
			delete(p.groups, id)
		}
	}
}

// DropKey forgets what was made for epochs of a key below one.
func (p *Pool) DropKey(key string, below uint64) {
	p.drop(func(g *group) bool { return g.Key == key && g.Epoch < below })
}

// DropPairs forgets what was made with pair state of the digest.
func (p *Pool) DropPairs(digest [32]byte) { p.drop(func(g *group) bool { return g.pairs == digest }) }

// DropPeers forgets what was made with peers.
func (p *Pool) DropPeers(peers []threshold.PartyID) {
	p.drop(func(g *group) bool {
		return slices.ContainsFunc(peers, func(x threshold.PartyID) bool { return slices.Contains(g.Signers, x) })
	})
}

// DropCoordinator forgets what was made with a coordinator who has been restarted: it has forgotten it.
func (p *Pool) DropCoordinator(id transport.NodeID) {
	p.drop(func(g *group) bool { return g.Coordinator == id })
}

// Tidy drops what nobody uses, and everything when the machine was stopped for a while, until ctx ends.
func (p *Pool) Tidy(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if stopped(now.Round(0).Sub(last.Round(0)), now.Sub(last)) {
			p.c.Logger.Warn("this machine was stopped and resumed: presignatures are dropped")
			p.drop(func(*group) bool { return true })
		}
		last = now
		p.expire()
	}
}

// stopped tells whether the wall clock and the monotonic clock, which stands still while the machine is suspended, moved
// differently between two readings. It is a second line only [X]: a copy of a machine whose clocks were copied too is not
// noticed; that every signer must have forgotten a use is what counts.
func stopped(wall, monotonic time.Duration) bool {
	d := wall - monotonic
	return d > resumed || d < -resumed
}

func (p *Pool) expire() {
	now := p.c.Clock()
	p.drop(func(g *group) bool {
		limit := coldAfter
		if g.Coordinator != p.c.Self {
			limit += coldSlack
		}
		return now.Sub(g.touched) > limit
	})
}

// Close burns all; what is added later is burnt too.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drop(func(*group) bool { return true })
}

// Counts reads the numbers.
func (p *Pool) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	for _, g := range p.groups {
		c.Held += len(g.order)
		if g.Coordinator == p.c.Self {
			c.Ready += len(g.order)
		}
	}
	return c
}
