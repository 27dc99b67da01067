package hsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// NewCryptoSigner lends a key of the token to the standard library, x509 and tls among it. The key must be Ed25519, P-256 or RSA-3072.
//
// Signer takes messages, not digests. So the result is a crypto.MessageSigner; its Sign works for Ed25519 alone, ECDSA is with SHA-256,
// and RSA is RSASSA-PSS with SHA-256 and a salt as long as the hash: all that TLS 1.3 asks of such keys (RFC 8446 §4.2.3), for which
// a tls.Certificate of an RSA key names tls.PSSWithSHA256 alone in SupportedSignatureAlgorithms. A certificate that an RSA key signs
// wants x509.SHA256WithRSAPSS. ctx ends every operation of the signer.
func NewCryptoSigner(ctx context.Context, t Token, keyID string) (crypto.MessageSigner, error) {
	p, ok := As[PublicKeyer](t)
	if !ok {
		return nil, fmt.Errorf("hsm: %w: %s tells no public keys", ErrUnsupported, t.Provider())
	}
	pub, err := p.PublicKey(ctx, keyID)
	if err != nil {
		return nil, err
	}
	if k := TypeOf(pub); k != KeyEd25519 && k != KeyP256 && k != KeyRSA3072 {
		return nil, fmt.Errorf("hsm: %w: key %q is %s, the standard library knows ed25519, p256 and rsa3072", ErrKeyType, keyID, k)
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

// SignMessage returns the raw Ed25519 signature, the ECDSA signature in ASN.1 (RFC 3279 §2.2.3) for opts of SHA-256, or the RSASSA-PSS
// signature for *rsa.PSSOptions of SHA-256.
func (s *cryptoSigner) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := s.check(opts); err != nil {
		return nil, err
	}
	sig, err := s.signer.Sign(s.ctx, s.keyID, message)
	if _, ok := s.pub.(*ecdsa.PublicKey); err != nil || !ok {
		return sig, err
	}
	if len(sig) != 64 {
		return nil, errors.New("hsm: ECDSA signature is not 64 bytes")
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
}

// check refuses options that ask for another signature than Signer makes.
func (s *cryptoSigner) check(opts crypto.SignerOpts) error {
	want := crypto.SHA256
	switch s.pub.(type) {
	case ed25519.PublicKey:
		want = 0
		if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
			return fmt.Errorf("hsm: %w: Ed25519ctx (RFC 8032 §5.1)", ErrUnsupported)
		}
	case *rsa.PublicKey:
		o, ok := opts.(*rsa.PSSOptions)
		if !ok {
			return fmt.Errorf("hsm: %w: key %q signs by RSASSA-PSS, not by PKCS #1 v1.5; for a certificate name x509.SHA256WithRSAPSS",
				ErrUnsupported, s.keyID)
		}
		if o.SaltLength != rsa.PSSSaltLengthEqualsHash && o.SaltLength != saltLen {
			return fmt.Errorf("hsm: %w: key %q signs with a salt of %d bytes", ErrUnsupported, s.keyID, saltLen)
		}
	}
	if opts.HashFunc() != want {
		return fmt.Errorf("hsm: %w: key %q signs with %v, not %v", ErrUnsupported, s.keyID, want, opts.HashFunc())
	}
	return nil
}
