package pkcs11_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/softhsm"
)

// certificate is a certificate for localhost that a key of the token signs for itself.
func certificate(t *testing.T, tok hsm.Token, keyID string) tls.Certificate {
	t.Helper()
	signer, err := hsm.NewCryptoSigner(t.Context(), tok, keyID)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	c := tls.Certificate{PrivateKey: signer}
	if _, ok := signer.Public().(*rsa.PublicKey); ok {
		template.SignatureAlgorithm = x509.SHA256WithRSAPSS
		c.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA256}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c.Certificate = [][]byte{der}
	if c.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// Goal: TLS 1.3 runs with keys that stay in the token, on both sides. Method: a handshake with mutual authentication for each type of
// key that X.509 knows; then with a certificate of another key of the token, which must fail.
func TestTLS(t *testing.T) {
	tok := openURI(t, softhsm.New(t), hsm.Options{})
	for _, kind := range []hsm.KeyType{hsm.KeyP256, hsm.KeyEd25519, hsm.KeyRSA3072} {
		for _, id := range []string{string(kind), "other " + string(kind)} {
			if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), id, kind); err != nil {
				t.Fatal(err)
			}
		}
		cert, other := certificate(t, tok, string(kind)), certificate(t, tok, "other "+string(kind))
		if err := handshake(cert); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		wrong := cert
		wrong.PrivateKey = other.PrivateKey
		if err := handshake(wrong); err == nil {
			t.Errorf("%s: a handshake with another key succeeds", kind)
		}
	}
	s, err := hsm.NewCryptoSigner(t.Context(), tok, string(hsm.KeyRSA3072))
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]crypto.SignerOpts{
		"PKCS #1 v1.5": crypto.SHA256,
		"SHA-512":      &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA512},
		"salt of 20":   &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256},
		"longest salt": &rsa.PSSOptions{Hash: crypto.SHA256},
	} {
		if _, err := s.SignMessage(nil, nil, opts); !errors.Is(err, hsm.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func handshake(cert tls.Certificate) error {
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		MinVersion: tls.VersionTLS13})
	client := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: "localhost",
		MinVersion: tls.VersionTLS13})
	served := make(chan error, 1)
	go func() {
		err := server.Handshake()
		if err != nil {
			_ = a.Close()
		}
		served <- err
	}()
	err := client.Handshake()
	if err != nil {
		_ = b.Close()
	}
	return errors.Join(err, <-served)
}
