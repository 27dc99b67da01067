package hsmtest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// Token is what the suite asks of a driver: all of it, to the word, is the contract. ErrUnsupported is a valid answer to a type of
// key, but not to all of them.
type Token interface {
	hsm.Token
	hsm.PublicKeyer
	hsm.KeyGenerator
	hsm.KeyLister
}

// Option changes how Run goes about it, never what it asks.
type Option func(*suite)

// Slow is for tokens that are far away or slow: fewer bytes are flipped and fewer calls made at once. The checks are the same.
func Slow(s *suite) { s.slow = true }

// Name is how the matrix calls the token; the driver's provider and the token's model without it.
func Name(name string) Option { return func(s *suite) { s.name = name } }

// suite is one run.
type suite struct {
	slow bool
	name string
	rsa  *bool // whether the token makes RSA keys, once it was tried
}

// pick is the values from 0 to n-1 that are tried: all of them, or for a slow token the edges and a dozen between.
func (s *suite) pick(n int) []int {
	step := 1
	if s.slow {
		step = max(1, n/12)
	}
	var all []int
	for i := 0; i < n-1; i += step {
		all = append(all, i)
	}
	return append(all, n-1)
}

// Run holds the driver to the contract. open returns a fresh, empty token, and closes and removes it at the end of its test.
// What the token turned out to be able to do is written to the matrix (see Record) if MPCD_HSM_MATRIX names a file.
func Run(t *testing.T, open func(t *testing.T) hsm.Token, options ...Option) {
	s := &suite{}
	for _, o := range options {
		o(s)
	}
	const wraps = true
	for _, part := range []struct {
		name  string
		wraps bool // it needs the wrapping key, which some tokens make slowly
		f     func(*testing.T, *bench)
	}{
		{"info", false, testInfo},
		{"sign", false, testSign},
		{"tampered signature", false, testTamperedSignature},
		{"RSA", wraps, testRSA},
		{"wrap", wraps, testWrap},
		{"tampered wrapping", wraps, testTamperedWrapping},
		{"missing key", wraps, testMissingKey},
		{"existing key", wraps, testExistingKey},
		{"wrong key type", wraps, testWrongKeyType},
		{"list", wraps, testList},
		{"random", false, testRandom},
		{"evidence", wraps, testEvidence},
		{"counter", false, testCounter},
		{"self-test", wraps, testSelfTest},
		{"concurrency", wraps, testConcurrency},
		{"context", wraps, testContext},
		{"closed", wraps, testClosed},
		{"matrix", wraps, record},
	} {
		t.Run(part.name, func(t *testing.T) {
			tok, ok := open(t).(Token)
			if !ok {
				t.Fatal("the token lacks PublicKey, GenerateKey or Keys")
			}
			b := newBench(t, s, tok)
			if part.wraps {
				b.makeKEK(t)
			}
			part.f(t, b)
		})
	}
}

// bench is a token with a key of every type that it can make but RSA, which takes long, under the name of the type; the wrapping key
// only where a part needs it.
type bench struct {
	Token
	suite   *suite
	ctx     context.Context
	signing []hsm.KeyType
	wrapper hsm.KeyWrapper // nil if it cannot wrap
}

const kek = string(hsm.KeyAESWrap)

func newBench(t *testing.T, s *suite, tok Token) *bench {
	t.Helper()
	b := &bench{Token: tok, suite: s, ctx: t.Context()}
	for _, kind := range []hsm.KeyType{hsm.KeyEd25519, hsm.KeyP256, hsm.KeySecp256k1} {
		if b.make(t, string(kind), kind) {
			b.signing = append(b.signing, kind)
		}
	}
	if len(b.signing) == 0 {
		t.Fatal("no type of signing key is supported")
	}
	return b
}

// makeKEK makes the wrapping key, if the token can.
func (b *bench) makeKEK(t *testing.T) {
	t.Helper()
	if !b.make(t, kek, hsm.KeyAESWrap) {
		return
	}
	if b.wrapper, _ = hsm.As[hsm.KeyWrapper](b.Token); b.wrapper == nil {
		t.Error("it makes a wrapping key, but does not wrap")
	}
}

// make makes a key, or tells that the token has none of that type.
func (b *bench) make(t *testing.T, id string, kind hsm.KeyType) bool {
	t.Helper()
	err := b.GenerateKey(b.ctx, id, kind)
	if errors.Is(err, hsm.ErrUnsupported) {
		t.Logf("%s keys are not supported: %v", kind, err)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// sign signs or ends the test.
func (b *bench) sign(t *testing.T, keyID string, message []byte) []byte {
	t.Helper()
	sig, err := b.Sign(b.ctx, keyID, message)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// expect reports an error that is not want, or is none.
func expect(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func testInfo(t *testing.T, b *bench) {
	info, err := b.Info(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.Provider == "" || info.Provider != b.Provider() {
		t.Errorf("Info says provider %q, Provider says %q", info.Provider, b.Provider())
	}
	if info.Label == "" {
		t.Error("no label")
	}
}

func testList(t *testing.T, b *bench) {
	keys, err := b.Keys(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := b.signing
	if b.wrapper != nil {
		want = append(slices.Clone(want), hsm.KeyAESWrap)
	}
	if len(keys) != len(want) {
		t.Errorf("%d keys listed, want %d: %+v", len(keys), len(want), keys)
	}
	for _, k := range keys {
		if k.ID != string(k.Type) || !slices.Contains(want, k.Type) {
			t.Errorf("unknown key %+v", k)
		}
		if k.Extractable {
			t.Errorf("key %s is extractable", k.ID)
		}
	}
}

func testRandom(t *testing.T, b *bench) {
	r, ok := hsm.As[hsm.RandomSource](b.Token)
	if !ok {
		t.Log("no generator")
		return
	}
	seen := map[string]bool{}
	for range 8 {
		v, err := r.Random(b.ctx, 32)
		if err != nil {
			t.Fatal(err)
		}
		if len(v) != 32 || seen[string(v)] {
			t.Errorf("got %x, want 32 new bytes", v)
		}
		seen[string(v)] = true
	}
	for _, n := range []int{-1, 0} {
		if _, err := r.Random(b.ctx, n); err == nil {
			t.Errorf("%d bytes given", n)
		}
	}
}

func testSelfTest(t *testing.T, b *bench) {
	var keys []hsm.KeyInfo
	for _, kind := range b.signing {
		keys = append(keys, hsm.KeyInfo{ID: string(kind), Type: kind})
	}
	if b.wrapper != nil {
		keys = append(keys, hsm.KeyInfo{ID: kek, Type: hsm.KeyAESWrap})
	}
	if err := hsm.SelfTest(b.ctx, b.Token, keys...); err != nil {
		t.Error(err)
	}
	expect(t, "self-test of a missing key", hsm.SelfTest(b.ctx, b.Token, hsm.KeyInfo{ID: "nobody", Type: hsm.KeyP256}), hsm.ErrNoKey)
	other := hsm.KeyP256
	if b.signing[0] == other {
		other = hsm.KeyEd25519
	}
	expect(t, "self-test of a key of another type", hsm.SelfTest(b.ctx, b.Token, hsm.KeyInfo{ID: string(b.signing[0]), Type: other}),
		hsm.ErrKeyType)
}
