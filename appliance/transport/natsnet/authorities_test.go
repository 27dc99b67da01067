package natsnet_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport/natsnet"
)

// Goal: a certificate is judged before it is used as peers and clients will judge it, whatever the time is. Method: mistakes of each kind
// against the cluster's CA, by what routes and what clients ask for.
func TestAuthorities(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	other, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, ca.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	as, err := natsnet.LoadAuthorities(file)
	if err != nil {
		t.Fatal(err)
	}
	only := func(u x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
	}
	for name, x := range map[string]struct {
		by             *natsnet.CA
		change         func(*x509.Certificate)
		route, clients bool
	}{
		"genuine":        {ca, func(*x509.Certificate) {}, true, true},
		"another CA's":   {other, func(*x509.Certificate) {}, false, false},
		"expired":        {ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, true, true},
		"to dial alone":  {ca, only(x509.ExtKeyUsageClientAuth), false, false},
		"to be dialled":  {ca, only(x509.ExtKeyUsageServerAuth), false, true},
		"without a name": {ca, func(c *x509.Certificate) { c.DNSNames = nil }, false, true},
		"without a node": {ca, func(c *x509.Certificate) { c.URIs = []*url.URL{} }, true, true}, // which CheckNode tells
	} {
		c, err := x509.ParseCertificate(handmade(t, x.by, x.change).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		chain := []*x509.Certificate{c}
		if err := as.CheckRoute(chain, cluster); (err == nil) != x.route {
			t.Errorf("%s, for routes: %v", name, err)
		}
		if err := as.CheckServer(chain); (err == nil) != x.clients {
			t.Errorf("%s, for clients: %v", name, err)
		}
		if !as.Claimed(c) {
			t.Errorf("%s: it does not say that it is of the cluster", name)
		}
	}
}

// Goal: of a file of CAs each is read, or none. Method: two, and the second cut, damaged, and of another kind.
func TestLoadAuthorities(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	one := ca.CertPEM()
	damaged := slices.Clone(one)
	copy(damaged[30:], "AAAA")
	for name, x := range map[string]struct {
		file []byte
		want int
	}{
		"two": {slices.Concat(one, one), 2}, "and a key": {slices.Concat(one, key), 1},
		"and a word": {slices.Concat(one, []byte("word")), 1},
		"none":       {nil, 0}, "a key": {key, 0}, "cut": {one[:len(one)-9], 0},
		"the second is cut": {slices.Concat(one, one[:len(one)-9]), 0},
		"the first is cut":  {slices.Concat(one[:len(one)-30], one), 0}, "the second is damaged": {slices.Concat(one, damaged), 0},
	} {
		file := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(file, x.file, 0o600); err != nil {
			t.Fatal(err)
		}
		as, err := natsnet.LoadAuthorities(file)
		if len(as) != x.want || (err == nil) != (x.want > 0) || err != nil && !errors.Is(err, natsnet.ErrCA) {
			t.Errorf("%s: %d, %v", name, len(as), err)
		}
	}
}

// Goal: a flipped bit in the file of the CA is found before a start, wherever it changes what peers go by. Method: two bits of each byte;
// what still passes, and has signed the node's certificate, has the same key, the same name and the same times, and is a CA's.
func TestFlippedCA(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	good, file := ca.CertPEM(), filepath.Join(t.TempDir(), "ca.crt")
	read := func(b []byte) (natsnet.Authorities, error) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		as, err := natsnet.LoadAuthorities(file)
		if err == nil {
			err = as.Check()
		}
		return as, err
	}
	was, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	leaf, key, err := ca.Issue("n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(leaf, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, refused := []*x509.Certificate{pair.Leaf}, 0
	for i := range good {
		for _, bit := range []int{0, 5} {
			b := slices.Clone(good)
			b[i] ^= 1 << bit
			as, err := read(b)
			if err == nil {
				err = as.CheckRoute(chain, cluster)
			}
			if err != nil {
				refused++
				continue
			}
			if a, w := as[0], was[0]; len(as) != 1 || !bytes.Equal(a.RawSubjectPublicKeyInfo, w.RawSubjectPublicKeyInfo) || !a.IsCA ||
				!bytes.Equal(a.RawSubject, w.RawSubject) || !a.NotAfter.Equal(w.NotAfter) || !a.NotBefore.Equal(w.NotBefore) ||
				a.KeyUsage != w.KeyUsage || !slices.Equal(a.ExtKeyUsage, w.ExtKeyUsage) || a.MaxPathLen != w.MaxPathLen {
				t.Errorf("byte %d, bit %d: taken with another meaning", i, bit)
			}
		}
	}
	if refused < 3*len(good)/2 {
		t.Errorf("%d of %d flips are refused", refused, 2*len(good))
	}
}

// Goal: the files of TLS are refused before a start as the start refuses them, and a broker may be of one of the system's CAs. Method: a
// CA's file that is not there, for routes and for a broker; none for a broker.
func TestCheckFiles(t *testing.T) {
	own := func() (*tls.Certificate, error) { return nil, errors.New("nobody asks for it") }
	for name, x := range map[string]struct {
		c   natsnet.Config
		bad bool
	}{
		"routes":                     {natsnet.Config{RouteListen: "127.0.0.1:0", CAFile: "/nowhere"}, true},
		"a broker":                   {natsnet.Config{ExternalURL: "tls://127.0.0.1:1", CAFile: "/nowhere"}, true},
		"a broker of a system's CA":  {natsnet.Config{ExternalURL: "tls://127.0.0.1:1"}, false},
		"a cluster of one, with any": {natsnet.Config{CAFile: "/nowhere"}, false},
	} {
		x.c.Certificate = own
		if err := x.c.CheckFiles(); errors.Is(err, natsnet.ErrCA) != x.bad || err != nil && !x.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}
