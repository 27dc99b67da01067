package pkcs11

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// Sign signs with the private key keyID: ECDSA over SHA-256 as raw r‖s of 64 bytes (the digest is made here, since not every
// token hashes), or Ed25519 (64 bytes). Errors: ErrNoKey, ErrAmbiguous, ErrKeyType, ErrUnavailable.
func (t *token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	id, err := t.keyID(keyID)
	if err != nil {
		return nil, err
	}
	digest, owned := sha256.Sum256(message), bytes.Clone(message)
	type signed struct {
		k   *key
		sig []byte
	}
	r, err := run(ctx, t, func(s *session) (signed, error) {
		k, err := s.key(id, p11.CKO_PRIVATE_KEY)
		if err != nil {
			return signed{}, err
		}
		mechanism, input := uint(p11.CKM_ECDSA), digest[:]
		if k.kind == hsm.KeyEd25519 {
			mechanism, input = ckmEDDSA, owned
		}
		if err := s.lib.SignInit(s.handle, []*p11.Mechanism{p11.NewMechanism(mechanism, nil)}, k.handle); err != nil {
			return signed{}, explain(fmt.Sprintf("sign with %q", id), err)
		}
		sig, err := s.lib.Sign(s.handle, input)
		if err != nil {
			return signed{}, explain(fmt.Sprintf("sign with %q", id), err)
		}
		return signed{k, sig}, nil
	})
	if err != nil {
		return nil, err
	}
	// A wrong Ed25519 signature can give the key away (Romailler and Pelissier, "Practical fault attack against the Ed25519 and
	// EdDSA signature schemes", 2017), and a wrong one of any kind helps nobody.
	if ok, err := hsm.Verify(r.k.public, message, r.sig); err != nil || !ok {
		return nil, fmt.Errorf("pkcs11: %w: %s made a signature with %q that does not verify; it was dropped", hsm.ErrUnavailable, t.name(), id)
	}
	return r.sig, nil
}

// Verify checks a signature in Go, with the public key that the token tells.
func (t *token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	pub, err := t.PublicKey(ctx, keyID)
	if err != nil {
		return false, err
	}
	return hsm.Verify(pub, message, signature)
}
