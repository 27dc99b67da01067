package pkcs11

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// Wrapped by methods 2 to 4, a secret is the method (1 byte) ‖ salt (32 bytes) ‖ AES-256-GCM ciphertext ‖ tag (16 bytes), encrypted here
// with additional data wrapTag ‖ aad and a nonce of zeros, under a key that serves this one salt:
//
//	K = HKDF-SHA-256(F(salt), salt, hybridTag ‖ method)        (RFC 5869; SP 800-56C revision 2, §5)
//
// F is a function that the token alone can evaluate (prf.go). So what is wrapped is confidential and authentic, like method 1's:
// nobody makes a wrapped secret without the token, nor with a public key [X]. RSA-OAEP and ECIES would keep the secret just as well, but
// let anyone with the public key put another in its place, and the vault's pointers hang on this key.
const (
	saltLen   = 32
	hybridTag = "mpcd/v1/hsm/hybrid\x01"
)

// sealHybrid encrypts under a fresh salt. The token evaluates F twice: from a wrong value nothing would ever be opened again.
func (s *session) sealHybrid(id string, k *key, plain, bound []byte) ([]byte, error) {
	out := make([]byte, 1+saltLen, 1+saltLen+len(plain)+tagLen)
	out[0] = byte(k.method)
	_, _ = rand.Read(out[1:])
	value, err := s.evaluateTwice(id, k, k.method, out[1:])
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(value)
	aead, err := hybridAEAD(value, out[1:1+saltLen], k.method)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, make([]byte, aead.NonceSize()), plain, bound), nil
}

// unsealHybrid decrypts. What does not decrypt is ErrIntegrity, unless the token gives another value when it is asked again.
func (s *session) unsealHybrid(id string, k *key, wrapped, bound []byte) ([]byte, error) {
	m, salt := method(wrapped[0]), wrapped[1:1+saltLen]
	value, err := s.evaluate(id, k, m, salt)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(value)
	aead, err := hybridAEAD(value, salt, m)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), wrapped[1+saltLen:], bound)
	if err == nil {
		return plain, nil
	}
	again, err := s.evaluateTwice(id, k, m, salt)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(again)
	if subtle.ConstantTimeCompare(value, again) != 1 {
		return nil, s.inconsistent(id)
	}
	return nil, fmt.Errorf("pkcs11: unwrap with %q: %w", id, hsm.ErrIntegrity)
}

func (s *session) evaluateTwice(id string, k *key, m method, salt []byte) ([]byte, error) {
	one, err := s.evaluate(id, k, m, salt)
	if err != nil {
		return nil, err
	}
	two, err := s.evaluate(id, k, m, salt)
	if err != nil {
		secret.Wipe(one)
		return nil, err
	}
	defer secret.Wipe(two)
	if subtle.ConstantTimeCompare(one, two) != 1 {
		secret.Wipe(one)
		return nil, s.inconsistent(id)
	}
	return one, nil
}

func (s *session) inconsistent(id string) error {
	return fmt.Errorf("pkcs11: %w: %s is at fault: it answers differently to the same question about key %q", hsm.ErrUnavailable,
		s.tok.name(), id)
}

func hybridAEAD(value, salt []byte, m method) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, value, salt, hybridTag+string([]byte{byte(m)}), 32)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(k)
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
