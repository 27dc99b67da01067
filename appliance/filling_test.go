package appliance

import (
	"context"
	"testing"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/presign"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
)

// nonces tell whether they were burnt.
type nonces struct{ burnt bool }

func (n *nonces) Burn() { n.burnt = true }

// Goal: presignatures that were in the making while their key got another epoch, the committee other pair state, or a signer a ban, are not
// kept: whoever changed these has emptied the pool before. Method: each of these, and then what was made is put into the pool.
func TestAddLooksAgain(t *testing.T) {
	x := newInside(t)
	id, _ := x.newKeyOf(t, dkls23.Scheme{}, keys.Active)
	if err := x.adoptPairs(t, 1); err != nil {
		t.Fatal(err)
	}
	parties := x.world.Committee.Parties
	key, err := x.keys.Key(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	state := x.current(t)
	for _, row := range []struct {
		name  string
		since func() // it was begun
		pairs [32]byte
		burnt bool
	}{
		{"nothing", func() {}, state.Digest(), false},
		{"a ban of one who does not sign", func() { state.Ban(parties[2]) }, state.Digest(), false},
		{"other pair state", func() {}, [32]byte{1}, true},
		{"a ban of a signer", func() { state.Ban(parties[1]) }, state.Digest(), true},
		{"another epoch", func() {
			rec := key.Record
			rec.Info.Epoch++
			if err := x.keys.Put(t.Context(), id, rec); err != nil {
				t.Fatal(err)
			}
		}, state.Digest(), true},
	} {
		signers := parties[:2]
		if row.name == "another epoch" { // nobody of these is banned
			signers = parties[:1]
		}
		row.since()
		made := &nonces{}
		g := presign.Group{Coordinator: nodeOf(parties[1]), Key: id, Epoch: 1, Scheme: dkls23.ID, Signers: signers}
		x.filling.add(t.Context(), g, key, &proposal{Pairs: &keys.ProposedPairs{Digest: row.pairs}}, nil,
			[]*threshold.Presignature{{ID: [32]byte{1}, Nonces: made}})
		if made.burnt != row.burnt || (x.pool.Counts().Held == 0) != row.burnt {
			t.Errorf("%s since: burnt %v, %d are held", row.name, made.burnt, x.pool.Counts().Held)
		}
		x.pool.DropKey(id, 9)
	}
}

// permissive counts what is asked of a policy that permits all.
type permissive struct{ n int }

func (a *permissive) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	a.n++
	return policy.Verdict{Allow: true}, nil
}

// Goal: a coordinator that proposes more presignatures than there is room for does not come before the gate, which would put each on
// record, and what the gate refuses takes no room away. Method: a proposal while another of its coordinator's is under way, one that is
// refused, and room again.
func TestRoomBeforeRecord(t *testing.T) {
	x, rule := newInside(t), &permissive{}
	x.gate.policy = rule
	id, _ := x.newKeyOf(t, dkls23.Scheme{}, keys.Active)
	parties := x.world.Committee.Parties
	coordinator := nodeOf(parties[1])
	join := func(count uint8) problem.Code {
		in := x.token.intent(attest.OpPresign, "presign/1", "", parties[:2])
		in.KeyID, in.Scheme, in.Epoch = id, dkls23.ID, 1
		_, peers := x.members.Others(parties[:2])
		c, err := x.router.Enter([32]byte{count}, coordinator, peers)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Leave()
		return problem.As(x.filling.join(t.Context(), c, &proposal{Operation: attest.OpPresign, Signers: parties[:2], Count: count},
			[]*attest.Intent{in})).Code
	}
	leave, err := x.pool.Enter(coordinator, 1)
	if err != nil {
		t.Fatal(err)
	}
	if code := join(1); code != problem.Overload {
		t.Errorf("beside another: %q", code)
	}
	if rule.n > 0 {
		t.Error("what there is no room for comes before the gate")
	}
	leave()
	if code := join(0); code != problem.Invalid {
		t.Errorf("of none: %q", code)
	}
	if leave, err = x.pool.Enter(coordinator, 1); err != nil {
		t.Errorf("after a refusal: %v", err)
	} else {
		leave()
	}
}

// Goal: whatever comes of a ceremony, no presignature outlives it. Method: give its items back with one unused.
func TestReleaseBurns(t *testing.T) {
	x, unused := newInside(t), &nonces{}
	x.signing.release([]*item{{}, {req: threshold.SignRequest{Pre: &threshold.Presignature{Nonces: unused}}}})
	if !unused.burnt {
		t.Error("it can still sign")
	}
}
