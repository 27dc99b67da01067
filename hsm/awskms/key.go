package awskms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

// keysMax bounds the keys that a token remembers; a node has four.
const keysMax = 1024

// key is what was checked of a key at its first use.
type key struct {
	target target // the very key: its ARN, or its ID where the service tells no ARN
	kind   hsm.KeyType

	// Of a signing key.
	algorithm types.SigningAlgorithmSpec
	public    crypto.PublicKey
	spki      []byte
}

// spec is how KMS calls a type of key, and what is asked of it.
type spec struct {
	kind      hsm.KeyType
	spec      types.KeySpec
	algorithm types.SigningAlgorithmSpec
}

var specs = []spec{
	{hsm.KeyP256, types.KeySpecEccNistP256, types.SigningAlgorithmSpecEcdsaSha256},
	{hsm.KeySecp256k1, types.KeySpecEccSecgP256k1, types.SigningAlgorithmSpecEcdsaSha256},
	{hsm.KeyEd25519, types.KeySpecEccNistEdwards25519, types.SigningAlgorithmSpecEd25519Sha512},
	{hsm.KeyRSA3072, types.KeySpecRsa3072, types.SigningAlgorithmSpecRsassaPssSha256},
}

// PublicKey tells the public half of a signing key: *ecdsa.PublicKey (P-256), hsm.Secp256k1PublicKey, ed25519.PublicKey or
// *rsa.PublicKey. It is fetched once, checked, and remembered.
func (t *token) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	k, err := t.signingKey(ctx, keyID)
	if err != nil {
		return nil, err
	}
	if pub, ok := k.public.(ed25519.PublicKey); ok {
		return ed25519.PublicKey(bytes.Clone(pub)), nil
	}
	return k.public, nil
}

// resolve reads a key ID, or takes the URI's.
func (t *token) resolve(keyID string) (target, error) {
	if keyID == "" {
		keyID = t.keyID
	}
	return parseKeyID(keyID)
}

// remembered is the key of an earlier call.
func (t *token) remembered(keyID string) *key {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keys[keyID]
}

func (t *token) remember(keyID string, k *key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys != nil && len(t.keys) < keysMax {
		t.keys[keyID] = k
	}
}

// forgetLost forgets a key that is gone, so that a new one under its alias is found. It returns the error.
func (t *token) forgetLost(keyID string, err error) error {
	if errors.Is(err, hsm.ErrNoKey) {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.keys, keyID)
	}
	return err
}

// signingKey asks for the public key and holds the answer to what was asked, to itself and to what we know.
func (t *token) signingKey(ctx context.Context, keyID string) (*key, error) {
	if err := t.open(); err != nil {
		return nil, err
	}
	if k := t.remembered(keyID); k != nil && k.public != nil {
		return k, nil
	}
	where, err := t.resolve(keyID)
	if err != nil {
		return nil, err
	}
	out, err := call(ctx, t, request{action: "GetPublicKey", keyID: keyID, target: where}, t.client.GetPublicKey,
		&kms.GetPublicKeyInput{KeyId: &where.id})
	if err != nil {
		return nil, err
	}
	k, err := checkPublicKey(where, out)
	if err != nil {
		return nil, fmt.Errorf("awskms: key %q: %w", keyID, err)
	}
	t.remember(keyID, k)
	return k, nil
}

func checkPublicKey(where target, out *kms.GetPublicKeyOutput) (*key, error) {
	id := aws.ToString(out.KeyId)
	if !where.accepts(id) {
		return nil, fmt.Errorf("%w: the answer is about key %.100q", hsm.ErrUnavailable, id)
	}
	if out.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, fmt.Errorf("%w: its usage is %.40s, signing wants SIGN_VERIFY", hsm.ErrKeyType, out.KeyUsage)
	}
	public, kind, err := parsePublicKey(out.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w; its spec is %.40s, known here are ECC_NIST_P256, ECC_SECG_P256K1, ECC_NIST_EDWARDS25519, RSA_3072",
			err, out.KeySpec)
	}
	s := specs[slices.IndexFunc(specs, func(s spec) bool { return s.kind == kind })]
	if out.KeySpec != "" && out.KeySpec != s.spec { // emulators leave it out
		return nil, fmt.Errorf("%w: its spec is %.40s, its public key %s", hsm.ErrKeyType, out.KeySpec, kind)
	}
	if !slices.Contains(out.SigningAlgorithms, s.algorithm) {
		return nil, fmt.Errorf("%w: the service does not sign with %s for it", hsm.ErrUnsupported, s.algorithm)
	}
	return &key{target: target{id: id, region: where.region}, kind: kind, algorithm: s.algorithm, public: public, spki: out.PublicKey}, nil
}

// wrappingKey asks what the key is.
func (t *token) wrappingKey(ctx context.Context, keyID string) (*key, error) {
	if err := t.open(); err != nil {
		return nil, err
	}
	if k := t.remembered(keyID); k != nil && k.kind == hsm.KeyAESWrap {
		return k, nil
	}
	where, err := t.resolve(keyID)
	if err != nil {
		return nil, err
	}
	m, err := t.describe(ctx, keyID, where)
	if err != nil {
		return nil, err
	}
	if kindOf(m) != hsm.KeyAESWrap {
		return nil, fmt.Errorf("awskms: key %q: %w: it is %s for %s; wrapping wants SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT", keyID, hsm.ErrKeyType,
			m.KeySpec, m.KeyUsage)
	}
	k := &key{target: target{id: aws.ToString(m.Arn), region: where.region}, kind: hsm.KeyAESWrap}
	t.remember(keyID, k)
	return k, nil
}

// describe is DescribeKey, with an answer about the key that was asked for.
func (t *token) describe(ctx context.Context, keyID string, where target) (*types.KeyMetadata, error) {
	out, err := call(ctx, t, request{action: "DescribeKey", keyID: keyID, target: where}, t.client.DescribeKey,
		&kms.DescribeKeyInput{KeyId: &where.id})
	if err != nil {
		return nil, err
	}
	m := out.KeyMetadata
	if m == nil || !where.accepts(aws.ToString(m.Arn)) || !sameKey(aws.ToString(m.Arn), aws.ToString(m.KeyId)) {
		return nil, fmt.Errorf("awskms: key %q: %w: the answer to DescribeKey is about another key", keyID, hsm.ErrUnavailable)
	}
	return m, nil
}

// kindOf is our type of key, or the spec of KMS where we have none.
func kindOf(m *types.KeyMetadata) hsm.KeyType {
	if m.KeySpec == types.KeySpecSymmetricDefault && m.KeyUsage == types.KeyUsageTypeEncryptDecrypt {
		return hsm.KeyAESWrap
	}
	for _, s := range specs {
		if s.spec == m.KeySpec && m.KeyUsage == types.KeyUsageTypeSignVerify {
			return s.kind
		}
	}
	return hsm.KeyType(m.KeySpec)
}
