package appliance

import (
	"testing"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: a key signs payments only when it is active, proofs only once it is certified, and a proof message never passes for a
// payment's right to be signed early. Method: every state with every operation.
func TestStates(t *testing.T) {
	scheme, err := schemes.ByID(threshold.FrostEd25519)
	if err != nil {
		t.Fatal(err)
	}
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	payment := &attest.Intent{KeyID: "w_x", Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("pay"),
		Signers: []threshold.PartyID{1, 2}}
	proof := *payment
	proof.Message = proofMessage("w_x", 1, payment.Signers)
	for _, row := range []struct {
		state keys.State
		op    attest.Operation
		in    *attest.Intent
		ok    bool
	}{
		{keys.Active, attest.OpSign, payment, true}, {keys.Proving, attest.OpSign, payment, false}, {keys.Staged, attest.OpSign, payment, false},
		{keys.Active, opProve, &proof, true}, {keys.Proving, opProve, &proof, true}, {keys.Staged, opProve, &proof, false},
		{keys.Proving, opProve, payment, false}, {keys.Proving, attest.OpSign, &proof, false},
	} {
		rec := keys.Record{State: row.state, Info: threshold.KeyInfo{Kind: threshold.Ed25519.ID, Epoch: 1, Committee: committee}}
		if err := judgeSign(row.op, row.in, keys.Key{ID: "w_x", Record: rec, Scheme: scheme}); (err == nil) != row.ok {
			t.Errorf("%s of a %s key: %v", row.op, row.state, err)
		}
	}
}
