package appliance

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// What ceremonies that come to nothing leave on a node's disk is bounded for each member that asks for them: entries of the audit log,
// staged shares. Every party judges by what it wrote itself, and forgets it at a rate.
const (
	quotaBytes = 4 << 20 // of what came to nothing, at which a member's proposals are refused
	quotaLeak  = 1 << 20 // of them, forgotten in a minute
	quotaKeys  = 600     // key ceremonies, and forgotten in a minute; a keygen that succeeds counts one
	failedKey  = 30      // what a key ceremony that fails counts: its share may stay on the disk for a day
	unproven   = 10      // what a keygen counts until its key is proven: the share stays, and nobody may ever be told the key
	entryBytes = 400     // of an entry of the audit log, beside what the coordinator chose
)

// toldSecond is how many bytes a member is told in a second, of what it asks about; the last answer may go beyond. A question is small,
// and its answer may be a record.
const toldSecond = 4 << 20

// toldRate counts what members were told. It is safe for concurrent use.
type toldRate struct {
	mu sync.Mutex
	m  map[transport.NodeID]*told
}

type told struct {
	since time.Time
	bytes int
}

// room tells whether a member may be told more.
func (r *toldRate) room(now time.Time, to transport.NodeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.m[to]
	if t == nil || now.Sub(t.since) >= time.Second {
		if r.m == nil {
			r.m = map[transport.NodeID]*told{}
		}
		t = &told{since: now}
		r.m[to] = t
	}
	return t.bytes < toldSecond
}

// count is called with the size of what a member is told, after room.
func (r *toldRate) count(to transport.NodeID, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[to].bytes += bytes
}

// remarkEvery is how often one thing about a member's messages is said in the log: a message is small and comes again at once, and the log
// is on a disk.
const remarkEvery = time.Minute

// remarks are when what was last said of whom. It is safe for concurrent use.
type remarks struct {
	mu sync.Mutex
	m  map[[2]string]time.Time
}

// due tells whether it may be said again of a member at the time now, and counts it as said.
func (r *remarks) due(now time.Time, of transport.NodeID, what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := [2]string{string(of), what}
	if last, ok := r.m[said]; ok && now.Sub(last) < remarkEvery {
		return false
	}
	if r.m == nil {
		r.m = map[[2]string]time.Time{}
	}
	r.m[said] = now
	return true
}

// remark says in the log what is wrong with a member's message, in words that are always the same, and why: no more than 500 bytes, which
// the member may have chosen.
func (n *core) remark(of transport.NodeID, what string, err error, more ...any) {
	if n.remarks.due(n.cfg.Clock(), of, what) {
		n.cfg.Logger.Warn(what, append([]any{"from", of, "error", fmt.Sprintf("%.500v", err)}, more...)...)
	}
}

// quotas are what members have used up of them. They are safe for concurrent use.
type quotas struct {
	mu sync.Mutex
	m  map[transport.NodeID]*used
}

type used struct {
	at    time.Time // of what follows
	owed  float64   // bytes that came to nothing
	open  float64   // bytes of ceremonies under way
	keys  float64   // key ceremonies
	noted time.Time // when an excess was last on record
}

// of is what a member has used up at the time now. The caller holds mu.
func (q *quotas) of(now time.Time, peer transport.NodeID) *used {
	u := q.m[peer]
	if u == nil {
		u = &used{at: now}
		if q.m == nil {
			q.m = map[transport.NodeID]*used{}
		}
		q.m[peer] = u
	}
	if d := now.Sub(u.at).Minutes(); d > 0 {
		u.owed, u.keys, u.at = max(0, u.owed-d*quotaLeak), max(0, u.keys-d*quotaKeys), now
	}
	return u
}

// over tells whether it is too much for another proposal. What is under way counts only beside what came to nothing: nobody is refused for
// being busy. Key ceremonies are refused for their number too.
func (u *used) over(key bool) bool {
	return u.owed > 0 && u.owed+u.open >= quotaBytes || key && u.keys >= quotaKeys
}

// cost is what a proposal may leave on this node.
type cost struct {
	bytes float64
	keys  float64 // 1 for a key ceremony
}

func costOf(op attest.Operation, intents []*attest.Intent) (c cost) {
	for _, in := range intents {
		c.bytes += float64(entryBytes + len(in.RequestID) + len(in.Requester) + 12*len(in.Path))
	}
	if op == attest.OpKeygen || op == attest.OpRefresh {
		c.keys = 1
	}
	return c
}

// begin counts a proposal of a member as under way. It is false if the member has used up its part; first tells that this is to be put on
// record, which is once a minute.
func (q *quotas) begin(now time.Time, peer transport.NodeID, c cost) (first, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, peer)
	if u.over(c.keys > 0) {
		if first = now.Sub(u.noted) >= time.Minute; first {
			u.noted = now
		}
		return first, false
	}
	u.open += c.bytes
	u.keys += c.keys
	return false, true
}

// end counts what has begun: as nothing, or, where it failed, for to, who is to blame; for its coordinator if to has used up its part.
func (q *quotas) end(now time.Time, coordinator, to transport.NodeID, c cost, failed, kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, coordinator)
	u.open = max(0, u.open-c.bytes)
	switch {
	case !failed && kept:
		u.keys += c.keys * (unproven - 1)
		return
	case !failed:
		u.keys = max(0, u.keys-c.keys)
		return
	}
	if x := q.of(now, to); !x.over(true) {
		u = x
	}
	u.owed += c.bytes + entryBytes
	u.keys += c.keys * (failedKey - 1)
}

// proved takes back what a keygen of a coordinator counted while its key was not proven.
func (q *quotas) proved(now time.Time, coordinator transport.NodeID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, coordinator)
	u.keys = max(0, u.keys-(unproven-1))
}

// limited tells whether a member's proposals are refused for what it has used up.
func (q *quotas) limited(now time.Time, peer transport.NodeID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.of(now, peer).over(true)
}

// written is where the gate notes, by a party's context, that it has put intents on record.
type writtenKey struct{}

func noteWritten(ctx context.Context) {
	if w, ok := ctx.Value(writtenKey{}).(*atomic.Bool); ok {
		w.Store(true)
	}
}

// within has a party take part in a coordinator's ceremony, if the coordinator has not used up what it may cost this node.
func (n *core) within(ctx context.Context, coordinator transport.NodeID, op attest.Operation, intents []*attest.Intent,
	act func(context.Context) error) error {
	c, now := costOf(op, intents), n.cfg.Clock()
	if first, ok := n.quotas.begin(now, coordinator, c); !ok {
		if first {
			n.cfg.Logger.Error("a member has used up what its ceremonies may cost this node", "member", coordinator)
			facts := map[string]string{"culprit." + string(coordinator): "quota", "operation": string(op)}
			if err := n.cfg.AuditLog.Append(context.WithoutCancel(ctx), audit.Event{Name: "quota.exceeded", Facts: facts}); err != nil {
				return err
			}
		}
		return problem.New(problem.Overload, fmt.Sprintf("see the audit log for what ceremonies of node %s came to nothing; repeat the request "+
			"in a minute or through another node", coordinator), "node %s has begun too much here that came to nothing", coordinator)
	}
	var written atomic.Bool
	err := act(context.WithValue(ctx, writtenKey{}, &written))
	f := ceremony.FailureOf(err)
	failed := err != nil && written.Load() && !ours(f)
	n.quotas.end(n.cfg.Clock(), coordinator, n.toBlame(f, coordinator), c, failed, op == attest.OpKeygen && err == nil)
	return err
}

// ours tells whether a failure is this node's own: its token's or its disk's.
func ours(f ceremony.Failure) bool {
	switch {
	case f.Own == nil:
		return false
	case f.Own.Code == problem.HSM, f.Own.Code == problem.Integrity, f.Own.Code == problem.Storage, f.Own.Code == problem.Internal:
		return true
	}
	return false
}

// toBlame is whose part of the disk a ceremony used up that came to nothing: of who misbehaved in it. Of silence and refusals it is the
// coordinator's, who may have told nothing to those who are silent, and nonsense to those who refuse; an honest one goes elsewhere then.
func (n *core) toBlame(f ceremony.Failure, coordinator transport.NodeID) transport.NodeID {
	if f.Abort == nil || f.Abort.Kind == threshold.Local || len(f.Abort.Culprits) == 0 || f.Abort.Culprits[0] == n.members.SelfParty() {
		return coordinator
	}
	return n.members.Node(f.Abort.Culprits[0])
}
