package gcpkms

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
)

// notHardware is in every certificate and statement of this package.
const notHardware = "mpcd test server, NOT hardware"

// partition is the key that signs statements and its chain: card (a root), then partition, each PEM. One for the process, since
// RSA keys are slow to make.
type partition struct {
	key    *rsa.PrivateKey
	leaf   string
	root   string
	failed error
}

var thePartition = sync.OnceValue(func() partition {
	rootKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return partition{failed: err}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return partition{failed: err}
	}
	root := certificate(1, "card root")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return partition{failed: err}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, certificate(2, "partition"), root, key.Public(), rootKey)
	if err != nil {
		return partition{failed: err}
	}
	return partition{key: key, leaf: certPEM(leafDER), root: certPEM(rootDER)}
})

func certificate(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{notHardware}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// attestation has the outer shape of Google's: gzip of data ‖ signature of 256 bytes (RSASSA-PKCS1-v1_5, SHA-256). The data is a
// text of ours, not the vendor's format.
func attestation(v *version) (*kmspb.KeyOperationAttestation, error) {
	p := thePartition()
	if p.failed != nil {
		return nil, p.failed
	}
	data := fmt.Appendf(nil, "%s\nkey %s\nalgorithm %v\nsha256 of public key %x\n", notHardware, v.name, v.alg, sha256.Sum256(v.spki))
	digest := sha256.Sum256(data)
	sig, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(append(data, sig...)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return &kmspb.KeyOperationAttestation{
		Format: kmspb.KeyOperationAttestation_CAVIUM_V2_COMPRESSED, Content: b.Bytes(),
		CertChains: &kmspb.KeyOperationAttestation_CertificateChains{GooglePartitionCerts: []string{p.leaf}, GoogleCardCerts: []string{p.root}},
	}, nil
}
