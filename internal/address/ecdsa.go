package address

import (
	"encoding/hex"

	"github.com/btcsuite/btcd/btcutil/bech32"
	"golang.org/x/crypto/sha3"
)

// The lines of the table for ECDSA keys of secp256k1. Every key here is 65 bytes: 0x04, x, y.

// ethereum is the last 20 bytes of Keccak-256(x || y) (Ethereum yellow paper, appendix F, equation 318), spelled as EIP-55 says.
func ethereum(key []byte) string {
	return EIP55([20]byte(Keccak256(key[1:])[12:]))
}

// EIP55 is an account in hex whose letters are capital where the hash of the lower-case spelling has a nibble of 8 or more.
func EIP55(account [20]byte) string {
	out := []byte(hex.EncodeToString(account[:]))
	sum := hex.EncodeToString(Keccak256(out))
	for i, c := range out {
		if c >= 'a' && sum[i] >= '8' {
			out[i] = c - 'a' + 'A'
		}
	}
	return "0x" + string(out)
}

// Keccak256 is Keccak with the padding of before SHA-3 was FIPS 202, as Ethereum uses it.
func Keccak256(b []byte) []byte {
	h := sha3.NewLegacyKeccak256()
	h.Write(b)
	return h.Sum(nil)
}

// witnessKeyHash is Bitcoin's pay-to-witness-public-key-hash address: witness version 0 in bech32 (BIP-141, BIP-173).
func witnessKeyHash(key []byte) string {
	return segment(bech32.Encode, "bc", []byte{0}, hash160(compressed(key)))
}

// keyHash is bech32 of the hash of the key without a version: the account of Cosmos (Cosmos SDK, ADR-028, "Legacy Public Key
// Addresses") and, behind the chain's letter, of the X and P chains of Avalanche and Lux ("Cryptographic primitives",
// "secp256k1 addresses").
func keyHash(hrp string, key []byte) string {
	return segment(bech32.Encode, hrp, nil, hash160(compressed(key)))
}

// xrplECDSA is the classic address of a secp256k1 account (XRPL documentation, "Address Encoding").
func xrplECDSA(key []byte) string { return XRPLAddress(hash160(compressed(key))) }

// compressed is the 33-byte form: 2 or 3 for an even or odd y, then x (SEC 1 §2.3.3).
func compressed(key []byte) []byte {
	return append([]byte{2 + key[64]&1}, key[1:33]...)
}
