package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// gate is what every line of the node passes before its first protocol message about an intent: the line's own judgement, the policy, the
// memory of request IDs, the audit log, in this order. No line may go on if it returns an error, and none can without what it returns.
type gate struct {
	self   transport.NodeID
	policy policy.Policy
	memory *intentMemory
	log    *audit.Log
}

func newGate(self transport.NodeID, p policy.Policy, log *audit.Log, nodes int) *gate {
	return &gate{self: self, policy: p, memory: newIntentMemory(nodes), log: log}
}

// passage is an intent before the gate.
type passage struct {
	intent    *attest.Intent
	committee threshold.Committee
	judge     func() error // holds the intent against the key as it is
}

// permission is what the gate returns. Whoever acts calls recorded first.
type permission struct {
	verdicts []policy.Verdict // of the passages, in their order
	done     chan struct{}
	err      error
}

// recorded returns when the acts that were permitted are on record, durably. An error means that they must not be done.
func (p *permission) recorded() error {
	if p == nil {
		return problem.New(problem.Internal, "report this", "an act that did not pass the gate")
	}
	<-p.done
	return p.err
}

// permit lets the intents of one ceremony of a line pass, all or none, and has each put on record under the names of events. An error is
// about the passage that At tells of. It returns before the record is durable, so that what comes before an act can run meanwhile; what
// costs the token or the disk comes after it.
func (g *gate) permit(ctx context.Context, line attest.Operation, passages []passage, events ...string) (*permission, error) {
	if len(passages)*len(events) == 0 {
		return nil, problem.New(problem.Internal, "report this", "an act that would not be on record")
	}
	p := &permission{verdicts: make([]policy.Verdict, len(passages)), done: make(chan struct{})}
	var err error
	for i, x := range passages {
		if p.verdicts[i], err = g.pass(ctx, x); err != nil {
			return nil, g.refuse(ctx, line, x.intent, problem.At(i, err))
		}
	}
	if i, err := g.memory.admit(passages); err != nil { // after the others: what we refuse takes no session_id away
		return nil, g.refuse(ctx, line, passages[i].intent, problem.At(i, err))
	}
	entries := g.entries(passages, events)
	go func() {
		defer close(p.done)
		p.err = g.log.Append(ctx, entries...)
	}()
	return p, nil
}

// pass asks all that may refuse an intent by itself.
func (g *gate) pass(ctx context.Context, x passage) (policy.Verdict, error) {
	if err := x.judge(); err != nil {
		return policy.Verdict{}, err
	}
	return g.allow(ctx, x.intent, x.committee)
}

// refuse puts on record what is refused to a caller of this node. What is refused to a peer, its proposal's answer has on record, so
// often a minute.
func (g *gate) refuse(ctx context.Context, line attest.Operation, in *attest.Intent, err error) error {
	if in.Node != string(g.self) {
		return err
	}
	facts := intentFacts(in, in.Hash())
	facts["reason"] = problem.As(err).Message
	if aerr := g.log.Append(context.WithoutCancel(ctx), audit.Event{Name: string(line) + ".refuse", Facts: facts}); aerr != nil {
		return errors.Join(err, aerr)
	}
	return err
}

// entries are what is put on record of intents that pass.
func (g *gate) entries(passages []passage, events []string) []audit.Event {
	hashes := make([][]byte, len(passages))
	entries := make([]audit.Event, 0, len(passages)*len(events))
	for i, x := range passages {
		h := x.intent.Hash()
		hashes[i] = h[:]
		facts := intentFacts(x.intent, h)
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

// allow asks the policy. One that fails denies.
func (g *gate) allow(ctx context.Context, in *attest.Intent, c threshold.Committee) (policy.Verdict, error) {
	v, err := g.policy.Judge(ctx, in, c)
	if err != nil {
		return v, &problem.Error{Code: problem.Denied, Message: "the policy could not be evaluated, so it denies",
			Next: "check the policy", Err: err}
	}
	if !v.Allow {
		return v, problem.New(problem.Denied, "change the request, or have the policy changed", "denied by policy rule %q: %s", v.Rule, v.Why)
	}
	return v, nil
}

// intentMemory remembers what each request ID was for, so that one ID cannot be used for two messages, whoever coordinates.
// It is bounded, for each coordinator by itself so that none can make us forget another's, and lives as long as the process;
// across restarts the coordinator's own durable record holds.
type intentMemory struct {
	mu    sync.Mutex
	m     map[string]*remembered
	age   map[string][]string // by coordinator, oldest first
	quota int                 // of each
}

// remembered is what a request ID was for, and the coordinators that asked for it: it is forgotten when all of them have forgotten it.
type remembered struct {
	purpose [32]byte
	by      []string
}

const intentMemoryMax = 1 << 16

func newIntentMemory(nodes int) *intentMemory {
	return &intentMemory{m: map[string]*remembered{}, age: map[string][]string{}, quota: intentMemoryMax / max(1, nodes)}
}

// purposeOf is what a request ID is used for.
func purposeOf(in *attest.Intent) [32]byte {
	coordinator := ""
	if in.Operation != attest.OpSign {
		// The same signature may be asked for again through another node. A second key, or a second refresh, is not the same.
		coordinator = in.Node
	}
	return canon.Hash("mpcd/v1/intent/purpose", []byte(in.Operation), []byte(coordinator), []byte(in.KeyID), in.Message,
		canon.MustMarshal(in.Keygen), canon.MustMarshal(append([]uint32(nil), in.Path...)))
}

// admit remembers the intents of all passages, or of none: then which one has a request ID that stands for another purpose.
func (s *intentMemory) admit(passages []passage) (int, error) {
	purposes, fresh := make([][32]byte, len(passages)), map[string][32]byte{}
	for i, x := range passages {
		purposes[i] = purposeOf(x.intent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range passages {
		id := x.intent.RequestID
		was, known := fresh[id]
		if r := s.m[id]; r != nil {
			was, known = r.purpose, true
		}
		if known && was != purposes[i] {
			return i, operation.Reused(id)
		}
		fresh[id] = purposes[i]
	}
	for i, x := range passages {
		s.enter(x.intent.Node, x.intent.RequestID, purposes[i])
	}
	return 0, nil
}

// enter remembers an ID for a coordinator, and forgets the oldest of its own if it has its part. The caller holds mu.
func (s *intentMemory) enter(coordinator, id string, purpose [32]byte) {
	r := s.m[id]
	if r == nil {
		r = &remembered{purpose: purpose}
	}
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
