package appraise

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
)

// gcpMetadata is Extra["metadata"] of package hsm/gcpkms: what the service says of the key version.
type gcpMetadata struct {
	Name                        string `json:"name"`
	State                       string `json:"state"`
	ProtectionLevel             string `json:"protection_level"`
	Algorithm                   string `json:"algorithm"`
	Origin                      string `json:"origin"`
	ImportJob                   string `json:"import_job"`
	CreateTime                  string `json:"create_time"`
	GenerateTime                string `json:"generate_time"`
	StatementFormat             string `json:"statement_format"`
	GooglePartitionCertificates int    `json:"google_partition_certificates"`
	GoogleCardCertificates      int    `json:"google_card_certificates"`
	CaviumCertificates          int    `json:"cavium_certificates"`
	SoftwareOnly                bool   `json:"software_only"`
}

// gcp judges what Google Cloud KMS said to the node, and checks who signed the HSM's statement. What the statement says is not read, so
// the level is never more than Reported.
func (j *judge) gcp() (claim, error) {
	var m gcpMetadata
	if err := parseReport(j.ev.Extra["metadata"], &m); err != nil {
		return claim{}, isBroken("metadata: %v", err)
	}
	partition, card := m.GooglePartitionCertificates, m.GoogleCardCertificates
	if partition < 0 || card < 0 || m.CaviumCertificates < 0 || partition+card+m.CaviumCertificates != len(j.ev.Certificates) {
		return claim{}, isBroken("the chains have not as many certificates as the metadata says")
	}
	if k := j.ev.Key; j.v.Software != m.SoftwareOnly || k.Local && m.Origin != "generated" || k.NeverExtracted && !k.Local {
		return claim{}, isBroken("the metadata is not that of the summary")
	}
	if len(j.ev.Statement) > 0 {
		if err := j.partition(j.ev.Certificates[:partition], j.ev.Certificates[partition:]); err != nil {
			return claim{}, err
		}
	}
	j.report("Google Cloud KMS: %s, protection level %s, algorithm %s, state %s, origin %s, made %s",
		quoted(m.Name), quoted(m.ProtectionLevel), quoted(m.Algorithm), quoted(m.State), quoted(m.Origin), quoted(m.GenerateTime))
	if m.State != "ENABLED" {
		j.refuse("enable the version (gcloud kms keys versions enable)", "the key version is in state %s", quoted(m.State))
	}
	c := claim{level: Reported, from: "the service", madeAs: "origin " + quoted(m.Origin), sensitive: of(j.ev.Key.Sensitive),
		neverExtractable: of(j.ev.Key.NeverExtracted), made: of(j.ev.Key.Local)}
	switch m.ProtectionLevel {
	case "HSM", "HSM_SINGLE_TENANT":
	case "SOFTWARE":
		c.level = Software
		if !j.policy.Software {
			j.refuse("make the key with protection level HSM", "the key is in Google's software")
		}
	default: // EXTERNAL and what may come: not in Google's hands
		c.sensitive, c.neverExtractable, c.made = notTold, notTold, notTold
		j.caution("ask who keeps the key for evidence", "the key is outside of Google's HSMs: %s", quoted(m.ProtectionLevel))
	}
	return c, nil
}

// partition checks the signature of the HSM's statement: RSASSA-PKCS1-v1_5 with SHA-256 by the key of the first certificate ("Verifying
// attestations", Google's documentation of Cloud HSM), and whether that leads to a root.
func (j *judge) partition(chain, card [][]byte) error {
	if len(chain) == 0 {
		return isBroken("a statement without the certificate of its signer")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return isBroken("the partition's certificate cannot be read: %v", err)
	}
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok {
		return isBroken("the partition's key is not RSA")
	}
	digest := sha256.Sum256(j.ev.Statement)
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], j.ev.Signature); err != nil {
		return isBroken("the partition's key did not sign the statement")
	}
	const unread = "; what it says of this key is in the maker's format, which is not read here"
	next := "give the root of Google's Cloud HSM with --google-roots, and read the statement with the maker's program"
	if j.policy.Google == nil {
		j.report("an HSM partition signed a statement of %d bytes"+unread, len(j.ev.Statement))
		return nil
	}
	root, err := j.policy.Google.chain(leaf, append(chain[1:len(chain):len(chain)], card...), j.subject.At)
	if err != nil {
		j.caution(next, "the statement's certificate leads to no trusted root: %v", err)
		return nil
	}
	j.prove("an HSM partition that %s vouches for signed a statement of %d bytes"+unread, root, len(j.ev.Statement))
	return nil
}
