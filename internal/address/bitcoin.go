package address

import (
	"bytes"
	"fmt"

	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/mr-tron/base58"
)

// The versions of Bitcoin's base58check on the main network.
const (
	payToKeyHash    = 0 // 1…
	payToScriptHash = 5 // 3…
)

// BitcoinScript is the output script that pays to a key: to its hash with ECDSA (BIP-141), to itself with Taproot (BIP-341). For writes its
// address. It fails with ErrKey.
func BitcoinScript(family Family, key []byte) ([]byte, error) {
	key, err := canonical(family, key)
	switch {
	case err != nil:
		return nil, err
	case family == ECDSA:
		return append([]byte{0x00, 20}, hash160(compressed(key))...), nil
	case family == Taproot:
		return append([]byte{0x51, 32}, key...), nil
	}
	return nil, fmt.Errorf("%w: %q has no output script on Bitcoin", ErrKey, family)
}

// BitcoinAddress is the address on the main network of an output script that pays to the hash of a key or a script, with or without a
// witness, or to a Taproot key; "" for any other script, which people write in no one way.
func BitcoinAddress(script []byte) string {
	frame := func(size int, head string, tail string) bool {
		return len(script) == size && bytes.HasPrefix(script, []byte(head)) && bytes.HasSuffix(script, []byte(tail))
	}
	switch {
	case frame(25, "\x76\xa9\x14", "\x88\xac"): // DUP HASH160 … EQUALVERIFY CHECKSIG
		return check58(base58.BTCAlphabet, payToKeyHash, script[3:23])
	case frame(23, "\xa9\x14", "\x87"): // HASH160 … EQUAL (BIP-16)
		return check58(base58.BTCAlphabet, payToScriptHash, script[2:22])
	case frame(22, "\x00\x14", ""), frame(34, "\x00\x20", ""):
		return segment(bech32.Encode, "bc", []byte{0}, script[2:])
	case frame(34, "\x51\x20", ""):
		return taproot(script[2:])
	}
	return ""
}
