package address

import (
	"bytes"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg"
)

// Goal: the script of a key has the key's address. Method: the keys of the vectors, of both families; others have none.
func TestBitcoinScript(t *testing.T) {
	for family, key := range map[Family][]byte{ECDSA: unhex(t, generator), Taproot: unhex(t, generator)[1:]} {
		script, err := BitcoinScript(family, key)
		_, all, _ := For(family, key)
		if got := BitcoinAddress(script); err != nil || got == "" || got != all["bitcoin"] {
			t.Errorf("%s: %s, want %s, %v", family, got, all["bitcoin"], err)
		}
	}
	for _, key := range [][]byte{nil, make([]byte, 32)} {
		if _, err := BitcoinScript(Ed25519, key); !errors.Is(err, ErrKey) {
			t.Error(err)
		}
	}
}

// Goal: scripts that pay to hashes have the address of everybody, and scripts of nearly that form have none. Method: the first output of
// Bitcoin that was to a hash, btcutil, and each script with a byte changed outside of the hash, one more and one less.
func TestBitcoinAddress(t *testing.T) {
	hash := unhex(t, "62e907b15cbf27d5425399ebf6f0fb50ebb88f18")
	of, err := btcutil.NewAddressScriptHashFromHash(hash, &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	long, err := btcutil.NewAddressWitnessScriptHash(append(hash, hash[:12]...), &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ head, hash, tail, want string }{
		{"\x76\xa9\x14", string(hash), "\x88\xac", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"},
		{"\xa9\x14", string(hash), "\x87", of.EncodeAddress()},
		{"\x00\x20", string(hash) + string(hash[:12]), "", long.EncodeAddress()},
	} {
		script := []byte(v.head + v.hash + v.tail)
		if got := BitcoinAddress(script); got != v.want {
			t.Errorf("%x: %s, want %s", script, got, v.want)
		}
		wrong := [][]byte{script[:len(script)-1], append(bytes.Clone(script), 0)}
		for n := range script {
			if n < len(v.head) || n >= len(v.head)+len(v.hash) {
				other := bytes.Clone(script)
				other[n]++
				wrong = append(wrong, other)
			}
		}
		for _, w := range wrong {
			if got := BitcoinAddress(w); got != "" && w[0] != 0x51 { // 00 and 1 is Taproot's, which is right
				t.Errorf("%x: %s", w, got)
			}
		}
	}
}
