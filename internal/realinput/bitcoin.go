package realinput

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	//lint:ignore SA1019 Bitcoin defines the hash of a key with RIPEMD-160
	"golang.org/x/crypto/ripemd160"
)

// FeeSat is the fee that a spend leaves, in satoshi: about two for each of the 110 or 111 virtual bytes that it has when toScript
// is of the same kind as the output spent.
const FeeSat = 222

const (
	txVersion      = 2
	txSequence     = 0xfffffffd // replaceable, BIP 125
	txLockTime     = 0
	sighashDefault = 0 // SIGHASH_DEFAULT, BIP 341
	sighashAll     = 1 // SIGHASH_ALL
	spendKeyPath   = 0 // no annex, no script path
)

// spend is a transaction of one input and one output, in the parts that digests are made of.
type spend struct {
	prevout []byte // txid in the byte order of the wire, and index
	amount  uint64 // of the output spent, in satoshi
	output  []byte // amount and script
}

func newSpend(prevTxid [32]byte, vout uint32, amount uint64, toScript []byte) spend {
	if amount <= FeeSat {
		panic("realinput: the output spent does not pay the fee")
	}
	return spend{
		prevout: binary.LittleEndian.AppendUint32(prevTxid[:], vout),
		amount:  amount,
		output:  appendVarBytes(binary.LittleEndian.AppendUint64(nil, amount-FeeSat), toScript),
	}
}

// transaction is the whole transaction with the witness of its input, as nodes take it (BIP 144).
func (s spend) transaction(witness ...[]byte) []byte {
	tx := binary.LittleEndian.AppendUint32(nil, txVersion)
	tx = append(tx, 0, 1) // marker and flag: there is a witness
	tx = append(tx, 1)
	tx = append(tx, s.prevout...)
	tx = append(tx, 0) // script: empty
	tx = binary.LittleEndian.AppendUint32(tx, txSequence)
	tx = append(tx, 1)
	tx = append(tx, s.output...)
	tx = append(tx, byte(len(witness)))
	for _, w := range witness {
		tx = appendVarBytes(tx, w)
	}
	return binary.LittleEndian.AppendUint32(tx, txLockTime)
}

// TaprootSpend prepares the key-path spend of output vout of the transaction prevTxid (in the byte order of the wire, that
// is, reversed to what explorers print). The output holds amount satoshi for the x-only outputKey; everything but FeeSat
// goes to toScript. It returns the 32-byte digest to sign (BIP 341, SIGHASH_DEFAULT) and a function that puts a 64-byte
// BIP-340 signature in its place and returns the transaction as nodes take it (BIP 144).
func TaprootSpend(outputKey, prevTxid [32]byte, vout uint32, amount uint64,
	toScript []byte) (sighash [32]byte, finish func(sig []byte) (rawTx []byte)) {
	s := newSpend(prevTxid, vout, amount, toScript)
	return s.taprootSighash(TaprootScript(outputKey)), func(sig []byte) []byte { return s.transaction(sig) }
}

// KeyHashSpend is TaprootSpend for a pay-to-witness-public-key-hash output (P2WPKH) of the compressed key. The digest is that of
// BIP 143 with SIGHASH_ALL; the signature is r and s, 64 bytes, s in the lower half (BIP 146).
func KeyHashSpend(publicKey [33]byte, prevTxid [32]byte, vout uint32, amount uint64,
	toScript []byte) (sighash [32]byte, finish func(sig []byte) (rawTx []byte)) {
	s := newSpend(prevTxid, vout, amount, toScript)
	return s.keyHashSighash(hash160(publicKey[:])), func(sig []byte) []byte {
		return s.transaction(append(derSignature(sig), sighashAll), publicKey[:])
	}
}

// TaprootScript is the script of an output for the key: OP_1 and the 32 bytes (BIP 341).
func TaprootScript(outputKey [32]byte) []byte {
	return append([]byte{0x51, 32}, outputKey[:]...)
}

// KeyHashScript is the script of an output for the compressed key: OP_0 and the 20 bytes of its hash (BIP 141).
func KeyHashScript(publicKey [33]byte) []byte {
	return append([]byte{0x00, 20}, hash160(publicKey[:])...)
}

// taprootSighash is the digest of BIP 341 ("Common signature message") for one input and one output.
func (s spend) taprootSighash(script []byte) [32]byte {
	hashOf := func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	m := []byte{0, sighashDefault} // epoch, hash type
	m = binary.LittleEndian.AppendUint32(m, txVersion)
	m = binary.LittleEndian.AppendUint32(m, txLockTime)
	m = append(m, hashOf(s.prevout)...)
	m = append(m, hashOf(binary.LittleEndian.AppendUint64(nil, s.amount))...)
	m = append(m, hashOf(appendVarBytes(nil, script))...)
	m = append(m, hashOf(binary.LittleEndian.AppendUint32(nil, txSequence))...)
	m = append(m, hashOf(s.output)...)
	m = append(m, spendKeyPath)
	m = binary.LittleEndian.AppendUint32(m, 0) // index of the input
	tag := hashOf([]byte("TapSighash"))
	return sha256.Sum256(append(append(append([]byte{}, tag...), tag...), m...))
}

// keyHashSighash is the digest of BIP 143 for one input and one output, where the script code is that of the key's hash.
func (s spend) keyHashSighash(keyHash []byte) [32]byte {
	code := append(append([]byte{0x76, 0xa9, 20}, keyHash...), 0x88, 0xac) // DUP HASH160 … EQUALVERIFY CHECKSIG
	sequence := binary.LittleEndian.AppendUint32(nil, txSequence)
	prevouts, sequences, outputs := hash256(s.prevout), hash256(sequence), hash256(s.output)
	m := binary.LittleEndian.AppendUint32(nil, txVersion)
	m = append(m, prevouts[:]...)
	m = append(m, sequences[:]...)
	m = append(m, s.prevout...)
	m = appendVarBytes(m, code)
	m = binary.LittleEndian.AppendUint64(m, s.amount)
	m = append(m, sequence...)
	m = append(m, outputs[:]...)
	m = binary.LittleEndian.AppendUint32(m, txLockTime)
	return hash256(binary.LittleEndian.AppendUint32(m, sighashAll))
}

// derSignature is r || s as two integers in strict DER (BIP 66).
func derSignature(sig []byte) []byte {
	if len(sig) != 64 {
		panic("realinput: a signature that is not r and s in 64 bytes")
	}
	body := derInteger(derInteger(nil, sig[:32]), sig[32:])
	return append([]byte{0x30, byte(len(body))}, body...)
}

// derInteger appends a number without sign: no zero before it, but one that keeps the highest bit clear.
func derInteger(dst, n []byte) []byte {
	n = bytes.TrimLeft(n, "\x00")
	if len(n) == 0 || n[0] >= 0x80 {
		n = append([]byte{0}, n...)
	}
	return append(append(dst, 2, byte(len(n))), n...)
}

// hash256 is SHA-256 twice.
func hash256(b []byte) [32]byte {
	h := sha256.Sum256(b)
	return sha256.Sum256(h[:])
}

// hash160 is RIPEMD160(SHA256(b)), 20 bytes.
func hash160(b []byte) []byte {
	inner := sha256.Sum256(b)
	h := ripemd160.New()
	h.Write(inner[:])
	return h.Sum(nil)
}

// appendVarBytes appends b with its length before it; scripts and signatures here are shorter than 253 bytes.
func appendVarBytes(dst, b []byte) []byte {
	if len(b) >= 253 {
		panic("realinput: script of 253 bytes or more")
	}
	return append(append(dst, byte(len(b))), b...)
}
