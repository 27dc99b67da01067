package pkcs11

import (
	"crypto/rand"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// Wrapped by method 1, a secret is 1 (1 byte) ‖ IV (12 bytes) ‖ AES-256-GCM ciphertext ‖ tag (16 bytes). IVs are random, so a key must
// not wrap more than 2³² secrets (NIST SP 800-38D §8.3).
const (
	ivLen  = 12
	tagLen = 16
)

// sealGCM encrypts under a fresh IV, or the one that the token chose in its place.
func (s *session) sealGCM(id string, k *key, plain, bound []byte) ([]byte, error) {
	iv := make([]byte, ivLen)
	_, _ = rand.Read(iv)
	params := p11.NewGCMParams(iv, bound, tagLen*8)
	defer params.Free()
	if err := s.lib.EncryptInit(s.handle, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)}, k.handle); err != nil {
		return nil, explain(fmt.Sprintf("wrap with %q by AES-GCM", id), err)
	}
	sealed, err := s.lib.Encrypt(s.handle, plain)
	if err != nil {
		return nil, explain(fmt.Sprintf("wrap with %q by AES-GCM", id), err)
	}
	if used := params.IV(); len(used) == ivLen {
		iv = used
	}
	if len(sealed) != len(plain)+tagLen {
		return nil, fmt.Errorf("pkcs11: %w: AES-GCM of %s gave %d bytes for %d", hsm.ErrUnsupported, s.tok.name(), len(sealed), len(plain))
	}
	return append(append([]byte{byte(wrapGCM)}, iv...), sealed...), nil
}

// unsealGCM decrypts in the token. Some tokens say CKR_GENERAL_ERROR to a wrong tag and to a fault alike: what a token refuses is
// ErrIntegrity if it opens what it just sealed, and the token's fault if not.
func (s *session) unsealGCM(id string, k *key, wrapped, bound []byte) ([]byte, error) {
	plain, err := s.decryptGCM(id, k, wrapped, bound)
	if !errors.Is(err, errRefused) {
		return plain, err
	}
	refusal := rv(err)
	if err := s.renew(); err != nil {
		return nil, err
	}
	if fault := s.proveGCM(id, k); fault != nil {
		return nil, fmt.Errorf("pkcs11: unwrap with %q: the token is at fault: %w", id, fault)
	}
	return nil, fmt.Errorf("pkcs11: unwrap with %q: %w (%w)", id, hsm.ErrIntegrity, refusal)
}

// errRefused stands for a decryption that the token refused, for whatever reason.
var errRefused = errors.New("decryption refused")

func (s *session) decryptGCM(id string, k *key, wrapped, bound []byte) ([]byte, error) {
	params := p11.NewGCMParams(wrapped[1:1+ivLen], bound, tagLen*8)
	defer params.Free()
	if err := s.lib.DecryptInit(s.handle, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)}, k.handle); err != nil {
		return nil, explain(fmt.Sprintf("unwrap with %q by AES-GCM", id), err)
	}
	plain, err := s.lib.Decrypt(s.handle, wrapped[1+ivLen:])
	switch rv(err) {
	case p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED, p11.CKR_ENCRYPTED_DATA_INVALID, p11.CKR_ENCRYPTED_DATA_LEN_RANGE,
		p11.CKR_DATA_INVALID, p11.CKR_SIGNATURE_INVALID, ckrAEADDecryptFailed:
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return nil, explain(fmt.Sprintf("unwrap with %q by AES-GCM", id), err)
	}
	return plain, nil
}

// proveGCM seals and opens a known secret.
func (s *session) proveGCM(id string, k *key) error {
	known := []byte("a secret that everyone may know!")
	sealed, err := s.sealGCM(id, k, known, []byte(wrapTag))
	if err != nil {
		return err
	}
	back, err := s.decryptGCM(id, k, sealed, []byte(wrapTag))
	if errors.Is(err, errRefused) {
		return fmt.Errorf("%w: it does not open what it sealed: %w", hsm.ErrUnavailable, rv(err))
	}
	if err == nil && string(back) != string(known) {
		err = fmt.Errorf("%w: it opened a secret wrongly", hsm.ErrUnavailable)
	}
	return err
}
