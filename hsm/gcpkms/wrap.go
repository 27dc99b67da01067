package gcpkms

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// A wrapped secret is form (1 byte, 1) ‖ a ciphertext of the service, with wrapTag ‖ aad as its additional authenticated data.
const (
	form = 1

	wrapTag       = "mpcd/v1/hsm/gcpkms/wrap\x01"
	aadMax        = 4096               // with wrapTag and a secret it stays below 8 KiB, the limit of Cloud HSM (EncryptRequest)
	ciphertextMax = hsm.MaxWrap + 1024 // the service adds about 70 bytes
)

// Wrap seals a secret of 1 to hsm.MaxWrap bytes, with at most 4096 bytes of aad. The service does it.
func (t *Token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if len(dek) == 0 || len(dek) > hsm.MaxWrap || len(aad) > aadMax {
		return nil, fmt.Errorf("gcpkms: wrap: secret of %d bytes and aad of %d, must be 1 to %d and at most %d", len(dek), len(aad),
			hsm.MaxWrap, aadMax)
	}
	k, err := t.keyFor(ctx, keyID, seals)
	if err != nil {
		return nil, err
	}
	bound := append([]byte(wrapTag), aad...)
	name := k.version
	if name == "" {
		name = k.name
	}
	req := &kmspb.EncryptRequest{Name: name, Plaintext: dek, PlaintextCrc32C: crc(dek), AdditionalAuthenticatedData: bound,
		AdditionalAuthenticatedDataCrc32C: crc(bound)}
	a := act{"wrap with", name, "cloudkms.cryptoKeyVersions.useToEncrypt", hsm.ErrNoKey, hsm.ErrKeyType}
	wrapped, err := call(ctx, t, a, func(ctx context.Context) ([]byte, error) {
		resp, err := t.client.Encrypt(ctx, req)
		if err != nil {
			return nil, err
		}
		if err := k.checkEncrypted(resp); err != nil {
			return nil, err
		}
		return append([]byte{form}, resp.Ciphertext...), nil
	})
	return wrapped, t.explainState(ctx, k, err)
}

func (k *key) checkEncrypted(resp *kmspb.EncryptResponse) error {
	if !strings.HasPrefix(resp.Name, k.name+versionsPart) || k.version != "" && resp.Name != k.version {
		return damaged("name is %q, which is no version of %s", clip(resp.Name), k.name)
	}
	if n := len(resp.Ciphertext); n == 0 || n > ciphertextMax {
		return damaged("a ciphertext of %d bytes", n)
	}
	return firstError(
		verified("plaintext_crc32c", resp.VerifiedPlaintextCrc32C),
		verified("additional_authenticated_data_crc32c", resp.VerifiedAdditionalAuthenticatedDataCrc32C),
		checkCRC("ciphertext", resp.Ciphertext, resp.CiphertextCrc32C),
		same("protection_level", resp.ProtectionLevel, k.level),
	)
}

// Unwrap opens what Wrap sealed, with whichever version it was; the caller wipes the result.
func (t *Token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	k, err := t.keyFor(ctx, keyID, seals)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < 2 || len(wrapped) > ciphertextMax || len(aad) > aadMax || wrapped[0] != form {
		return nil, fmt.Errorf("gcpkms: unwrap with %s: %w: not a wrapped secret of form %d", k.name, hsm.ErrIntegrity, form)
	}
	dek, err := t.decrypt(ctx, k.name, wrapped[1:], append([]byte(wrapTag), aad...))
	if err != nil {
		return nil, t.explainState(ctx, k, err)
	}
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		secret.Wipe(dek)
		return nil, fmt.Errorf("gcpkms: unwrap with %s: %w: a secret of %d bytes", k.name, hsm.ErrIntegrity, len(dek))
	}
	return dek, nil
}

// decrypt opens a ciphertext of the service. The caller knows that the key is symmetric, so that what the service calls an invalid
// argument is the ciphertext or the aad. The caller wipes the result.
func (t *Token) decrypt(ctx context.Context, name string, ciphertext, aad []byte) ([]byte, error) {
	req := &kmspb.DecryptRequest{Name: name, Ciphertext: ciphertext, CiphertextCrc32C: crc(ciphertext), AdditionalAuthenticatedData: aad,
		AdditionalAuthenticatedDataCrc32C: crc(aad)}
	a := act{"decrypt with", name, "cloudkms.cryptoKeyVersions.useToDecrypt", hsm.ErrNoKey, hsm.ErrIntegrity}
	return call(ctx, t, a, func(ctx context.Context) ([]byte, error) {
		resp, err := t.client.Decrypt(ctx, req)
		if err != nil {
			return nil, err
		}
		if err := checkCRC("plaintext", resp.Plaintext, resp.PlaintextCrc32C); err != nil { // all that this answer has
			secret.Wipe(resp.Plaintext)
			return nil, err
		}
		return resp.Plaintext, nil
	})
}
