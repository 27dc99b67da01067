package frost

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/luxfi/mpcd/internal/realinput"
	"github.com/luxfi/mpcd/threshold"
)

// signReal makes one signature of the message by three of five parties.
func signReal(t *testing.T, s threshold.Scheme, keys []*threshold.KeyShare, message []byte) []byte {
	t.Helper()
	signers := []threshold.PartyID{1, 2, 5}
	pre := presignWith(t, s, [][]*threshold.KeyShare{keys}, signers, nil, "real")
	req := threshold.SignRequest{Message: message}
	shares := sharesOf(t, s, keys, signers, pre, 0, req)
	req.Pre = pre[0][0]
	sig, err := s.Combine(keys[0].KeyInfo, req, shares)
	if err != nil {
		t.Fatal(err)
	}
	return sig.Bytes
}

// Goal: Bitcoin takes what Taproot signs. Method: three of five parties sign the key-path spend of their output; btcd's
// script engine executes the whole transaction, and refuses it with another signature.
func TestTaprootSpendExecutes(t *testing.T) {
	keys := keygen(t, Taproot, committee(3, partiesTo(5)...), "bitcoin")
	output := [32]byte(keys[0].GroupKey[1:])
	const amount = 2_500_000
	script := realinput.TaprootScript(output)
	sighash, finish := realinput.TaprootSpend(output, [32]byte{0xaa, 31: 0xbb}, 1, amount, realinput.TaprootScript([32]byte{5}))
	sig := signReal(t, Taproot, keys, sighash[:])
	execute := func(sig []byte) error {
		tx := wire.NewMsgTx(2)
		if err := tx.Deserialize(bytes.NewReader(finish(sig))); err != nil {
			t.Fatal(err)
		}
		prev := txscript.NewCannedPrevOutputFetcher(script, amount)
		engine, err := txscript.NewEngine(script, tx, 0, txscript.StandardVerifyFlags, nil, txscript.NewTxSigHashes(tx, prev), amount, prev)
		if err != nil {
			t.Fatal(err)
		}
		return engine.Execute()
	}
	if err := execute(sig); err != nil {
		t.Errorf("btcd refuses the spend: %v", err)
	}
	sig[50] ^= 1
	if execute(sig) == nil {
		t.Error("btcd accepts an altered signature")
	}
}

// Goal: Solana takes what Ed25519 signs. Method: three of five parties sign a transfer from their account; crypto/ed25519,
// which is as strict as Solana about the cofactor, verifies the serialized transaction.
func TestSolanaTransferVerifies(t *testing.T) {
	keys := keygen(t, Ed25519, committee(3, partiesTo(5)...), "solana")
	message := realinput.SolanaTransfer([32]byte(keys[0].GroupKey), [32]byte{3}, 42, [32]byte{4})
	tx := realinput.SolanaTransaction(signReal(t, Ed25519, keys, message), message)
	if !ed25519.Verify(message[4:36], tx[65:], tx[1:65]) {
		t.Error("the transfer's signature does not verify under its fee payer's key")
	}
}
