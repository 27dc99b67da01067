package pkcs11

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// A wrapped secret is version (1 byte) ‖ IV (12 bytes) ‖ AES-256-GCM ciphertext ‖ tag (16 bytes). The additional data is
// wrapTag ‖ aad. IVs are random, so a key must not wrap more than 2³² secrets (NIST SP 800-38D §8.3).
const (
	wrapVersion = 1
	wrapTag     = "mpcd/v1/hsm/wrap\x01"
	ivLen       = 12
	tagLen      = 16
)

// Wrap seals a secret of 1 to hsm.MaxWrap bytes with the AES-256 key keyID, in the token. ErrUnsupported if the token has no
// AES-GCM.
func (t *token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		return nil, fmt.Errorf("pkcs11: wrap: secret of %d bytes, must be 1 to %d", len(dek), hsm.MaxWrap)
	}
	id, err := t.keyID(keyID)
	if err != nil {
		return nil, err
	}
	owned := bytes.Clone(dek)
	bound := append([]byte(wrapTag), aad...)
	return job[[]byte]{
		f:     func(s *session) ([]byte, error) { return s.seal(id, owned, bound) },
		after: func() { secret.Wipe(owned) },
	}.do(ctx, t)
}

// seal encrypts under a fresh IV, or the one that the token chose in its place.
func (s *session) seal(id string, plain, bound []byte) ([]byte, error) {
	k, err := s.key(id, p11.CKO_SECRET_KEY)
	if err != nil {
		return nil, err
	}
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
	return append(append([]byte{wrapVersion}, iv...), sealed...), nil
}

// Unwrap opens what Wrap sealed, in the token. ErrIntegrity for another key, another aad or changed bytes. The caller wipes the
// result; the copy that the library's C memory held is freed, not wiped.
func (t *token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	id, err := t.keyID(keyID)
	if err != nil {
		return nil, err
	}
	if n := len(wrapped) - 1 - ivLen - tagLen; n < 1 || n > hsm.MaxWrap || wrapped[0] != wrapVersion {
		return nil, fmt.Errorf("pkcs11: %w: not a wrapped secret of version %d", hsm.ErrIntegrity, wrapVersion)
	}
	owned, bound := bytes.Clone(wrapped), append([]byte(wrapTag), aad...)
	plain, err := job[[]byte]{
		f:    func(s *session) ([]byte, error) { return s.unseal(id, owned, bound) },
		undo: secret.Wipe,
	}.do(ctx, t)
	if !errors.Is(err, errRefused) {
		return plain, err
	}
	// Some tokens say CKR_GENERAL_ERROR to a wrong tag and to a fault alike. A token that opens what it just sealed is sound.
	if fault := t.proveKey(ctx, id); fault != nil {
		return nil, fmt.Errorf("pkcs11: unwrap with %q: the token is at fault: %w", id, fault)
	}
	return nil, fmt.Errorf("pkcs11: unwrap with %q: %w (%w)", id, hsm.ErrIntegrity, rv(err))
}

// errRefused stands for a decryption that the token refused, for whatever reason.
var errRefused = errors.New("decryption refused")

func (s *session) unseal(id string, wrapped, bound []byte) ([]byte, error) {
	k, err := s.key(id, p11.CKO_SECRET_KEY)
	if err != nil {
		return nil, err
	}
	params := p11.NewGCMParams(wrapped[1:1+ivLen], bound, tagLen*8)
	defer params.Free()
	if err := s.lib.DecryptInit(s.handle, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)}, k.handle); err != nil {
		return nil, explain(fmt.Sprintf("unwrap with %q by AES-GCM", id), err)
	}
	plain, err := s.lib.Decrypt(s.handle, wrapped[1+ivLen:])
	switch rv(err) {
	case p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED, p11.CKR_ENCRYPTED_DATA_INVALID, p11.CKR_ENCRYPTED_DATA_LEN_RANGE, p11.CKR_DATA_INVALID,
		p11.CKR_SIGNATURE_INVALID, ckrAEADDecryptFailed:
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return nil, explain(fmt.Sprintf("unwrap with %q by AES-GCM", id), err)
	}
	return plain, nil
}

// proveKey seals and opens a known secret.
func (t *token) proveKey(ctx context.Context, id string) error {
	known := []byte("a secret that everyone may know!")
	back, err := run(ctx, t, func(s *session) ([]byte, error) {
		sealed, err := s.seal(id, known, []byte(wrapTag))
		if err != nil {
			return nil, err
		}
		return s.unseal(id, sealed, []byte(wrapTag))
	})
	if err == nil && subtle.ConstantTimeCompare(back, known) != 1 {
		err = fmt.Errorf("%w: it opened a secret wrongly", hsm.ErrUnavailable)
	}
	if errors.Is(err, errRefused) {
		err = fmt.Errorf("%w: it does not open what it sealed: %w", hsm.ErrUnavailable, rv(err))
	}
	return err
}
