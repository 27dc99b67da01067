package address

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/blake2b"
	//lint:ignore SA1019 XRPL account ids are defined with RIPEMD-160; no security rests on its collision resistance alone
	"golang.org/x/crypto/ripemd160"
)

// Kind is the kind of public key that a chain takes.
type Kind string

// The kinds.
const (
	Ed25519 Kind = "ed25519" // 32 bytes, RFC 8032 §5.1.2
	Taproot Kind = "taproot" // 32 bytes: the x-only output key of BIP-341
)

// keyLen is the length of every key of the table, in bytes.
const keyLen = 32

// ErrKey is returned for a key of a length or kind that the table does not know.
var ErrKey = errors.New("address: not a public key of a known kind")

// Chain is one line of the table.
type Chain struct {
	Name   string // as the API spells it
	Kind   Kind
	Encode func(key []byte) string // key has keyLen bytes
}

// Chains lists what this build can write, the primary chain of a kind first.
func Chains() []Chain {
	return []Chain{
		{"solana", Ed25519, solana},
		{"xrpl", Ed25519, xrpl},
		{"polkadot", Ed25519, func(key []byte) string { return ss58(0, key) }},
		{"substrate", Ed25519, func(key []byte) string { return ss58(42, key) }},
		{"cardano", Ed25519, cardano},
		{"bitcoin", Taproot, bitcoin},
	}
}

// For returns the primary address of key and all its addresses by chain. It fails with ErrKey.
func For(kind Kind, key []byte) (primary string, all map[string]string, err error) {
	if len(key) != keyLen {
		return "", nil, fmt.Errorf("%w: %q key of %d bytes, want %d", ErrKey, kind, len(key), keyLen)
	}
	all = map[string]string{}
	for _, c := range Chains() {
		if c.Kind != kind {
			continue
		}
		a := c.Encode(key)
		if primary == "" {
			primary = a
		}
		all[c.Name] = a
	}
	if primary == "" {
		return "", nil, fmt.Errorf("%w: %q", ErrKey, kind)
	}
	return primary, all, nil
}

// solana is the key in base58 (Solana documentation, "Accounts").
func solana(key []byte) string { return base58(bitcoinAlphabet, key) }

// xrpl is the classic address of an Ed25519 account: base58check, in XRPL's alphabet, of 0x00 and the account id, which is
// RIPEMD160(SHA256(0xED || key)) (XRPL documentation, "Accounts", "Address Encoding").
func xrpl(key []byte) string {
	inner := sha256.Sum256(append([]byte{0xED}, key...))
	h := ripemd160.New()
	h.Write(inner[:])
	body := h.Sum([]byte{0})
	first := sha256.Sum256(body)
	second := sha256.Sum256(first[:])
	return base58(xrplAlphabet, append(body, second[:4]...))
}

// ss58 is the address of a 32-byte account id under a one-byte network prefix below 64: base58 of prefix, key and the first two
// bytes of BLAKE2b-512("SS58PRE" || prefix || key) (Substrate, "SS58 address format").
func ss58(prefix byte, key []byte) string {
	body := append([]byte{prefix}, key...)
	sum := blake2b.Sum512(append([]byte("SS58PRE"), body...))
	return base58(bitcoinAlphabet, append(body, sum[:2]...))
}

// cardano is the main-network enterprise address of a payment key: bech32 of header 0x61 and BLAKE2b-224(key) (CIP-19, type 6).
func cardano(key []byte) string {
	h, err := blake2b.New(28, nil)
	if err != nil {
		panic("address: blake2b-224: " + err.Error())
	}
	h.Write(key)
	return segment("addr", bech32Const, eightToFive(h.Sum([]byte{0x61})))
}

// bitcoin is the pay-to-taproot address of an output key: witness version 1 in bech32m (BIP-341, BIP-350).
func bitcoin(key []byte) string {
	return segment("bc", bech32mConst, append([]byte{1}, eightToFive(key)...))
}
