package natsnet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// How long certificates live, and how far a verifier's clock may be behind.
const (
	CAValidity   = 10 * 365 * 24 * time.Hour
	NodeValidity = 397 * 24 * time.Hour
	backdate     = time.Hour
)

// CA issues the certificates of one cluster's routes, and nothing else: keys are ECDSA P-256, which every TLS stack and HSM
// knows. A certificate lets a node load the relay; it proves nothing to the ceremonies, which trust identity keys only.
type CA struct {
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	clock   func() time.Time
}

// NewCA makes a CA for the cluster, with a fresh key in memory.
func NewCA(cluster string) (*CA, error) {
	if err := transport.CheckName("cluster", cluster); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("natsnet: CA key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "mpcd routes of " + cluster, Organization: []string{cluster}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(CAValidity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("natsnet: CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("natsnet: CA certificate: %w", err)
	}
	return &CA{cluster: cluster, cert: cert, key: key, clock: time.Now}, nil
}

// LoadCA reads what CertPEM and KeyPEM wrote.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	c, _ := pem.Decode(certPEM)
	k, _ := pem.Decode(keyPEM)
	if c == nil || k == nil || c.Type != "CERTIFICATE" || k.Type != "PRIVATE KEY" {
		return nil, errors.New("natsnet: CA: want a CERTIFICATE and a PRIVATE KEY in PEM")
	}
	cert, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, fmt.Errorf("natsnet: CA certificate: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.Bytes)
	if err != nil {
		return nil, errors.New("natsnet: CA key is not PKCS #8")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("natsnet: CA key does not belong to the certificate")
	}
	if !cert.IsCA || len(cert.Subject.Organization) != 1 {
		return nil, errors.New("natsnet: certificate is not of a cluster's CA")
	}
	return &CA{cluster: cert.Subject.Organization[0], cert: cert, key: key, clock: time.Now}, nil
}

// CertPEM returns the certificate that every node trusts.
func (ca *CA) CertPEM() []byte { return encodePEM("CERTIFICATE", ca.cert.Raw) }

// KeyPEM returns the private key in PKCS #8; the caller wipes it.
func (ca *CA) KeyPEM() ([]byte, error) { return keyPEM(ca.key) }

// Issue makes a key and a certificate for the node, valid for NodeValidity, for dialling and for being dialled. Hosts are its
// further names and addresses, for other tools; natsnet itself asks for the names of cluster and node.
func (ca *CA) Issue(node transport.NodeID, hosts []string) (certPEM, key []byte, err error) {
	if err := transport.CheckName("node", string(node)); err != nil {
		return nil, nil, err
	}
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("natsnet: key of %s: %w", node, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	now := ca.clock()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: string(node), Organization: []string{ca.cluster}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(NodeValidity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{clusterName(ca.cluster)},
		URIs:         []*url.URL{nodeURI(ca.cluster, node)},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, priv.Public(), ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("natsnet: certificate of %s: %w", node, err)
	}
	if key, err = keyPEM(priv); err != nil {
		return nil, nil, err
	}
	return encodePEM("CERTIFICATE", der), key, nil
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("natsnet: serial number: %w", err)
	}
	return n, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("natsnet: encode key: %w", err)
	}
	defer clear(der)
	return encodePEM("PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
