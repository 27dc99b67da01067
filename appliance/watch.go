package appliance

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
)

// watch tells log and audit log what becomes of readiness, runs and clocks. One goroutine, that of the beats, uses it.
type watch struct {
	ready  bool
	told   string // of what is not ready, the last time
	twice  map[transport.NodeID]string
	skewed map[transport.NodeID]time.Time // when it was last told
	sent   map[transport.NodeID]time.Time // when its roster was last looked at
	shown  map[transport.NodeID]time.Time // when it was told the fingerprint of our roster
	// when a peer was last sent what its authority lacks
	authority map[transport.NodeID]time.Time
	// when a peer was last told which epochs we hold, and what was told of a node that lags, and when
	compared map[transport.NodeID]time.Time
	lags     map[transport.NodeID]string
	lagged   map[transport.NodeID]time.Time
	lost     map[transport.NodeID]uint64 // envelopes of a peer that had found no room when it was last told
	released uint64                      // envelopes of another release that had come
	mended   time.Time                   // when what failed was last tried again
	busy     atomic.Bool                 // trying
}

// mendEvery is how often what failed is tried again.
const mendEvery = 2 * time.Second

// look tells what has changed.
func (w *watch) look(n *Node) {
	if w.twice == nil {
		w.twice, w.skewed = map[transport.NodeID]string{}, map[transport.NodeID]time.Time{}
		w.shown, w.authority = map[transport.NodeID]time.Time{}, map[transport.NodeID]time.Time{}
		w.sent, w.compared = map[transport.NodeID]time.Time{}, map[transport.NodeID]time.Time{}
		w.lost = map[transport.NodeID]uint64{}
		w.lags, w.lagged = map[transport.NodeID]string{}, map[transport.NodeID]time.Time{}
	}
	log := n.cfg.Logger
	w.readiness(log, n.Readiness())
	n.clock.look()
	now := n.cfg.Clock()
	for _, id := range n.members.All() {
		w.runs(n, id)
		w.rosters(n, id)
		w.authorities(n, id)
		w.epochs(n, id)
		if d, _ := n.peers.Skew(id); d.Abs() >= skewTold && now.Sub(w.skewed[id]) >= skewEvery {
			w.skewed[id] = now
			log.Warn("clocks differ: set them, as by NTP", "member", id, "its clock", ceremony.Off(d), "heard up to", transport.SkewMax)
		}
	}
	w.floods(n, now)
	n.desk.tend(n.base, n.wg.Go)
	n.freezer.tend(n.base, n.wg.Go)
	n.witness.tend(n.wg.Go)
	n.ledger.tend(n.base, n.wg.Go)
	if now.Sub(w.mended) < mendEvery || !w.busy.CompareAndSwap(false, true) {
		return
	}
	w.mended = now
	n.wg.Go(func() {
		defer w.busy.Store(false)
		n.mend(n.base)
	})
}

// readiness tells when the node becomes ready, and when and why it is not any more.
func (w *watch) readiness(log *slog.Logger, r Readiness) {
	var names []string
	var why []any
	for _, c := range r.Checks {
		if !c.OK {
			names, why = append(names, c.Name), append(why, c.Name, c.Words())
		}
	}
	told := strings.Join(names, ", ")
	switch {
	case r.Ready && !w.ready:
		log.Info("ready")
	case !r.Ready && w.ready:
		log.Warn("not ready any more", why...)
	case !r.Ready && told != w.told:
		log.Info("not ready yet", why...)
	}
	w.ready, w.told = r.Ready, told
}

// runs tells when a node, this one or a peer, begins to run twice, and when it does no longer.
func (w *watch) runs(n *Node, id transport.NodeID) {
	twice, was := n.peers.Twice(id), w.twice[id]
	if id == n.cfg.Node {
		twice = n.twice()
		w.saidTwice(n, twice)
	}
	w.twice[id] = twice
	if twice == was {
		return
	}
	if twice == "" {
		n.cfg.Logger.Info("a node runs once again", "member", id)
		return
	}
	n.cfg.Logger.Error("a node runs twice: stop one of them, or wait if one has ended", "member", id, "what", twice)
	n.wg.Go(func() {
		if err := n.cfg.AuditLog.Append(n.base, audit.Event{Name: "node.twice",
			Facts: map[string]string{"node": string(id), "what": twice}}); err != nil {
			n.cfg.Logger.Error("audit", "error", err)
		}
	})
}

// saidTwice tells who says that this node runs twice, where too few do for it to be taken as so.
func (w *watch) saidTwice(n *Node, twice string) {
	const what = "a member says that this node runs twice: look for another run of it"
	by, words := n.peers.TwiceBy()
	for _, id := range by {
		if twice == "" && n.remarks.due(n.cfg.Clock(), id, what) {
			n.cfg.Logger.Warn(what, "from", id, "what", words)
		}
	}
}

// floodTold is how many more envelopes of a peer than there was room for are said in the log, once a minute: a few are of a busy hour.
const floodTold = 100

// floods tells who sends more than there is room for, and that somebody's envelopes are of another release, and whose they may be.
func (w *watch) floods(n *Node, now time.Time) {
	lost := map[transport.NodeID]uint64{}
	for of, v := range lostAt(n) {
		lost[of.Peer] += v
	}
	for peer, v := range lost {
		const what = "a member sends more than there is room for: what is too much is dropped"
		if v-min(v, w.lost[peer]) >= floodTold && n.remarks.due(now, peer, what) {
			n.cfg.Logger.Warn(what, "from", peer, "dropped", v)
			w.lost[peer] = v
		}
	}
	const what = "envelopes of another release come, which cannot be read: have all nodes run releases of one version of the wire"
	if net := n.net.Load(); net != nil {
		if v := net.Stats().Dropped[transport.DropRelease.String()]; v > w.released && n.remarks.due(now, "", what) {
			n.cfg.Logger.Warn(what, "dropped", v, "members not heard", unheard(n))
			w.released = v
		}
	}
}

// unheard are the members of which nothing is heard: one of them sends what cannot be read, whoever it says it is.
func unheard(n *Node) (ids []transport.NodeID) {
	for _, id := range n.members.All() {
		if _, live := n.peers.Notes(id); !live && id != n.cfg.Node {
			ids = append(ids, id)
		}
	}
	return ids
}

// mend tries again what failed, and asks a token that was idle for long whether it is there.
func (n *Node) mend(ctx context.Context) {
	n.token.hsm.probe(ctx, n.cfg.CosignKey)
	if bad, _ := n.store.failing(); len(bad) > 0 {
		if net := n.net.Load(); net != nil {
			_ = n.keepBoot(ctx, net.Sight(n.cfg.Node).Run.Number) // noted
		}
	}
	if n.cfg.AuditLog.Err() != nil {
		_ = n.cfg.AuditLog.Append(ctx, audit.Event{Name: "audit.resumed"}) // noted; on record if it succeeds
	}
}
