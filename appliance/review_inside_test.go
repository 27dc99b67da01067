package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: one peer cannot take the ceremonies of all. Method: it takes what it can, and another begins one.
func TestSlotsPerPeer(t *testing.T) {
	n := &Node{slots: make(chan struct{}, 8), taken: map[transport.NodeID]int{}, rosterKeys: map[transport.NodeID]nodeKeys{"a": {}, "b": {}, "c": {}}}
	end := make(chan struct{})
	for range 20 {
		n.begin(t.Context(), "b", func() { <-end })
	}
	ran := make(chan struct{})
	n.begin(t.Context(), "c", func() { close(ran) })
	if got := n.counts.refused.Load(); got != 16 {
		t.Errorf("%d of 20 refused, want 16 and not the other peer's", got)
	}
	close(end)
	n.wg.Wait()
	<-ran
	if len(n.slots) != 0 || n.taken["b"] != 0 {
		t.Error("slots are not given back")
	}
}

// Goal: a leader that makes us forget its ceremonies by their number cannot have one run again. Method: flood, then the first again.
func TestForgottenCeremony(t *testing.T) {
	r := newRouter(time.Now, func(transport.Envelope) {})
	topic := func(i int) (t [32]byte) { t[0], t[1], t[2] = byte(i), byte(i>>8), byte(i>>16); return t }
	run := func(i int, leader transport.NodeID, created int64) bool {
		if _, ok := r.join(topic(i), 3); !ok {
			return false
		}
		defer r.leave(topic(i), nil)
		return r.date(topic(i), leader, created)
	}
	if !run(0, "m", 1000) || run(0, "m", 1000) {
		t.Fatal("a proposal runs once")
	}
	for i := range pastMax + 1 {
		r.leave(topic(i+1), nil)
	}
	if run(0, "m", 1000) {
		t.Error("a ceremony ran twice")
	}
	if !run(pastMax+5, "m", 1001) || !run(pastMax+6, "honest", 900) {
		t.Error("a new proposal is refused")
	}
	if len(r.dated) > pastMax {
		t.Error("dates are kept for ever")
	}
}

// Goal: a node that stops, or whose caller leaves, calls nobody silent. Method: end the context both ways.
func TestCancelledIsNotSilence(t *testing.T) {
	c := &ceremony{n: &Node{Config: Config{Limits: Limits{Silence: time.Minute}}}, in: make(chan transport.Envelope)}
	missing := func() []threshold.PartyID { return []threshold.PartyID{2} }
	st := newStall(c)
	defer st.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var silent *silenceError
	if _, err := c.next(ctx, st, missing); errors.As(err, &silent) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if _, err := c.next(late, st, missing); !errors.As(err, &silent) {
		t.Errorf("late: %v", err)
	}
}

// Goal: parties whose pair states differ meet as different views, which accuses nobody. Method: compare what they bind.
func TestSetupBindsPairs(t *testing.T) {
	n, c, in := &Node{}, &ceremony{}, &attest.Intent{}
	a, b := n.setup(c, threshold.Committee{}, in, [32]byte{1}), n.setup(c, threshold.Committee{}, in, [32]byte{2})
	if string(a.Context) == string(b.Context) {
		t.Error("the pair state is not bound")
	}
}

// Goal: a share whose epoch ended while it was being opened is wiped, not kept. Method: hold it behind a newer record, and before one.
func TestEndedEpochIsNotHeld(t *testing.T) {
	k := newKeyring(&Node{Config: Config{Limits: Limits{}.withDefaults()}})
	open := func() *heldShare {
		return &heldShare{id: heldID("w", 1), share: threshold.NewKeyShare(threshold.KeyInfo{Epoch: 1}, make([]byte, 32))}
	}
	k.records["w"] = &walletRecord{Info: threshold.KeyInfo{Epoch: 2}}
	if _, err := k.hold("w", 1, open()); err == nil || len(k.held) != 0 {
		t.Error("a share of an epoch that is over is held")
	}
	k.records["w"].Info.Epoch = 1
	if h, err := k.hold("w", 1, open()); err != nil || h.refs != 1 || len(k.held) != 1 {
		t.Errorf("%v", err)
	}
}

type denier struct{}

func (denier) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Rule: "none"}, nil
}

// Goal: a request that is denied does not take its session_id away from another. Method: admit with a policy that denies.
func TestDeniedTakesNoSession(t *testing.T) {
	n := &Node{seen: newIntentMemory(1), Config: Config{Policy: denier{}}}
	n.keys = newKeyring(n)
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	n.keys.records["w"] = &walletRecord{State: StateActive, Info: threshold.KeyInfo{Scheme: threshold.FrostEd25519, Epoch: 1, Committee: committee}}
	in := &attest.Intent{KeyID: "w", Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("m"), Signers: committee.Parties[:2], RequestID: "r"}
	if _, err := n.admit(t.Context(), opSign, in.Signers, []*attest.Intent{in}); problem.As(err).Code != problem.Denied {
		t.Fatal(err)
	}
	if len(n.seen.m) != 0 {
		t.Error("the session_id is taken")
	}
}

// Goal: what a stranger writes into a proposal neither names an event nor makes us write to thousands. Method: propose nonsense.
func TestNonsenseProposal(t *testing.T) {
	p := proposal{Version: proposalVersion, Operation: "export", Signers: make([]threshold.PartyID, threshold.MaxParties+1)}
	body := canon.MustMarshal(p)
	n := &Node{Config: Config{Logger: slog.New(slog.DiscardHandler)}}
	n.router = newRouter(time.Now, func(transport.Envelope) {})
	n.answerProposal(t.Context(), transport.Envelope{From: "m", Topic: proposalTopic(body), Body: body})
	if n.counts.refused.Load() != 1 || len(n.router.past) != 0 {
		t.Error("a proposal to too many parties was looked at")
	}
}

// Goal: a member that uses up its part of the memory of request IDs makes us forget its own only. Method: fill it.
func TestIntentMemoryOfEach(t *testing.T) {
	s := newIntentMemory(4)
	in := func(node, request, message string) *attest.Intent {
		return &attest.Intent{Operation: attest.OpSign, Node: node, RequestID: request, KeyID: "w", Message: []byte(message)}
	}
	if err := s.admit(in("good", "payment", "1")); err != nil {
		t.Fatal(err)
	}
	for i := range intentMemoryMax {
		if err := s.admit(in("flooder", fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.admit(in("flooder", "payment", "2")); err == nil {
		t.Error("another's request ID was forgotten")
	}
	if got := len(s.m); got != 1+intentMemoryMax/4 {
		t.Errorf("%d remembered", got)
	}
}

// Goal: refused proposals of one peer cannot fill the audit log, and do not silence another's. Method: count in two minutes.
func TestRefusalRate(t *testing.T) {
	var r refusalRate
	now := time.Now()
	count := func(peer transport.NodeID) (n int) {
		for range 1000 {
			if r.allow(now, peer) {
				n++
			}
		}
		return n
	}
	if a, b := count("a"), count("b"); a != refusalsMinute || b != refusalsMinute {
		t.Errorf("%d and %d on record", a, b)
	}
	now = now.Add(time.Minute)
	if a := count("a"); a != refusalsMinute {
		t.Errorf("%d on record in the next minute", a)
	}
}
