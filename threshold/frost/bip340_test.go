package frost

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"os"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// bip340Sign is the single signer of BIP 340 ("Default Signing"), for the vectors and the fuzzer's corpus only: variable
// copies of the key remain in memory.
func bip340Sign(secret, aux, message []byte) (key, sig []byte) {
	var d, k secp256k1.Scalar
	if _, err := d.SetBytes(secret); err != nil {
		panic(err)
	}
	p := new(secp256k1.Point).ScalarBaseMult(&d)
	d.CondNegate(p.YIsOdd())
	masked := taggedHash(sha256.Sum256([]byte("BIP0340/aux")), aux)
	for i, b := range d.Bytes() {
		masked[i] ^= b
	}
	h := taggedHash(sha256.Sum256([]byte("BIP0340/nonce")), masked[:], p.XBytes(), message)
	k.SetBytesReduced(h[:])
	r := new(secp256k1.Point).ScalarBaseMult(&k)
	k.CondNegate(r.YIsOdd())
	e := bip340Challenge(r.XBytes(), p.XBytes(), message)
	return p.XBytes(), append(r.XBytes(), e.MulAdd(e, &d, &k).Bytes()...)
}

// Goal: our verifier is BIP 340's. Method: all published cases; where a secret key is given, the signature is made anew and
// compared, so the vector's own challenge and keys go through our hashing.
func TestBIP340Vectors(t *testing.T) {
	f, err := os.Open("testdata/bip340/test-vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	verified, signed := 0, 0
	for _, r := range rows[1:] {
		secret, key, aux, message, sig := unhex(r[1]), unhex(r[2]), unhex(r[3]), unhex(r[4]), unhex(r[5])
		if got := bip340Verify(key, message, sig); got != (r[6] == "TRUE") {
			t.Errorf("case %s (%s): verification gives %v", r[0], r[7], got)
		}
		verified++
		if len(secret) == 0 {
			continue
		}
		k, s := bip340Sign(secret, aux, message)
		if !bytes.Equal(k, key) || !bytes.Equal(s, sig) {
			t.Errorf("case %s: signature %x, want %x", r[0], s, sig)
		}
		signed++
	}
	assertCases(t, verified, 19)
	assertCases(t, signed, 8)
}

// btcecVerify is btcd's verdict, whose API takes 32-byte messages only.
func btcecVerify(key, message, sig []byte) bool {
	k, err := schnorr.ParsePubKey(key)
	if err != nil {
		return false
	}
	s, err := schnorr.ParseSignature(sig)
	return err == nil && s.Verify(message, k)
}

// Goal: no input on which our verifier and btcec's disagree. Method: fuzz around valid signatures; every input is tried as
// it is and with each part replaced by that of a valid signature.
func FuzzBIP340Verify(f *testing.F) {
	secret := bytes.Repeat([]byte{7}, 32)
	goodMessage := bytes.Repeat([]byte{9}, 32)
	goodKey, goodSig := bip340Sign(secret, make([]byte, 32), goodMessage)
	f.Add(goodKey, goodMessage, goodSig)
	f.Add(make([]byte, 32), goodMessage, make([]byte, 64))
	f.Add(goodKey, goodMessage, append(bytes.Clone(goodSig[:32]), bytes.Repeat([]byte{0xff}, 32)...))
	f.Add(goodKey, goodMessage, append(bytes.Repeat([]byte{0xff}, 32), goodSig[32:]...))
	f.Add(goodKey, goodMessage, goodSig[:63])
	f.Fuzz(func(t *testing.T, key, message, sig []byte) {
		if len(message) != 32 {
			message = goodMessage
		}
		for _, k := range [][]byte{key, goodKey} {
			for _, s := range [][]byte{sig, goodSig} {
				if got, want := bip340Verify(k, message, s), btcecVerify(k, message, s); got != want {
					t.Errorf("key %x message %x signature %x: %v, btcec says %v", k, message, s, got, want)
				}
			}
		}
	})
}
