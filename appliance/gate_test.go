package appliance

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

type denier struct{}

func (denier) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Rule: "none"}, nil
}

// Goal: a request that is denied does not take its session_id away from another. Method: admit with a policy that denies.
func TestDeniedTakesNoSession(t *testing.T) {
	g := newGate(denier{}, nil, 1)
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	in := &attest.Intent{KeyID: "w", Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("m"), Signers: committee.Parties[:2],
		RequestID: "r"}
	passages := []passage{{in, committee, func() error { return nil }}}
	if _, err := g.permit(t.Context(), passages, "test"); problem.As(err).Code != problem.Denied {
		t.Fatal(err)
	}
	if len(g.memory.m) != 0 {
		t.Error("the session_id is taken")
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

// Goal: a policy that fails denies. Method: one that always fails.
func TestPolicyFailsClosed(t *testing.T) {
	g := newGate(failingPolicy{}, nil, 1)
	if _, err := g.allow(context.Background(), nil, threshold.Committee{}); problem.As(err).Code != problem.Denied {
		t.Errorf("a failing policy gave %v", err)
	}
}

type failingPolicy struct{}

func (failingPolicy) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Allow: true}, errors.New("the policy is broken")
}
