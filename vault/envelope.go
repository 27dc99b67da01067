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
	dek    []byte // the DEK, wrapped by the KEK; AAD is the header's hash. A pairedDEK where the vault has recovery
	body   []byte // nonce | AES-256-GCM ciphertext | tag; AAD is the header
}

// sealer wraps with one KEK.
type sealer struct {
	wrapper hsm.KeyWrapper
	kek     string
	rand    io.Reader
	// recoverable says that every wrapped DEK is a pairedDEK.
	recoverable bool
}

func headerHash(header []byte) []byte {
	h := canon.Hash("mpcd/v1/vault/header", header)
	return h[:]
}

// seal encrypts the secret under a fresh DEK, which it seals to the session too if there is one. It keeps neither.
func (s sealer) seal(ctx context.Context, h header, plain []byte, ses *session) (envelope, error) {
	e := envelope{header: canon.MustMarshal(h)}
	dek := secret.New(dekLen)
	defer dek.Wipe()
	if _, err := io.ReadFull(s.rand, dek.Bytes()); err != nil {
		return envelope{}, fmt.Errorf("no randomness: %w", err)
	}
	wrapped, err := s.wrap(ctx, dek, e.header)
	if err != nil {
		return envelope{}, err
	}
	e.dek = ses.pair(wrapped, dek, e.header)
	e.body = bodyCipher(dek).Seal(nil, nil, plain, e.header)
	return e, nil
}

func (s sealer) wrap(ctx context.Context, dek *secret.Bytes, header []byte) ([]byte, error) {
	wrapped, err := s.wrapper.Wrap(ctx, s.kek, dek.Bytes(), headerHash(header))
	if err != nil {
		return nil, fmt.Errorf("wrap with KEK %s: %w", s.kek, err)
	}
	return wrapped, nil
}

// open decrypts into secret memory, owned by the caller. ErrIntegrity for any change in any of the three values.
func (s sealer) open(ctx context.Context, e envelope) (*secret.Bytes, error) {
	if err := checkBody(e.body); err != nil {
		return nil, err
	}
	dek, err := s.unwrap(ctx, e)
	if err != nil {
		return nil, err
	}
	defer dek.Wipe()
	return openBody(dek, e)
}

// unwrap has the token open the DEK, owned by the caller.
func (s sealer) unwrap(ctx context.Context, e envelope) (*secret.Bytes, error) {
	wrapped := e.dek
	if s.recoverable {
		p, err := decodePairedDEK(e.dek)
		if err != nil {
			return nil, err
		}
		wrapped = p.Wrapped
	}
	b, err := s.wrapper.Unwrap(ctx, s.kek, wrapped, headerHash(e.header))
	if errors.Is(err, hsm.ErrIntegrity) {
		return nil, fmt.Errorf("unwrap with KEK %s: %w: %w", s.kek, ErrIntegrity, err)
	}
	if err != nil {
		return nil, fmt.Errorf("unwrap with KEK %s: %w", s.kek, err)
	}
	dek := secret.From(b)
	if dek.Len() != dekLen {
		defer dek.Wipe()
		return nil, fmt.Errorf("DEK of %d bytes: %w", dek.Len(), ErrIntegrity)
	}
	return dek, nil
}

func checkBody(body []byte) error {
	if len(body) < bodyOverhead || len(body) > MaxSecret+bodyOverhead {
		return fmt.Errorf("body of %d bytes: %w", len(body), ErrIntegrity)
	}
	return nil
}

// openBody decrypts the body into secret memory, owned by the caller.
func openBody(dek *secret.Bytes, e envelope) (*secret.Bytes, error) {
	if err := checkBody(e.body); err != nil {
		return nil, err
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
