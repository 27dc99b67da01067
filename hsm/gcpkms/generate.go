package gcpkms

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/luxfi/mpcd/hsm"
)

// requestLabel is the label of a key that says which request made it, so that a repeated request knows its own work.
const requestLabel = "mpcd-request"

var generated = map[hsm.KeyType]algorithm{
	hsm.KeyEd25519:   kmspb.CryptoKeyVersion_EC_SIGN_ED25519,
	hsm.KeyP256:      kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256,
	hsm.KeySecp256k1: kmspb.CryptoKeyVersion_EC_SIGN_SECP256K1_SHA256,
	hsm.KeyRSA3072:   kmspb.CryptoKeyVersion_RSA_SIGN_PSS_3072_SHA256,
	hsm.KeyAESWrap:   kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION,
}

// GenerateKey makes a key in Cloud HSM and waits until it can be used. Where the service refuses the algorithm or protection level HSM,
// it is ErrUnsupported, and there is no key. Names are taken for ever: a destroyed key's too.
func (t *Token) GenerateKey(ctx context.Context, keyID string, kt hsm.KeyType) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	r, err := t.target(keyID)
	if err != nil {
		return err
	}
	if r.version != "" {
		return fmt.Errorf("gcpkms: %w: %s names a version; a new key makes its own", hsm.ErrUnsupported, clip(keyID))
	}
	alg, ok := generated[kt]
	if !ok {
		return fmt.Errorf("gcpkms: %w: key type %q; it makes ed25519, p256, secp256k1, rsa3072 and aes256-wrap", hsm.ErrUnsupported,
			clip(string(kt)))
	}
	ck, err := t.create(ctx, r, alg)
	if err != nil {
		return err
	}
	if got := ck.VersionTemplate; ck.Purpose != kinds[alg].purpose || got.GetAlgorithm() != alg ||
		got.GetProtectionLevel() != kmspb.ProtectionLevel_HSM {
		return fmt.Errorf("gcpkms: %w: asked for %v in HSM, the service made %s as %v in %v; do not use it, destroy its versions",
			hsm.ErrUnsupported, alg, r.key, got.GetAlgorithm(), got.GetProtectionLevel())
	}
	return t.awaitVersion(ctx, r.key+versionsPart+"1", alg)
}

// create asks for the key. An attempt whose answer was lost may have made it: then the next one finds the name taken, by a key with
// our label.
func (t *Token) create(ctx context.Context, r resource, alg algorithm) (*kmspb.CryptoKey, error) {
	mark := make([]byte, 16)
	_, _ = rand.Read(mark)
	req := &kmspb.CreateCryptoKeyRequest{
		Parent:      r.ring,
		CryptoKeyId: strings.TrimPrefix(r.key, r.ring+keysPart),
		CryptoKey: &kmspb.CryptoKey{
			Purpose:         kinds[alg].purpose,
			VersionTemplate: &kmspb.CryptoKeyVersionTemplate{ProtectionLevel: kmspb.ProtectionLevel_HSM, Algorithm: alg},
			Labels:          map[string]string{requestLabel: hex.EncodeToString(mark)},
		},
	}
	a := act{"make key", r.key, "cloudkms.cryptoKeys.create", hsm.ErrNoToken, hsm.ErrUnsupported}
	attempts := 0
	ck, err := call(ctx, t, a, func(ctx context.Context) (*kmspb.CryptoKey, error) {
		attempts++
		ck, err := t.client.CreateCryptoKey(ctx, req)
		if attempts > 1 && status.Code(err) == codes.AlreadyExists {
			was, lookErr := t.client.GetCryptoKey(ctx, &kmspb.GetCryptoKeyRequest{Name: r.key})
			if lookErr == nil && was.Labels[requestLabel] == req.CryptoKey.Labels[requestLabel] {
				ck, err = was, nil
			}
		}
		if status.Code(err) == codes.FailedPrecondition {
			return nil, fmt.Errorf("%w: the service refuses %v in HSM here: %s; choose a location with Cloud HSM, no key is made in software "+
				"in its place", hsm.ErrUnsupported, alg, clip(err.Error()))
		}
		if err != nil {
			return nil, err
		}
		return ck, same("name", ck.Name, r.key)
	})
	if err != nil {
		return nil, err
	}
	return ck, nil
}

// awaitVersion looks at a new version until it is enabled.
func (t *Token) awaitVersion(ctx context.Context, name string, alg algorithm) error {
	within, cancel := context.WithTimeout(ctx, t.pace.creation)
	defer cancel()
	for wait := t.pace.first; ; wait = min(2*wait, t.pace.max) {
		v, err := t.oneVersion(ctx, name)
		if err != nil {
			return err
		}
		switch {
		case v.Algorithm != alg || v.ProtectionLevel != kmspb.ProtectionLevel_HSM:
			return fmt.Errorf("gcpkms: %w: asked for %v in HSM, the service made %s as %v in %v; do not use it, destroy it", hsm.ErrUnsupported, alg,
				name, v.Algorithm, v.ProtectionLevel)
		case v.State == kmspb.CryptoKeyVersion_ENABLED:
			return nil
		case v.State != kmspb.CryptoKeyVersion_PENDING_GENERATION:
			return stateError(name, v.State)
		}
		if t.pace.wait(within, wait) != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("gcpkms: make key %s: %w; it is there and not ready yet", name, ctx.Err())
			}
			return stateError(name, v.State)
		}
	}
}
