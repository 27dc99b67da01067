package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/internal/secret"
)

// selfTestTag opens every message that a self-test signs, so that none of them is anything else.
const selfTestTag = "mpcd/v1/hsm/self-test"

// SelfTest proves at boot that the token can do with the keys what the node will ask for; any error ends the boot. Each key
// needs its ID and Type (KeyAESWrap, or what kind of signing key it must be); the other fields of KeyInfo are not read.
//
// A signing key signs a fresh message; the signature must verify in the token's driver and with the public key alone, and not
// for another message. A wrapping key wraps and unwraps a fresh secret, and must refuse another aad and changed bytes.
func SelfTest(ctx context.Context, t Token, keys ...KeyInfo) error {
	if _, err := t.Info(ctx); err != nil {
		return fmt.Errorf("hsm: self-test: %w", err)
	}
	for _, k := range keys {
		test := testSigning
		if k.Type == KeyAESWrap {
			test = testWrapping
		}
		if err := test(ctx, t, k); err != nil {
			return fmt.Errorf("hsm: self-test of key %q in %s: %w", k.ID, t.Provider(), err)
		}
	}
	return nil
}

func testSigning(ctx context.Context, t Token, k KeyInfo) error {
	message := append([]byte(selfTestTag), make([]byte, 32)...)
	_, _ = rand.Read(message[len(selfTestTag):])
	sig, err := t.Sign(ctx, k.ID, message)
	if err != nil {
		return err
	}
	check := func(message []byte) (bool, error) { return t.Verify(ctx, k.ID, message, sig) }
	if p, ok := As[PublicKeyer](t); ok {
		pub, err := p.PublicKey(ctx, k.ID)
		if err != nil {
			return err
		}
		if got := TypeOf(pub); got != k.Type {
			return fmt.Errorf("%w: it is %s, want %s", ErrKeyType, got, k.Type)
		}
		check = func(message []byte) (bool, error) { return verifyBoth(ctx, t, k.ID, pub, message, sig) }
	}
	if ok, err := check(message); err != nil || !ok {
		return errors.Join(errors.New("its signature does not verify"), err)
	}
	message[len(message)-1] ^= 1
	if ok, err := check(message); err != nil || ok {
		return errors.Join(errors.New("its signature verifies for another message"), err)
	}
	return nil
}

// verifyBoth asks the driver and the public key; they must agree.
func verifyBoth(ctx context.Context, t Token, keyID string, pub crypto.PublicKey, message, sig []byte) (bool, error) {
	a, err := t.Verify(ctx, keyID, message, sig)
	if err != nil {
		return false, err
	}
	b, err := Verify(pub, message, sig)
	if err != nil {
		return false, err
	}
	if a != b {
		return false, errors.New("the driver and the public key disagree on a signature")
	}
	return a, nil
}

func testWrapping(ctx context.Context, t Token, k KeyInfo) error {
	w, ok := As[KeyWrapper](t)
	if !ok {
		return fmt.Errorf("%w: it wraps no keys", ErrUnsupported)
	}
	dek := make([]byte, 32)
	_, _ = rand.Read(dek)
	defer secret.Wipe(dek)
	aad := []byte(selfTestTag)
	wrapped, err := w.Wrap(ctx, k.ID, dek, aad)
	if err != nil {
		return err
	}
	back, err := w.Unwrap(ctx, k.ID, wrapped, aad)
	if err != nil {
		return err
	}
	defer secret.Wipe(back)
	if subtle.ConstantTimeCompare(back, dek) != 1 {
		return errors.New("what it unwraps is not what it wrapped")
	}
	if bytes.Contains(wrapped, dek) {
		return errors.New("the wrapped secret is in the clear")
	}
	if _, err := w.Unwrap(ctx, k.ID, wrapped, append(aad, '!')); !errors.Is(err, ErrIntegrity) {
		return errors.Join(errors.New("it does not refuse another aad"), err)
	}
	wrapped[len(wrapped)-1] ^= 1
	if _, err := w.Unwrap(ctx, k.ID, wrapped, aad); !errors.Is(err, ErrIntegrity) {
		return errors.Join(errors.New("it does not refuse changed bytes"), err)
	}
	return nil
}

// Abilities lists what the token's driver offers beside signing, for logs and `mpcd hsm list`. Whether the token itself can,
// only SelfTest tells.
func Abilities(t Token) []string {
	var names []string
	add := func(name string, ok bool) {
		if ok {
			names = append(names, name)
		}
	}
	_, ok := As[PublicKeyer](t)
	add("public-key", ok)
	_, ok = As[KeyWrapper](t)
	add("wrap", ok)
	_, ok = As[KeyGenerator](t)
	add("generate", ok)
	_, ok = As[KeyLister](t)
	add("list", ok)
	_, ok = As[RandomSource](t)
	add("random", ok)
	_, ok = As[MonotonicCounter](t)
	add("counter", ok)
	_, ok = As[KeyAttester](t)
	add("evidence", ok)
	return names
}
