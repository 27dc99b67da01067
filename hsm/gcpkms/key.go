package gcpkms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/iterator"

	"github.com/luxfi/mpcd/hsm"
)

// The most that is listed; who has more names a smaller key ring, or a version.
const (
	keysMax     = 10_000
	versionsMax = 1000
)

// use is what a key is for.
type use string

const (
	signs  use = "signing"
	seals  use = "symmetric encryption"
	proves use = "MACs"
)

type (
	algorithm = kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm
	level     = kmspb.ProtectionLevel
)

// kind is what we know of an algorithm; those that are not listed are ErrKeyType.
type kind struct {
	use     use
	purpose kmspb.CryptoKey_CryptoKeyPurpose
	keyType hsm.KeyType // what Keys calls it
	rsaBits int
}

var kinds = map[algorithm]kind{
	kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256:         {signs, kmspb.CryptoKey_ASYMMETRIC_SIGN, hsm.KeyP256, 0},
	kmspb.CryptoKeyVersion_EC_SIGN_SECP256K1_SHA256:    {signs, kmspb.CryptoKey_ASYMMETRIC_SIGN, hsm.KeySecp256k1, 0},
	kmspb.CryptoKeyVersion_EC_SIGN_ED25519:             {signs, kmspb.CryptoKey_ASYMMETRIC_SIGN, hsm.KeyEd25519, 0},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_3072_SHA256:    {signs, kmspb.CryptoKey_ASYMMETRIC_SIGN, hsm.KeyRSA3072, 3072},
	kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION: {seals, kmspb.CryptoKey_ENCRYPT_DECRYPT, hsm.KeyAESWrap, 0},
	kmspb.CryptoKeyVersion_HMAC_SHA256:                 {proves, kmspb.CryptoKey_MAC, "", 0},
}

// key is what is remembered of a key. Nothing in it changes.
type key struct {
	kind
	name    string // the CryptoKey
	version string // the CryptoKeyVersion; "" for the primary one of a symmetric key
	alg     algorithm
	level   level
	public  crypto.PublicKey // of an asymmetric key
	spki    []byte           // the same, PKIX DER
}

// key finds a key and what it is for, once.
func (t *Token) key(ctx context.Context, keyID string) (*key, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	r, err := t.target(keyID)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	k := t.keys[r.String()]
	t.mu.Unlock()
	if k != nil {
		return k, nil
	}
	if k, err = t.find(ctx, r); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if first := t.keys[r.String()]; first != nil { // another was quicker
		return first, nil
	}
	if len(t.keys) < cacheMax {
		t.keys[r.String()] = k
	}
	if k.level == kmspb.ProtectionLevel_SOFTWARE {
		t.log.Warn("gcpkms: a key in software: no HSM guards it", "name", k.name)
	}
	return k, nil
}

// keyFor finds a key for a use; ErrKeyType if it is for another.
func (t *Token) keyFor(ctx context.Context, keyID string, want use) (*key, error) {
	k, err := t.key(ctx, keyID)
	if err != nil {
		return nil, err
	}
	if k.use != want {
		return nil, fmt.Errorf("gcpkms: %w: %s is for %s (%v), this needs one for %s", hsm.ErrKeyType, k.name, k.use, k.alg, want)
	}
	return k, nil
}

func (t *Token) find(ctx context.Context, r resource) (*key, error) {
	ck, err := t.cryptoKey(ctx, r.key)
	if err != nil {
		return nil, err
	}
	if ck.Purpose == kmspb.CryptoKey_ASYMMETRIC_DECRYPT {
		return nil, fmt.Errorf("gcpkms: %w: %s is for decryption with a private key (%v): whoever has its public key could forge a wrapped "+
			"secret; use a key of purpose ENCRYPT_DECRYPT, `mpcd hsm init` makes one",
			hsm.ErrKeyType, r.key, ck.Purpose)
	}
	if ck.Purpose == kmspb.CryptoKey_ENCRYPT_DECRYPT {
		alg, lvl := ck.VersionTemplate.GetAlgorithm(), ck.VersionTemplate.GetProtectionLevel()
		if ck.Primary != nil && r.version == "" {
			alg, lvl = ck.Primary.Algorithm, ck.Primary.ProtectionLevel
		}
		return newKey(r, ck, alg, lvl)
	}
	var v *kmspb.CryptoKeyVersion
	if r.version == "" {
		v, err = t.onlyVersion(ctx, r.key)
	} else {
		v, err = t.oneVersion(ctx, r.version)
	}
	if err != nil {
		return nil, err
	}
	r.version = v.Name
	k, err := newKey(r, ck, v.Algorithm, v.ProtectionLevel)
	if err != nil || k.use == proves {
		return k, err
	}
	k.public, k.spki, err = t.publicKey(ctx, k)
	return k, err
}

func newKey(r resource, ck *kmspb.CryptoKey, alg algorithm, lvl level) (*key, error) {
	kd, ok := kinds[alg]
	if !ok || kd.purpose != ck.Purpose {
		return nil, fmt.Errorf("gcpkms: %w: %s is of purpose %v and algorithm %v; make a key with `mpcd hsm init`", hsm.ErrKeyType, r.key,
			ck.Purpose, alg)
	}
	return &key{kind: kd, name: r.key, version: r.version, alg: alg, level: lvl}, nil
}

func (t *Token) cryptoKey(ctx context.Context, name string) (*kmspb.CryptoKey, error) {
	a := act{"look up key", name, "cloudkms.cryptoKeys.get", hsm.ErrNoKey, hsm.ErrNoKey}
	return call(ctx, t, a, func(ctx context.Context) (*kmspb.CryptoKey, error) {
		ck, err := t.client.GetCryptoKey(ctx, &kmspb.GetCryptoKeyRequest{Name: name})
		if err != nil {
			return nil, err
		}
		return ck, same("name", ck.Name, name)
	})
}

func (t *Token) oneVersion(ctx context.Context, name string) (*kmspb.CryptoKeyVersion, error) {
	a := act{"look up version", name, "cloudkms.cryptoKeyVersions.get", hsm.ErrNoKey, hsm.ErrNoKey}
	return call(ctx, t, a, func(ctx context.Context) (*kmspb.CryptoKeyVersion, error) {
		v, err := t.client.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: name})
		if err != nil {
			return nil, err
		}
		return v, same("name", v.Name, name)
	})
}

func (t *Token) versions(ctx context.Context, name string) ([]*kmspb.CryptoKeyVersion, error) {
	a := act{"list versions of", name, "cloudkms.cryptoKeyVersions.list", hsm.ErrNoKey, hsm.ErrNoKey}
	return call(ctx, t, a, func(ctx context.Context) ([]*kmspb.CryptoKeyVersion, error) {
		all, err := collect(t.client.ListCryptoKeyVersions(ctx, &kmspb.ListCryptoKeyVersionsRequest{Parent: name}).Next, versionsMax)
		for _, v := range all {
			if !strings.HasPrefix(v.Name, name+versionsPart) {
				return nil, damaged("a version of %s is called %q", name, clip(v.Name))
			}
		}
		return all, err
	})
}

// collect reads a list to its end.
func collect[T any](next func() (T, error), most int) ([]T, error) {
	var all []T
	for {
		v, err := next()
		if errors.Is(err, iterator.Done) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, v); len(all) > most {
			return nil, fmt.Errorf("more than %d entries; name a smaller key ring, or the version", most)
		}
	}
}

// onlyVersion is the one enabled version.
func (t *Token) onlyVersion(ctx context.Context, name string) (*kmspb.CryptoKeyVersion, error) {
	all, err := t.versions(ctx, name)
	if err != nil {
		return nil, err
	}
	var found []*kmspb.CryptoKeyVersion
	var numbers []string
	why := stateError(name, kmspb.CryptoKeyVersion_DESTROYED)
	for _, v := range all {
		switch v.State {
		case kmspb.CryptoKeyVersion_ENABLED:
			found = append(found, v)
			numbers = append(numbers, v.Name[strings.LastIndexByte(v.Name, '/')+1:])
		case kmspb.CryptoKeyVersion_DESTROYED, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED:
		default:
			why = stateError(v.Name, v.State)
		}
	}
	switch len(found) {
	case 0:
		return nil, why
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("gcpkms: %w: key %s has %d enabled versions (%s); append %sN to the key ID, or disable the others",
		hsm.ErrAmbiguous, name, len(found), clip(strings.Join(numbers, ", ")), versionsPart)
}

// stateError says what to do about a key that is not enabled.
func stateError(name string, state kmspb.CryptoKeyVersion_CryptoKeyVersionState) error {
	switch state {
	case kmspb.CryptoKeyVersion_DISABLED:
		return fmt.Errorf("gcpkms: %w: %s is disabled; enable it, `gcloud kms keys versions enable`, if it is still to be trusted",
			hsm.ErrUnavailable, name)
	case kmspb.CryptoKeyVersion_DESTROYED, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED:
		return fmt.Errorf("gcpkms: %w: %s has no version left that is not destroyed or about to be; while it is only scheduled, `gcloud kms "+
			"keys versions restore` brings it back", hsm.ErrNoKey, name)
	case kmspb.CryptoKeyVersion_PENDING_GENERATION, kmspb.CryptoKeyVersion_PENDING_IMPORT:
		return fmt.Errorf("gcpkms: %w: %s is still being made; try again in a minute", hsm.ErrUnavailable, name)
	}
	return fmt.Errorf("gcpkms: %w: %s is in state %v; make another key", hsm.ErrUnavailable, name, state)
}

// explainState says more of an operation that was refused in the key's state.
func (t *Token) explainState(ctx context.Context, k *key, err error) error {
	if !errors.Is(err, errState) {
		return err
	}
	name := k.version
	if name == "" {
		ck, lookErr := t.cryptoKey(ctx, k.name)
		if lookErr != nil || ck.Primary == nil {
			return err
		}
		name = ck.Primary.Name
	}
	v, lookErr := t.oneVersion(ctx, name)
	if lookErr != nil || v.State == kmspb.CryptoKeyVersion_ENABLED {
		return err
	}
	return stateError(v.Name, v.State)
}

// publicKey asks for the public half and holds it against what the version said of itself.
func (t *Token) publicKey(ctx context.Context, k *key) (crypto.PublicKey, []byte, error) {
	type answer struct {
		pub crypto.PublicKey
		der []byte
	}
	a := act{"get public key of", k.version, "cloudkms.cryptoKeyVersions.viewPublicKey", hsm.ErrNoKey, hsm.ErrKeyType}
	got, err := call(ctx, t, a, func(ctx context.Context) (answer, error) {
		resp, err := t.client.GetPublicKey(ctx, &kmspb.GetPublicKeyRequest{Name: k.version})
		if err != nil {
			return answer{}, err
		}
		if err := firstError(
			checkCRC("pem", []byte(resp.Pem), resp.PemCrc32C),
			same("name", resp.Name, k.version),
			same("algorithm", resp.Algorithm, k.alg),
			same("protection_level", resp.ProtectionLevel, k.level),
		); err != nil {
			return answer{}, err
		}
		pub, der, err := parsePublicKey(resp.Pem)
		if err != nil {
			return answer{}, damaged("%v", err)
		}
		if !k.fits(pub) {
			return answer{}, damaged("the public key is a %T, not one for %v", pub, k.alg)
		}
		return answer{pub, der}, nil
	})
	return got.pub, got.der, t.explainState(ctx, k, err)
}

// fits tells whether a public key is of the key's algorithm.
func (k *key) fits(pub crypto.PublicKey) bool {
	if k.rsaBits > 0 {
		r, ok := pub.(*rsa.PublicKey)
		return ok && r.N.BitLen() == k.rsaBits
	}
	return hsm.TypeOf(pub) == k.keyType
}

// PublicKey tells the public half of a signing key. It is cached; ErrKeyType for other keys.
func (t *Token) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	k, err := t.keyFor(ctx, keyID, signs)
	if err != nil {
		return nil, err
	}
	if pub, ok := k.public.(ed25519.PublicKey); ok {
		return ed25519.PublicKey(bytes.Clone(pub)), nil
	}
	return k.public, nil
}
