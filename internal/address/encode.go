package address

import (
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
