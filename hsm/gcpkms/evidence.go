package gcpkms

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/luxfi/mpcd/hsm"
)

// Metadata is Extra["metadata"] of the evidence, as JSON: what the service reports of the version.
type Metadata struct {
	Name            string `json:"name"`
	State           string `json:"state"`
	ProtectionLevel string `json:"protection_level"` // "HSM", "SOFTWARE", …
	Algorithm       string `json:"algorithm"`        // "EC_SIGN_P256_SHA256", …
	Origin          string `json:"origin"`           // "generated", "imported" or "external"
	ImportJob       string `json:"import_job,omitempty"`
	CreateTime      string `json:"create_time,omitempty"` // RFC 3339
	GenerateTime    string `json:"generate_time,omitempty"`
	// StatementFormat says how to read Statement: "CAVIUM_V1_COMPRESSED" or "CAVIUM_V2_COMPRESSED", here uncompressed and without the
	// signature. As the service sent it, it is Extra["attestation"].
	StatementFormat string `json:"statement_format,omitempty"`
	// Certificates counts the certificates of each chain in KeyEvidence.Certificates, which holds them in this order.
	GooglePartitionCertificates int `json:"google_partition_certificates"`
	GoogleCardCertificates      int `json:"google_card_certificates"`
	CaviumCertificates          int `json:"cavium_certificates"`
	// SoftwareOnly is true where the service is a server on this machine.
	SoftwareOnly bool `json:"software_only"`
}

const (
	nonceMax        = 32
	certificatesMax = 32
	statementMax    = 64 << 10 // uncompressed, in bytes
	statementSigLen = 256      // RSASSA-PKCS1-v1_5 with SHA-256 by a key of 2048 bits
)

// AttestKey collects evidence: the statement that the HSM signed when the key was made, if it is a key of protection level HSM, and
// the service's report. The statement is older than the nonce and does not cover it; the report is believed as far as the
// TLS channel to Google is. Signature is RSASSA-PKCS1-v1_5 with SHA-256 of Statement, by the key of the first certificate of each
// partition chain ("Verifying attestations" in Google's documentation of Cloud HSM).
func (t *Token) AttestKey(ctx context.Context, keyID string, nonce []byte) (hsm.KeyEvidence, error) {
	if len(nonce) > nonceMax {
		return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: evidence: nonce of %d bytes, at most %d", len(nonce), nonceMax)
	}
	k, err := t.key(ctx, keyID)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	name := k.version
	if name == "" {
		ck, err := t.cryptoKey(ctx, k.name)
		if err != nil {
			return hsm.KeyEvidence{}, err
		}
		if ck.Primary == nil {
			return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: %w: %s has no primary version; set one with `gcloud kms keys set-primary-version`",
				hsm.ErrUnavailable, k.name)
		}
		name = ck.Primary.Name
	}
	v, err := t.oneVersion(ctx, name)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	if v.Algorithm != k.alg || v.ProtectionLevel != k.level {
		return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: %w: %s is %v in %v, it was %v in %v; look what happened to the key before you trust it",
			hsm.ErrKeyType, name, v.Algorithm, v.ProtectionLevel, k.alg, k.level)
	}
	token, err := t.Info(ctx)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	e := hsm.KeyEvidence{
		Format: hsm.EvidenceGCP, Key: keyInfo(keyID, v), Token: token, PublicKey: bytes.Clone(k.spki),
		Nonce: bytes.Clone(nonce), Extra: map[string][]byte{},
	}
	if k.use == signs {
		if e.PublicKey, err = hsm.MarshalPublicKey(k.public); err != nil {
			return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: evidence for %s: %w", name, err)
		}
	}
	if content := v.Attestation.GetContent(); len(content) > 0 {
		e.Extra["attestation"] = content
		if e.Statement, e.Signature, err = splitStatement(v.Attestation.Format, content); err != nil {
			return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: evidence for %s: %w", name, err)
		}
	}
	if e.Key.ID == "" {
		e.Key.ID = t.keyID(k.name)
	}
	m := t.metadata(v)
	if err := addChains(&e, &m, v.Attestation.GetCertChains()); err != nil {
		return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: evidence for %s: %w", name, err)
	}
	j, err := json.Marshal(m)
	if err != nil {
		return hsm.KeyEvidence{}, fmt.Errorf("gcpkms: evidence for %s: %w", name, err)
	}
	e.Extra["metadata"] = j
	return e, nil
}

func (t *Token) metadata(v *kmspb.CryptoKeyVersion) Metadata {
	m := Metadata{
		Name: v.Name, State: v.State.String(), ProtectionLevel: v.ProtectionLevel.String(), Algorithm: v.Algorithm.String(),
		ImportJob: v.ImportJob, CreateTime: rfc3339(v.CreateTime), GenerateTime: rfc3339(v.GenerateTime), SoftwareOnly: t.plain,
	}
	switch info := keyInfo("", v); {
	case info.Local:
		m.Origin = "generated"
	case v.ImportJob != "" || v.ImportTime != nil:
		m.Origin = "imported"
	default:
		m.Origin = "external"
	}
	if len(v.Attestation.GetContent()) > 0 {
		m.StatementFormat = v.Attestation.Format.String()
	}
	return m
}

func rfc3339(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.RFC3339)
}

// splitStatement uncompresses an attestation (gzip, RFC 1952) and takes the signature off its end. Of a format that is not known, it
// takes nothing.
func splitStatement(format kmspb.KeyOperationAttestation_AttestationFormat, content []byte) (statement, signature []byte, err error) {
	if format != kmspb.KeyOperationAttestation_CAVIUM_V1_COMPRESSED && format != kmspb.KeyOperationAttestation_CAVIUM_V2_COMPRESSED {
		return nil, nil, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, nil, fmt.Errorf("attestation is not gzip: %w", errEncoding)
	}
	b, err := io.ReadAll(io.LimitReader(r, statementMax+1))
	if err != nil || len(b) > statementMax || len(b) <= statementSigLen {
		return nil, nil, fmt.Errorf("attestation of %d bytes, or cut: %w", len(b), errEncoding)
	}
	n := len(b) - statementSigLen
	return b[:n:n], b[n:], nil
}

// addChains puts the chains into the evidence: the partition's by Google, the card's by Google, the manufacturer's.
func addChains(e *hsm.KeyEvidence, m *Metadata, chains *kmspb.KeyOperationAttestation_CertificateChains) error {
	for _, c := range []struct {
		texts []string
		count *int
	}{
		{chains.GetGooglePartitionCerts(), &m.GooglePartitionCertificates},
		{chains.GetGoogleCardCerts(), &m.GoogleCardCertificates},
		{chains.GetCaviumCerts(), &m.CaviumCertificates},
	} {
		for _, text := range c.texts {
			ders, err := decodeCertificates(text)
			if err != nil {
				return err
			}
			e.Certificates = append(e.Certificates, ders...)
			*c.count += len(ders)
		}
	}
	if len(e.Certificates) > certificatesMax {
		return fmt.Errorf("%d certificates, at most %d", len(e.Certificates), certificatesMax)
	}
	return nil
}

// decodeCertificates takes the DER out of PEM texts of certificates (RFC 7468 §5), without looking into it.
func decodeCertificates(text string) ([][]byte, error) {
	var ders [][]byte
	for rest := bytes.TrimSpace([]byte(text)); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || len(ders) >= certificatesMax {
			return nil, fmt.Errorf("certificate chain: %w", errEncoding)
		}
		ders = append(ders, block.Bytes)
	}
	return ders, nil
}
