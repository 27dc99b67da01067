package vaulttest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"sync/atomic"

	"github.com/luxfi/mpcd/hsm"
)

// Wrapper is an hsm.KeyWrapper in software: AES-256-GCM with a random key per key ID. For tests only.
type Wrapper struct {
	keys map[string]cipher.AEAD
	// Calls counts what would be calls to hardware.
	Calls atomic.Int64
	// Down makes every call fail with hsm.ErrUnavailable.
	Down atomic.Bool
}

// NewWrapper returns a token with those keys, different from every other's.
func NewWrapper(keyIDs ...string) *Wrapper {
	keys := make(map[string][]byte)
	for _, id := range keyIDs {
		keys[id] = make([]byte, 32)
		_, _ = rand.Read(keys[id])
	}
	return NewWrapperOf(keys)
}

// NewWrapperOf returns a token with those keys of 32 bytes.
func NewWrapperOf(keys map[string][]byte) *Wrapper {
	w := &Wrapper{keys: make(map[string]cipher.AEAD)}
	for id, k := range keys {
		block, err := aes.NewCipher(k)
		if err == nil {
			w.keys[id], err = cipher.NewGCMWithRandomNonce(block)
		}
		if err != nil {
			panic(err)
		}
	}
	return w
}

func (w *Wrapper) key(ctx context.Context, id string) (cipher.AEAD, error) {
	w.Calls.Add(1)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.Down.Load() {
		return nil, fmt.Errorf("vaulttest: %w", hsm.ErrUnavailable)
	}
	k, ok := w.keys[id]
	if !ok {
		return nil, fmt.Errorf("vaulttest: key %q: %w", id, hsm.ErrNoKey)
	}
	return k, nil
}

// Wrap implements hsm.KeyWrapper.
func (w *Wrapper) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	k, err := w.key(ctx, keyID)
	if err != nil {
		return nil, err
	}
	return k.Seal(nil, nil, dek, aad), nil
}

// Unwrap implements hsm.KeyWrapper.
func (w *Wrapper) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	k, err := w.key(ctx, keyID)
	if err != nil {
		return nil, err
	}
	b, err := k.Open(nil, nil, wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("vaulttest: %w", hsm.ErrIntegrity)
	}
	return b, nil
}
