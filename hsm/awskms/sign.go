package awskms

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

// rawMax is the longest message that KMS hashes itself, in bytes (API_Sign, Message). It takes no empty one.
const rawMax = 4096

// Sign signs a message; KMS gets the message itself where it can, its SHA-256 otherwise. The signature is verified before it is
// returned; one that does not verify is dropped with hsm.ErrUnavailable.
func (t *token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	k, err := t.signingKey(ctx, keyID)
	if err != nil {
		return nil, err
	}
	in := &kms.SignInput{KeyId: &k.target.id, SigningAlgorithm: k.algorithm, MessageType: types.MessageTypeRaw, Message: message}
	if len(message) == 0 || len(message) > rawMax {
		if k.kind == hsm.KeyEd25519 {
			return nil, fmt.Errorf("awskms: key %q: %w: KMS signs Ed25519 messages of 1 to %d bytes, not %d; use a p256 key", keyID,
				hsm.ErrUnsupported, rawMax, len(message))
		}
		digest := sha256.Sum256(message)
		in.MessageType, in.Message = types.MessageTypeDigest, digest[:]
	}
	out, err := call(ctx, t, request{action: "Sign", keyID: keyID, target: k.target}, t.client.Sign, in)
	if err != nil {
		return nil, t.forgetLost(keyID, err)
	}
	sig, err := k.signature(message, out)
	if err != nil {
		return nil, fmt.Errorf("awskms: Sign with key %q in %s: %w: %w; it was dropped", keyID, label(t.region, t.endpoint),
			hsm.ErrUnavailable, err)
	}
	return sig, nil
}

// signature is the one in the answer, in our form, if it is of this key and message.
func (k *key) signature(message []byte, out *kms.SignOutput) ([]byte, error) {
	if id := aws.ToString(out.KeyId); !sameKey(k.target.id, id) || out.SigningAlgorithm != k.algorithm {
		return nil, fmt.Errorf("the answer is of key %.100q with %.40s", id, out.SigningAlgorithm)
	}
	sig := out.Signature
	if k.kind == hsm.KeyP256 || k.kind == hsm.KeySecp256k1 {
		var err error
		if sig, err = rawSignature(sig); err != nil {
			return nil, err
		}
	}
	if ok, err := hsm.Verify(k.public, message, sig); err != nil || !ok {
		return nil, errors.New("the signature does not verify")
	}
	return sig, nil
}

// Verify checks a signature here, with the public key.
func (t *token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	k, err := t.signingKey(ctx, keyID)
	if err != nil {
		return false, err
	}
	return hsm.Verify(k.public, message, signature)
}
