package address

import (
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/bech32"
)

// Goal: an account has one spelling. Method: good ones, and ones with one thing wrong.
func TestIsBech32(t *testing.T) {
	of := func(n int) string { return segment(bech32.Encode, "cosmos", nil, make([]byte, n)) }
	fee := "cosmos17xpfvakm2amg962yls6f84z3kell8c5lserqta" // the Cosmos Hub's account of fees
	for text, good := range map[string]bool{fee: true, of(20): true, of(32): true, of(19): false, of(33): false, "": false, fee[1:]: false,
		strings.ToUpper(fee): false, fee[:len(fee)-1] + "b": false, " " + fee: false,
		segment(bech32.EncodeM, "cosmos", nil, make([]byte, 20)):       false,
		segment(bech32.Encode, "cosmosvaloper", nil, make([]byte, 20)): false} {
		if IsBech32("cosmos", text) != good {
			t.Errorf("%q: %t", text, !good)
		}
	}
}
