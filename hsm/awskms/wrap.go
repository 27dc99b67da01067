package awskms

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	wrapTag    = "mpcd/v1/hsm/awskms/wrap"
	blobMax    = 6144 // API_Decrypt, CiphertextBlob, in bytes
	contextTag = "mpcd-purpose"
	contextAAD = "mpcd-aad-sha256"
)

// bound is the encryption context for an aad. KMS authenticates it and writes it to CloudTrail in the clear, hence the hash.
func bound(aad []byte) map[string]string {
	digest := sha256.Sum256(aad)
	return map[string]string{contextTag: wrapTag, contextAAD: base64.StdEncoding.EncodeToString(digest[:])}
}

// Wrap encrypts a secret of 1 to hsm.MaxWrap bytes under a symmetric key. The result is the ciphertext of KMS itself.
func (t *token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		return nil, fmt.Errorf("awskms: wrap: secret of %d bytes, must be 1 to %d", len(dek), hsm.MaxWrap)
	}
	k, err := t.wrappingKey(ctx, keyID)
	if err != nil {
		return nil, err
	}
	out, err := call(ctx, t, request{action: "Encrypt", keyID: keyID, target: k.target}, t.client.Encrypt, &kms.EncryptInput{
		KeyId: &k.target.id, Plaintext: dek, EncryptionContext: bound(aad), EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault})
	if err != nil {
		return nil, t.forgetLost(keyID, err)
	}
	if id := aws.ToString(out.KeyId); !sameKey(k.target.id, id) || len(out.CiphertextBlob) == 0 || len(out.CiphertextBlob) > blobMax {
		return nil, fmt.Errorf("awskms: wrap with key %q: %w: the answer is of key %.100q, %d bytes", keyID, hsm.ErrUnavailable, id,
			len(out.CiphertextBlob))
	}
	return out.CiphertextBlob, nil
}

// Unwrap decrypts what Wrap made; the caller wipes the result. Another key, another aad and changed bytes are hsm.ErrIntegrity.
func (t *token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	k, err := t.wrappingKey(ctx, keyID)
	if err != nil {
		return nil, err
	}
	dek, err := t.decrypt(ctx, keyID, k.target, wrapped, bound(aad))
	if err != nil {
		return nil, t.forgetLost(keyID, err)
	}
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		secret.Wipe(dek)
		return nil, fmt.Errorf("awskms: unwrap with key %q: %w: secret of %d bytes", keyID, hsm.ErrIntegrity, len(dek))
	}
	return dek, nil
}

// decrypt always names the key, so that KMS does not take whichever key the ciphertext asks for.
func (t *token) decrypt(ctx context.Context, keyID string, where target, blob []byte, encryptionContext map[string]string) ([]byte, error) {
	if len(blob) == 0 || len(blob) > blobMax {
		return nil, fmt.Errorf("awskms: decrypt with key %q: %w: ciphertext of %d bytes, must be 1 to %d", keyID, hsm.ErrIntegrity,
			len(blob), blobMax)
	}
	out, err := call(ctx, t, request{action: "Decrypt", keyID: keyID, target: where}, t.client.Decrypt, &kms.DecryptInput{
		KeyId: &where.id, CiphertextBlob: blob, EncryptionContext: encryptionContext,
		EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault})
	if err != nil {
		return nil, err
	}
	if id := aws.ToString(out.KeyId); !where.accepts(id) {
		secret.Wipe(out.Plaintext)
		return nil, fmt.Errorf("awskms: decrypt with key %q: %w: the answer is of key %.100q", keyID, hsm.ErrIntegrity, id)
	}
	return out.Plaintext, nil
}

// WrapMethod says how Wrap seals: KMS does it, with AES-256-GCM.
func (t *token) WrapMethod(context.Context, string) (string, error) { return "kms aes-gcm", nil }
