package appliance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// gateConfig is what a gate is made of, with a store in memory.
// anybody may ask.
func anybody(passage, *intent.Decoded) (policy.Verdict, error) {
	return policy.Verdict{Allow: true}, nil
}

func gateConfig(p Policy, log *audit.Log) Config {
	return Config{Node: "self", Policy: p, AuditLog: log, Store: vaulttest.NewMemory(), Clock: time.Now}
}

type denier struct{}

func (denier) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Rule: "none"}, nil
}

// Goal: a request that is denied does not take its session_id away from another. Method: admit with a policy that denies.
func TestDeniedTakesNoSession(t *testing.T) {
	g := newGate(gateConfig(denier{}, nil), anybody, 1)
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	in := &attest.Intent{KeyID: "w", Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("m"), Signers: committee.Parties[:2],
		RequestID: "r"}
	passages := []passage{{intent: in, key: threshold.KeyInfo{Committee: committee}, judge: func() error { return nil }}}
	if _, err := g.permit(t.Context(), attest.OpSign, passages, "test"); problem.As(err).Code != problem.Denied {
		t.Fatal(err)
	}
	if len(g.memory.m) != 0 {
		t.Error("the session_id is taken")
	}
}

// Goal: a member that uses up its part of the memory of request IDs makes us forget its own only, also of a request that it asked for
// first. Method: fill it.
func TestIntentMemoryOfEach(t *testing.T) {
	s := newIntentMemory(4)
	admit := func(node, request, message string) error {
		one := []passage{{again: true, intent: &attest.Intent{Operation: attest.OpSign, Node: node, RequestID: request, KeyID: "w",
			Message: []byte(message)}}}
		_, _, err := s.admit(one)
		if err == nil {
			s.rest(one)
		}
		return err
	}
	for _, x := range [][2]string{{"good", "payment"}, {"flooder", "seen"}, {"good", "seen"}, {"good", "seen"}, {"flooder", "own"}} {
		if err := admit(x[0], x[1], "1"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range intentMemoryMax {
		if err := admit("flooder", fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, request := range []string{"payment", "seen"} {
		if err := admit("flooder", request, "2"); err == nil || problem.As(err).Holder != "good" {
			t.Errorf("another's request ID was forgotten, or not whose it is: %s: %v", request, err)
		}
	}
	if got := len(s.m); got != 2+intentMemoryMax/4 {
		t.Errorf("%d remembered", got)
	}
}

// Goal: a policy that fails denies. Method: one that always fails.
func TestPolicyFailsClosed(t *testing.T) {
	g := newGate(gateConfig(failingPolicy{}, nil), anybody, 1)
	if _, err := g.pass(t.Context(), attest.OpSign, passage{judge: func() error { return nil }}); problem.As(err).Code != problem.Denied {
		t.Errorf("a failing policy gave %v", err)
	}
}

// Goal: the gate lets nothing pass that the line's own judgement refuses, nothing that would not be on record, and puts on record what
// passes, each intent under each name, and what it refuses to a caller of this node, but not what it refuses to a peer. Method: two
// intents before it, of which the second is refused, a peer's and ours, then not; a log on the disk.
func TestGate(t *testing.T) {
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), "n", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	g := newGate(gateConfig(Majority{AllowMinority: true}, log), anybody, 1)
	second := error(problem.New(problem.Invalid, "", "it does not fit"))
	both := func(coordinator string) []passage {
		return []passage{
			{intent: &attest.Intent{Operation: attest.OpSign, RequestID: "a", Node: coordinator}, judge: func() error { return nil }},
			{intent: &attest.Intent{Operation: attest.OpSign, RequestID: "b", Node: coordinator}, judge: func() error { return second }},
		}
	}
	for _, coordinator := range []string{"peer", "self"} {
		if _, err := g.permit(t.Context(), "line", both(coordinator), "x"); problem.As(err).Code != problem.Invalid || problem.As(err).Item != 2 {
			t.Errorf("its own judgement refuses the second: %v", err)
		}
	}
	second = nil
	if _, err := g.permit(t.Context(), "line", both("self")); err == nil {
		t.Error("an act without the name of an event passes")
	}
	p, err := g.permit(t.Context(), "line", both("self"), "x", "y")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.recorded(); err != nil || len(p.verdicts) != 2 || p.verdicts[1].Rule != "majority" {
		t.Errorf("%v, verdicts %v", err, p.verdicts)
	}
	var got []string
	together := map[string]bool{}
	es, err := log.Entries(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		got = append(got, e.Event+" "+e.Facts["session"]+e.Facts["reason"])
		together[e.Facts["intents"]] = true
	}
	if want := []string{"line.refuse bit does not fit", "x a", "y a", "x b", "y b"}; !slices.Equal(got, want) {
		t.Errorf("on record: %q, want %q", got, want)
	}
	if len(together) != 2 || !together[""] { // the refusal is of one intent; what passes has its ceremony's mark
		t.Errorf("marks of ceremonies: %v", together)
	}
}

// Goal: what passed once under a request ID does not pass for another message, and of what is refused as a whole no part takes its ID.
// Method: two messages of one ID before the gate at once; two intents of which the second is refused.
func TestGateRemembers(t *testing.T) {
	g := newGate(gateConfig(Majority{AllowMinority: true}, nil), anybody, 1)
	fits := func() error { return nil }
	in := func(message string) *attest.Intent {
		return &attest.Intent{Operation: attest.OpSign, RequestID: "r", Message: []byte(message)}
	}
	both := []passage{{intent: in("1"), judge: fits}, {intent: in("2"), judge: fits}}
	if _, err := g.permit(t.Context(), attest.OpSign, both, "x"); problem.As(err).Code != problem.Conflict || problem.As(err).Item != 2 {
		t.Errorf("%v", err)
	}
	both[1].judge = func() error { return problem.New(problem.Invalid, "", "it does not fit") }
	if _, err := g.permit(t.Context(), attest.OpSign, both, "x"); problem.As(err).Code != problem.Invalid {
		t.Errorf("%v", err)
	}
	if n := len(g.memory.m); n != 0 {
		t.Errorf("%d session_ids are taken by what was refused as a whole", n)
	}
}

// Goal: nobody acts before the record is durable, nor without the gate's word. Method: a record that is slow and then fails; no permission.
func TestRecordedWaits(t *testing.T) {
	var none *permission
	if none.recorded() == nil {
		t.Error("an act without permission may be done")
	}
	synctest.Test(t, func(t *testing.T) {
		p, back := &permission{done: make(chan struct{})}, make(chan error, 1)
		go func() { back <- p.recorded() }()
		synctest.Wait()
		if len(back) != 0 {
			t.Error("it does not wait for the record")
		}
		p.err = errors.New("the disk is full")
		close(p.done)
		if err := <-back; len(back) != 0 || err == nil {
			t.Errorf("the record failed: %v", err)
		}
	})
}

// Goal: under one request ID a node acts eight times for one coordinator and no more, by one batch or by many, and also after it was
// started anew; another coordinator has as many, so none takes an answer away; what came to nothing does not count; and what was done more
// than twice in all counts as what came to nothing. Method: a gate, and others over its store.
func TestActsAreBounded(t *testing.T) {
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), "n", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	c := gateConfig(Majority{AllowMinority: true}, log)
	c.Store = vaulttest.NewMemory()
	g := newGate(c, anybody, 2)
	act := func(node, id string, times int, acts bool) (again int64, err error) {
		passages := make([]passage, times)
		for i := range passages {
			in := &attest.Intent{Operation: attest.OpSign, Node: node, RequestID: id, Message: []byte("m")}
			passages[i] = passage{again: true, intent: in, judge: func() error { return nil }, key: threshold.KeyInfo{
				Committee: threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}}}
		}
		var w written
		p, err := g.permit(context.WithValue(t.Context(), writtenKey{}, &w), attest.OpSign, passages, "test")
		if err != nil {
			return 0, err
		}
		if err := p.recorded(); err != nil {
			t.Fatal(err)
		}
		p.acted.Store(acts)
		p.end(t.Context())
		return w.again.Load(), nil
	}
	for i := range actsMost {
		if i%2 == 1 {
			g = newGate(c, anybody, 2)
		}
		if _, err := act("a", "r", 1, false); err != nil {
			t.Fatalf("after %d acts, and as many that came to nothing: %v", i, err)
		}
		again, err := act("a", "r", 1, true)
		if want := i >= actsFree; err != nil || (again == 1) != want {
			t.Errorf("act %d: %v; %d count as nothing", i+1, err, again)
		}
	}
	refused := func(when string, err error) {
		t.Helper()
		e := problem.As(err)
		if !errors.Is(err, errActs) || e.Code != problem.Conflict || e.Holder != "a" || !strings.Contains(e.Error(), "node a") {
			t.Errorf("%s: %v", when, err)
		}
	}
	_, err = act("a", "r", 1, true)
	refused("once more", err)
	g = newGate(c, anybody, 2)
	_, err = act("a", "r", 1, true)
	refused("and after a restart", err)
	if again, err := act("b", "r", 1, true); err != nil || again != 1 {
		t.Errorf("another coordinator: %v; %d count as nothing", err, again)
	}
	_, err = act("a", "r", 1, true)
	refused("after that one", err)
	_, err = act("a", "new", actsMost+1, true)
	refused("in one batch", err)
	if _, err := act("a", "new", actsMost, true); err != nil {
		t.Errorf("as many as may be, in one batch: %v", err)
	}
	_, err = act("a", "new", 1, true)
	refused("and one more", err)
}

type failingPolicy struct{}

func (failingPolicy) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Allow: true}, errors.New("the policy is broken")
}

// Goal: while a party takes part in an act, no second coordinator gets it to take part in the same, whatever that says it has asked;
// then one that has asked does, and one that has not does not. Method: one message under one request ID, by two coordinators.
func TestHeldWhileRunning(t *testing.T) {
	g := newGate(gateConfig(Majority{AllowMinority: true}, nil), anybody, 2)
	by := func(node string, again bool) []passage {
		return []passage{{again: again, intent: &attest.Intent{Operation: attest.OpSign, Node: node, RequestID: "r", Message: []byte("m")}}}
	}
	first := by("a", false)
	if _, _, err := g.memory.admit(first); err != nil {
		t.Fatal(err)
	}
	held := func(when string, again, want bool) {
		t.Helper()
		_, _, err := g.memory.admit(by("b", again))
		if e := problem.As(err); (err != nil) != want || want && (e.Code != problem.Held || e.Holder != "a") {
			t.Errorf("%s: %v", when, err)
		}
	}
	held("while it runs", true, true)
	g.memory.rest(first)
	held("it has not asked", false, true)
	ids := g.memory.leave(first)
	held("it is being forgotten", true, true)
	if _, _, err := g.memory.admit(first); problem.As(err).Code != problem.Held {
		t.Errorf("its own coordinator, while it is being forgotten: %v", err)
	}
	g.memory.left(ids, false)
	if _, _, err := g.memory.admit(first); err != nil {
		t.Errorf("it could not be forgotten, and is refused: %v", err)
	}
	g.memory.rest(first)
	g.memory.left(g.memory.leave(first), true)
	if _, _, err := g.memory.admit(first); err != nil {
		t.Errorf("once it is forgotten: %v", err)
	}
	g.memory.rest(first)
	held("it has asked", true, false)
}

// Goal: a coordinator that comes again from another run says that it has looked for the answer, or is sent to look: it may have been put
// back, and know of none. What it does within a run, it knows. Method: the same signature by each, and a refresh; then a party that was
// restarted, which does not know in what run it was asked.
func TestForgotten(t *testing.T) {
	g := newGate(gateConfig(Majority{AllowMinority: true}, nil), anybody, 2)
	run := [16]byte{1}
	g.memory.run = func(node string) [16]byte {
		if node != "a" {
			t.Errorf("the run of %q", node)
		}
		return run
	}
	by := func(op attest.Operation, again bool) error {
		p := []passage{{again: again, intent: &attest.Intent{Operation: op, Node: "a", RequestID: string(op), Message: []byte("m")}}}
		_, _, err := g.memory.admit(p)
		if err == nil {
			g.memory.rest(p)
		} else if e := problem.As(err); e.Code != problem.Held || e.Holder != "a" {
			t.Errorf("it is refused otherwise: %v", err)
		}
		return err
	}
	for _, row := range []struct {
		when    string
		run     byte
		op      attest.Operation
		again   bool
		refused bool
	}{
		{"first", 1, attest.OpSign, false, false},
		{"in the same run", 1, attest.OpSign, false, false},
		{"in another", 2, attest.OpSign, false, true},
		{"in another, and it has looked", 2, attest.OpSign, true, false},
		{"once more in that", 2, attest.OpSign, false, false},
		{"a refresh", 2, attest.OpRefresh, false, false},
		{"a refresh in another run, which is looked for first", 3, attest.OpRefresh, false, false},
	} {
		run[0] = row.run
		if err := by(row.op, row.again); (err != nil) != row.refused {
			t.Errorf("%s: %v", row.when, err)
		}
	}
	g.memory = newIntentMemory(2)
	g.memory.run = func(string) [16]byte { return run }
	g.memory.recall("sign", &operation.Use{Coordinator: "a",
		Purpose: purposeOf(&attest.Intent{Operation: attest.OpSign, Message: []byte("m")})})
	if err := by(attest.OpSign, false); err == nil {
		t.Error("a party that was restarted does not know in what run it was asked")
	}
	g.memory = newIntentMemory(2)
	g.memory.gaps = func() bool { return true }
	if by(attest.OpSign, false) == nil || by(attest.OpSign, true) != nil || by(attest.OpRefresh, false) != nil {
		t.Error("a party that was put back does not know what it was asked, and has a signature looked for, once")
	}
}

// Goal: what a party agreed to under a request ID it knows after a restart: no other act under it, and no other coordinator that has not
// asked for the answer. Method: a gate, and another over its store.
func TestUseIsStored(t *testing.T) {
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), "n", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	c := gateConfig(Majority{AllowMinority: true}, log)
	permit := func(node, message string, again bool) error {
		p, err := newGate(c, anybody, 2).permit(t.Context(), attest.OpSign, []passage{{again: again, judge: func() error { return nil },
			intent: &attest.Intent{Operation: attest.OpSign, Node: node, RequestID: "r", Message: []byte(message)}}}, "x")
		if err == nil {
			err = p.recorded()
		}
		return err
	}
	if err := permit("a", "m", false); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		node, message string
		again         bool
		want          problem.Code // "" if it passes
	}{{"a", "m", false, ""}, {"a", "n", false, problem.Conflict}, {"b", "m", false, problem.Held}, {"b", "n", true, problem.Conflict},
		{"b", "m", true, ""}, {"a", "m", false, problem.Held}} {
		if err := permit(row.node, row.message, row.again); (err == nil) != (row.want == "") || err != nil && problem.As(err).Code != row.want {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// noBatch is a store that takes nothing.
type noBatch struct{ vault.Store }

func (noBatch) Batch(context.Context, []vault.Pair, [][]byte) error {
	return errors.New("the disk is full")
}

// Goal: no act whose request ID is not stored: after a restart it would stand for another. Method: a store that takes nothing; a line that
// has no such request ID passes.
func TestNoActUnstored(t *testing.T) {
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), "n", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	c := gateConfig(Majority{AllowMinority: true}, log)
	c.Store = noBatch{c.Store}
	for line, ok := range map[attest.Operation]bool{attest.OpSign: false, attest.OpKeygen: false, attest.OpRefresh: false,
		attest.OpPresign: true} {
		p, err := newGate(c, anybody, 1).permit(t.Context(), line, []passage{{intent: &attest.Intent{Operation: line, RequestID: "r"},
			judge: func() error { return nil }}}, "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.recorded(); (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Goal: what a request ID stands for: a key of these parties, a message under a key at a path, by whatever quorum and coordinator.
// Method: one part bent at a time.
func TestPurpose(t *testing.T) {
	in := func(bend func(*attest.Intent)) [32]byte {
		x := attest.Intent{Operation: attest.OpSign, KeyID: "w", Message: []byte("m"), Path: []uint32{1}, Node: "a",
			Signers: []threshold.PartyID{1, 2}, Keygen: &attest.KeygenParams{Threshold: 2}}
		bend(&x)
		return purposeOf(&x)
	}
	keygen := func(x *attest.Intent) { x.Operation = attest.OpKeygen }
	sign := func(*attest.Intent) {}
	for name, row := range map[string]struct {
		of, bend func(*attest.Intent)
		same     bool
	}{
		"another message":      {sign, func(x *attest.Intent) { x.Message = []byte("n") }, false},
		"another key":          {sign, func(x *attest.Intent) { x.KeyID = "v" }, false},
		"another path":         {sign, func(x *attest.Intent) { x.Path = nil }, false},
		"another quorum":       {sign, func(x *attest.Intent) { x.Signers = x.Signers[:1] }, true},
		"another coordinator":  {sign, func(x *attest.Intent) { x.Node = "b" }, true},
		"another act":          {sign, keygen, false},
		"other parties":        {keygen, func(x *attest.Intent) { x.Signers = x.Signers[:1] }, false},
		"other parameters":     {keygen, func(x *attest.Intent) { x.Keygen.Threshold = 3 }, false},
		"a key through node b": {keygen, func(x *attest.Intent) { x.Node = "b" }, true},
	} {
		if same := in(row.of) == in(func(x *attest.Intent) { row.of(x); row.bend(x) }); same != row.same {
			t.Errorf("%s: the same %v", name, same)
		}
	}
}
