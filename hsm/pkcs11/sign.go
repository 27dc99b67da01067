package pkcs11

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// pssSalt is the length of the salt, in bytes (hsm.KeyRSA3072).
const pssSalt = sha256.Size

// ckgMGF1SHA256 is MGF1 with SHA-256 (PKCS#11 v2.40 §2.1.7).
const ckgMGF1SHA256 = 2

// way is a mechanism that makes the signature: over the digest, or over the message for tokens that will hash themselves.
type way struct {
	name      string
	mechanism uint
	parameter func() []byte
	hashes    bool // it takes the message
}

func none() []byte { return nil }
func pss() []byte  { return p11.NewPSSParams(p11.CKM_SHA256, ckgMGF1SHA256, pssSalt) }

// ways are the mechanisms for a type of key, best first. The digest is made here where the token lets us, since not every one hashes.
var ways = map[hsm.KeyType][]way{
	hsm.KeyP256:      {{"ECDSA", p11.CKM_ECDSA, none, false}, {"ECDSA-SHA256", p11.CKM_ECDSA_SHA256, none, true}},
	hsm.KeySecp256k1: {{"ECDSA", p11.CKM_ECDSA, none, false}, {"ECDSA-SHA256", p11.CKM_ECDSA_SHA256, none, true}},
	hsm.KeyEd25519:   {{"EdDSA", ckmEDDSA, none, true}},
	hsm.KeyRSA3072:   {{"RSA-PSS", p11.CKM_RSA_PKCS_PSS, pss, false}, {"SHA256-RSA-PSS", p11.CKM_SHA256_RSA_PKCS_PSS, pss, true}},
}

// Sign signs with the private key keyID: ECDSA over SHA-256 as raw r‖s of 64 bytes, Ed25519 (64 bytes), or RSASSA-PSS with SHA-256
// (384 bytes). Errors: ErrNoKey, ErrAmbiguous, ErrKeyType, ErrUnsupported, ErrUnavailable.
func (t *token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	id, err := t.keyID(keyID)
	if err != nil {
		return nil, err
	}
	digest, owned := sha256.Sum256(message), bytes.Clone(message)
	return run(ctx, t, func(s *session) ([]byte, error) {
		k, err := s.key(id, p11.CKO_PRIVATE_KEY)
		if err != nil {
			return nil, err
		}
		return s.sign(id, k, digest[:], owned)
	})
}

// sign tries the ways of the key that the token lists, and verifies the signature unless the caller does.
func (s *session) sign(id string, k *key, digest, message []byte) ([]byte, error) {
	last := fmt.Errorf("pkcs11: sign with %q: %w: %s lists no mechanism for %s keys", id, hsm.ErrUnsupported, s.tok.name(), k.kind)
	for _, w := range ways[k.kind] {
		if ok, err := s.offers(w.mechanism, p11.CKF_SIGN); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		input := digest
		if w.hashes {
			input = message
		}
		sig, err := s.signBy(w, k.handle, input)
		if err != nil {
			last = explain(fmt.Sprintf("sign with %q by %s", id, w.name), err)
			if errors.Is(last, hsm.ErrUnsupported) {
				if err := s.renew(); err != nil {
					return nil, err
				}
				continue
			}
			return nil, last
		}
		// A wrong Ed25519 signature can give the key away (Romailler and Pelissier, "Practical fault attack against the Ed25519 and
		// EdDSA signature schemes", 2017), a wrong RSA signature too (Boneh, DeMillo and Lipton, EUROCRYPT 1997), and one of any kind
		// helps nobody.
		if s.tok.options.Verified { // the node does
			return sig, nil
		}
		if ok, err := hsm.Verify(k.public, message, sig); err != nil || !ok {
			return nil, fmt.Errorf("pkcs11: %w: %s made a signature with %q that does not verify; it was dropped", hsm.ErrUnavailable,
				s.tok.name(), id)
		}
		return sig, nil
	}
	return nil, last
}

// signBy signs in the token; the errors are the library's.
func (s *session) signBy(w way, o p11.ObjectHandle, input []byte) ([]byte, error) {
	if err := s.lib.SignInit(s.handle, []*p11.Mechanism{p11.NewMechanism(w.mechanism, w.parameter())}, o); err != nil {
		return nil, err
	}
	return s.lib.Sign(s.handle, input)
}

// Verify checks a signature in Go, with the public key that the token tells.
func (t *token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	pub, err := t.PublicKey(ctx, keyID)
	if err != nil {
		return false, err
	}
	return hsm.Verify(pub, message, signature)
}
