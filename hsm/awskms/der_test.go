package awskms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/hsm"
)

// der is a raw signature in the form of KMS's answers.
func der(t testing.TB, raw []byte) string {
	t.Helper()
	b, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Goal: one DER form of a signature is read, all else refused. Method: a table of what other encoders and attackers write.
func TestRawSignature(t *testing.T) {
	got, err := rawSignature(unhex(t, "3007020101020200ff"))
	want := append(append(make([]byte, 31), 1), append(make([]byte, 31), 0xff)...)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v", got, err)
	}
	long := "022101" + "00000000000000000000000000000000000000000000000000000000000000ff"
	for name, bad := range map[string]string{
		"empty":             "",
		"trailing byte":     "300602010102010100",
		"inside":            "3009020101020101020101",
		"one number":        "3003020101",
		"zero":              "3006020100020101",
		"negative":          "3006020101020180",
		"leading zero":      "300702020001020101",
		"long form length":  "308106020101020101",
		"octet strings":     "3006040101040101",
		"257 bits":          "3026" + long + "020101",
		"indefinite":        "30800201010201010000",
		"not even a scalar": "ffff",
	} {
		if raw, err := rawSignature(unhex(t, bad)); err == nil {
			t.Errorf("%s is read as %x", name, raw)
		}
	}
}

func spkiSecp256k1(t testing.TB, point []byte) []byte {
	t.Helper()
	type algorithm struct{ A, C asn1.ObjectIdentifier }
	b, err := asn1.Marshal(struct {
		A algorithm
		P asn1.BitString
	}{algorithm{oidECPublicKey, oidSecp256k1}, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Goal: public keys of our types are read, of others refused as hsm.ErrKeyType. Method: keys made here; for secp256k1 the base point
// with its parts damaged.
func TestParsePublicKey(t *testing.T) {
	marshal := func(pub any) []byte {
		b, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ed, _, _ := ed25519.GenerateKey(rand.Reader)
	modulus := new(big.Int).SetBit(new(big.Int).SetBit(new(big.Int), 3071, 1), 0, 1)
	point := secp256k1.PrivKeyFromBytes([]byte{1}).PubKey()
	for want, spki := range map[hsm.KeyType][]byte{
		hsm.KeyP256: marshal(&p256.PublicKey), hsm.KeyEd25519: marshal(ed), hsm.KeyRSA3072: marshal(&rsa.PublicKey{N: modulus, E: 65537}),
		hsm.KeySecp256k1: spkiSecp256k1(t, point.SerializeUncompressed()),
	} {
		pub, kind, err := parsePublicKey(spki)
		if err != nil || kind != want || hsm.TypeOf(pub) != want {
			t.Errorf("%s: got %T, %s, %v", want, pub, kind, err)
		}
	}
	if pub, _, _ := parsePublicKey(spkiSecp256k1(t, point.SerializeUncompressed())); pub != hsm.Secp256k1PublicKey(
		point.SerializeCompressed()) {
		t.Errorf("got %x", pub)
	}
	off := point.SerializeUncompressed()
	off[64] ^= 1
	hybrid := point.SerializeUncompressed()
	hybrid[0] = 6
	good := spkiSecp256k1(t, point.SerializeUncompressed())
	for name, spki := range map[string][]byte{
		"nothing": nil, "garbage": {1, 2, 3}, "p384": marshal(&p384.PublicKey),
		"rsa of 2048 bits": marshal(&rsa.PublicKey{N: new(big.Int).Rsh(modulus, 1024), E: 65537}),
		"off the curve":    spkiSecp256k1(t, off), "hybrid": spkiSecp256k1(t, hybrid),
		"compressed": spkiSecp256k1(t, point.SerializeCompressed()),
		"infinity":   spkiSecp256k1(t, []byte{0}), "trailing byte": append(bytes.Clone(good), 0), "cut": good[:len(good)-1],
	} {
		if pub, _, err := parsePublicKey(spki); !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("%s: got %T, %v", name, pub, err)
		}
	}
}

// Goal: no bytes make the decoder of signatures panic, and what it reads has one encoding. Method: fuzz, encode again.
func FuzzRawSignature(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, err := rawSignature(in)
		if err != nil {
			return
		}
		again, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
		if err != nil || len(raw) != 64 || !bytes.Equal(again, in) {
			t.Errorf("%x is read as %x", in, raw)
		}
	})
}

// Goal: no bytes make the decoder of public keys panic, and its type is the one hsm knows the key by. Method: fuzz.
func FuzzParsePublicKey(f *testing.F) {
	f.Add(spkiSecp256k1(f, secp256k1.PrivKeyFromBytes([]byte{1}).PubKey().SerializeUncompressed()))
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b, _ := x509.MarshalPKIXPublicKey(&p256.PublicKey)
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		pub, kind, err := parsePublicKey(in)
		if err == nil && (kind == "" || hsm.TypeOf(pub) != kind) {
			t.Errorf("%x is read as %T, %s", in, pub, kind)
		}
		if err != nil && !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("%x: %v", in, err)
		}
	})
}
