package hsmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: evidence is for the key, the token and the nonce that were asked for. Method: every signing key, nonces of the edge lengths,
// a missing key, a context that is done, a closed token. What Statement proves is for package attest/appraise to say.
func testEvidence(t *testing.T, b *bench) {
	a, ok := hsm.As[hsm.KeyAttester](b.Token)
	if !ok {
		t.Log("no evidence")
		return
	}
	id := string(b.signing[0])
	for _, kind := range b.signing {
		for _, nonce := range [][]byte{nil, []byte("n"), bytes.Repeat([]byte{7}, 32)} {
			e, err := a.AttestKey(b.ctx, string(kind), nonce)
			if errors.Is(err, hsm.ErrUnsupported) {
				t.Logf("no evidence for %s keys", kind)
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			checkEvidence(t, b, kind, nonce, e)
		}
	}
	if _, err := a.AttestKey(b.ctx, id, make([]byte, 33)); err == nil {
		t.Error("a nonce of 33 bytes is accepted")
	}
	if _, err := a.AttestKey(b.ctx, "nobody", nil); !errors.Is(err, hsm.ErrNoKey) && !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("evidence for a missing key: %v", err)
	}
	if b.wrapper != nil { // a token may describe its wrapping key, but that has no public half of a signing key
		if e, err := a.AttestKey(b.ctx, kek, nil); err == nil && e.Key.Type != hsm.KeyAESWrap {
			t.Errorf("evidence for a wrapping key calls it %q", e.Key.Type)
		}
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := a.AttestKey(ctx, id, nil); err == nil {
		t.Error("evidence under a context that is done")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AttestKey(b.ctx, id, nil); !errors.Is(err, hsm.ErrUnavailable) && !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("evidence of a closed token: %v", err)
	}
}

func checkEvidence(t *testing.T, b *bench, kind hsm.KeyType, nonce []byte, e hsm.KeyEvidence) {
	t.Helper()
	pub, err := b.PublicKey(b.ctx, string(kind))
	if err != nil {
		t.Fatal(err)
	}
	want, err := hsm.MarshalPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case e.Format == "":
		t.Errorf("%s: evidence without a format", kind)
	case !bytes.Equal(e.PublicKey, want):
		t.Errorf("%s: evidence for another public key", kind)
	case !bytes.Equal(e.Nonce, nonce):
		t.Errorf("%s: evidence for nonce %x, want %x", kind, e.Nonce, nonce)
	case e.Key.ID != string(kind) || e.Key.Type != kind:
		t.Errorf("%s: evidence for key %q of type %q", kind, e.Key.ID, e.Key.Type)
	case e.Key.Extractable:
		t.Errorf("%s: the key is extractable", kind)
	case e.Token.Provider != b.Provider():
		t.Errorf("%s: evidence of provider %q", kind, e.Token.Provider)
	case (len(e.Statement) == 0) != (len(e.Signature) == 0):
		t.Errorf("%s: a statement of %d bytes with a signature of %d", kind, len(e.Statement), len(e.Signature))
	}
}

// Goal: a counter counts up by one, for everyone, and is made once. Method: make it twice, count alone and at once, ask for one that
// is not there.
func testCounter(t *testing.T, b *bench) {
	c, ok := hsm.As[hsm.MonotonicCounter](b.Token)
	if !ok {
		t.Log("no counter")
		return
	}
	first, err := c.CreateCounter(b.ctx, "counter")
	if errors.Is(err, hsm.ErrUnsupported) {
		t.Log("the token has no counter")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	is := func(want uint64) {
		t.Helper()
		if v, err := c.Read(b.ctx, "counter"); err != nil || v != want {
			t.Errorf("it reads %d, %v, want %d", v, err, want)
		}
	}
	is(first)
	for i := range uint64(3) {
		if v, err := c.Increment(b.ctx, "counter"); err != nil || v != first+i+1 {
			t.Errorf("it counts to %d, %v, want %d", v, err, first+i+1)
		}
	}
	is(first + 3)
	_, err = c.CreateCounter(b.ctx, "counter")
	expect(t, "a counter made twice", err, hsm.ErrKeyExists)
	_, err = c.Increment(b.ctx, "nobody")
	expect(t, "increment of a missing counter", err, hsm.ErrNoKey)
	_, err = c.Read(b.ctx, "nobody")
	expect(t, "value of a missing counter", err, hsm.ErrNoKey)
	is(first + 3)

	const goroutines, rounds = 4, 3
	var mu sync.Mutex
	seen := map[uint64]string{}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range rounds {
				v, err := c.Increment(b.ctx, "counter")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if by, twice := seen[v]; twice {
					t.Errorf("value %d was given to %s and to %d", v, by, g)
				}
				seen[v] = fmt.Sprintf("%d, round %d", g, i)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	is(first + 3 + goroutines*rounds)
	second, err := c.CreateCounter(b.ctx, "second")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.Increment(b.ctx, "second"); err != nil || v != second+1 {
		t.Errorf("a second counter counts to %d, %v, want %d", v, err, second+1)
	}
	is(first + 3 + goroutines*rounds)
}
