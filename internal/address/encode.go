package address

import (
	"crypto/sha256"

	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/mr-tron/base58"
)

// xrplAlphabet is base 58 in the order of XRPL; base58.Encode's own is Bitcoin's.
var xrplAlphabet = base58.NewAlphabet("rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz")

// segment writes version, groups of five bits, and data, bytes, under a human-readable part in lower case, by bech32.Encode (BIP-173) or
// bech32.EncodeM (BIP-350).
func segment(encode func(string, []byte) (string, error), hrp string, version, data []byte) string {
	groups, err := bech32.ConvertBits(data, 8, 5, true)
	if err != nil {
		panic("address: " + err.Error()) // whole bytes can be regrouped
	}
	text, err := encode(hrp, append(version, groups...))
	if err != nil {
		panic("address: " + err.Error()) // the parts and the groups are in range
	}
	return text
}

// check58 is base58check: base 58 of version, payload and the first four bytes of their double SHA-256.
func check58(alphabet *base58.Alphabet, version byte, payload []byte) string {
	body := append([]byte{version}, payload...)
	first := sha256.Sum256(body)
	second := sha256.Sum256(first[:])
	return base58.EncodeAlphabet(append(body, second[:4]...), alphabet)
}
