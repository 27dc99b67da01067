package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// gate is what every line of the node passes before its first protocol message about an intent: the line's own judgement, who asked, the
// policy, the memory of request IDs, the audit log, in this order. No line may go on if it returns an error, and none can without what it
// returns.
type gate struct {
	self transport.NodeID
	// initiated judges who asks, and for what that was read, by the authority.
	initiated func(x passage, d *intent.Decoded) (policy.Verdict, error)
	policy    Policy
	memory    *intentMemory
	log       *audit.Log
	store     vault.Store
	uses      *operation.Uses
	clock     func() time.Time // from which on what is kept of an act is kept
	// writable tells why nothing that must be kept can be, before a full disk breaks off what was begun; nil is never.
	writable func() error
	// stopped tells why what an initiator asks for is not done whatever else permits it, as what is frozen or was taken back; nil never does.
	stopped func(x passage) error
	ledger  *ledger // where what initiated permits is counted, if its rules count
}

func newGate(c Config, initiated func(passage, *intent.Decoded) (policy.Verdict, error), nodes int) *gate {
	return &gate{self: c.Node, initiated: initiated, policy: c.Policy, memory: newIntentMemory(nodes), log: c.AuditLog, store: c.Store,
		uses: operation.NewUses(c.Store), clock: c.Clock}
}

// passage is an intent before the gate.
type passage struct {
	intent *attest.Intent
	key    threshold.KeyInfo // it is about; of one to be, the committee alone
	vault  string            // of the wallet it is about, as the key's record says
	judge  func() error      // holds the intent against the key as it is
	// read says what the intent's payload asks for; nil where an intent of the line has none.
	read  func() (*intent.Decoded, error)
	again bool // its coordinator has asked who did this before under the request ID, and nobody has
	// counted takes the entries of the ledger that the passage is counted by; nil has it judged alone.
	counted *[]entryID
}

// once tells whether a request ID of the line stands for one act on all nodes, durably: that of what an initiator asks for. Presignatures
// and proofs have IDs of their node.
func once(line attest.Operation) bool { return attest.Initiated(line) }

// permission is what the gate returns. Whoever acts calls recorded first.
type permission struct {
	verdicts []policy.Verdict // of the passages, in their order
	done     chan struct{}
	err      error
	gate     *gate
	passages []passage // whose request IDs stand for one act
	fresh    []passage // of those whose request ID was not used before
	counted  []entryID // in the ledger
	acted    atomic.Bool
}

// end is called when the ceremony is over. It gives back the request IDs of what came to nothing here: a member that asks and leaves takes
// none away from others.
func (p *permission) end(ctx context.Context) {
	if len(p.passages) == 0 {
		return
	}
	<-p.done
	p.gate.uncount(ctx, p.counted, p.acted.Load())
	p.gate.memory.rest(p.passages)
	if !p.acted.Load() {
		p.gate.memory.unact(p.passages)
	}
	if p.acted.Load() || len(p.fresh) == 0 {
		return
	}
	if ids := p.gate.memory.leave(p.fresh); len(ids) > 0 {
		p.gate.memory.left(ids, p.gate.uses.Forget(context.WithoutCancel(ctx), ids...) == nil)
	}
}

// uncount ends what entries of the ledger are held for.
func (g *gate) uncount(ctx context.Context, counted []entryID, acted bool) {
	if len(counted) > 0 {
		g.ledger.release(ctx, counted, acted)
	}
}

// recorded returns when the acts that were permitted are on record, durably. An error means that they must not be done.
func (p *permission) recorded() error {
	if p == nil {
		return problem.New(problem.Internal, "report this", "an act that did not pass the gate")
	}
	<-p.done
	for _, x := range p.passages { // once more: what is frozen or taken back meanwhile stops what was permitted
		if err := p.gate.halts(x); err != nil {
			return err
		}
	}
	return p.err
}

// halts refuses what is stopped.
func (g *gate) halts(x passage) error {
	if g.stopped == nil {
		return nil
	}
	return g.stopped(x)
}

// permit lets the intents of one ceremony of a line pass, all or none, and has each put on record under the names of events. An error
// names all passages that are refused. It returns before the record is durable, so that what comes before an act can run meanwhile; what
// costs the token or the disk comes after it.
func (g *gate) permit(ctx context.Context, line attest.Operation, passages []passage, events ...string) (permitted *permission, err error) {
	if len(passages)*len(events) == 0 {
		return nil, problem.New(problem.Internal, "report this", "an act that would not be on record")
	}
	if g.writable != nil {
		if err := g.writable(); err != nil {
			return nil, err
		}
	}
	p := &permission{verdicts: make([]policy.Verdict, len(passages)), done: make(chan struct{})}
	defer func() {
		if permitted == nil {
			g.uncount(ctx, p.counted, false)
		}
	}()
	errs := make([]error, len(passages))
	for i, x := range passages {
		x.counted = &p.counted
		p.verdicts[i], errs[i] = g.pass(ctx, line, x)
	}
	if err = problem.All(errs); err != nil {
		return nil, g.refuse(ctx, line, passages, errs, err)
	}
	var used []*operation.Use
	if once(line) {
		if used, err = g.recall(ctx, passages); err != nil {
			return nil, err
		}
	}
	fresh, errs, err := g.memory.admit(passages) // after the others: what we refuse takes no session_id away
	if err != nil {
		return nil, g.refuse(ctx, line, passages, errs, err)
	}
	var puts []vault.Pair
	again := 0
	if once(line) {
		p.gate, p.passages, p.fresh = g, passages, fresh
		puts, again = g.memory.stored(passages, used)
	}
	noteWritten(ctx, again)
	entries := g.entries(passages, p.verdicts, events)
	go func() {
		defer close(p.done)
		stored := make(chan error, 1)
		go func() { stored <- g.keep(ctx, puts, p.counted) }()
		p.err = errors.Join(g.log.Append(ctx, entries...), <-stored)
	}()
	return p, nil
}

// keep stores what is to be on disk before an act, with what is counted for it.
func (g *gate) keep(ctx context.Context, puts []vault.Pair, counted []entryID) error {
	if len(counted) > 0 {
		return g.ledger.store(ctx, puts, counted)
	}
	return storeAll(ctx, g.store, puts)
}

// recall brings back into memory what is stored of the request IDs, and returns what is to be stored of them, but for how often they were
// acted on.
func (g *gate) recall(ctx context.Context, passages []passage) (used []*operation.Use, err error) {
	now := g.clock().UnixMilli()
	for _, x := range passages {
		id, purpose := x.intent.RequestID, purposeOf(x.intent)
		u, err := g.uses.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if u == nil {
			u = &operation.Use{Purpose: purpose, At: now}
		} else {
			g.memory.recall(id, u)
		}
		u.Coordinator = x.intent.Node
		used = append(used, u)
	}
	return used, nil
}

// pass asks all that may refuse an intent by itself.
func (g *gate) pass(ctx context.Context, line attest.Operation, x passage) (v policy.Verdict, err error) {
	if err := x.judge(); err != nil {
		return v, err
	}
	if once(line) {
		if err := g.halts(x); err != nil {
			return v, err
		}
	}
	var d *intent.Decoded
	if x.read != nil {
		if d, err = x.read(); err != nil {
			return v, err
		}
	}
	own, err := g.policy.Judge(ctx, x.intent, x.key.Committee)
	if err != nil {
		return own, &problem.Error{Code: problem.Denied, Message: "the policy could not be evaluated, so it denies",
			Next: "check the policy", Err: err}
	}
	if !own.Allow || !attest.Initiated(line) {
		return own, denied(own)
	}
	v, err = g.initiated(x, d)
	return v, cmp.Or(err, denied(v))
}

// refuse puts on record what is refused to a caller of this node. What is refused to a peer, its proposal's answer has on record, so
// often a minute.
func (g *gate) refuse(ctx context.Context, line attest.Operation, passages []passage, errs []error, err error) error {
	var events []audit.Event
	for i, x := range passages {
		if errs[i] != nil && x.intent.Node == string(g.self) {
			facts := intentFacts(x.intent, x.intent.Hash())
			facts["reason"] = problem.As(errs[i]).Message
			events = append(events, audit.Event{Name: string(line) + ".refuse", Facts: facts})
		}
	}
	if len(events) == 0 {
		return err
	}
	if aerr := g.log.Append(context.WithoutCancel(ctx), events...); aerr != nil {
		return errors.Join(err, aerr)
	}
	return err
}

// entries are what is put on record of intents that pass.
func (g *gate) entries(passages []passage, verdicts []policy.Verdict, events []string) []audit.Event {
	hashes := make([][]byte, len(passages))
	entries := make([]audit.Event, 0, len(passages)*len(events))
	for i, x := range passages {
		h := x.intent.Hash()
		hashes[i] = h[:]
		facts := intentFacts(x.intent, h)
		if rules := strings.Split(verdicts[i].Rule, ", "); rules[0] != "" { // each once, whatever parts it has permitted
			slices.Sort(rules)
			facts["rule"] = strings.Join(slices.Compact(rules), ", ")
		}
		for _, name := range events {
			entries = append(entries, audit.Event{Name: name, Facts: facts})
		}
	}
	id := intentsID(hashes)
	for _, e := range entries {
		e.Facts["intents"] = id
	}
	return entries
}

// denied is the error of a verdict, nil where it allows.
func denied(v policy.Verdict) error {
	if v.Allow {
		return nil
	}
	if len(v.Needs) > 0 {
		return problem.New(problem.Unapproved, "send the same request with their approvals, in its field approvals (docs/RECEIPTS.md)",
			"it waits for approvals, %s: %s", policy.Needs(v.Needs), v.Why)
	}
	next := "change the request, or have the policy changed"
	if v.Counted {
		next = "where it is too much over the time, repeat the request later; else " + next
	}
	return problem.New(problem.Denied, next, "denied by policy rule %q: %s", v.Rule, v.Why)
}

// intentMemory remembers what each request ID was for, so that one ID cannot be used for two messages, whoever coordinates.
// It is bounded, for each coordinator by itself so that none can make us forget another's, and lives as long as the process; what an ID was
// for of which more is to come, a signature or a key, is stored besides (operation.Use) and brought back from there.
type intentMemory struct {
	mu    sync.Mutex
	m     map[string]*remembered
	age   map[string][]string // by coordinator, oldest first
	quota int                 // of each
	// run is the process of a coordinator that is heard now; gaps tells whether this node may have acted under request IDs that it does not
	// know, as one that was put back.
	run  func(coordinator string) [16]byte
	gaps func() bool
}

// remembered is what a request ID was for, and the coordinators that asked for it: it is forgotten when all of them have forgotten it.
type remembered struct {
	purpose [32]byte
	holder  string   // the coordinator that asked last
	run     [16]byte // the process of it that did; none where that is known from the store alone
	busy    int      // ceremonies of it that run here
	leaving bool     // it came to nothing and is being taken out of the store: nobody begins under it now, whose record would go with it
	by      []string
	acts    map[string]int // for each coordinator that had this node act more than once, as in operation.Use
}

const intentMemoryMax = 1 << 16

// actsMost is how often a node acts under one request ID for one coordinator: an honest one asks again only where what all signers have
// done was lost on the way to it, or to its disk, and has the answer else. actsFree is how often in all, before it counts as what came to
// nothing: once, and again where a coordinator has gone.
const (
	actsMost = 8
	actsFree = 2
)

// errActs is the cause of a refusal for actsMost.
var errActs = errors.New("it was done as often as it may be")

// actedFor is how often this node acted for a coordinator, or may have.
func (r *remembered) actedFor(coordinator string) int {
	switch {
	case r == nil:
		return 0
	case r.acts[coordinator] == 0 && slices.Contains(r.by, coordinator):
		return 1
	}
	return r.acts[coordinator]
}

// act counts one more act for a coordinator, of which this is the first where it is not among those that asked.
func (r *remembered) act(coordinator string) {
	if n := r.actedFor(coordinator) + 1; n > 1 {
		if r.acts == nil {
			r.acts = map[string]int{}
		}
		r.acts[coordinator] = n
	}
}

// acted is how often this node acted in all.
func (r *remembered) acted() (all int) {
	for _, n := range r.acts {
		all += n
	}
	for _, by := range r.by {
		if r.acts[by] == 0 {
			all++
		}
	}
	return all
}

// tooOften is the refusal of a request ID that a coordinator comes with once more than it may.
func tooOften(id, coordinator string) error {
	return &problem.Error{Code: problem.Conflict, Holder: coordinator, Err: errActs,
		Message: fmt.Sprintf("session_id %q was done %d times already for node %s", id, actsMost, coordinator),
		Next:    fmt.Sprintf("look at node %s, which has the answer or cannot keep it; ask another, by the same session_id", coordinator)}
}

func newIntentMemory(nodes int) *intentMemory {
	return &intentMemory{m: map[string]*remembered{}, age: map[string][]string{}, quota: intentMemoryMax / max(1, nodes),
		run: func(string) [16]byte { return [16]byte{} }, gaps: func() bool { return false }}
}

// purposeOf is what a request ID is used for.
func purposeOf(in *attest.Intent) [32]byte {
	coordinator := ""
	var parties []threshold.PartyID
	switch in.Operation {
	case attest.OpPresign:
		coordinator = in.Node
	case attest.OpKeygen:
		parties = in.Signers // who is to hold the key; a signature may be by any quorum
	}
	made := in.Keygen
	if made != nil && len(made.Nodes) > 0 { // who these are, the parties say
		made = &attest.KeygenParams{Threshold: made.Threshold, Kind: made.Kind, Label: made.Label, Group: made.Group}
	}
	return canon.Hash("mpcd/v2/intent/purpose", []byte(in.Operation), []byte(coordinator), []byte(in.KeyID), in.Message,
		canon.MustMarshal(made), canon.MustMarshal(append([]uint32(nil), in.Path...)), canon.MustMarshal(parties))
}

// recall remembers what is stored of a request ID, if it was forgotten.
func (s *intentMemory) recall(id string, u *operation.Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[id] == nil {
		s.enter(u.Coordinator, id, u.Purpose)
		s.m[id].acts = maps.Clone(u.Acts)
	}
}

// unact takes back that this node is about to act, where it has not.
func (s *intentMemory) unact(passages []passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range passages {
		if r := s.m[x.intent.RequestID]; r != nil && r.acts[x.intent.Node] > 1 {
			r.acts[x.intent.Node]--
		}
	}
}

// stored is what to store of passages that were admitted, whose uses are as recall says, and how many of them are acted on once more than
// is free.
func (s *intentMemory) stored(passages []passage, used []*operation.Use) (puts []vault.Pair, again int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range passages {
		id := x.intent.RequestID
		if r := s.m[id]; r != nil { // or another's was put in its place
			used[i].Acts = maps.Clone(r.acts)
			if r.acted() > actsFree {
				again++
			}
		}
		puts = append(puts, used[i].Put(id))
	}
	return puts, again
}

// leave marks the IDs of passages that nobody else holds, and returns them: they are forgotten when they are out of the store.
func (s *intentMemory) leave(passages []passage) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range passages {
		id, by := x.intent.RequestID, x.intent.Node
		r := s.m[id]
		if r == nil || r.holder != by || len(r.by) != 1 || r.busy > 0 || r.leaving {
			continue
		}
		r.leaving = true
		ids = append(ids, id)
	}
	return ids
}

// left is after leave: IDs that are out of the store are forgotten; those that could not be taken out stay, for their purpose.
func (s *intentMemory) left(ids []string, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		r := s.m[id]
		switch {
		case r == nil || !r.leaving:
		case gone:
			s.age[r.holder] = slices.DeleteFunc(s.age[r.holder], func(y string) bool { return y == id })
			delete(s.m, id)
		default:
			r.leaving = false
		}
	}
}

// admit remembers the intents of all passages, or of none: then which have a request ID that stands for another purpose, or is another
// coordinator's, each and in all. fresh are those that were not known.
func (s *intentMemory) admit(passages []passage) (fresh []passage, errs []error, err error) {
	purposes, now, acts := make([][32]byte, len(passages)), map[string][32]byte{}, map[string]int{}
	errs = make([]error, len(passages))
	for i, x := range passages {
		purposes[i] = purposeOf(x.intent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range passages {
		id := x.intent.RequestID
		was, known := now[id]
		r := s.m[id]
		if r != nil {
			was, known = r.purpose, true
		}
		if known && was != purposes[i] {
			e := problem.As(operation.Reused(id))
			if r != nil {
				e.Holder = r.holder
			}
			errs[i] = e
			continue
		}
		other := r != nil && r.holder != x.intent.Node && (!x.again || r.busy > 0) && once(x.intent.Operation)
		if other || r != nil && r.leaving || s.forgot(r, x) {
			holder := x.intent.Node
			if r != nil {
				holder = r.holder
			}
			errs[i] = &problem.Error{Code: problem.Held, Holder: holder, Next: "ask that node",
				Message: fmt.Sprintf("session_id %q is in use at node %s", id, holder)}
			continue
		}
		if once(x.intent.Operation) && r.actedFor(x.intent.Node)+acts[id] >= actsMost {
			errs[i] = tooOften(id, x.intent.Node)
			continue
		}
		if r == nil {
			fresh = append(fresh, x)
		}
		now[id] = purposes[i]
		acts[id]++
	}
	if err = problem.All(errs); err != nil {
		return nil, errs, err
	}
	for i, x := range passages {
		if r := s.m[x.intent.RequestID]; r != nil {
			r.act(x.intent.Node)
		}
		s.enter(x.intent.Node, x.intent.RequestID, purposes[i])
		r := s.m[x.intent.RequestID]
		r.run = s.run(x.intent.Node)
		r.busy++
	}
	return fresh, nil, nil
}

// forgot tells whether a coordinator that does not say that it has looked for the answer comes once more with what it has asked for in a
// run before, or in one that is not known: it may have been put back since, and not know that there is one. So may this node.
func (s *intentMemory) forgot(r *remembered, x passage) bool {
	switch {
	case x.intent.Operation != attest.OpSign || x.again:
		return false
	case r == nil:
		return s.gaps()
	}
	return r.holder == x.intent.Node && r.run != s.run(r.holder)
}

// rest notes that a ceremony about the passages runs no more.
func (s *intentMemory) rest(passages []passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range passages {
		if r := s.m[x.intent.RequestID]; r != nil && r.busy > 0 { // it may have been forgotten meanwhile, and come back
			r.busy--
		}
	}
}

// enter remembers an ID for a coordinator, and forgets the oldest of its own if it has its part. The caller holds mu.
func (s *intentMemory) enter(coordinator, id string, purpose [32]byte) {
	r := s.m[id]
	if r == nil {
		r = &remembered{purpose: purpose}
	}
	r.holder = coordinator
	if slices.Contains(r.by, coordinator) {
		return
	}
	age := s.age[coordinator]
	if len(age) >= s.quota {
		oldest := s.m[age[0]]
		if oldest.by = slices.DeleteFunc(oldest.by, func(by string) bool { return by == coordinator }); len(oldest.by) == 0 {
			delete(s.m, age[0])
		}
		age = age[1:]
	}
	r.by = append(r.by, coordinator)
	s.m[id], s.age[coordinator] = r, append(age, id)
}

// intentFacts are what an entry of the audit log tells of an intent.
func intentFacts(in *attest.Intent, hash [32]byte) map[string]string {
	facts := map[string]string{"session": in.RequestID, "wallet": in.KeyID, "intent": fmt.Sprintf("%x", hash[:]),
		"requester": in.Requester, "coordinator": in.Node}
	if len(in.Path) > 0 {
		facts["path"] = strings.Trim(strings.ReplaceAll(fmt.Sprint(in.Path), " ", "/"), "[]")
	}
	return facts
}

// intentsID is the fact that entries about one ceremony have in common, on every node and also where the ceremony is tried again: of the
// hashes of its intents. Its topic is not known before the token has signed, and the record is not to wait for that.
func intentsID(hashes [][]byte) string {
	h := canon.Hash("mpcd/v1/intents", hashes...)
	return fmt.Sprintf("%x", h[:8])
}
