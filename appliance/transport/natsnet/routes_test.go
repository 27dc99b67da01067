package natsnet

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// parsed is a certificate of the node, by ca.
func parsed(t *testing.T, ca *CA, node transport.NodeID) *x509.Certificate {
	t.Helper()
	certPEM, keyPEM, err := ca.Issue(node, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

// Goal: whoever is at the other end of a route is a node of this cluster that the roster has at that moment, by a certificate that was
// verified. Method: states of a connection, by a roster that is fixed and by one that changes.
func TestVerifyRoute(t *testing.T) {
	ca, err := NewCA("x")
	if err != nil {
		t.Fatal(err)
	}
	b, stranger := parsed(t, ca, "b"), parsed(t, ca, "stranger")
	elsewhere, two, none := *b, *b, *b
	elsewhere.URIs = []*url.URL{nodeURI("y", "b")}
	two.URIs = append([]*url.URL{nodeURI("x", "a")}, b.URIs...)
	none.URIs = []*url.URL{{Scheme: "https", Host: "x", Path: "/b"}}
	shown := func(c *x509.Certificate) tls.ConnectionState {
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c, ca.cert}}}
	}
	unverified := shown(b)
	unverified.VerifiedChains = nil
	bare := shown(b)
	bare.PeerCertificates = nil
	known := false
	fixed := Config{Cluster: "x", Peers: transport.Peers{"a": {}, "b": {}}}
	asked := Config{Cluster: "x", Peers: transport.Peers{"stranger": {}}, Known: func(id transport.NodeID) bool { return known && id == "b" }}
	for _, c := range []struct {
		name  string
		state tls.ConnectionState
		by    Config
		ok    bool
	}{
		{"a node", shown(b), fixed, true},
		{"without a certificate", bare, fixed, false},
		{"by a certificate that nobody verified", unverified, fixed, false},
		{"of another cluster", shown(&elsewhere), fixed, false},
		{"of two names", shown(&two), fixed, false},
		{"of no name", shown(&none), fixed, false},
		{"who is not in the roster", shown(stranger), fixed, false},
		{"who is not in the roster any more", shown(b), asked, false},
		{"who was in the roster at the start", shown(stranger), asked, false},
	} {
		if err := c.by.verifyRoute(c.state); (err == nil) != c.ok {
			t.Errorf("one %s: %v", c.name, err)
		}
	}
	known = true
	if err := asked.verifyRoute(shown(b)); err != nil {
		t.Errorf("one who has joined: %v", err)
	}
}

// Goal: no settings of a caller make routes laxer: TLS 1.3, certificates of both sides by the cluster's CA, for the cluster's name, and
// what verifyRoute asks. Method: settings that allow everything, given by value.
func TestRouteTLS(t *testing.T) {
	ca, err := NewCA("x")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	lax := &tls.Config{MinVersion: tls.VersionTLS10, InsecureSkipVerify: true, ServerName: "anything", ClientAuth: tls.NoClientCert,
		RootCAs: pool, ClientCAs: pool, Certificates: make([]tls.Certificate, 1),
		VerifyConnection: func(tls.ConnectionState) error { return nil }}
	got, err := Config{Cluster: "x", TLS: lax}.routeTLS()
	if err != nil {
		t.Fatal(err)
	}
	if got.MinVersion != tls.VersionTLS13 || got.InsecureSkipVerify || got.ServerName != "x.mpcd.internal" ||
		got.ClientAuth != tls.RequireAndVerifyClientCert || got.VerifyConnection(tls.ConnectionState{}) == nil {
		t.Errorf("TLS %x, unverified %v, for %s, certificates of clients %v, strangers taken", got.MinVersion, got.InsecureSkipVerify,
			got.ServerName, got.ClientAuth)
	}
	if lax.MinVersion != tls.VersionTLS10 {
		t.Error("the caller's settings are changed")
	}
}
