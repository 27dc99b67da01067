package realinput

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
)

// Goal: the digest is BIP 341's and the transaction a whole one. Method: btcd computes the digest itself from the parsed
// transaction and its script engine executes the spend, with a single-party key; one flipped bit anywhere makes it fail.
func TestTaprootSpend(t *testing.T) {
	secret, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{3}, 32))
	key := [32]byte(schnorr.SerializePubKey(secret.PubKey()))
	const amount = 150_000
	to := TaprootScript([32]byte{9})
	sighash, finish := TaprootSpend(key, [32]byte{1, 2, 3}, 5, amount, to)
	sig, err := schnorr.Sign(secret, sighash[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := finish(sig.Serialize())
	if err := execute(raw, TaprootScript(key), amount); err != nil {
		t.Fatal(err)
	}

	tx, err := btcutil.NewTxFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := tx.MsgTx()
	prev := txscript.NewCannedPrevOutputFetcher(TaprootScript(key), amount)
	want, err := txscript.CalcTaprootSignatureHash(txscript.NewTxSigHashes(m, prev), txscript.SigHashDefault, m, 0, prev)
	if err != nil || !bytes.Equal(want, sighash[:]) {
		t.Errorf("digest %x, btcd says %x, %v", sighash, want, err)
	}
	if m.TxIn[0].PreviousOutPoint.Index != 5 || m.TxIn[0].PreviousOutPoint.Hash != [32]byte{1, 2, 3} ||
		m.TxOut[0].Value != amount-FeeSat || !bytes.Equal(m.TxOut[0].PkScript, to) {
		t.Error("the transaction is not the one that was asked for")
	}
	if size := (len(raw) + 3*m.SerializeSizeStripped() + 3) / 4; size != 111 {
		t.Errorf("%d virtual bytes, FeeSat is for 111", size)
	}
	if execute(raw, TaprootScript(key), amount+1) == nil {
		t.Error("another amount accepted")
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if err := execute(bad, TaprootScript(key), amount); err == nil {
			t.Errorf("transaction with byte %d altered is accepted", i)
		}
	}
}

// execute runs btcd's script engine over the whole transaction, which spends an output with this script.
func execute(raw, script []byte, amount int64) error {
	m := wire.NewMsgTx(2)
	if err := m.Deserialize(bytes.NewReader(raw)); err != nil {
		return err
	}
	prev := txscript.NewCannedPrevOutputFetcher(script, amount)
	engine, err := txscript.NewEngine(script, m, 0, txscript.StandardVerifyFlags, nil, txscript.NewTxSigHashes(m, prev), amount, prev)
	if err != nil {
		return err
	}
	return engine.Execute()
}

// sign is a single-party signature: r || s and the recovery id.
func sign(secret *btcec.PrivateKey, digest [32]byte) (sig []byte, recoveryID int) {
	compact := ecdsa.SignCompact(secret, digest[:], true)
	return compact[1:], int(compact[0]) - 31
}

// Goal: the digest is BIP 143's and the transaction a whole one. Method: as for Taproot; the malleable encodings of the signature
// are refused by the standard rules that the engine applies.
func TestKeyHashSpend(t *testing.T) {
	secret, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{4}, 32))
	key := [33]byte(secret.PubKey().SerializeCompressed())
	const amount = 150_000
	to := KeyHashScript([33]byte{2, 9})
	sighash, finish := KeyHashSpend(key, [32]byte{1, 2, 3}, 5, amount, to)
	sig, _ := sign(secret, sighash)
	raw := finish(sig)
	if err := execute(raw, KeyHashScript(key), amount); err != nil {
		t.Fatal(err)
	}

	tx, err := btcutil.NewTxFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := tx.MsgTx()
	prev := txscript.NewCannedPrevOutputFetcher(KeyHashScript(key), amount)
	want, err := txscript.CalcWitnessSigHash(KeyHashScript(key), txscript.NewTxSigHashes(m, prev), txscript.SigHashAll, m, 0, amount)
	if err != nil || !bytes.Equal(want, sighash[:]) {
		t.Errorf("digest %x, btcd says %x, %v", sighash, want, err)
	}
	address, err := btcutil.NewAddressWitnessPubKeyHash(btcutil.Hash160(key[:]), &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	if script, err := txscript.PayToAddrScript(address); err != nil || !bytes.Equal(script, KeyHashScript(key)) {
		t.Errorf("script %x, btcd says %x, %v", KeyHashScript(key), script, err)
	}
	if m.TxIn[0].PreviousOutPoint.Index != 5 || m.TxIn[0].PreviousOutPoint.Hash != [32]byte{1, 2, 3} ||
		m.TxOut[0].Value != amount-FeeSat || !bytes.Equal(m.TxOut[0].PkScript, to) {
		t.Error("the transaction is not the one that was asked for")
	}
	if size := (len(raw) + 3*m.SerializeSizeStripped() + 3) / 4; size < 109 || size > 110 {
		t.Errorf("%d virtual bytes, FeeSat is for 110", size)
	}
	if execute(raw, KeyHashScript(key), amount+1) == nil {
		t.Error("another amount accepted")
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if err := execute(bad, KeyHashScript(key), amount); err == nil {
			t.Errorf("transaction with byte %d altered is accepted", i)
		}
	}
	var high btcec.ModNScalar
	high.SetByteSlice(sig[32:])
	high.Negate()
	negated := high.Bytes()
	if execute(finish(append(bytes.Clone(sig[:32]), negated[:]...)), KeyHashScript(key), amount) == nil {
		t.Error("a high s accepted")
	}
}

// Goal: r and s of every length are encoded as strict DER. Method: btcec parses numbers with zeros in front and with the top bit set.
func TestDERSignature(t *testing.T) {
	for zeros := range 32 {
		for _, first := range []byte{1, 0x7f, 0x80, 0xff} {
			sig := make([]byte, 64)
			for _, half := range [][]byte{sig[:32], sig[32:]} {
				half[zeros] = first
				half[31] |= 1
			}
			sig[0] &= 0x7f // both below the group order
			sig[32] &= 0x7f
			parsed, err := ecdsa.ParseDERSignature(derSignature(sig))
			if err != nil {
				t.Fatalf("%x: %v", derSignature(sig), err)
			}
			r, s := parsed.R(), parsed.S()
			rb, sb := r.Bytes(), s.Bytes()
			if !bytes.Equal(append(rb[:], sb[:]...), sig) {
				t.Errorf("%x came back as %x%x", sig, rb, sb)
			}
		}
	}
}

// Goal: nothing is built that no node would take. Method: misuse must panic.
func TestMisuse(t *testing.T) {
	_, bitcoin := KeyHashSpend([33]byte{2}, [32]byte{}, 0, 1000, nil)
	_, ethereum := EthereumTransaction{}.Prepare()
	for name, f := range map[string]func(){
		"no fee":          func() { TaprootSpend([32]byte{}, [32]byte{}, 0, FeeSat, nil) },
		"short signature": func() { bitcoin(make([]byte, 63)) },
		"long signature":  func() { ethereum(make([]byte, 65), 0) },
		"recovery id 2":   func() { ethereum(make([]byte, 64), 2) },
		"recovery id -1":  func() { ethereum(make([]byte, 64), -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

// Goal: the transfer has Solana's layout. Method: read it back by the documented rules, byte by byte, to the last one.
func TestSolanaTransfer(t *testing.T) {
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	from, to, hash := [32]byte(public), [32]byte{8}, [32]byte{7}
	m := SolanaTransfer(from, to, 1_000_000_007, hash)
	tx := SolanaTransaction(ed25519.Sign(secret, m), m)
	if tx[0] != 1 || !ed25519.Verify(public, tx[65:], tx[1:65]) {
		t.Fatal("signature is not where it belongs")
	}
	r := bytes.NewReader(m)
	next := func(n int) []byte {
		b := make([]byte, n)
		if _, err := r.Read(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if h := next(3); h[0] != 1 || h[1] != 0 || h[2] != 1 {
		t.Errorf("header %v", h)
	}
	if n := next(1)[0]; n != 3 {
		t.Fatalf("%d accounts", n)
	}
	accounts := [][]byte{next(32), next(32), next(32)}
	if !bytes.Equal(accounts[0], from[:]) || !bytes.Equal(accounts[1], to[:]) || !bytes.Equal(accounts[2], make([]byte, 32)) {
		t.Error("accounts are not from, to and the system program")
	}
	if !bytes.Equal(next(32), hash[:]) {
		t.Error("block hash differs")
	}
	if ins := next(6); !bytes.Equal(ins, []byte{1, 2, 2, 0, 1, 12}) {
		t.Errorf("instruction %v", ins)
	}
	data := next(12)
	if binary.LittleEndian.Uint32(data) != 2 || binary.LittleEndian.Uint64(data[4:]) != 1_000_000_007 || r.Len() != 0 {
		t.Errorf("data %x, %d bytes left", data, r.Len())
	}
}
