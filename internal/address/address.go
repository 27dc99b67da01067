package address

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/mr-tron/base58"
	"golang.org/x/crypto/blake2b"
	//lint:ignore SA1019 addresses of Bitcoin, Cosmos, Avalanche, Lux and XRPL are defined with RIPEMD-160; none rests on its collision resistance alone
	"golang.org/x/crypto/ripemd160"
)

// Family is the family of addresses that chains make of one kind of public key. threshold.Kind names the families by these words.
type Family string

// The families.
const (
	Ed25519 Family = "ed25519" // 32 bytes, RFC 8032 §5.1.2
	Taproot Family = "taproot" // 32 bytes: the x-only output key of BIP-341
	ECDSA   Family = "ecdsa"   // a point of secp256k1: 33 or 65 bytes, SEC 1 §2.3.3
)

// ErrKey is returned for a key of a length or family that the table does not know, and for 33 or 65 bytes that are no point of
// secp256k1.
var ErrKey = errors.New("address: not a public key of a known family")

// Chain is one line of the table. A chain that takes several kinds of key has a line in the family of each.
type Chain struct {
	Name   string // as the API spells it
	Family Family
	encode func(key []byte) string // key is what canonical returned
}

// Chains lists what this build can write, the primary chain of a family first. Networks of the Ethereum virtual machine have
// Ethereum's address; they are told apart by the chain id in what is signed (EIP-155).
func Chains() []Chain {
	return []Chain{
		{"solana", Ed25519, solana},
		{"xrpl", Ed25519, xrpl},
		{"polkadot", Ed25519, func(key []byte) string { return ss58(0, key) }},
		{"substrate", Ed25519, func(key []byte) string { return ss58(42, key) }},
		{"cardano", Ed25519, cardano},
		{"bitcoin", Taproot, taproot},
		{"ethereum", ECDSA, ethereum},
		{"arbitrum", ECDSA, ethereum},
		{"avalanche-c", ECDSA, ethereum},
		{"base", ECDSA, ethereum},
		{"bnb", ECDSA, ethereum},
		{"lux-c", ECDSA, ethereum},
		{"optimism", ECDSA, ethereum},
		{"polygon", ECDSA, ethereum},
		{"bitcoin", ECDSA, witnessKeyHash},
		{"cosmos", ECDSA, func(key []byte) string { return keyHash("cosmos", key) }},
		{"lux-x", ECDSA, func(key []byte) string { return "X-" + keyHash("lux", key) }},
		{"lux-p", ECDSA, func(key []byte) string { return "P-" + keyHash("lux", key) }},
		{"avalanche-x", ECDSA, func(key []byte) string { return "X-" + keyHash("avax", key) }},
		{"avalanche-p", ECDSA, func(key []byte) string { return "P-" + keyHash("avax", key) }},
		{"xrpl", ECDSA, xrplECDSA},
	}
}

// For returns the primary address of key and all its addresses by chain. It fails with ErrKey.
func For(family Family, key []byte) (primary string, all map[string]string, err error) {
	if key, err = canonical(family, key); err != nil {
		return "", nil, err
	}
	all = map[string]string{}
	for _, c := range Chains() {
		if c.Family != family {
			continue
		}
		a := c.encode(key)
		if primary == "" {
			primary = a
		}
		all[c.Name] = a
	}
	return primary, all, nil
}

// canonical is the form that the lines of the table read: 32 bytes, or the 65 of an uncompressed point.
func canonical(family Family, key []byte) ([]byte, error) {
	switch family {
	case Ed25519, Taproot:
		if len(key) != 32 {
			return nil, fmt.Errorf("%w: %q key of %d bytes, want 32", ErrKey, family, len(key))
		}
		return key, nil
	case ECDSA:
		point, err := secp256k1.ParsePubKey(key)
		if err == nil && len(key) == 65 && key[0] != 4 {
			err = errors.New("a hybrid encoding (06, 07) is none of SEC 1's that chains take")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q key of %d bytes: %v", ErrKey, family, len(key), err)
		}
		return point.SerializeUncompressed(), nil
	}
	return nil, fmt.Errorf("%w: %q", ErrKey, family)
}

// solana is the key in base58 (Solana documentation, "Accounts").
func solana(key []byte) string { return base58.Encode(key) }

// xrpl is the classic address of an Ed25519 account, whose key XRPL writes as 0xED || key (XRPL documentation, "Accounts",
// "Address Encoding").
func xrpl(key []byte) string { return XRPLAddress(hash160(append([]byte{0xED}, key...))) }

// XRPLAddress is base58check, in XRPL's alphabet, of 0x00 and an account id of 20 bytes (XRPL documentation, "Address Encoding").
func XRPLAddress(id []byte) string { return check58(xrplAlphabet, 0, id) }

// hash160 is RIPEMD160(SHA256(b)), 20 bytes.
func hash160(b []byte) []byte {
	inner := sha256.Sum256(b)
	h := ripemd160.New()
	h.Write(inner[:])
	return h.Sum(nil)
}

// ss58 is the address of a 32-byte account id under a one-byte network prefix below 64: base58 of prefix, key and the first two
// bytes of BLAKE2b-512("SS58PRE" || prefix || key) (Substrate, "SS58 address format").
func ss58(prefix byte, key []byte) string {
	body := append([]byte{prefix}, key...)
	sum := blake2b.Sum512(append([]byte("SS58PRE"), body...))
	return base58.Encode(append(body, sum[:2]...))
}

// cardano is the main-network enterprise address of a payment key: bech32 of header 0x61 and BLAKE2b-224(key) (CIP-19, type 6).
func cardano(key []byte) string {
	h, err := blake2b.New(28, nil)
	if err != nil {
		panic("address: blake2b-224: " + err.Error())
	}
	h.Write(key)
	return segment(bech32.Encode, "addr", nil, h.Sum([]byte{0x61}))
}

// taproot is the pay-to-taproot address of an output key: witness version 1 in bech32m (BIP-341, BIP-350).
func taproot(key []byte) string {
	return segment(bech32.EncodeM, "bc", []byte{1}, key)
}
