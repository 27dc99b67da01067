package natsnet_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
)

// credentials are a certificate and what its holder trusts.
func credentials(cert tls.Certificate, trusted *natsnet.CA) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted.CertPEM())
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool, ServerName: cluster + ".mpcd.internal"}
}

func issue(t *testing.T, ca *natsnet.CA, id transport.NodeID) tls.Certificate {
	t.Helper()
	return nodeTLS(t, ca, id).Certificates[0]
}

// handmade signs any certificate with the CA's key, for the mistakes that Issue does not make.
func handmade(t *testing.T, ca *natsnet.CA, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	keyPEM, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := tls.X509KeyPair(ca.CertPEM(), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "b"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{cluster + ".mpcd.internal"},
		URIs:        []*url.URL{{Scheme: "mpcd", Host: cluster, Path: "/b"}},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Leaf, key.Public(), issuer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// strangers are credentials that no honest node may accept, on either side; the CA is the cluster's own.
func strangers(t *testing.T, ca *natsnet.CA) map[string]*tls.Config {
	otherCA, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "mpcd", Host: "elsewhere", Path: "/b"}} }
	none := func(c *x509.Certificate) { c.URIs = nil }
	two := func(c *x509.Certificate) {
		c.URIs = append(c.URIs, &url.URL{Scheme: "mpcd", Host: cluster, Path: "/a"})
	}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	old := credentials(issue(t, ca, "b"), ca)
	old.MaxVersion = tls.VersionTLS12
	return map[string]*tls.Config{
		"wrong CA":          credentials(issue(t, otherCA, "b"), ca),
		"not in the roster": credentials(issue(t, ca, "mallory"), ca),
		"other cluster":     credentials(handmade(t, ca, elsewhere), ca),
		"names no node":     credentials(handmade(t, ca, none), ca),
		"names two nodes":   credentials(handmade(t, ca, two), ca),
		"expired":           credentials(handmade(t, ca, expired), ca),
		"TLS 1.2":           old,
	}
}

// Goal: a route is accepted only from a node of the roster, by a certificate of the cluster's CA, over TLS 1.3. Method: dial
// the route port as strangers do and wait for the server's first word; the genuine node must get it.
func TestAccept(t *testing.T) {
	b := newTestbed(t, []transport.NodeID{"a", "b"})
	addr := b.start("a").RouteAddr().String()
	if err := dialRoute(t, addr, credentials(issue(t, b.ca, "b"), b.ca)); err != nil {
		t.Errorf("genuine node: %v", err)
	}
	if err := dialRoute(t, addr, credentials(handmade(t, b.ca, func(*x509.Certificate) {}), b.ca)); err != nil {
		t.Errorf("handmade certificate without a mistake: %v", err)
	}
	for name, config := range strangers(t, b.ca) {
		if dialRoute(t, addr, config) == nil {
			t.Errorf("%s accepted", name)
		}
	}
	if dialRoute(t, addr, &tls.Config{RootCAs: nodeTLS(t, b.ca, "b").RootCAs, ServerName: cluster + ".mpcd.internal"}) == nil {
		t.Error("no certificate accepted")
	}
	if plainSpeaks(t, addr) {
		t.Error("the route port speaks without TLS")
	}
}

// dialRoute returns nil once the server has introduced itself over TLS.
func dialRoute(t *testing.T, addr string, config *tls.Config) error {
	t.Helper()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = bufio.NewReader(conn).ReadString(' ')
	return err
}

// plainSpeaks tells whether the server answers a route that does not use TLS. Its TLS answers to our plain text are alerts,
// not lines.
func plainSpeaks(t *testing.T, addr string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("INFO {\"server_id\":\"X\",\"server_name\":\"x\"}\r\nPING\r\n"))
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.HasPrefix(line, "INFO") || strings.HasPrefix(line, "PONG")
}

// Goal: a node dials no route to a stranger. Method: strangers listen where the node's routes point; the handshake must fail,
// and succeed for the genuine peer.
func TestDial(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	cases := strangers(t, ca)
	cases["genuine"] = credentials(issue(t, ca, "b"), ca)
	for name, config := range cases {
		t.Run(name, func(t *testing.T) {
			config.ClientAuth = tls.RequireAndVerifyClientCert
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			n, err := natsnet.Start(t.Context(), natsnet.Config{Cluster: cluster, Node: "a", RouteListen: "127.0.0.1:0",
				Peers: transport.Peers{"a": {}, "b": {}}, TLS: nodeTLS(t, ca, "a"), Routes: []string{l.Addr().String()}})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			server := tls.Server(conn, config)
			// The dialling side checks our certificate last: what it sends afterwards tells.
			_, err = bufio.NewReader(server).ReadString(' ')
			if genuine := name == "genuine"; genuine != (err == nil) {
				t.Errorf("route: %v", err)
			}
		})
	}
}

// Goal: the files that `mpcd init` writes are what Start reads. Method: write them, start two nodes from them, and see that
// the CA that was loaded again issues for the same cluster.
func TestFiles(t *testing.T) {
	made, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	key, err := made.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := natsnet.LoadCA(made.CertPEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caFile := write("ca.pem", ca.CertPEM())
	var routes []string
	for _, id := range []transport.NodeID{"a", "b"} {
		certPEM, keyPEM, err := ca.Issue(id, []string{"127.0.0.1", "node.example"})
		if err != nil {
			t.Fatal(err)
		}
		n, err := natsnet.Start(t.Context(), natsnet.Config{Cluster: cluster, Node: id, RouteListen: "127.0.0.1:0", Routes: routes,
			Peers: transport.Peers{"a": {}, "b": {}}, CAFile: caFile, CertFile: write("cert.pem", certPEM), KeyFile: write("key.pem", keyPEM)})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if routes != nil {
			waitPeers(t, n, 1)
		}
		routes = append(routes, n.RouteAddr().String())
	}
	if _, err := natsnet.LoadTLS(caFile, caFile, caFile); err == nil {
		t.Error("certificate file read as key")
	}
	if _, err := natsnet.LoadTLS(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pem")); err == nil {
		t.Error("key file read as CA")
	}
	other, _ := natsnet.NewCA("elsewhere")
	otherKey, _ := other.KeyPEM()
	for name, pair := range map[string][2][]byte{
		"wrong key": {made.CertPEM(), otherKey}, "swapped": {key, made.CertPEM()}, "empty": {nil, nil}, "garbage": {[]byte("x"), key},
	} {
		if _, err := natsnet.LoadCA(pair[0], pair[1]); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

// Goal: a configuration that would listen to strangers, or to nobody, does not start. Method: table.
func TestConfig(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	good := func() natsnet.Config {
		return natsnet.Config{Cluster: cluster, Node: "a", RouteListen: "127.0.0.1:0", Peers: transport.Peers{"b": {}}, TLS: nodeTLS(t, ca, "a")}
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, change := range map[string]func(*natsnet.Config){
		"cluster name":      func(c *natsnet.Config) { c.Cluster = "no dots." },
		"no node":           func(c *natsnet.Config) { c.Node = "" },
		"no peers":          func(c *natsnet.Config) { c.Peers = nil },
		"no TLS":            func(c *natsnet.Config) { c.TLS = nil },
		"no certificate":    func(c *natsnet.Config) { c.TLS.Certificates = nil },
		"no client CA":      func(c *natsnet.Config) { c.TLS.ClientCAs = nil },
		"no CA":             func(c *natsnet.Config) { c.TLS.RootCAs = nil },
		"TLS twice":         func(c *natsnet.Config) { c.CAFile = "x" },
		"missing files":     func(c *natsnet.Config) { c.TLS, c.CAFile, c.CertFile, c.KeyFile = nil, "x", "y", "z" },
		"listen":            func(c *natsnet.Config) { c.RouteListen = "127.0.0.1" },
		"port":              func(c *natsnet.Config) { c.RouteListen = "127.0.0.1:65536" },
		"port in use":       func(c *natsnet.Config) { c.RouteListen = busy.Addr().String() },
		"route":             func(c *natsnet.Config) { c.Routes = []string{"nowhere"} },
		"routes and broker": func(c *natsnet.Config) { c.ExternalURL = "nats://127.0.0.1:1" },
		"routes, no listen": func(c *natsnet.Config) { c.RouteListen, c.Routes = "", []string{"127.0.0.1:1"} },
		"broker URL":        func(c *natsnet.Config) { c.RouteListen, c.ExternalURL = "", "nats://\x00" },
	} {
		c := good()
		change(&c)
		if n, err := natsnet.Start(t.Context(), c); err == nil {
			_ = n.Close()
			t.Errorf("%s: started", name)
		} else if !strings.HasPrefix(err.Error(), "natsnet: ") && !strings.HasPrefix(err.Error(), "transport: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := natsnet.Start(cancelled, good()); err == nil {
		t.Error("started with a cancelled context")
	}
	alone, err := natsnet.Start(t.Context(), natsnet.Config{Cluster: cluster, Node: "a"})
	if err != nil {
		t.Fatalf("cluster of one: %v", err)
	}
	if alone.RouteAddr() != nil || alone.Connected() != 0 {
		t.Error("cluster of one has routes")
	}
	_ = alone.Close()
}

// Goal: a certificate that is renewed while a node runs is what it shows from then on, when it dials and when it is dialled. Method: two
// nodes, whose certificates are of a stranger's CA until both are replaced.
func TestCertificateRenewed(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(pem, ca.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	var by atomic.Pointer[natsnet.CA]
	by.Store(stranger)
	var first string
	var nets []*natsnet.Network
	for _, id := range []transport.NodeID{"a", "b"} {
		certs := map[*natsnet.CA]tls.Certificate{ca: issue(t, ca, id), stranger: issue(t, stranger, id)}
		c := natsnet.Config{Cluster: cluster, Node: id, Peers: transport.Peers{"a": {}, "b": {}}, RouteListen: "127.0.0.1:0", CAFile: pem,
			Certificate: func() (*tls.Certificate, error) { x := certs[by.Load()]; return &x, nil }}
		if first != "" {
			c.Routes = []string{first}
		}
		n, err := natsnet.Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		nets, first = append(nets, n), n.RouteAddr().String()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := nets[0].WaitPeers(ctx, 1); err == nil {
		t.Fatal("nodes with certificates of a stranger are connected")
	}
	by.Store(ca)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := nets[0].WaitPeers(ctx, 1); err != nil {
		t.Error(err)
	}
}

// Goal: a probe tells which node answers on a route, and that one which does not take our certificate, or is a stranger, is none; and
// whether it is for want of a roster that has us, or has it. Method: a node, dialled by a peer, by a stranger, by one of the cluster that
// its roster does not have, by one whose roster does not have it, and by a peer at an address where nobody is.
func TestProbe(t *testing.T) {
	ca, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := natsnet.NewCA(cluster)
	if err != nil {
		t.Fatal(err)
	}
	config := func(id transport.NodeID, trusted *natsnet.CA) natsnet.Config {
		return natsnet.Config{Cluster: cluster, Node: id, Peers: transport.Peers{"a": {}, "b": {}}, RouteListen: "127.0.0.1:0",
			TLS: credentials(issue(t, trusted, id), trusted)}
	}
	n, err := natsnet.Start(t.Context(), config("a", ca))
	if err != nil {
		t.Fatal(err)
	}
	addr := n.RouteAddr().String()
	if id, err := natsnet.Probe(t.Context(), config("b", ca), addr); id != "a" || err != nil {
		t.Errorf("a peer finds %q: %v", id, err)
	}
	unknown := config("b", ca)
	unknown.TLS = credentials(issue(t, stranger, "b"), ca)
	for name, c := range map[string]natsnet.Config{"by a stranger": config("b", stranger), "without its trust": unknown} {
		id, err := natsnet.Probe(t.Context(), c, addr)
		if !errors.Is(err, natsnet.ErrOtherCA) || errors.Is(err, natsnet.ErrStranger) || errors.Is(err, natsnet.ErrUnknown) {
			t.Errorf("dialled %s: %q, %v", name, id, err)
		}
	}
	behind := config("b", ca)
	behind.Peers = transport.Peers{"b": {}}
	if _, err := natsnet.Probe(t.Context(), behind, addr); !errors.Is(err, natsnet.ErrUnknown) {
		t.Errorf("dialled by one whose roster does not have it: %v", err)
	}
	_, err = natsnet.Probe(t.Context(), config("c", ca), addr)
	if !errors.Is(err, natsnet.ErrStranger) || errors.Is(err, natsnet.ErrUnknown) {
		t.Errorf("dialled by one whom its roster does not have: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if id, err := natsnet.Probe(t.Context(), config("b", ca), addr); err == nil {
		t.Errorf("where nobody is: %q", id)
	}
}

// told is what a log says at a level that nodes show.
type told struct {
	mu    sync.Mutex
	lines []string
	first chan struct{}
}

func (w *told) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lines = append(w.lines, string(b)); len(w.lines) == 1 {
		close(w.first)
	}
	return len(b), nil
}

// Goal: that two nodes do not fit by their certificates is said by their logs, once a minute and not at every try. Method: strangers dial
// one after the other; of a dialler that speaks no TLS, as a scanner of ports, nothing is said.
func TestRefusedRouteIsTold(t *testing.T) {
	b := newTestbed(t, []transport.NodeID{"a", "b"})
	w := &told{first: make(chan struct{})}
	c := b.config("a")
	c.Logger = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelError}))
	n, err := natsnet.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	addr := n.RouteAddr().String()
	if plainSpeaks(t, addr) {
		t.Error("it speaks without TLS")
	}
	for name, config := range strangers(t, b.ca) {
		if dialRoute(t, addr, config) == nil {
			t.Errorf("%s accepted", name)
		}
	}
	select {
	case <-w.first:
	case <-time.After(10 * time.Second):
		t.Fatal("it says nothing")
	}
	if err := n.Close(); err != nil { // and all it would say is said
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) != 1 || strings.Contains(w.lines[0], "first record") ||
		!strings.Contains(w.lines[0], "a route is refused: compare nats.tls.ca and nats.tls.cert of both nodes") {
		t.Errorf("it says %q", w.lines)
	}
}
