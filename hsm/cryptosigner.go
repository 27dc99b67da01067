package hsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// NewCryptoSigner lends a key of the token to the standard library, x509 and tls among it. The key must be Ed25519 or P-256.
//
// Signer takes messages, not digests. So the result is a crypto.MessageSigner; its Sign works for Ed25519 alone, and ECDSA is
// with SHA-256. ctx ends every operation of the signer.
func NewCryptoSigner(ctx context.Context, t Token, keyID string) (crypto.MessageSigner, error) {
	p, ok := As[PublicKeyer](t)
	if !ok {
		return nil, fmt.Errorf("hsm: %w: %s tells no public keys", ErrUnsupported, t.Provider())
	}
	pub, err := p.PublicKey(ctx, keyID)
	if err != nil {
		return nil, err
	}
	if k := TypeOf(pub); k != KeyEd25519 && k != KeyP256 {
		return nil, fmt.Errorf("hsm: %w: key %q is %s, the standard library knows ed25519 and p256", ErrKeyType, keyID, k)
	}
	return &cryptoSigner{ctx: ctx, signer: t, keyID: keyID, pub: pub}, nil
}

type cryptoSigner struct {
	ctx    context.Context
	signer Signer
	keyID  string
	pub    crypto.PublicKey
}

func (s *cryptoSigner) Public() crypto.PublicKey { return s.pub }

// Sign signs an Ed25519 message; it refuses digests.
func (s *cryptoSigner) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := s.pub.(ed25519.PublicKey); !ok || opts.HashFunc() != 0 {
		return nil, fmt.Errorf("hsm: %w: key %q signs messages, not digests; use crypto.SignMessage", ErrUnsupported, s.keyID)
	}
	return s.SignMessage(rand, message, opts)
}

// SignMessage returns the raw Ed25519 signature, or the ECDSA signature in ASN.1 (RFC 3279 §2.2.3) for opts of SHA-256.
func (s *cryptoSigner) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	want := crypto.Hash(0)
	if _, ok := s.pub.(*ecdsa.PublicKey); ok {
		want = crypto.SHA256
	}
	if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
		return nil, fmt.Errorf("hsm: %w: Ed25519ctx (RFC 8032 §5.1)", ErrUnsupported)
	}
	if opts.HashFunc() != want {
		return nil, fmt.Errorf("hsm: %w: key %q signs with %v, not %v", ErrUnsupported, s.keyID, want, opts.HashFunc())
	}
	sig, err := s.signer.Sign(s.ctx, s.keyID, message)
	if err != nil || want == 0 {
		return sig, err
	}
	if len(sig) != 64 {
		return nil, errors.New("hsm: ECDSA signature is not 64 bytes")
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
}
