package hsm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// rsa3072 is a key for all tests, since making one takes long.
var rsa3072, rsa3072Err = rsa.GenerateKey(rand.Reader, 3072)

// Goal: RSA signatures are RSASSA-PSS with a salt of 32 bytes, of 3072 bits, and nothing else. Method: other salts, other lengths,
// PKCS #1 v1.5, other keys.
func TestVerifyRSA(t *testing.T) {
	if rsa3072Err != nil {
		t.Fatal(rsa3072Err)
	}
	digest := sha256.Sum256([]byte("m"))
	sign := func(salt int) []byte {
		t.Helper()
		sig, err := rsa.SignPSS(rand.Reader, rsa3072, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	good := sign(32)
	if ok, err := Verify(&rsa3072.PublicKey, []byte("m"), good); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	old, err := rsa.SignPKCS1v15(nil, rsa3072, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, sig := range map[string][]byte{"no salt": sign(0), "salt of 20": sign(20), "PKCS #1 v1.5": old, "nil": nil, "short": good[:383],
		"long": append(bytes.Clone(good), 0), "zero": make([]byte, 384), "ones": bytes.Repeat([]byte{255}, 384)} {
		if ok, err := Verify(&rsa3072.PublicKey, []byte("m"), sig); err != nil || ok {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, pub := range []*rsa.PublicKey{&small.PublicKey, {}} {
		if ok, err := Verify(pub, nil, good); ok || !errors.Is(err, ErrKeyType) || TypeOf(pub) != "" {
			t.Errorf("a key of another size: %v, %v", ok, err)
		}
	}
	if TypeOf(&rsa3072.PublicKey) != KeyRSA3072 {
		t.Error("RSA-3072 is not known")
	}
}

// Goal: every kind of key goes to PKIX DER and back, and OpenSSL reads and writes the same. Method: one key of each; OpenSSL parses
// ours and makes a secp256k1 key of its own.
func TestPublicKey(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k1 := Secp256k1PublicKey(secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32)).PubKey().SerializeCompressed())
	for _, pub := range []crypto.PublicKey{ed, &p256.PublicKey, k1, &rsa3072.PublicKey} {
		der, err := MarshalPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParsePublicKey(der)
		if err != nil || TypeOf(back) != TypeOf(pub) {
			t.Fatalf("%T comes back as %T, %v", pub, back, err)
		}
		if again, err := MarshalPublicKey(back); err != nil || !bytes.Equal(again, der) {
			t.Errorf("%T differs: %v", pub, err)
		}
		for name, bad := range map[string][]byte{"longer": append(bytes.Clone(der), 0), "shorter": der[:len(der)-1], "empty": nil} {
			if _, err := ParsePublicKey(bad); !errors.Is(err, ErrKeyType) {
				t.Errorf("%T, %s: %v", pub, name, err)
			}
		}
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, der, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "openssl", "pkey", "-pubin", "-inform", "DER", "-in", path,
			"-noout").CombinedOutput(); err != nil {
			t.Errorf("OpenSSL does not read %T: %s", pub, out)
		}
	}
	made, err := exec.CommandContext(t.Context(), "bash", "-c",
		"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 | openssl pkey -pubout -outform DER").Output()
	if err != nil {
		t.Fatal(err)
	}
	if pub, err := ParsePublicKey(made); err != nil || TypeOf(pub) != KeySecp256k1 {
		t.Errorf("OpenSSL's secp256k1 key: %T, %v", pub, err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, pub := range []crypto.PublicKey{nil, "key", &p384.PublicKey, Secp256k1PublicKey("x"), ed25519.PublicKey{}} {
		if der, err := MarshalPublicKey(pub); err == nil {
			t.Errorf("%T is written as %x", pub, der)
		}
	}
}

// Goal: no bytes make ParsePublicKey panic, and what it takes it writes the same way. Method: fuzz from real keys.
func FuzzParsePublicKey(f *testing.F) {
	k1 := Secp256k1PublicKey(secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32)).PubKey().SerializeCompressed())
	for _, pub := range []crypto.PublicKey{k1, &rsa3072.PublicKey} {
		der, err := MarshalPublicKey(pub)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		pub, err := ParsePublicKey(der)
		if err != nil {
			return
		}
		out, err := MarshalPublicKey(pub)
		if err != nil {
			t.Fatalf("%T is read and not written: %v", pub, err)
		}
		if back, err := ParsePublicKey(out); err != nil || TypeOf(back) != TypeOf(pub) {
			t.Fatalf("%T comes back as %T, %v", pub, back, err)
		}
	})
}

// Goal: a public key in hybrid encoding is none. Method: one that is good, with its first byte changed.
func TestHybridKeys(t *testing.T) {
	key := secp256k1.PrivKeyFromBytes([]byte{1}).PubKey()
	der, err := MarshalPublicKey(Secp256k1PublicKey(key.SerializeCompressed()))
	if err != nil {
		t.Fatal(err)
	}
	if der[len(der)-65] != 4 {
		t.Fatalf("%x", der)
	}
	der[len(der)-65] = 6 | der[len(der)-1]&1
	if pub, err := ParsePublicKey(der); !errors.Is(err, ErrKeyType) {
		t.Errorf("a hybrid key: %T, %v", pub, err)
	}
}
