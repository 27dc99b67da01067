package appliance

import (
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon/canontest"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: no bytes make a decoder panic, and what it accepts it accepts in one encoding only: every form that a stranger's envelope, or
// a damaged store, can hand to this package. Method: fuzz every form.
func FuzzDecoders(f *testing.F) {
	canontest.Fuzz(f,
		proposal{Version: 1, Operation: attest.OpSign, Signers: []threshold.PartyID{1, 2}, Intents: [][]byte{{1}}, Cosign: []byte{2}},
		sharesBody{Batch: []byte{1}}, certificate{Party: 1, Cose: []byte{1}}, certificates{Each: []certificate{{Party: 1}}},
		proofs{KeyID: "w_", Epoch: 1, Each: []proof{{Signers: []threshold.PartyID{1}, Signature: []byte{1}}}}, ask{KeyID: "w_", Epoch: 1},
		answer{KeyID: "w_", Epoch: 1, Certs: []certificate{{Party: 1}}, Proofs: &proofs{}},
		keyAnswer{ID: "w_"},
		waiterRecord{Version: 1, Intent: attest.Intent{KeyID: "w_", Initiation: &attest.Initiation{By: "a"}}, Cancelled: []byte{1}},
		deskBody{Version: 1, Has: true, Have: []waiterDigest{{1}}, Done: []string{"s"}},
		freezeRecord{Version: 1, Signed: attest.SignedFreeze{Freeze: attest.Freeze{Name: "v", Nonce: []byte{1}}}, Thaw: &attest.SignedThaw{}},
		freezeBody{Version: 1, Has: true, Have: []freezeDigest{{1}}},
		entryRecord{Version: 1, Network: "ethereum", Amounts: []entryAmount{{"", []byte{1}}}},
		witnessRecord{Version: 1, Key: []byte{1}, Checkpoint: []byte("a"), Before: []byte("b")},
		witnessBody{Version: 1, Checkpoint: []byte("a"), From: 1, Proof: [][32]byte{{1}}},
		attest.Logged{Seq: 1, Entry: []byte{1}, Inclusion: []attest.Hash{{1}}, Checkpoint: "a"},
		noticeBody{Version: 1, Hours: []hourHash{{1}}, Asks: []int64{1}, Have: []entryID{{1}}, Receipts: [][]byte{{1}}},
	)
}
