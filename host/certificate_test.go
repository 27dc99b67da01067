package host

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host/fault"
)

// certified is a configuration with a certificate for routes by a CA, and a way to put another in its place.
func certified(t *testing.T) (c Config, replace func(node transport.NodeID)) {
	t.Helper()
	dir := t.TempDir()
	c.Cluster, c.Node = "c", "n1"
	c.NATS.Cert, c.NATS.Key, c.NATS.CA = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key"), filepath.Join(dir, "ca.crt")
	ca := newCA(t)
	put(t, c.NATS.CA, ca.CertPEM())
	replace = func(node transport.NodeID) { issue(t, c, ca, node) }
	replace("n1")
	return c, replace
}

func newCA(t *testing.T) *natsnet.CA {
	t.Helper()
	ca, err := natsnet.NewCA("c")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue puts a certificate by a CA in the place of the one for routes.
func issue(t *testing.T, c Config, ca *natsnet.CA, node transport.NodeID) {
	t.Helper()
	cert, key, err := ca.Issue(node, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c.NATS.Cert, cert)
	put(t, c.NATS.Key, key)
}

// put writes a file, at another time than all before.
func put(t *testing.T, path string, b []byte) {
	t.Helper()
	later := time.Now().Add(time.Duration(len(b)) * time.Second) // a file system's times may be coarse
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.Chtimes(path, later, later)); err != nil {
		t.Fatal(err)
	}
}

// Goal: a good certificate is not given up for one that is not valid yet, which is taken up when it is. Method: the clock is before the
// beginning of the second one.
func TestCertificateOfLater(t *testing.T) {
	c, replace := certified(t)
	x, err := c.routeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	begins := x.leaf.NotBefore
	now := begins.Add(-time.Minute)
	said := new(bytes.Buffer)
	x.leaf.NotBefore, x.clock, x.log = now.Add(-time.Hour), func() time.Time { return now }, slog.New(slog.NewTextHandler(said, nil))
	first := x.pair.Certificate[0]
	replace("n1")
	for range 2 {
		now = now.Add(lookEvery)
		if p, err := x.get(); err != nil || !bytes.Equal(p.Certificate[0], first) || !x.check().OK {
			t.Errorf("it is given up: %v, %+v", err, x.check())
		}
	}
	if strings.Count(said.String(), "not taken up: the one before is shown") != 1 {
		t.Errorf("%s", said)
	}
	now = begins.Add(time.Hour)
	if p, err := x.get(); err != nil || bytes.Equal(p.Certificate[0], first) {
		t.Errorf("it is not taken up: %v", err)
	}
}

// Goal: a certificate that takes another's place is taken up while the node runs, and one that does not serve is not. Method: another of
// the node, another node's, one by another cluster's CA, and a key alone.
func TestCertificateTakenUp(t *testing.T) {
	c, replace := certified(t)
	x, err := c.routeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	x.clock = func() time.Time { return now }
	shown := func() []byte {
		now = now.Add(lookEvery)
		p, err := x.get()
		if err != nil {
			t.Fatal(err)
		}
		return p.Certificate[0]
	}
	first := shown()
	replace("n1")
	second := shown()
	if bytes.Equal(first, second) {
		t.Error("a new certificate is not taken up")
	}
	replace("n2")
	if !bytes.Equal(shown(), second) {
		t.Error("another node's certificate is taken up")
	}
	issue(t, c, newCA(t), "n1")
	if !bytes.Equal(shown(), second) {
		t.Error("another cluster's certificate, of the same names, is taken up")
	}
	if err := os.WriteFile(c.NATS.Key, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shown(), second) {
		t.Error("a certificate without its key is taken up")
	}
	if _, err := c.routeCertificate(); err == nil {
		t.Error("it is opened")
	}
	replace("n2")
	if _, err := c.routeCertificate(); err == nil || !strings.Contains(err.Error(), "of node n2") {
		t.Errorf("another node's certificate at boot: %v", err)
	}
}

// Goal: a certificate that peers or clients would refuse for any of its bytes is told at the start, with the code of a configuration that
// is wrong, and does not take the place of a good one. Method: each byte of the file, flipped in two ways, for routes and for the API; what
// PEM reads as the same certificate is the same.
func TestCertificateFlipped(t *testing.T) {
	c, _ := certified(t)
	c.API.Cert, c.API.Key = c.NATS.Cert, c.NATS.Key
	x, err := c.routeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(c.NATS.Cert)
	if err != nil {
		t.Fatal(err)
	}
	first := x.leaf
	for i := range good {
		for _, bits := range []byte{1, 0x20} {
			bad := bytes.Clone(good)
			bad[i] ^= bits
			put(t, c.NATS.Cert, bad)
			if b, _ := pem.Decode(bad); b != nil && b.Type == "CERTIFICATE" && bytes.Equal(b.Bytes, x.leaf.Raw) {
				continue
			}
			for use, open := range map[string]func() (*certificate, error){"API": c.apiCertificate, "routes": c.routeCertificate} {
				var f *fault.Error
				if _, err := open(); !errors.As(err, &f) || f.Code != fault.CodeUsage || !strings.Contains(f.Do, "renew") {
					t.Errorf("byte %d, %s: %v", i, use, err)
				}
			}
			if x.look(true); x.leaf != first || x.refused == "" {
				t.Errorf("byte %d: it is taken up", i)
			}
		}
	}
}

// byAny makes a certificate for a server by no cluster's CA, with that of its CA behind it, and puts it in the API's place.
func byAny(t *testing.T, c Config) (file []byte) {
	t.Helper()
	sign := func(x, by *x509.Certificate, public any, key any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, x, by, public, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "any"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	top := sign(ca, ca, public, key)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "api"}, DNSNames: []string{"api.example"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter}
	own := sign(leaf, ca, public, key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: top}))
	put(t, c.API.Cert, file)
	put(t, c.API.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return file
}

// Goal: a certificate of the API by a CA that is none of the cluster's serves, unless it was damaged, as that of its CA behind it shows.
// Method: one with its CA's; a byte of its signature flipped.
func TestCertificateOfAnotherCA(t *testing.T) {
	c, _ := certified(t)
	c.API.Cert, c.API.Key = c.NATS.Cert, c.NATS.Key
	file := byAny(t, c)
	if _, err := c.apiCertificate(); err != nil {
		t.Errorf("of another CA: %v", err)
	}
	if _, err := c.routeCertificate(); err == nil {
		t.Error("for routes")
	}
	b, rest := pem.Decode(file)
	b.Bytes[len(b.Bytes)-1] ^= 1
	put(t, c.API.Cert, append(pem.EncodeToMemory(b), rest...))
	if _, err := c.apiCertificate(); err == nil {
		t.Error("its signature is damaged")
	}
}

// Goal: the doctor reaches the node beside it whoever issued the API's certificate, and nobody else. Method: a server with one by a CA of
// its own, asked by the configuration's CA and certificate, and by the CA alone.
func TestOwnCertificateIsKnown(t *testing.T) {
	c, _ := certified(t)
	c.API.Cert, c.API.Key = filepath.Join(t.TempDir(), "api.crt"), filepath.Join(t.TempDir(), "api.key")
	byAny(t, c)
	own, err := c.apiCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	if s.TLS, err = apiTLS(c, own); err != nil {
		t.Fatal(err)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c.Listen = s.Listener.Addr().String()
	at, name := c.Reach()
	for known, want := range map[string]bool{c.API.Cert: true, "": false} {
		h, err := client.NewHTTP(client.Files{CA: c.NATS.CA, Known: known, Name: name}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		r, err := h.Get(at)
		if err == nil {
			_ = r.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("known by %q: %v", known, err)
		}
	}
}

// Goal: clients are not shown another node's certificate, neither at the start nor when it takes the place of the node's; one of another
// CA, which names no node, serves. Method: the three, in the files of the API.
func TestCertificateOfAPI(t *testing.T) {
	c, replace := certified(t)
	c.API.Cert, c.API.Key = c.NATS.Cert, c.NATS.Key
	x, err := c.apiCertificate()
	if err != nil {
		t.Fatal(err)
	}
	first := x.leaf
	replace("n2")
	if x.look(true); x.leaf != first {
		t.Error("another node's certificate is taken up")
	}
	if _, err := c.apiCertificate(); err == nil || !strings.Contains(err.Error(), "of node n2") {
		t.Errorf("another node's certificate at boot: %v", err)
	}
	c.Cluster = "another"
	if _, err := c.apiCertificate(); err != nil {
		t.Errorf("a certificate that names no node of this cluster: %v", err)
	}
}

// Goal: of a certificate whose file is not there yet it is said from where it comes, and not that settings are wrong; of one that is
// there, as before. Method: no file, of the API and of routes; then a file of something else.
func TestCertificateNotBrought(t *testing.T) {
	c, _ := certified(t)
	c.API.Cert, c.API.Key = c.NATS.Cert, c.NATS.Key
	for _, row := range []struct {
		do   func() error
		want string
	}{{func() error { return os.Remove(c.NATS.Cert) }, "bring roster.json and this node's tls/ from the operator's"},
		{func() error { return os.WriteFile(c.NATS.Cert, []byte("no certificate"), 0o600) }, "correct "}} {
		if err := row.do(); err != nil {
			t.Fatal(err)
		}
		for use, open := range map[string]func() (*certificate, error){"api": c.apiCertificate, "nats": c.routeCertificate} {
			var f *fault.Error
			if _, err := open(); !errors.As(err, &f) || !strings.HasPrefix(f.Do, row.want) || !strings.Contains(f.Do, use+".tls.cert") {
				t.Errorf("%s: %+v, want: %s", use, f, row.want)
			}
		}
	}
	if do := missingFile(fs.ErrPermission, "api.tls", renewal); do != "check who owns the file" {
		t.Errorf("of one that may not be read: %s", do)
	}
}

// Goal: the end of a certificate is told once a day from two thirds of its life on, and with an expired one no node is ready. Method: days
// go by.
func TestCertificateEnds(t *testing.T) {
	c, replace := certified(t)
	x, err := c.routeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	now := time.Now()
	var cs certificates
	cs.add(x, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Clock: func() time.Time { return now }})
	for _, step := range []struct {
		left  time.Duration
		lines int
		ready bool
	}{{133 * 24 * time.Hour, 0, true}, {132 * 24 * time.Hour, 1, true}, {132*24*time.Hour - time.Hour, 0, true},
		{28 * 24 * time.Hour, 1, true}, {time.Second, 1, true}, {-time.Second, 0, false}} {
		now = x.notAfter().Add(-step.left)
		log.Reset()
		r := cs.checks()
		if got := strings.Count(log.String(), "ends soon"); got != step.lines || len(r) != 1 || r[0].OK != step.ready ||
			step.ready != (r[0].Next == "") {
			t.Errorf("%s before the end: %d lines, want %d; %+v", step.left, got, step.lines, r)
		}
	}
	replace("n1")
	now = time.Now()
	if r := cs.checks(); !r[0].OK {
		t.Errorf("renewed: %+v", r)
	}
	if err := inTime(&x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}, now); err == nil {
		t.Error("a certificate of tomorrow is in its time")
	}
}
