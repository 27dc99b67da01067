package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// memory is a token with one Ed25519 key "e", one P-256 key "p" and a wrapping key "w", and with lies to tell.
type memory struct {
	ed  ed25519.PrivateKey
	p   *ecdsa.PrivateKey
	lie string
}

func newMemory(t *testing.T, lie string) *memory {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &memory{ed, p, lie}
}

func (m *memory) Provider() string { return "memory" }
func (m *memory) Close() error     { return nil }

func (m *memory) Info(context.Context) (TokenInfo, error) {
	if m.lie == "no info" {
		return TokenInfo{}, ErrUnavailable
	}
	return TokenInfo{Provider: "memory", Label: "m"}, nil
}

func (m *memory) Sign(_ context.Context, keyID string, message []byte) ([]byte, error) {
	switch {
	case m.lie == "cannot sign":
		return nil, ErrUnavailable
	case m.lie == "signs something else":
		message = []byte("else")
	}
	switch keyID {
	case "e":
		return ed25519.Sign(m.ed, message), nil
	case "p":
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, m.p, digest[:])
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), err
	}
	return nil, ErrNoKey
}

func (m *memory) PublicKey(_ context.Context, keyID string) (crypto.PublicKey, error) {
	if m.lie == "tells another public key" {
		pub, _, err := ed25519.GenerateKey(nil)
		return pub, err
	}
	switch keyID {
	case "e":
		return m.ed.Public(), nil
	case "p":
		return &m.p.PublicKey, nil
	}
	return nil, ErrNoKey
}

func (m *memory) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	switch m.lie {
	case "verifies everything":
		return true, nil
	case "verifies nothing":
		return false, nil
	}
	pub, err := m.PublicKey(ctx, keyID)
	if err != nil {
		return false, err
	}
	return Verify(pub, message, signature)
}

// Wrap of this token is a hash beside the secret: enough to be honest or to lie about.
func (m *memory) Wrap(_ context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if keyID != "w" {
		return nil, ErrNoKey
	}
	hidden := bytes.Clone(dek)
	if m.lie != "wraps in the clear" {
		for i := range hidden {
			hidden[i] ^= 0x55
		}
	}
	sum := sha256.Sum256(append(bytes.Clone(hidden), aad...))
	return append(hidden, sum[:]...), nil
}

func (m *memory) Unwrap(_ context.Context, _ string, wrapped, aad []byte) ([]byte, error) {
	hidden := bytes.Clone(wrapped[:len(wrapped)-32])
	sum := sha256.Sum256(append(bytes.Clone(hidden), aad...))
	ignored := m.lie == "ignores the aad" && bytes.HasSuffix(aad, []byte("!")) || m.lie == "ignores changes" &&
		!bytes.HasSuffix(aad, []byte("!"))
	if !ignored && !bytes.Equal(sum[:], wrapped[len(wrapped)-32:]) {
		if m.lie == "refuses with another error" {
			return nil, ErrUnavailable
		}
		return nil, ErrIntegrity
	}
	if m.lie != "wraps in the clear" {
		for i := range hidden {
			hidden[i] ^= 0x55
		}
	}
	if m.lie == "unwraps something else" {
		hidden[0] ^= 1
	}
	return hidden, nil
}

var (
	edKey   = KeyInfo{ID: "e", Type: KeyEd25519}
	p256Key = KeyInfo{ID: "p", Type: KeyP256}
	kek     = KeyInfo{ID: "w", Type: KeyAESWrap}
)

// Goal: an honest token passes, and no lying one does. Method: a token with one lie at a time, one for each check.
func TestSelfTest(t *testing.T) {
	if err := SelfTest(t.Context(), newMemory(t, ""), edKey, p256Key, kek); err != nil {
		t.Error(err)
	}
	for _, lie := range []string{"no info", "cannot sign", "signs something else", "tells another public key", "verifies everything",
		"verifies nothing", "wraps in the clear", "ignores the aad", "ignores changes", "refuses with another error", "unwraps something else"} {
		if err := SelfTest(t.Context(), newMemory(t, lie), edKey, kek); err == nil {
			t.Errorf("a token that %s passes", lie)
		}
	}
	for key, want := range map[KeyInfo]error{
		{ID: "e", Type: KeyP256}:      ErrKeyType,
		{ID: "e"}:                     ErrKeyType,
		{ID: "nobody", Type: KeyP256}: ErrNoKey,
		{ID: "e", Type: KeyAESWrap}:   ErrNoKey,
	} {
		if err := SelfTest(t.Context(), newMemory(t, ""), key); !errors.Is(err, want) {
			t.Errorf("%+v: got %v, want %v", key, err, want)
		}
	}
	plain := struct{ Token }{newMemory(t, "")} // signs, and nothing else
	if err := SelfTest(t.Context(), plain, edKey); err != nil {
		t.Error(err)
	}
	if err := SelfTest(t.Context(), plain, kek); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if err := SelfTest(t.Context(), struct{ Token }{newMemory(t, "verifies everything")}, edKey); err == nil {
		t.Error("a token that verifies everything passes where the public key is unknown")
	}
	if got := Abilities(plain); len(got) != 0 {
		t.Errorf("abilities %q of a token that only signs", got)
	}
	if got := Abilities(newMemory(t, "")); len(got) != 2 {
		t.Errorf("abilities %q", got)
	}
}

// Goal: Verify agrees with signatures that others made, and refuses the rest. Method: RFC 8032 §7.1 test 2, RFC 6979 §A.2.5 (P-256,
// SHA-256, "sample"), and decred's secp256k1; then edges of r and s.
func TestVerify(t *testing.T) {
	point := func(s string) crypto.PublicKey {
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhexAll(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return pub
	}
	k1 := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	digest := sha256.Sum256([]byte("sample"))
	compact := k1ecdsa.SignCompact(k1, digest[:], true)
	for _, c := range []struct {
		pub     crypto.PublicKey
		message string
		sig     []byte
	}{
		{ed25519.PublicKey(unhexAll(t, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")), "\x72",
			unhexAll(t, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"+
				"b00d291612bb0c00")},
		{point("0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c2" +
			"94d4462299"), "sample",
			unhexAll(t, "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff406"+
				"4dc4ab2f843acda8")},
		{Secp256k1PublicKey(k1.PubKey().SerializeCompressed()), "sample", compact[1:]},
	} {
		if ok, err := Verify(c.pub, []byte(c.message), c.sig); err != nil || !ok {
			t.Errorf("%T: %v, %v", c.pub, ok, err)
		}
		for name, sig := range map[string][]byte{
			"empty": nil, "short": c.sig[:63], "long": append(bytes.Clone(c.sig), 0), "zero": make([]byte, 64),
			"ones":      bytes.Repeat([]byte{0xff}, 64),
			"r is zero": append(make([]byte, 32), c.sig[32:]...), "s is zero": append(bytes.Clone(c.sig[:32]), make([]byte, 32)...),
			"s is large": append(bytes.Clone(c.sig[:32]), bytes.Repeat([]byte{0xff}, 32)...), "halves exchanged": append(bytes.Clone(c.sig[32:]),
				c.sig[:32]...),
		} {
			if ok, err := Verify(c.pub, []byte(c.message), sig); err != nil || ok {
				t.Errorf("%T, %s: %v, %v", c.pub, name, ok, err)
			}
		}
		if ok, err := Verify(c.pub, []byte(c.message+"!"), c.sig); err != nil || ok {
			t.Errorf("%T, another message: %v, %v", c.pub, ok, err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, pub := range []crypto.PublicKey{nil, "key", ed25519.PublicKey{1}, Secp256k1PublicKey("x"), &p384.PublicKey} {
		if ok, err := Verify(pub, nil, make([]byte, 64)); !errors.Is(err, ErrKeyType) || ok {
			t.Errorf("%T: %v, %v", pub, ok, err)
		}
	}
}

func unhexAll(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Goal: the standard library signs with keys of a token. Method: certificate requests that it then verifies; digests are refused.
func TestCryptoSigner(t *testing.T) {
	m := newMemory(t, "")
	for _, id := range []string{"e", "p"} {
		s, err := NewCryptoSigner(t.Context(), m, id)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "node"}}, s)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err == nil {
			err = csr.CheckSignature()
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	p, err := NewCryptoSigner(t.Context(), m, "p")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sign(nil, make([]byte, 32), crypto.SHA256); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a digest: %v", err)
	}
	if _, err := p.SignMessage(nil, nil, crypto.SHA512); !errors.Is(err, ErrUnsupported) {
		t.Errorf("another hash: %v", err)
	}
	e, err := NewCryptoSigner(t.Context(), m, "e")
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]crypto.SignerOpts{"Ed25519ph": crypto.SHA512, "Ed25519ctx": &ed25519.Options{Context: "c"}} {
		if _, err := e.Sign(nil, make([]byte, 64), opts); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewCryptoSigner(t.Context(), m, "nobody"); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v", err)
	}
	if _, err := NewCryptoSigner(t.Context(), struct{ Token }{m}, "e"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
