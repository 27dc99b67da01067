package appliance

import (
	"context"
	"errors"
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

// What ceremonies that come to nothing, or that nobody has asked for, leave on a node's disk is bounded for each member that asks for them:
// entries of the audit log, staged shares. Every party judges by what it wrote itself, and forgets it at a rate.
const (
	quotaBytes = 4 << 20 // of what came to nothing, at which a member's proposals are refused
	quotaLeak  = 1 << 20 // of them, forgotten in a minute
	quotaKeys  = 600     // key ceremonies, and forgotten in a minute; a keygen that succeeds counts one
	failedKey  = 30      // what a key ceremony that fails counts: its share may stay on the disk for a day
	unproven   = 10      // what a keygen counts until its key is proven: the share stays, and nobody may ever be told the key
	entryBytes = 400     // of an entry of the audit log, beside what the coordinator chose

	// quotaProofs are proofs of a threshold, of so many intents, that a member has had from this node and that made no key active: more of
	// them are refused. No initiator asks for one, and an active key may be proven again (`mpcd key prove-threshold`): one of 64 quorums
	// eight times at once, one of three 256 times, as each party is in two of them.
	quotaProofs = 512
	proofsLeak  = 60 // of them, forgotten in a minute

	// quotaFills are ceremonies for the pool of presignatures, and forgotten in a minute: more of them are refused. An honest coordinator
	// begins one in a pause of quietFor, or a second, so never as many.
	quotaFills = 2400
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
	at      time.Time // of what follows
	owed    float64   // bytes that came to nothing
	open    float64   // bytes of ceremonies under way
	keys    float64   // key ceremonies
	proofs  float64   // that made no key active
	fills   float64   // of the pool
	noted   time.Time // when an excess was last on record
	refused time.Time // when a proposal was last refused for one
	why     excess    // it was
}

// excess is what a member has used up, and its name in the audit log; "" is nothing.
type excess string

const (
	excessNothing excess = "quota"  // what came to nothing, or key ceremonies
	excessProofs  excess = "proofs" // of thresholds
	excessActs    excess = "acts"   // under one session_id
	excessFills   excess = "fills"  // of the pool of presignatures
)

// words are what a member is told, and what is told of it.
func (e excess) words() string {
	switch e {
	case excessProofs:
		return "has asked for too many proofs of thresholds here"
	case excessFills:
		return "has asked for presignatures too often here"
	case excessActs:
		return "has asked again and again here for what was done under its session_id"
	}
	return "has begun too much here that came to nothing"
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
		u.proofs, u.fills = max(0, u.proofs-d*proofsLeak), max(0, u.fills-d*quotaFills)
	}
	return u
}

// over is what is too much for another proposal. What is under way counts only beside what came to nothing: nobody is refused for being
// busy. Key ceremonies, proofs and fillings are refused for their number too.
func (u *used) over(c cost) excess {
	switch {
	case u.owed > 0 && u.owed+u.open >= quotaBytes, c.keys > 0 && u.keys >= quotaKeys:
		return excessNothing
	case c.proofs > 0 && u.proofs >= quotaProofs:
		return excessProofs
	case c.fills > 0 && u.fills >= quotaFills:
		return excessFills
	}
	return ""
}

// cost is what a proposal may leave on this node.
type cost struct {
	bytes  float64
	keys   float64 // 1 for a key ceremony
	proofs float64 // of a threshold
	fills  float64 // 1 for presignatures of the pool
	again  float64 // bytes about what was done before, more often than is free
}

func costOf(op attest.Operation, intents []*attest.Intent) (c cost) {
	for _, in := range intents {
		c.bytes += float64(entryBytes + len(in.RequestID) + len(in.Requester) + 12*len(in.Path))
	}
	if op == attest.OpKeygen || op == attest.OpRefresh {
		c.keys = 1
	}
	switch op {
	case opProve:
		c.proofs = float64(len(intents))
	case attest.OpPresign:
		c.fills = 1
	}
	return c
}

// begin counts a proposal of a member as under way. It returns what the member has used up, if it has, and counts nothing then; first tells
// that this is to be put on record, which is once a minute.
func (q *quotas) begin(now time.Time, peer transport.NodeID, c cost) (first bool, why excess) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, peer)
	if why = u.over(c); why != "" {
		return u.refuse(now, why), why
	}
	u.open += c.bytes
	u.keys += c.keys
	return false, ""
}

// refuse notes that a proposal is refused at the time now; first tells that this is to be put on record.
func (u *used) refuse(now time.Time, why excess) (first bool) {
	u.refused, u.why = now, why
	if first = now.Sub(u.noted) >= time.Minute; first {
		u.noted = now
	}
	return first
}

// refuse is used.refuse of what a line has refused a member.
func (q *quotas) refuse(now time.Time, peer transport.NodeID, why excess) (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.of(now, peer).refuse(now, why)
}

// end counts what has begun: as nothing, or, where it failed, for to, who is to blame; for its coordinator if to has used up its part.
// Proofs count until their key is active, and what was done before counts as nothing though it succeeds.
func (q *quotas) end(now time.Time, coordinator, to transport.NodeID, c cost, failed, kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, coordinator)
	u.open = max(0, u.open-c.bytes)
	u.proofs += c.proofs
	u.fills += c.fills
	u.owed += c.again
	switch {
	case !failed && kept:
		u.keys += c.keys * (unproven - 1)
		return
	case !failed:
		u.keys = max(0, u.keys-c.keys)
		return
	}
	if x := q.of(now, to); x.over(cost{keys: 1}) == "" {
		u = x
	}
	u.owed += c.bytes + entryBytes
	u.keys += c.keys * (failedKey - 1)
}

// proved takes back what a keygen of a coordinator counted while its key was not proven, with the proofs that this node took part in.
func (q *quotas) proved(now time.Time, coordinator transport.NodeID, proofs int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, coordinator)
	u.keys, u.proofs = max(0, u.keys-(unproven-1)), max(0, u.proofs-float64(proofs))
}

// limited tells whether a member's proposals are refused for what it has used up, or were within the last minute, and then why.
func (q *quotas) limited(now time.Time, peer transport.NodeID) (limited bool, why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(now, peer)
	if u.why != "" && now.Sub(u.refused) < time.Minute {
		return true, u.why.words()
	}
	return u.over(cost{keys: 1, proofs: 1, fills: 1}) != "", ""
}

// written is where the gate notes, by a party's context, that it has put intents on record, and how many of them were acted on before, more
// often than is free.
type written struct {
	yes   atomic.Bool
	again atomic.Int64
}

type writtenKey struct{}

func noteWritten(ctx context.Context, again int) {
	if w, ok := ctx.Value(writtenKey{}).(*written); ok {
		w.yes.Store(true)
		w.again.Store(int64(again))
	}
}

// within has a party take part in a coordinator's ceremony, if the coordinator has not used up what it may cost this node.
func (n *core) within(ctx context.Context, coordinator transport.NodeID, op attest.Operation, intents []*attest.Intent,
	act func(context.Context) error) error {
	c, now := costOf(op, intents), n.cfg.Clock()
	if first, why := n.quotas.begin(now, coordinator, c); why != "" {
		if err := noteExcess(ctx, n.cfg, coordinator, op, first, why); err != nil {
			return err
		}
		return problem.New(problem.Overload, fmt.Sprintf("see the audit log for what ceremonies of node %s have left; repeat the request "+
			"in a minute or through another node", coordinator), "node %s %s", coordinator, why.words())
	}
	var wrote written
	err := act(context.WithValue(ctx, writtenKey{}, &wrote))
	if !wrote.yes.Load() {
		c.proofs, c.fills = 0, 0
	}
	if errors.Is(err, errActs) {
		first := n.quotas.refuse(n.cfg.Clock(), coordinator, excessActs)
		if aerr := noteExcess(ctx, n.cfg, coordinator, op, first, excessActs); aerr != nil {
			return aerr
		}
	}
	c.again = c.bytes * float64(wrote.again.Load()) / float64(max(1, len(intents)))
	f := ceremony.FailureOf(err)
	failed := err != nil && wrote.yes.Load() && !ours(f)
	n.quotas.end(n.cfg.Clock(), coordinator, n.toBlame(f, coordinator), c, failed, op == attest.OpKeygen && err == nil)
	return err
}

// noteExcess puts on record who has used up what, if it is the first time in a minute.
func noteExcess(ctx context.Context, c Config, coordinator transport.NodeID, op attest.Operation, first bool, why excess) error {
	if !first {
		return nil
	}
	c.Logger.Error("a member has used up what its ceremonies may cost this node", "member", coordinator, "of", string(why))
	facts := map[string]string{"culprit." + string(coordinator): string(why), "operation": string(op)}
	return c.AuditLog.Append(context.WithoutCancel(ctx), audit.Event{Name: "quota.exceeded", Facts: facts})
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
