package gcpkms

import (
	"context"
	"crypto/sha256"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/luxfi/mpcd/hsm"
)

// Sign signs with an Ed25519, P-256, secp256k1 or RSA-3072 key, and verifies before it returns.
func (t *Token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	k, err := t.keyFor(ctx, keyID, signs)
	if err != nil {
		return nil, err
	}
	req := k.signRequest(message)
	a := act{"sign with", k.version, "cloudkms.cryptoKeyVersions.useToSign", hsm.ErrNoKey, hsm.ErrKeyType}
	sig, err := call(ctx, t, a, func(ctx context.Context) ([]byte, error) {
		resp, err := t.client.AsymmetricSign(ctx, req)
		if err != nil {
			return nil, err
		}
		return k.signature(resp, message)
	})
	return sig, t.explainState(ctx, k, err)
}

// takesData tells whether the service gets the message itself, as Ed25519 wants it (RFC 8032 §5.1), or its digest.
func (k *key) takesData() bool { return k.alg == kmspb.CryptoKeyVersion_EC_SIGN_ED25519 }

func (k *key) signRequest(message []byte) *kmspb.AsymmetricSignRequest {
	if k.takesData() {
		return &kmspb.AsymmetricSignRequest{Name: k.version, Data: message, DataCrc32C: crc(message)}
	}
	digest := sha256.Sum256(message)
	return &kmspb.AsymmetricSignRequest{
		Name:         k.version,
		Digest:       &kmspb.Digest{Digest: &kmspb.Digest_Sha256{Sha256: digest[:]}},
		DigestCrc32C: crc(digest[:]),
	}
}

// signature takes a signature out of an answer that passes every check.
func (k *key) signature(resp *kmspb.AsymmetricSignResponse, message []byte) ([]byte, error) {
	checked := verified("digest_crc32c", resp.VerifiedDigestCrc32C)
	if k.takesData() {
		checked = verified("data_crc32c", resp.VerifiedDataCrc32C)
	}
	if err := firstError(
		checked,
		checkCRC("signature", resp.Signature, resp.SignatureCrc32C),
		same("name", resp.Name, k.version),
		same("protection_level", resp.ProtectionLevel, k.level),
	); err != nil {
		return nil, err
	}
	sig := resp.Signature
	if k.keyType == hsm.KeyP256 || k.keyType == hsm.KeySecp256k1 {
		var err error
		if sig, err = rawSignature(sig); err != nil {
			return nil, damaged("%v", err)
		}
	}
	if ok, err := hsm.Verify(k.public, message, sig); err != nil || !ok {
		return nil, damaged("the signature does not verify with the key's public half")
	}
	return sig, nil
}

// Verify checks a signature here, with the cached public half.
func (t *Token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	k, err := t.keyFor(ctx, keyID, signs)
	if err != nil {
		return false, err
	}
	return hsm.Verify(k.public, message, signature)
}
