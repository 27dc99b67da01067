package local

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// secretLen is the length of every key's secret, in bytes.
const secretLen = 32

// key is one key; the token owns its secret.
type key struct {
	kind   hsm.KeyType
	secret *secret.Bytes
	public crypto.PublicKey // of a signing key
}

// newKey takes the secret over; it wipes it on an error.
func newKey(kind hsm.KeyType, s *secret.Bytes) (*key, error) {
	k := &key{kind: kind, secret: s}
	err := k.init()
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return k, nil
}

func (k *key) init() error {
	if k.secret.Len() != secretLen {
		return fmt.Errorf("secret of %d bytes, want %d", k.secret.Len(), secretLen)
	}
	switch k.kind {
	case hsm.KeyEd25519:
		private := ed25519.NewKeyFromSeed(k.secret.Bytes())
		defer secret.Wipe(private)
		k.public = private.Public()
	case hsm.KeyP256:
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.secret.Bytes())
		if err != nil {
			return errors.New("not a scalar of P-256")
		}
		k.public = &private.PublicKey
	case hsm.KeyAESWrap:
	default:
		return fmt.Errorf("%w: key type %q", hsm.ErrUnsupported, k.kind)
	}
	return nil
}

// generateKey draws a secret until it is one; for P-256 a second draw has a chance of 2⁻³².
func generateKey(kind hsm.KeyType) (*key, error) {
	for {
		s := secret.New(secretLen)
		_, _ = rand.Read(s.Bytes())
		k, err := newKey(kind, s)
		if err == nil || errors.Is(err, hsm.ErrUnsupported) {
			return k, err
		}
	}
}

func (k *key) sign(message []byte) ([]byte, error) {
	switch k.kind {
	case hsm.KeyEd25519:
		private := ed25519.NewKeyFromSeed(k.secret.Bytes())
		defer secret.Wipe(private)
		return ed25519.Sign(private, message), nil
	case hsm.KeyP256:
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.secret.Bytes())
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig, nil
	}
	return nil, hsm.ErrKeyType
}

// A wrapped secret is version (1 byte) ‖ IV (12 bytes) ‖ AES-256-GCM ciphertext ‖ tag (16 bytes), with wrapTag ‖ aad as the
// additional data: the form of package pkcs11, under a tag of its own.
const (
	wrapVersion = 1
	wrapTag     = "mpcd/v1/hsm/local/wrap\x01"
	ivLen       = 12
	tagLen      = 16
)

func (k *key) wrap(dek, aad []byte) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	out := make([]byte, 1+ivLen, 1+ivLen+len(dek)+tagLen)
	out[0] = wrapVersion
	_, _ = rand.Read(out[1:])
	return aead.Seal(out, out[1:], dek, append([]byte(wrapTag), aad...)), nil
}

func (k *key) unwrap(wrapped, aad []byte) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	if n := len(wrapped) - 1 - ivLen - tagLen; n < 1 || n > hsm.MaxWrap || wrapped[0] != wrapVersion {
		return nil, fmt.Errorf("%w: not a wrapped secret of version %d", hsm.ErrIntegrity, wrapVersion)
	}
	dek, err := aead.Open(nil, wrapped[1:1+ivLen], wrapped[1+ivLen:], append([]byte(wrapTag), aad...))
	if err != nil {
		return nil, hsm.ErrIntegrity
	}
	return dek, nil
}

func (k *key) aead() (cipher.AEAD, error) {
	if k.kind != hsm.KeyAESWrap {
		return nil, hsm.ErrKeyType
	}
	block, err := aes.NewCipher(k.secret.Bytes())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
