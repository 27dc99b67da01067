package gcpkms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// Form 2 of a wrapped secret is RSAES-OAEP with SHA-256 (RFC 8017 §7.1) of a fresh AES-256 key, as long as the modulus ‖ AES-256-GCM
// ciphertext and tag of the secret. The nonce is zero, since the key is fresh; the additional data is hybridTag ‖ the OAEP part ‖ aad.
const (
	hybridTag = "mpcd/v1/hsm/gcpkms/hybrid\x01"
	cekLen    = 32
	tagLen    = 16
)

func hybridAEAD(cek []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func hybridAAD(sealed, aad []byte) []byte {
	return append(append([]byte(hybridTag), sealed...), aad...)
}

func (k *key) wrapHybrid(dek, aad []byte) ([]byte, error) {
	cek := make([]byte, cekLen)
	defer secret.Wipe(cek)
	_, _ = rand.Read(cek)
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, k.public.(*rsa.PublicKey), cek, nil)
	if err != nil {
		return nil, fmt.Errorf("gcpkms: wrap for %s: %w", k.version, err)
	}
	aead, err := hybridAEAD(cek)
	if err != nil {
		return nil, fmt.Errorf("gcpkms: wrap for %s: %w", k.version, err)
	}
	out := append([]byte{formHybrid}, sealed...)
	return aead.Seal(out, make([]byte, aead.NonceSize()), dek, hybridAAD(sealed, aad)), nil
}

func (t *Token) unwrapHybrid(ctx context.Context, k *key, wrapped, aad []byte) ([]byte, error) {
	n := k.rsaBits / 8
	refused := fmt.Errorf("gcpkms: unwrap with %s: %w", k.version, hsm.ErrIntegrity)
	if len(wrapped) <= n+tagLen {
		return nil, refused
	}
	sealed, rest := wrapped[:n], wrapped[n:]
	req := &kmspb.AsymmetricDecryptRequest{Name: k.version, Ciphertext: sealed, CiphertextCrc32C: crc(sealed)}
	a := act{"unwrap with", k.version, "cloudkms.cryptoKeyVersions.useToDecrypt", hsm.ErrNoKey, hsm.ErrIntegrity}
	cek, err := call(ctx, t, a, func(ctx context.Context) ([]byte, error) {
		resp, err := t.client.AsymmetricDecrypt(ctx, req)
		if err != nil {
			return nil, err
		}
		if err := firstError(
			verified("ciphertext_crc32c", resp.VerifiedCiphertextCrc32C),
			checkCRC("plaintext", resp.Plaintext, resp.PlaintextCrc32C),
			same("protection_level", resp.ProtectionLevel, k.level),
		); err != nil {
			secret.Wipe(resp.Plaintext)
			return nil, err
		}
		return resp.Plaintext, nil
	})
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(cek)
	if len(cek) != cekLen {
		return nil, refused
	}
	aead, err := hybridAEAD(cek)
	if err != nil {
		return nil, refused
	}
	dek, err := aead.Open(nil, make([]byte, aead.NonceSize()), rest, hybridAAD(sealed, aad))
	if err != nil {
		return nil, refused
	}
	return dek, nil
}
