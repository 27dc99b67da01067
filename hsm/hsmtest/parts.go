package hsmtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: a signature verifies in the driver and with the public key alone, and for nothing else. Method: messages of the edge
// lengths, another message, another key.
func testSign(t *testing.T, b *bench) {
	for _, kind := range b.signing {
		b.checkSigning(t, kind)
	}
}

func (b *bench) checkSigning(t *testing.T, kind hsm.KeyType) {
	t.Helper()
	pub, err := b.PublicKey(b.ctx, string(kind))
	if err != nil {
		t.Fatal(err)
	}
	if got := hsm.TypeOf(pub); got != kind {
		t.Errorf("public key of %s is of type %q", kind, got)
	}
	for _, message := range [][]byte{{}, []byte("m"), make([]byte, 32), make([]byte, 64), make([]byte, 100_000)} {
		sig := b.sign(t, string(kind), message)
		want := 64
		if kind == hsm.KeyRSA3072 {
			want = 384
		}
		if len(sig) != want {
			t.Errorf("%s: signature of %d bytes, want %d", kind, len(sig), want)
		}
		if ok, err := b.Verify(b.ctx, string(kind), message, sig); err != nil || !ok {
			t.Errorf("%s: signature of %d bytes of message: %v, %v", kind, len(message), ok, err)
		}
		if ok, err := hsm.Verify(pub, message, sig); err != nil || !ok {
			t.Errorf("%s: signature does not verify with the public key alone: %v, %v", kind, ok, err)
		}
		if ok, err := b.Verify(b.ctx, string(kind), append(message, 0), sig); err != nil || ok {
			t.Errorf("%s: signature verifies for another message: %v, %v", kind, ok, err)
		}
	}
	if err := b.GenerateKey(b.ctx, "other "+string(kind), kind); err != nil {
		t.Fatal(err)
	}
	sig := b.sign(t, string(kind), []byte("m"))
	if ok, err := b.Verify(b.ctx, "other "+string(kind), []byte("m"), sig); err != nil || ok {
		t.Errorf("%s: signature verifies under another key: %v, %v", kind, ok, err)
	}
}

// Goal: no changed signature verifies, and none is an error or a panic. Method: flip every byte, cut, extend, zero.
func testTamperedSignature(t *testing.T, b *bench) {
	for _, kind := range b.signing {
		b.checkTampered(t, kind)
	}
}

func (b *bench) checkTampered(t *testing.T, kind hsm.KeyType) {
	t.Helper()
	message := []byte("message")
	sig := b.sign(t, string(kind), message)
	n := len(sig)
	bad := map[string][]byte{"nil": nil, "short": sig[:n-1], "long": append(bytes.Clone(sig), 0), "zero": make([]byte, n),
		"ones": bytes.Repeat([]byte{0xff}, n)}
	for _, i := range b.suite.pick(n) {
		c := bytes.Clone(sig)
		c[i] ^= 1
		bad[fmt.Sprintf("byte %d", i)] = c
	}
	for name, sig := range bad {
		if ok, err := b.Verify(b.ctx, string(kind), message, sig); err != nil || ok {
			t.Errorf("%s, %s: %v, %v, want false and no error", kind, name, ok, err)
		}
	}
}

// Goal: RSA keys keep the same contract, where there are any. Method: the same checks, and the self-test.
func testRSA(t *testing.T, b *bench) {
	const kind = hsm.KeyRSA3072
	made := b.make(t, string(kind), kind)
	if b.suite.rsa = &made; !made {
		return
	}
	b.checkSigning(t, kind)
	b.checkTampered(t, kind)
	if err := hsm.SelfTest(b.ctx, b.Token, hsm.KeyInfo{ID: string(kind), Type: kind}); err != nil {
		t.Error(err)
	}
	if b.wrapper != nil {
		_, err := b.wrapper.Wrap(b.ctx, string(kind), make([]byte, 32), nil)
		expect(t, "wrap with an RSA signing key", err, hsm.ErrKeyType)
	}
}

// Goal: what is wrapped comes back, differently wrapped each time, and the input is left alone. Method: edge lengths.
func testWrap(t *testing.T, b *bench) {
	if b.wrapper == nil {
		t.Log("it does not wrap")
		return
	}
	aads := [][]byte{nil, []byte("aad"), make([]byte, 2000)}
	if b.suite.slow {
		aads = aads[1:]
	}
	for _, n := range []int{1, 16, 32, 33, hsm.MaxWrap} {
		for _, aad := range aads {
			dek := make([]byte, n)
			_, _ = rand.Read(dek)
			before := bytes.Clone(dek)
			one, err := b.wrapper.Wrap(b.ctx, kek, dek, aad)
			if err != nil {
				t.Fatal(err)
			}
			two, err := b.wrapper.Wrap(b.ctx, kek, dek, aad)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(dek, before) {
				t.Error("Wrap changed its input")
			}
			if bytes.Equal(one, two) {
				t.Error("two wrappings are equal")
			}
			if n >= 16 && bytes.Contains(one, dek) {
				t.Error("the secret is in the clear")
			}
			for _, w := range [][]byte{one, two} {
				if back, err := b.wrapper.Unwrap(b.ctx, kek, w, aad); err != nil || !bytes.Equal(back, dek) {
					t.Errorf("%d bytes do not come back: %v", n, err)
				}
			}
		}
	}
	for _, n := range []int{0, hsm.MaxWrap + 1} {
		if _, err := b.wrapper.Wrap(b.ctx, kek, make([]byte, n), nil); err == nil {
			t.Errorf("a secret of %d bytes is accepted", n)
		}
	}
}

// Goal: anything but the very bytes, key and aad is ErrIntegrity. Method: flip every byte, cut everywhere, other aads, another key;
// then the token must still work.
func testTamperedWrapping(t *testing.T, b *bench) {
	if b.wrapper == nil {
		t.Log("it does not wrap")
		return
	}
	if err := b.GenerateKey(b.ctx, "other kek", hsm.KeyAESWrap); err != nil {
		t.Fatal(err)
	}
	dek, aad := make([]byte, 32), []byte("aad")
	good, err := b.wrapper.Wrap(b.ctx, kek, dek, aad)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(name, key string, w, aad []byte) {
		t.Helper()
		back, err := b.wrapper.Unwrap(b.ctx, key, w, aad)
		expect(t, name, err, hsm.ErrIntegrity)
		if len(back) > 0 {
			t.Errorf("%s: bytes come with the error", name)
		}
	}
	for _, i := range b.suite.pick(len(good)) {
		c := bytes.Clone(good)
		c[i] ^= 0x80
		refuse(fmt.Sprintf("byte %d changed", i), kek, c, aad)
		refuse(fmt.Sprintf("cut to %d bytes", i), kek, good[:i], aad)
	}
	refuse("longer", kek, append(bytes.Clone(good), 0), aad)
	refuse("another aad", kek, good, []byte("abd"))
	refuse("longer aad", kek, good, []byte("aad "))
	refuse("no aad", kek, good, nil)
	refuse("another key", "other kek", good, aad)
	if back, err := b.wrapper.Unwrap(b.ctx, kek, good, aad); err != nil || !bytes.Equal(back, dek) {
		t.Errorf("the good one does not unwrap any more: %v", err)
	}
}

// Goal: a key that is not there is ErrNoKey. Method: every operation.
func testMissingKey(t *testing.T, b *bench) {
	_, err := b.Sign(b.ctx, "nobody", []byte("m"))
	expect(t, "Sign", err, hsm.ErrNoKey)
	_, err = b.Verify(b.ctx, "nobody", []byte("m"), make([]byte, 64))
	expect(t, "Verify", err, hsm.ErrNoKey)
	_, err = b.PublicKey(b.ctx, "nobody")
	expect(t, "PublicKey", err, hsm.ErrNoKey)
	_, err = b.Sign(b.ctx, "", []byte("m"))
	expect(t, "Sign with no key ID", err, hsm.ErrNoKey)
	if b.wrapper == nil {
		return
	}
	good, err := b.wrapper.Wrap(b.ctx, kek, make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.wrapper.Wrap(b.ctx, "nobody", make([]byte, 32), nil)
	expect(t, "Wrap", err, hsm.ErrNoKey)
	_, err = b.wrapper.Unwrap(b.ctx, "nobody", good, nil)
	expect(t, "Unwrap", err, hsm.ErrNoKey)
}

// Goal: a key is never replaced. Method: generate over it with every type; it must sign as before.
func testExistingKey(t *testing.T, b *bench) {
	id := string(b.signing[0])
	before, err := b.PublicKey(b.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	kinds := b.signing
	if b.wrapper != nil {
		kinds = append([]hsm.KeyType{hsm.KeyAESWrap}, kinds...)
	}
	for _, kind := range kinds {
		expect(t, "generate "+string(kind)+" over a key", b.GenerateKey(b.ctx, id, kind), hsm.ErrKeyExists)
	}
	if ok, err := hsm.Verify(before, []byte("m"), b.sign(t, id, []byte("m"))); err != nil || !ok {
		t.Errorf("the key changed: %v, %v", ok, err)
	}
	expect(t, "an unknown type", b.GenerateKey(b.ctx, "new", "rot13"), hsm.ErrUnsupported)
}

// Goal: a key serves one purpose. Method: sign with the wrapping key, wrap with a signing key.
func testWrongKeyType(t *testing.T, b *bench) {
	if b.wrapper == nil {
		t.Log("it does not wrap")
		return
	}
	_, err := b.Sign(b.ctx, kek, []byte("m"))
	expect(t, "sign with a wrapping key", err, hsm.ErrKeyType)
	_, err = b.PublicKey(b.ctx, kek)
	expect(t, "public key of a wrapping key", err, hsm.ErrKeyType)
	_, err = b.wrapper.Wrap(b.ctx, string(b.signing[0]), make([]byte, 32), nil)
	expect(t, "wrap with a signing key", err, hsm.ErrKeyType)
}

// Goal: concurrent use is correct. Method: goroutines sign, wrap, generate and list, each with messages of its own.
func testConcurrency(t *testing.T, b *bench) {
	goroutines, rounds := 16, 10
	if b.suite.slow {
		goroutines, rounds = 6, 2
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			id := string(b.signing[g%len(b.signing)])
			for i := range rounds {
				message := fmt.Appendf(nil, "goroutine %d message %d", g, i)
				sig, err := b.Sign(b.ctx, id, message)
				if err != nil {
					t.Error(err)
					return
				}
				if ok, err := b.Verify(b.ctx, id, message, sig); err != nil || !ok {
					t.Errorf("%s: %v, %v", message, ok, err)
				}
				if b.wrapper == nil {
					continue
				}
				w, err := b.wrapper.Wrap(b.ctx, kek, message, message)
				if err != nil {
					t.Error(err)
					return
				}
				if back, err := b.wrapper.Unwrap(b.ctx, kek, w, message); err != nil || !bytes.Equal(back, message) {
					t.Errorf("%s: unwrapped %q, %v", message, back, err)
				}
			}
			own := fmt.Sprintf("own %d", g)
			if err := b.GenerateKey(b.ctx, own, b.signing[0]); err != nil {
				t.Error(err)
				return
			}
			if _, err := b.Keys(b.ctx); err != nil {
				t.Error(err)
			}
			if _, err := b.Sign(b.ctx, own, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Goal: a context that is done ends an operation with its error, and does no harm. Method: every operation, then a good one.
func testContext(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	id := string(b.signing[0])
	_, err := b.Sign(ctx, id, []byte("m"))
	expect(t, "Sign", err, context.Canceled)
	expect(t, "GenerateKey", b.GenerateKey(ctx, "new", b.signing[0]), context.Canceled)
	_, err = b.Keys(ctx)
	expect(t, "Keys", err, context.Canceled)
	if b.wrapper != nil {
		_, err = b.wrapper.Wrap(ctx, kek, make([]byte, 32), nil)
		expect(t, "Wrap", err, context.Canceled)
	}
	b.sign(t, id, []byte("m"))
}

// Goal: a closed token refuses everything. Method: close twice, then every operation.
func testClosed(t *testing.T, b *bench) {
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	id := string(b.signing[0])
	_, err := b.Sign(b.ctx, id, []byte("m"))
	expect(t, "Sign", err, hsm.ErrUnavailable)
	_, err = b.PublicKey(b.ctx, id)
	expect(t, "PublicKey", err, hsm.ErrUnavailable)
	_, err = b.Info(b.ctx)
	expect(t, "Info", err, hsm.ErrUnavailable)
	_, err = b.Keys(b.ctx)
	expect(t, "Keys", err, hsm.ErrUnavailable)
	expect(t, "GenerateKey", b.GenerateKey(b.ctx, "new", b.signing[0]), hsm.ErrUnavailable)
	if b.wrapper != nil {
		_, err := b.wrapper.Wrap(b.ctx, kek, make([]byte, 32), nil)
		expect(t, "Wrap", err, hsm.ErrUnavailable)
		if errors.Is(err, hsm.ErrNoKey) {
			t.Error("a closed token is not one without keys")
		}
	}
}
