package awskms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

// nonceMax is the longest nonce, in bytes, as package hsm has it.
const nonceMax = 32

// Metadata is what DescribeKey says of a key: in evidence, Extra["metadata"] is this as JSON. It is a report of the driver, over TLS
// from the service where Amazon is true, signed by nobody.
type Metadata struct {
	ARN         string `json:"arn"`
	Account     string `json:"account"`
	Region      string `json:"region"`
	Endpoint    string `json:"endpoint,omitempty"` // where it is not Amazon's usual one for the region
	Amazon      bool   `json:"amazon"`             // TLS proved the endpoint to be Amazon's
	Spec        string `json:"spec"`
	Usage       string `json:"usage"`
	State       string `json:"state"`
	Origin      string `json:"origin"`  // AWS_KMS, EXTERNAL (imported), AWS_CLOUDHSM, EXTERNAL_KEY_STORE
	Manager     string `json:"manager"` // CUSTOMER or AWS
	Created     string `json:"created,omitempty"`
	Deletion    string `json:"deletion,omitempty"`
	ValidTo     string `json:"valid_to,omitempty"`     // of imported material
	MultiRegion string `json:"multi_region,omitempty"` // PRIMARY or REPLICA
	KeyStore    string `json:"key_store,omitempty"`    // a custom key store's ID
	CloudHSM    string `json:"cloudhsm_cluster,omitempty"`
	ExternalKey string `json:"external_key,omitempty"`
}

// AttestKey reports what DescribeKey says (Format hsm.EvidenceAWS, Extra["metadata"] a Metadata in JSON), with the public key of a
// signing key. KMS signs no such statement, so the nonce is repeated and proves nothing.
func (t *token) AttestKey(ctx context.Context, keyID string, nonce []byte) (hsm.KeyEvidence, error) {
	if len(nonce) > nonceMax {
		return hsm.KeyEvidence{}, fmt.Errorf("awskms: nonce of %d bytes, at most %d", len(nonce), nonceMax)
	}
	k, err := t.signingKey(ctx, keyID)
	if errors.Is(err, hsm.ErrKeyType) {
		k, err = t.wrappingKey(ctx, keyID)
	}
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	m, err := t.describe(ctx, keyID, k.target)
	if err != nil {
		return hsm.KeyEvidence{}, t.forgetLost(keyID, err)
	}
	token, err := t.Info(ctx)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	report, err := json.Marshal(t.metadata(m))
	if err != nil {
		return hsm.KeyEvidence{}, fmt.Errorf("awskms: %w", err)
	}
	return hsm.KeyEvidence{Format: hsm.EvidenceAWS, Key: info(keyID, m), Token: token, PublicKey: k.spki, Nonce: nonce,
		Extra: map[string][]byte{"metadata": report}}, nil
}

func (t *token) metadata(m *types.KeyMetadata) Metadata {
	r := Metadata{ARN: aws.ToString(m.Arn), Account: aws.ToString(m.AWSAccountId), Amazon: !t.software,
		Spec: string(m.KeySpec), Usage: string(m.KeyUsage), State: string(m.KeyState), Origin: string(m.Origin), Manager: string(m.KeyManager),
		Created: day(m.CreationDate), Deletion: day(m.DeletionDate), ValidTo: day(m.ValidTo),
		KeyStore: aws.ToString(m.CustomKeyStoreId), CloudHSM: aws.ToString(m.CloudHsmClusterId)}
	if where, err := parseKeyID(r.ARN); err == nil {
		r.Region = where.region
	}
	if t.endpoint != nil {
		r.Endpoint = t.endpoint.String()
	}
	if aws.ToBool(m.MultiRegion) && m.MultiRegionConfiguration != nil {
		r.MultiRegion = string(m.MultiRegionConfiguration.MultiRegionKeyType)
	}
	if m.XksKeyConfiguration != nil {
		r.ExternalKey = aws.ToString(m.XksKeyConfiguration.Id)
	}
	return r
}

// day prints a time of KMS (RFC 3339), "" for none.
func day(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}
