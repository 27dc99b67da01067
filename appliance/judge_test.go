package appliance

import (
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: a key signs payments only when it is active, proofs only once it is certified, and a proof message never passes for a
// payment's right to be signed early. Method: every state with every operation.
func TestStates(t *testing.T) {
	n := &Node{}
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	payment := &attest.Intent{KeyID: "w_x", Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("pay"), Signers: []threshold.PartyID{1, 2}}
	proof := *payment
	proof.Message = proofMessage("w_x", 1, payment.Signers)
	for _, row := range []struct {
		state State
		op    string
		in    *attest.Intent
		ok    bool
	}{
		{StateActive, opSign, payment, true}, {StateProving, opSign, payment, false}, {StateStaged, opSign, payment, false},
		{StateActive, opProve, &proof, true}, {StateProving, opProve, &proof, true}, {StateStaged, opProve, &proof, false},
		{StateProving, opProve, payment, false}, {StateProving, opSign, &proof, false},
	} {
		rec := walletRecord{State: row.state, Info: threshold.KeyInfo{Scheme: threshold.FrostEd25519, Purpose: threshold.PurposeEdDSA, Epoch: 1, Committee: committee}}
		if err := n.judgeSign(row.op, row.in, rec); (err == nil) != row.ok {
			t.Errorf("%s of a %s key: %v", row.op, row.state, err)
		}
	}
}
