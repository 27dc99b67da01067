package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Goal: doctor asks the API where it answers: an address of every interface is no address to dial, and no name of a certificate. Method:
// the forms of listen, with certificates for a name, an address, and none.
func TestReach(t *testing.T) {
	certificate := func(template x509.Certificate) (cert, key string) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.NotAfter = big.NewInt(1), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		cert, key = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
		for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
			if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return cert, key
	}
	var named, addressed Config
	ips := []net.IP{net.IPv4(192, 0, 2, 1)}
	named.API.Cert, named.API.Key = certificate(x509.Certificate{DNSNames: []string{"a.example"}, IPAddresses: ips})
	addressed.API.Cert, addressed.API.Key = certificate(x509.Certificate{IPAddresses: ips})
	for _, x := range []struct {
		c                 Config
		listen, url, name string
	}{
		{Config{}, "127.0.0.1:8080", "http://127.0.0.1:8080", ""},
		{Config{}, "0.0.0.0:8080", "http://127.0.0.1:8080", ""},
		{named, "a.example:8443", "https://a.example:8443", ""},
		{named, "192.0.2.1:8443", "https://192.0.2.1:8443", ""},
		{named, ":8443", "https://127.0.0.1:8443", "a.example"},
		{named, "0.0.0.0:8443", "https://127.0.0.1:8443", "a.example"},
		{addressed, "[::]:8443", "https://[::1]:8443", "192.0.2.1"},
	} {
		x.c.Listen = x.listen
		if url, name := x.c.Reach(); url != x.url || name != x.name {
			t.Errorf("%s: %s, %q", x.listen, url, name)
		}
	}
}
