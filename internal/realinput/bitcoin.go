package realinput

import (
	"crypto/sha256"
	"encoding/binary"
)

// FeeSat is the fee that TaprootSpend leaves, in satoshi: about two for each of the transaction's 111 virtual bytes.
const FeeSat = 222

const (
	txVersion    = 2
	txSequence   = 0xfffffffd // replaceable, BIP 125
	txLockTime   = 0
	sighashAll   = 0 // SIGHASH_DEFAULT
	spendKeyPath = 0 // no annex, no script path
)

// TaprootSpend prepares the key-path spend of output vout of the transaction prevTxid (in the byte order of the wire, that
// is, reversed to what explorers print). The output holds amount satoshi for the x-only outputKey; everything but FeeSat
// goes to toScript. It returns the 32-byte digest to sign (BIP 341, SIGHASH_DEFAULT) and a function that puts a 64-byte
// BIP-340 signature in its place and returns the transaction as nodes take it (BIP 144).
func TaprootSpend(outputKey, prevTxid [32]byte, vout uint32, amount uint64, toScript []byte) (sighash [32]byte, finish func(sig []byte) (rawTx []byte)) {
	var prevout, output []byte
	prevout = append(prevout, prevTxid[:]...)
	prevout = binary.LittleEndian.AppendUint32(prevout, vout)
	output = binary.LittleEndian.AppendUint64(output, amount-FeeSat)
	output = appendVarBytes(output, toScript)
	sighash = taprootSighash(prevout, amount, TaprootScript(outputKey), output)
	return sighash, func(sig []byte) []byte {
		tx := binary.LittleEndian.AppendUint32(nil, txVersion)
		tx = append(tx, 0, 1) // marker and flag: there is a witness
		tx = append(tx, 1)
		tx = append(tx, prevout...)
		tx = append(tx, 0) // script: empty
		tx = binary.LittleEndian.AppendUint32(tx, txSequence)
		tx = append(tx, 1)
		tx = append(tx, output...)
		tx = append(tx, 1) // witness of the input: one element
		tx = appendVarBytes(tx, sig)
		return binary.LittleEndian.AppendUint32(tx, txLockTime)
	}
}

// TaprootScript is the script of an output for the key: OP_1 and the 32 bytes (BIP 341).
func TaprootScript(outputKey [32]byte) []byte {
	return append([]byte{0x51, 32}, outputKey[:]...)
}

// taprootSighash is the digest of BIP 341 ("Common signature message") for one input and one output.
func taprootSighash(prevout []byte, amount uint64, script, output []byte) [32]byte {
	hashOf := func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	m := []byte{0, sighashAll} // epoch, hash type
	m = binary.LittleEndian.AppendUint32(m, txVersion)
	m = binary.LittleEndian.AppendUint32(m, txLockTime)
	m = append(m, hashOf(prevout)...)
	m = append(m, hashOf(binary.LittleEndian.AppendUint64(nil, amount))...)
	m = append(m, hashOf(appendVarBytes(nil, script))...)
	m = append(m, hashOf(binary.LittleEndian.AppendUint32(nil, txSequence))...)
	m = append(m, hashOf(output)...)
	m = append(m, spendKeyPath)
	m = binary.LittleEndian.AppendUint32(m, 0) // index of the input
	tag := hashOf([]byte("TapSighash"))
	return sha256.Sum256(append(append(append([]byte{}, tag...), tag...), m...))
}

// appendVarBytes appends b with its length before it; scripts and signatures here are shorter than 253 bytes.
func appendVarBytes(dst, b []byte) []byte {
	if len(b) >= 253 {
		panic("realinput: script of 253 bytes or more")
	}
	return append(append(dst, byte(len(b))), b...)
}
