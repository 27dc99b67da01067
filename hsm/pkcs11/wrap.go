package pkcs11

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// method is how a key wraps; it is the first byte of what it wrapped.
type method byte

// The methods. Numbers are never reused: what was wrapped must open for ever.
const (
	wrapGCM  method = 1 // AES-256-GCM in the token
	wrapAES  method = 2 // hybrid, the token evaluates AES-256-CBC
	wrapECDH method = 3 // hybrid, the token evaluates ECDH on P-256
	wrapRSA  method = 4 // hybrid, the token evaluates RSASSA-PKCS1-v1_5
)

// wrapTag ‖ the caller's aad is bound to what is wrapped.
const wrapTag = "mpcd/v1/hsm/wrap\x01"

func (m method) String() string {
	switch m {
	case wrapGCM:
		return "aes-gcm"
	case wrapAES:
		return "aes + local gcm"
	case wrapECDH:
		return "ecdh + local gcm"
	case wrapRSA:
		return "rsa + local gcm"
	}
	return fmt.Sprintf("method %d", byte(m))
}

// lens are the bytes of a wrapped secret beside the secret.
func (m method) overhead() int {
	switch m {
	case wrapGCM:
		return 1 + ivLen + tagLen
	case wrapAES, wrapECDH, wrapRSA:
		return 1 + saltLen + tagLen
	}
	return -1
}

// Wrap seals a secret of 1 to hsm.MaxWrap bytes with the key keyID, by the best method that the token and the key have.
// ErrUnsupported if there is none.
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
		f: func(s *session) ([]byte, error) {
			k, err := s.key(id, p11.CKO_SECRET_KEY)
			if err != nil {
				return nil, err
			}
			return s.seal(id, k, owned, bound)
		},
		after: func() { secret.Wipe(owned) },
	}.do(ctx, t)
}

// Unwrap opens what Wrap sealed. ErrIntegrity for another key, another aad or changed bytes. The caller wipes the result; the copy
// that the library's C memory held is freed, not wiped.
func (t *token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	id, err := t.keyID(keyID)
	if err != nil {
		return nil, err
	}
	if len(wrapped) == 0 || method(wrapped[0]).overhead() < 0 {
		return nil, fmt.Errorf("pkcs11: %w: not a secret that this version wrapped", hsm.ErrIntegrity)
	}
	if n := len(wrapped) - method(wrapped[0]).overhead(); n < 1 || n > hsm.MaxWrap {
		return nil, fmt.Errorf("pkcs11: %w: a wrapped secret of %d bytes", hsm.ErrIntegrity, len(wrapped))
	}
	owned, bound := bytes.Clone(wrapped), append([]byte(wrapTag), aad...)
	return job[[]byte]{
		f: func(s *session) ([]byte, error) {
			k, err := s.key(id, p11.CKO_SECRET_KEY)
			if err != nil {
				return nil, err
			}
			if !k.method.shares(method(owned[0])) {
				return nil, fmt.Errorf("pkcs11: unwrap with %q: %w: it was wrapped by %v, this key wraps by %v", id, hsm.ErrIntegrity,
					method(owned[0]), k.method)
			}
			return s.unseal(id, k, owned, bound)
		},
		undo: secret.Wipe,
	}.do(ctx, t)
}

// shares tells whether a key that wraps by m may have wrapped by other: the token may have learnt or lost AES-GCM since.
func (m method) shares(other method) bool {
	aes := func(m method) bool { return m == wrapGCM || m == wrapAES }
	return m == other || aes(m) && aes(other)
}

// WrapMethod says how the key wraps: "aes-gcm", "aes + local gcm", "ecdh + local gcm" or "rsa + local gcm".
func (t *token) WrapMethod(ctx context.Context, keyID string) (string, error) {
	id, err := t.keyID(keyID)
	if err != nil {
		return "", err
	}
	k, err := run(ctx, t, func(s *session) (*key, error) { return s.key(id, p11.CKO_SECRET_KEY) })
	if err != nil {
		return "", err
	}
	return k.method.String(), nil
}

func (s *session) seal(id string, k *key, plain, bound []byte) ([]byte, error) {
	if k.method == wrapGCM {
		return s.sealGCM(id, k, plain, bound)
	}
	return s.sealHybrid(id, k, plain, bound)
}

func (s *session) unseal(id string, k *key, wrapped, bound []byte) ([]byte, error) {
	if method(wrapped[0]) == wrapGCM {
		return s.unsealGCM(id, k, wrapped, bound)
	}
	return s.unsealHybrid(id, k, wrapped, bound)
}

// wrappingKey is the key with that label that wraps: an AES-256 key, or a pair that bears the mark. How it wraps is found by trial.
func (s *session) wrappingKey(id string) (*key, error) {
	o, err := s.one(id, p11.CKO_SECRET_KEY)
	if errors.Is(err, hsm.ErrKeyType) {
		o, err = s.one(id, p11.CKO_PRIVATE_KEY)
	}
	if err != nil {
		return nil, err
	}
	kind, err := s.kind(o)
	if err != nil {
		return nil, explain(fmt.Sprintf("read key %q", id), err)
	}
	if kind != hsm.KeyAESWrap {
		return nil, fmt.Errorf("pkcs11: %w: key %q in %s is not for wrapping", hsm.ErrKeyType, id, s.tok.name())
	}
	k := &key{handle: o, kind: kind}
	keyType, err := s.number(o, p11.CKA_KEY_TYPE)
	if err != nil {
		return nil, explain(fmt.Sprintf("read key %q", id), err)
	}
	methods := []method{wrapGCM, wrapAES}
	if keyType != p11.CKK_AES {
		if k.public, err = s.publicHalf(id, o); err != nil {
			return nil, err
		}
		methods = []method{wrapECDH}
		if keyType == p11.CKK_RSA {
			methods = []method{wrapRSA}
		}
	}
	s.warnIfReadable(id, o)
	return k, s.choose(id, k, methods)
}

// choose sets the first method that opens what it seals. What a token lists is not what it can: NSS 3.87 lists AES-GCM and fails.
func (s *session) choose(id string, k *key, methods []method) error {
	last := fmt.Errorf("pkcs11: wrap with %q: %w: %s lists no mechanism for it", id, hsm.ErrUnsupported, s.tok.name())
	for _, m := range methods {
		if ok, err := s.offersMethod(m); err != nil {
			return err
		} else if !ok {
			continue
		}
		k.method = m
		err := s.proveKey(id, k)
		if err == nil {
			return nil
		}
		if lost(err) || stale(err) || s.ctx.Err() != nil {
			return err
		}
		last = fmt.Errorf("pkcs11: wrap with %q: %w: trial of %v: %w", id, hsm.ErrUnsupported, m, err)
		if err := s.renew(); err != nil {
			return err
		}
	}
	return last
}

func (s *session) offersMethod(m method) (bool, error) {
	switch m {
	case wrapGCM:
		return s.offers(p11.CKM_AES_GCM, p11.CKF_ENCRYPT)
	case wrapAES:
		cbc, err := s.offers(p11.CKM_AES_CBC, p11.CKF_ENCRYPT)
		if cbc || err != nil {
			return cbc, err
		}
		return s.offers(p11.CKM_AES_ECB, p11.CKF_ENCRYPT)
	case wrapECDH:
		return s.offers(p11.CKM_ECDH1_DERIVE, p11.CKF_DERIVE)
	}
	return s.offers(p11.CKM_RSA_PKCS, p11.CKF_SIGN)
}

// proveKey seals and opens a known secret.
func (s *session) proveKey(id string, k *key) error {
	known := []byte("a secret that everyone may know!")
	sealed, err := s.seal(id, k, known, []byte(wrapTag))
	if err != nil {
		return err
	}
	back, err := s.unseal(id, k, sealed, []byte(wrapTag))
	if err == nil && !bytes.Equal(back, known) {
		err = fmt.Errorf("pkcs11: %w: %s opened a secret wrongly", hsm.ErrUnavailable, s.tok.name())
	}
	return err
}
