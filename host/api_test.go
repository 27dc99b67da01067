package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/client"
)

// Goal: doctor asks the API where it answers, by a name of its certificate: an address of every interface is no address to dial. Method:
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
		{named, "192.0.2.2:8443", "https://192.0.2.2:8443", "a.example"},
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

// Goal: with api.tls.client_ca a client shows a certificate of that CA, or the node's own, as the doctor beside it does, whoever issued
// that; nobody else gets in. Method: one server, and clients with each certificate, with none, and with one of the node's CA.
func TestClientCA(t *testing.T) {
	issue := func(ca *natsnet.CA, name string) client.Files {
		dir := t.TempDir()
		f := client.Files{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
		cert, key, err := ca.Issue(transport.NodeID(name), []string{"127.0.0.1"})
		if err := errors.Join(err, os.WriteFile(f.CA, ca.CertPEM(), 0o600), os.WriteFile(f.Cert, cert, 0o600),
			os.WriteFile(f.Key, key, 0o600)); err != nil {
			t.Fatal(err)
		}
		return f
	}
	nodes, err := natsnet.NewCA("c")
	if err != nil {
		t.Fatal(err)
	}
	clients, err := natsnet.NewCA("clients")
	if err != nil {
		t.Fatal(err)
	}
	own, good, stranger := issue(nodes, "n1"), issue(clients, "alice"), issue(nodes, "n2")
	c := Config{Cluster: "c", Node: "n1"}
	c.API.Cert, c.API.Key, c.API.ClientCA = own.Cert, own.Key, good.CA
	cert, err := c.apiCertificate()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := apiTLS(c, cert)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", settings)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	for name, x := range map[string]struct {
		shows client.Files
		in    bool
	}{"of the CA": {good, true}, "the node's": {own, true}, "another node's": {stranger, false}, "none": {client.Files{}, false}} {
		x.shows.CA = own.CA
		h, err := client.NewHTTP(x.shows, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		h.Transport.(*http.Transport).ForceAttemptHTTP2 = false // which may end before it reads why
		resp, err := h.Get("https://" + l.Addr().String())
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != x.in || !x.in && !strings.Contains(client.Advice(err), "--cert") {
			t.Errorf("%s: %v, %q", name, err, client.Advice(err))
		}
	}
}

// Goal: over TLS a client without a token is known by the key of its certificate, of no CA of ours, and one without a certificate is not
// kept from the API for that. Method: a door with one client in its configuration, as a start makes it; two clients.
func TestClientsByCertificate(t *testing.T) {
	dir := t.TempDir()
	issue := func(name string) (f client.Files, pin string) {
		ca, err := natsnet.NewCA(name)
		if err != nil {
			t.Fatal(err)
		}
		f = client.Files{CA: filepath.Join(dir, name+".ca"), Cert: filepath.Join(dir, name), Key: filepath.Join(dir, name+".key")}
		cert, key, err := ca.Issue(transport.NodeID(name), []string{"127.0.0.1"})
		if err := errors.Join(err, os.WriteFile(f.CA, ca.CertPEM(), 0o600), os.WriteFile(f.Cert, cert, 0o600),
			os.WriteFile(f.Key, key, 0o600)); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return f, fmt.Sprintf("spki-sha256:%x", sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo))
	}
	own, _ := issue("n1")
	payouts, pin := issue("payouts")
	public, _, _ := ed25519.GenerateKey(rand.Reader)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "tokens.pub")
	if err := os.WriteFile(keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	vs := Defaults()
	for k, v := range map[string]string{"cluster": "c", "node_id": "n1", "api.tls.cert": own.Cert, "api.tls.key": own.Key,
		"api.jwt.keys": keys, "api.clients": "payouts " + pin + " role:viewer"} {
		vs.Set(k, v, "test")
	}
	c, _ := Parse(vs) // the rest of a node is not in it
	cert, err := c.apiCertificate()
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.door(cert)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", a.tls)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := a.auth.Authenticate(r)
		fmt.Fprint(w, who.Requester, err)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	for shows, want := range map[client.Files]string{{Cert: payouts.Cert, Key: payouts.Key}: "cert:payouts", {}: "no token is given"} {
		shows.CA = own.CA
		h, err := client.NewHTTP(shows, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := h.Get("https://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.HasPrefix(string(b), want) {
			t.Errorf("%q, want %q", b, want)
		}
	}
	vs.Set("api.clients", "payouts role:viewer", "test")
	if err := CheckGiven(vs); err == nil || !strings.Contains(err.Error(), "api.clients") {
		t.Error(err)
	}
}
