package appliance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// pool holds presignatures for requests still to come: of schemes whose presigning is dear, for keys that are in use, made by one
// coordinator with one set of signers (PROTOCOLS A.3.5). They are in memory only. Each is taken out before anything is done with
// it, on every signer, so it signs once or never; which request it signs the signers agree with fresh nonces (threshold.Agree).
// They go when the node ends, when a peer is banned, when key or pair state change, when a signer was restarted, and when the
// clocks tell that the machine was stopped and resumed, perhaps as a copy.
type pool struct {
	n      *Node
	mu     sync.Mutex
	groups map[poolID]*group
	making map[transport.NodeID]bool // leaders for whom presignatures are being made here
	closed bool

	refilling sync.Mutex // one filling at a time: requests share the machine and the slots of the others with it
}

// poolID is whose presignatures, for what. Only the leader who asked for them may use them.
type poolID struct {
	leader  transport.NodeID
	key     string
	epoch   uint64
	signers string
}

type group struct {
	id      poolID
	signers []threshold.PartyID
	pairs   [32]byte // digest of the pair state they were made with
	boots   []bootID // of the signers, when they were made; the leader's only
	order   [][32]byte
	pres    map[[32]byte]*threshold.Presignature
	touched time.Time

	// The leader's side of filling it.
	uses    int
	since   time.Time // uses are counted from here
	filling bool
	pause   time.Time // no filling before: the last try failed
	failed  int       // tries in a row
}

const (
	poolAll   = 8192 // presignatures a node holds, for all leaders, unless Limits.Presignatures asks for more
	hotAfter  = 4    // signatures within hotWithin make a key hot
	hotWithin = 10 * time.Second
	coldAfter = 10 * time.Minute // a group that nobody used for so long is dropped
	// signers wait longer, so that a leader does not propose what they have just dropped.
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

func newPool(n *Node) *pool {
	return &pool{n: n, groups: map[poolID]*group{}, making: map[transport.NodeID]bool{}}
}

func idOf(leader transport.NodeID, key string, epoch uint64, signers []threshold.PartyID) poolID {
	return poolID{leader, key, epoch, fmt.Sprint(signers)}
}

func burn(pres []*threshold.Presignature) {
	for _, p := range pres {
		p.Burn()
	}
}

func idsOf(pres []*threshold.Presignature) [][32]byte {
	var ids [][32]byte
	for _, p := range pres {
		ids = append(ids, p.ID)
	}
	return ids
}

// room tells whether a leader may have k more presignatures on this node, and whether the node keeps any.
func (p *pool) room(leader transport.NodeID, k int) error {
	if p.n.Limits.Presignatures < 0 {
		return problem.New(problem.Unsupported, "set limits.presignatures", "this node keeps no presignatures")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	has := 0
	for _, g := range p.groups {
		if g.id.leader == leader {
			has += len(g.order)
		}
	}
	if share := max(poolAll/len(p.n.rosterKeys), 2*p.n.Limits.Presignatures); has+k > share {
		return problem.New(problem.Overload, "", "node %q has %d presignatures here, at most %d", leader, has, share)
	}
	return nil
}

// enter lets one presigning of a leader in at a time, if there is room for what it makes.
func (p *pool) enter(leader transport.NodeID, k int) (leave func(), err error) {
	if err := p.room(leader, k); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.making[leader] {
		return nil, problem.New(problem.Overload, "", "presignatures are being made for node %q already", leader)
	}
	p.making[leader] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.making, leader)
	}, nil
}

// dropLeader forgets what was made with a leader who has been restarted: it has forgotten it.
func (p *pool) dropLeader(leader transport.NodeID) {
	p.drop(func(g *group) bool { return g.id.leader == leader })
}

// add keeps new presignatures. Of one group no more than twice the limit is kept: the oldest go, they were left over when a
// proposal of the leader's was lost.
func (p *pool) add(id poolID, signers []threshold.PartyID, pairs [32]byte, boots []bootID, pres []*threshold.Presignature) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		burn(pres)
		return
	}
	g := p.groups[id]
	if g != nil && len(g.order) > 0 && (g.pairs != pairs || !slices.Equal(g.boots, boots)) {
		p.empty(g)
	}
	if g == nil {
		g = &group{id: id, pres: map[[32]byte]*threshold.Presignature{}}
		p.groups[id] = g
	}
	g.signers, g.pairs, g.boots, g.touched = signers, pairs, boots, p.n.Clock()
	for _, x := range pres {
		g.order = append(g.order, x.ID)
		g.pres[x.ID] = x
	}
	for len(g.order) > 2*p.n.Limits.Presignatures {
		p.remove(g, g.order[0]).Burn()
		p.n.counts.presDropped.Add(1)
	}
}

// remove takes one out, nil if it is not there. The caller holds mu.
func (p *pool) remove(g *group, id [32]byte) *threshold.Presignature {
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
func (p *pool) empty(g *group) {
	for _, x := range g.pres {
		x.Burn()
	}
	p.n.counts.presDropped.Add(uint64(len(g.order)))
	clear(g.pres)
	g.order = nil
}

// take gives a signer the presignatures that a proposal names, one an intent, out of what was made with its leader. All that are
// there leave the pool, also when one is missing.
func (p *pool) take(leader transport.NodeID, signers []threshold.PartyID, intents []*attest.Intent, ids [][32]byte) ([]*threshold.Presignature, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var pres []*threshold.Presignature
	for i, id := range ids {
		g := p.groups[idOf(leader, intents[i].KeyID, intents[i].Epoch, signers)]
		if g == nil {
			continue
		}
		g.touched = p.n.Clock()
		if x := p.remove(g, id); x != nil {
			pres = append(pres, x)
		}
	}
	if len(pres) < len(ids) {
		burn(pres)
		return nil, problem.New(problem.Presig, "repeat the request", "%d of %d presignatures are not here: used, or of an earlier run", len(ids)-len(pres), len(ids))
	}
	return pres, nil
}

// reserve takes presignatures for jobs out of the pool, one each, or none if there are not enough for all.
func (p *pool) reserve(jobs []*signJob) []*threshold.Presignature {
	if p.n.Limits.Presignatures < 0 || !p.n.provisions(jobs[0].rec.Info.Scheme) || slices.ContainsFunc(jobs, func(j *signJob) bool { return j.direct }) {
		return nil
	}
	boots := p.n.peers.boots(p.n.nodesOf(jobs[0].signers))
	p.mu.Lock()
	defer p.mu.Unlock()
	need := map[poolID]int{}
	for _, j := range jobs {
		need[p.group(j)]++
	}
	enough := true
	for id, k := range need {
		g := p.groups[id]
		if g != nil && len(g.order) > 0 && !slices.Equal(g.boots, boots) {
			p.empty(g) // a signer was restarted and has forgotten its part
		}
		enough = enough && g != nil && len(g.order) >= k
	}
	if !enough {
		p.n.counts.presMissed.Add(uint64(len(jobs)))
		return nil
	}
	pres := make([]*threshold.Presignature, len(jobs))
	for i, j := range jobs {
		g := p.groups[p.group(j)]
		pres[i] = p.remove(g, g.order[0])
	}
	p.n.counts.presUsed.Add(uint64(len(jobs)))
	return pres
}

func (p *pool) group(j *signJob) poolID {
	return idOf(p.n.Node, j.id, j.rec.Info.Epoch, j.signers)
}

// provisions tells whether presigning with the scheme is dear enough for a pool.
func (n *Node) provisions(id threshold.SchemeID) bool {
	s, err := n.Schemes(id)
	if err != nil {
		return false
	}
	_, ok := s.(threshold.Provisioner)
	return ok
}

// used notes that keys have signed, and starts filling the pool of those that are hot.
func (p *pool) used(jobs []*signJob) {
	if p.n.Limits.Presignatures <= 0 || !p.n.provisions(jobs[0].rec.Info.Scheme) {
		return
	}
	now := p.n.Clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, j := range jobs {
		id := p.group(j)
		g := p.groups[id]
		if g == nil {
			g = &group{id: id, signers: j.signers, pres: map[[32]byte]*threshold.Presignature{}}
			p.groups[id] = g
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
func (p *pool) fill(g *group) {
	if g.filling || len(g.order) > p.n.Limits.Presignatures/2 || p.n.Clock().Before(g.pause) {
		return
	}
	g.filling = true
	id, signers := g.id, g.signers
	p.n.wg.Go(func() {
		err := p.refill(id, signers)
		p.mu.Lock()
		defer p.mu.Unlock()
		g.filling = false
		if err == nil {
			g.failed = 0
		} else {
			g.pause = p.n.Clock().Add(min(fillPause<<min(g.failed, 10), fillPauseMax))
			g.failed++
			if p.n.base.Err() == nil {
				p.n.Logger.Warn("the pool of presignatures was not filled", "wallet", id.key, "error", err)
			}
		}
	})
}

// refill makes presignatures until the group is full. Requests come first: it waits while any are in work, but not for ever.
func (p *pool) refill(id poolID, signers []threshold.PartyID) error {
	for {
		if more, err := p.refillSome(id, signers); !more || err != nil {
			return err
		}
	}
}

// refillSome makes a few presignatures, and tells whether more are missing.
func (p *pool) refillSome(id poolID, signers []threshold.PartyID) (more bool, err error) {
	p.refilling.Lock()
	defer p.refilling.Unlock()
	if err := p.n.sign.idle(p.n.base, fillWait); err != nil {
		return false, err
	}
	p.mu.Lock()
	missing := 0
	if g := p.groups[id]; g != nil {
		missing = p.n.Limits.Presignatures - len(g.order)
	}
	p.mu.Unlock()
	if missing <= 0 {
		return false, nil
	}
	rec, err := p.n.keys.record(p.n.base, id.key)
	if err != nil || rec.Info.Epoch != id.epoch || rec.State != StateActive {
		return false, err
	}
	count := min(missing, fillBatch, p.n.batchMax(rec.Info.Scheme))
	if err := p.room(p.n.Node, count); err != nil { // the others have no more for us either
		return false, err
	}
	ctx, cancel := context.WithTimeout(p.n.base, p.n.Limits.Request)
	defer cancel()
	return true, p.n.leadPresign(ctx, id, rec, signers, count)
}

// drop forgets the groups for which f holds.
func (p *pool) drop(f func(*group) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, g := range p.groups {
		if f(g) {
			p.empty(g)
			delete(p.groups, id)
		}
	}
}

func (p *pool) dropKey(key string, below uint64) {
	p.drop(func(g *group) bool { return g.id.key == key && g.id.epoch < below })
}

func (p *pool) dropPairs(digest [32]byte) { p.drop(func(g *group) bool { return g.pairs == digest }) }

func (p *pool) dropPeers(peers []threshold.PartyID) {
	p.drop(func(g *group) bool {
		return slices.ContainsFunc(peers, func(x threshold.PartyID) bool { return slices.Contains(g.signers, x) })
	})
}

// tidy drops what nobody uses, and everything when the machine was stopped for a while, until ctx ends.
func (p *pool) tidy(ctx context.Context) {
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
			p.n.Logger.Warn("this machine was stopped and resumed: presignatures are dropped")
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

func (p *pool) expire() {
	now := p.n.Clock()
	p.drop(func(g *group) bool {
		limit := coldAfter
		if g.id.leader != p.n.Node {
			limit += coldSlack
		}
		return now.Sub(g.touched) > limit
	})
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drop(func(*group) bool { return true })
}

// size is how many presignatures the node has ready as a leader, and how many it holds for all.
func (p *pool) size() (ready, held int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.groups {
		held += len(g.order)
		if g.id.leader == p.n.Node {
			ready += len(g.order)
		}
	}
	return ready, held
}
