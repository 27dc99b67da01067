package pkcs11_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

// Goal: the driver keeps the contract where keys wrap by ECDH. Method: the suite, against SoftHSM that lists no AES and no RSA. (NSS wraps
// by AES-CBC, p11-kit by AES-ECB, the TPM by RSA.)
func TestECDH(t *testing.T) {
	faults := pkcs11.InjectFaults(t)
	faults.Hide(p11.CKM_AES_KEY_GEN, p11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	t.Setenv(hsmtest.MatrixEnv, "") // there is no such token
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return openURI(t, softhsm.New(t), hsm.Options{}) }, hsmtest.Slow)
}

// Goal: the key that is made is the best that the token has mechanisms for. Method: take them away one by one.
func TestWrapMethods(t *testing.T) {
	faults := pkcs11.InjectFaults(t)
	tok := openURI(t, softhsm.New(t), hsm.Options{})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	var hidden []uint
	for _, c := range []struct {
		hide uint
		want string
	}{
		{0xffff, "aes-gcm"}, {p11.CKM_AES_GCM, "aes + local gcm"}, {p11.CKM_AES_CBC, "aes + local gcm"}, {p11.CKM_AES_ECB, "ecdh + local gcm"},
		{p11.CKM_ECDH1_DERIVE, "rsa + local gcm"}, {p11.CKM_RSA_PKCS, ""},
	} {
		hidden = append(hidden, c.hide)
		faults.Hide(hidden...)
		faults.Fail("SignInit", p11.CKR_SESSION_CLOSED) // a new link asks for the mechanisms again
		if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), c.want, hsm.KeyAESWrap)
		if c.want == "" {
			if err = tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "none", hsm.KeyAESWrap); !errors.Is(err, hsm.ErrUnsupported) {
				t.Errorf("no mechanism at all: %v", err)
			}
			continue
		}
		if err != nil && !errors.Is(err, hsm.ErrKeyExists) {
			t.Fatal(err)
		}
		if got, err := tok.(hsmtest.WrapMethod).WrapMethod(t.Context(), c.want); err != nil || got != c.want {
			t.Errorf("without %x it wraps by %q, %v, want %q", hidden, got, err, c.want)
		}
	}
}

// imported puts keys with known secrets into a token, under the marks that the driver gives its own: an AES key, a P-256 and an RSA pair.
func imported(t *testing.T, tok hsm.Token, aesKey []byte, d *ecdh.PrivateKey, r *rsa.PrivateKey) {
	t.Helper()
	point := append([]byte{4, 65}, d.PublicKey().Bytes()...)
	p256 := p11.NewAttribute(p11.CKA_EC_PARAMS, []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07})
	r.Precompute()
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, s p11.SessionHandle) {
		make := func(label string, class, kind uint, more ...*p11.Attribute) {
			t.Helper()
			_, err := lib.CreateObject(s, append([]*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, label),
				p11.NewAttribute(p11.CKA_CLASS, class), p11.NewAttribute(p11.CKA_KEY_TYPE, kind),
				p11.NewAttribute(p11.CKA_ID, []byte("mpcd-kek"+label))}, more...))
			if err != nil {
				t.Fatal(err)
			}
		}
		make("aes", p11.CKO_SECRET_KEY, p11.CKK_AES, p11.NewAttribute(p11.CKA_VALUE, aesKey), p11.NewAttribute(p11.CKA_ENCRYPT, true),
			p11.NewAttribute(p11.CKA_DECRYPT, true))
		make("ec", p11.CKO_PRIVATE_KEY, p11.CKK_EC, p256, p11.NewAttribute(p11.CKA_VALUE, d.Bytes()), p11.NewAttribute(p11.CKA_DERIVE, true))
		make("ec", p11.CKO_PUBLIC_KEY, p11.CKK_EC, p256, p11.NewAttribute(p11.CKA_EC_POINT, point))
		e := p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})
		n := p11.NewAttribute(p11.CKA_MODULUS, r.N.Bytes())
		make("rsa", p11.CKO_PUBLIC_KEY, p11.CKK_RSA, n, e)
		make("rsa", p11.CKO_PRIVATE_KEY, p11.CKK_RSA, n, e, p11.NewAttribute(p11.CKA_SIGN, true), p11.NewAttribute(p11.CKA_PRIVATE_EXPONENT,
			r.D.Bytes()), p11.NewAttribute(p11.CKA_PRIME_1, r.Primes[0].Bytes()), p11.NewAttribute(p11.CKA_PRIME_2, r.Primes[1].Bytes()),
			p11.NewAttribute(p11.CKA_EXPONENT_1, r.Precomputed.Dp.Bytes()),
			p11.NewAttribute(p11.CKA_EXPONENT_2, r.Precomputed.Dq.Bytes()), p11.NewAttribute(p11.CKA_COEFFICIENT, r.Precomputed.Qinv.Bytes()))
	})
}

func gcm(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// Goal: what is wrapped has the form that gcm.go and hybrid.go say, for ever: old secrets must open. Method: make each form here, from keys
// whose secrets are known, without the driver's code, and let the token open it; a sum over one fixed secret pins the functions.
func TestWrappedForms(t *testing.T) {
	tok := openURI(t, softhsm.New(t), hsm.Options{})
	aesKey := bytes.Repeat([]byte{0x42}, 32)
	d, err := ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{0x12}, 32))
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	imported(t, tok, aesKey, d, r)
	salt := bytes.Repeat([]byte{0x17}, 32)
	input := append([]byte("mpcd/v1/hsm/prf\x01"), salt...)
	digest := sha256.Sum256(input)

	block, err := aes.NewCipher(aesKey)
	if err != nil {
		t.Fatal(err)
	}
	byAES := make([]byte, 32)
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(byAES, digest[:])
	point, err := pkcs11.HashToP256(input)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		t.Fatal(err)
	}
	byECDH, err := d.ECDH(peer)
	if err != nil {
		t.Fatal(err)
	}
	byRSA, err := rsa.SignPKCS1v15(nil, r, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	secret, aad := []byte("a data key of thirty-two bytes!!"), []byte("share 7")
	bound := append([]byte("mpcd/v1/hsm/wrap\x01"), aad...)
	hybrid := func(m byte, value []byte) []byte {
		k, err := hkdf.Key(sha256.New, value, salt, "mpcd/v1/hsm/hybrid\x01"+string([]byte{m}), 32)
		if err != nil {
			t.Fatal(err)
		}
		return append(append([]byte{m}, salt...), gcm(t, k).Seal(nil, make([]byte, 12), secret, bound)...)
	}
	iv := salt[:12]
	for _, c := range []struct {
		key     string
		wrapped []byte
	}{
		{"aes", append(append([]byte{1}, iv...), gcm(t, aesKey).Seal(nil, iv, secret, bound)...)},
		{"aes", hybrid(2, byAES)},
		{"ec", hybrid(3, byECDH)},
		{"rsa", hybrid(4, byRSA)},
	} {
		w := tok.(hsm.KeyWrapper)
		if back, err := w.Unwrap(t.Context(), c.key, c.wrapped, aad); err != nil || !bytes.Equal(back, secret) {
			t.Errorf("%s, method %d: %q, %v", c.key, c.wrapped[0], back, err)
		}
		if _, err := w.Unwrap(t.Context(), c.key, c.wrapped, []byte("share 8")); !errors.Is(err, hsm.ErrIntegrity) {
			t.Errorf("%s, method %d, another aad: %v", c.key, c.wrapped[0], err)
		}
		for other := range byte(6) {
			if changed := append([]byte{other}, c.wrapped[1:]...); other != c.wrapped[0] {
				if _, err := w.Unwrap(t.Context(), c.key, changed, aad); !errors.Is(err, hsm.ErrIntegrity) {
					t.Errorf("%s, method %d called %d: %v", c.key, c.wrapped[0], other, err)
				}
			}
		}
	}
	for _, id := range []string{"ec", "rsa"} {
		if _, err := tok.Sign(t.Context(), id, input); !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("a wrapping key signs: %v", err)
		}
	}
}

// Goal: H(salt) is a point that depends on the salt alone, and stays what it is. Method: many salts, on the curve, with an even y; one
// value pinned.
func TestHashToP256(t *testing.T) {
	seen := map[string]bool{}
	for i := range 200 {
		p, err := pkcs11.HashToP256([]byte{byte(i)})
		if err != nil || len(p) != 65 || p[0] != 4 || p[64]&1 != 0 {
			t.Fatalf("%x, %v", p, err)
		}
		if seen[string(p)] {
			t.Error("a point comes twice")
		}
		seen[string(p)] = true
		if _, err := pkcs11.ParsePoint(hsm.KeyP256, p); err != nil {
			t.Error(err)
		}
	}
	sum := sha256.New()
	for i := range 200 {
		p, _ := pkcs11.HashToP256([]byte{byte(i)})
		sum.Write(p)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != "a32eba864fe4a29e4c9e5a73590a593bc6da267a22053c0f783434b325724468" {
		t.Errorf("sum %s: what was wrapped will not open", got)
	}
}

// Goal: a token that computes wrongly loses no secret and blames none. Method: one wrong value when it wraps, one when it unwraps, for each
// method of the hybrid.
func TestHybridFault(t *testing.T) {
	for name, c := range map[string]struct {
		hide     []uint
		function string
	}{
		"aes": {[]uint{p11.CKM_AES_GCM}, "Encrypt"},
		"rsa": {[]uint{p11.CKM_AES_KEY_GEN, p11.CKM_ECDH1_DERIVE}, "Sign"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := pkcs11.InjectFaults(t)
			faults.Hide(c.hide...)
			tok := openURI(t, softhsm.New(t), hsm.Options{})
			if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "kek", hsm.KeyAESWrap); err != nil {
				t.Fatal(err)
			}
			w := tok.(hsm.KeyWrapper)
			good, err := w.Wrap(t.Context(), "kek", []byte("secret"), nil)
			if err != nil {
				t.Fatal(err)
			}
			faults.Fail(c.function, pkcs11.ReturnGarbage)
			if wrapped, err := w.Wrap(t.Context(), "kek", []byte("secret"), nil); !errors.Is(err, hsm.ErrUnavailable) || wrapped != nil {
				t.Errorf("wrapped with a wrong value: %x, %v", wrapped, err)
			}
			faults.Fail(c.function, pkcs11.ReturnGarbage)
			if back, err := w.Unwrap(t.Context(), "kek", good, nil); !errors.Is(err, hsm.ErrUnavailable) || errors.Is(err, hsm.ErrIntegrity) ||
				back != nil {
				t.Errorf("unwrapped with a wrong value: %q, %v", back, err)
			}
			faults.Fail(c.function, p11.CKR_DEVICE_ERROR)
			if back, err := w.Unwrap(t.Context(), "kek", good, nil); err != nil || string(back) != "secret" {
				t.Errorf("after a reconnection: %q, %v", back, err)
			}
		})
	}
}

// Goal: an RSA key is what the driver asked for. Method: moduli and exponents at the edges.
func TestParseRSA(t *testing.T) {
	n := new(big.Int).SetBit(big.NewInt(1), 3071, 1)
	f4 := []byte{1, 0, 1}
	if pub, err := pkcs11.ParseRSA(append([]byte{0}, n.Bytes()...), append([]byte{0}, f4...)); err != nil ||
		hsm.TypeOf(pub) != hsm.KeyRSA3072 {
		t.Errorf("%v, %v", pub, err)
	}
	for name, c := range map[string][2][]byte{
		"empty": {nil, f4}, "short": {new(big.Int).SetBit(big.NewInt(1), 3070, 1).Bytes(), f4},
		"long": {new(big.Int).SetBit(big.NewInt(1), 3072, 1).Bytes(), f4},
		"even": {new(big.Int).SetBit(new(big.Int), 3071, 1).Bytes(), f4}, "exponent 3": {n.Bytes(), []byte{3}},
		"even exponent": {n.Bytes(), []byte{1, 0, 2}},
		"no exponent":   {n.Bytes(), nil}, "huge exponent": {n.Bytes(), []byte{1, 0, 0, 0, 1}},
	} {
		if _, err := pkcs11.ParseRSA(c[0], c[1]); !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: no attribute of a public key makes the driver panic, what it takes is a key, and what is none is a fault of the token. Method:
// fuzz from real points, and one that is not on its curve.
func FuzzParsePublic(f *testing.F) {
	p, _ := pkcs11.HashToP256(nil)
	f.Add(p, []byte{1, 0, 1})
	f.Add(append([]byte{4, 65}, p...), []byte{})
	off := bytes.Clone(p)
	off[64] ^= 4
	f.Add(off, []byte{})
	f.Add(p[:32], new(big.Int).SetBit(big.NewInt(1), 3071, 1).Bytes())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, kind := range []hsm.KeyType{hsm.KeyP256, hsm.KeyEd25519, hsm.KeySecp256k1, ""} {
			if pub, err := pkcs11.ParsePoint(kind, a); err == nil && hsm.TypeOf(pub) != kind || err != nil && !errors.Is(err, hsm.ErrKeyType) {
				t.Errorf("a %s key is a %T: %v", kind, pub, err)
			}
		}
		if pub, err := pkcs11.ParseRSA(b, a); err == nil && hsm.TypeOf(pub) != hsm.KeyRSA3072 || err != nil && !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("an RSA key is a %T: %v", pub, err)
		}
	})
}
