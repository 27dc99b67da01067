package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	dekLen = 32 // AES-256
	// bodyOverhead is what the body is longer than the secret: nonce 12, tag 16.
	bodyOverhead = 28
)

// envelope is a sealed secret: three values that a Store keeps apart, so that erasing the small ones is cheap.
type envelope struct {
	header []byte // canonical CBOR
	dek    []byte // the DEK, wrapped by the KEK; AAD is the header's hash
	body   []byte // nonce | AES-256-GCM ciphertext | tag; AAD is the header
}

// sealer wraps with one KEK.
type sealer struct {
	wrapper hsm.KeyWrapper
	kek     string
	rand    io.Reader
}

func headerHash(header []byte) []byte {
	h := canon.Hash("mpcd/v1/vault/header", header)
	return h[:]
}

// seal encrypts the secret under a fresh DEK. It keeps neither.
func (s sealer) seal(ctx context.Context, h header, plain []byte) (envelope, error) {
	e := envelope{header: canon.MustMarshal(h)}
	dek := secret.New(dekLen)
	defer dek.Wipe()
	if _, err := io.ReadFull(s.rand, dek.Bytes()); err != nil {
		return envelope{}, fmt.Errorf("no randomness: %w", err)
	}
	wrapped, err := s.wrapper.Wrap(ctx, s.kek, dek.Bytes(), headerHash(e.header))
	if err != nil {
		return envelope{}, fmt.Errorf("wrap with KEK %s: %w", s.kek, err)
	}
	e.dek = wrapped
	e.body = bodyCipher(dek).Seal(nil, nil, plain, e.header)
	return e, nil
}

// open decrypts into secret memory, owned by the caller. ErrIntegrity for any change in any of the three values.
func (s sealer) open(ctx context.Context, e envelope) (*secret.Bytes, error) {
	if len(e.body) < bodyOverhead || len(e.body) > MaxSecret+bodyOverhead {
		return nil, fmt.Errorf("body of %d bytes: %w", len(e.body), ErrIntegrity)
	}
	b, err := s.wrapper.Unwrap(ctx, s.kek, e.dek, headerHash(e.header))
	if errors.Is(err, hsm.ErrIntegrity) {
		return nil, fmt.Errorf("unwrap with KEK %s: %w: %w", s.kek, ErrIntegrity, err)
	}
	if err != nil {
		return nil, fmt.Errorf("unwrap with KEK %s: %w", s.kek, err)
	}
	dek := secret.From(b)
	defer dek.Wipe()
	if dek.Len() != dekLen {
		return nil, fmt.Errorf("DEK of %d bytes: %w", dek.Len(), ErrIntegrity)
	}
	plain := secret.New(len(e.body) - bodyOverhead)
	if _, err := bodyCipher(dek).Open(plain.Bytes()[:0], nil, e.body, e.header); err != nil {
		plain.Wipe()
		return nil, fmt.Errorf("body: %w", ErrIntegrity)
	}
	return plain, nil
}

// bodyCipher is AES-256-GCM with a random nonce before the ciphertext (NIST SP 800-38D §8.2.2); the key seals one body only.
// The key schedule stays in the Go heap until collected: crypto/aes offers no way to wipe it.
func bodyCipher(dek *secret.Bytes) cipher.AEAD {
	block, err := aes.NewCipher(dek.Bytes())
	if err != nil {
		panic("vault: " + err.Error())
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("vault: " + err.Error())
	}
	return gcm
}

// sealedHash pins the two sealed values in the pointer.
func (e envelope) sealedHash() [sha256.Size]byte {
	return canon.Hash("mpcd/v1/vault/sealed", e.dek, e.body)
}
