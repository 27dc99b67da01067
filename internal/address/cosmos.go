package address

import "github.com/btcsuite/btcd/btcutil/bech32"

// IsBech32 tells whether text is an account of the Cosmos SDK under a human-readable part, in the one spelling that For writes: 20 bytes,
// or 32 of a module's (ADR-028), in bech32 (BIP-173) and lower case.
func IsBech32(hrp, text string) bool {
	_, groups, err := bech32.Decode(text)
	if err != nil {
		return false
	}
	id, err := bech32.ConvertBits(groups, 5, 8, false)
	return err == nil && (len(id) == 20 || len(id) == 32) && segment(bech32.Encode, hrp, nil, id) == text
}
