package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/client/wire"
)

// listen serves h on a loopback port until the test ends and returns the address.
func listen(t *testing.T, h http.Handler, conf *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, h, conf) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// Goal: the curl lines of the seed documents work against a socket, as a person types them. Method: run curl.
func TestCurl(t *testing.T) {
	f := newFake()
	addr := listen(t, devServer(f), nil)
	curl := func(args ...string) (string, string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--max-time", "20", "-w", "\n%{http_code} %{content_type}"},
			args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v: %s", args, err, out)
		}
		i := bytes.LastIndexByte(out, '\n')
		return string(out[:i]), string(out[i+1:])
	}
	base := "http://localhost:" + addr[strings.LastIndex(addr, ":")+1:]
	ipv4 := "http://" + addr

	body, status := curl("-X", "POST", ipv4+"/api/v1/keygen", "-d", `{"threshold": 2, "total": 3, "curve": "secp256k1"}`)
	var ec wire.Wallet
	if err := json.Unmarshal([]byte(body), &ec); err != nil || status != "200 application/json" || ec.Protocol != "dkls23" {
		t.Errorf("%s %s", status, body)
	}
	body, status = curl("-X", "POST", ipv4+"/api/v1/sign", "-d",
		fmt.Sprintf(`{"public_key": "%s", "message_hash": "0x%064x", "signers": ["node1", "node2"]}`, ec.PublicKey, 1))
	if status != "200 application/json" || !strings.Contains(body, `"v":2`) {
		t.Errorf("%s %s", status, body)
	}
	body, status = curl("-4", "-X", "POST", base+"/api/v1/keygen", "-d", `{"threshold": 2, "total": 3, "curve": "ed25519"}`)
	var w wire.Wallet
	if err := json.Unmarshal([]byte(body), &w); err != nil || status != "200 application/json" || w.Status != "completed" {
		t.Fatalf("%s %s %v", status, body, err)
	}
	body, status = curl("-X", "POST", ipv4+"/api/v1/sign", "-d",
		fmt.Sprintf(`{"public_key": "%s", "message_hash": "0x0102", "signers": ["node1", "node2"]}`, w.PublicKey))
	var s wire.Signature
	if err := json.Unmarshal([]byte(body), &s); err != nil || status != "200 application/json" ||
		!ed25519.Verify(ed25519.PublicKey(w.PublicKey), []byte{1, 2}, s.Signature) {
		t.Errorf("%s %s %v", status, body, err)
	}
	big := t.TempDir() + "/big"
	if out, err := exec.CommandContext(t.Context(), "dd", "if=/dev/zero", "of="+big, "bs=1048576", "count=1").CombinedOutput(); err != nil {
		t.Fatalf("dd: %v: %s", err, out)
	}
	if body, status = curl("-X", "POST", ipv4+"/api/v1/sign", "--data-binary", "@"+big); status != "413 application/problem+json" ||
		!strings.Contains(body, "256 KiB") {
		t.Errorf("%s %s", status, body)
	}
	if _, status = curl("-H", "Origin: https://evil.example", ipv4+"/api/v1/wallets"); !strings.HasPrefix(status, "403") {
		t.Errorf("foreign origin: %s", status)
	}
	if _, status = curl("-H", "Host: evil.example", ipv4+"/api/v1/wallets"); !strings.HasPrefix(status, "403") {
		t.Errorf("rebound: %s", status)
	}
	if body, status = curl(ipv4 + "/readyz?verbose"); !strings.HasPrefix(status, "200") || !strings.Contains(body, "token") {
		t.Errorf("%s %s", status, body)
	}
}

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}

// Goal: with a certificate it speaks TLS 1.3, and nothing older even if the configuration says so. Method: two clients.
func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	addr := listen(t, devServer(newFake()), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	get := func(version uint16) (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, MaxVersion: version},
			ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		return (&http.Client{Transport: transport}).Get("https://" + addr + "/livez")
	}
	r, err := get(tls.VersionTLS13)
	if err != nil || r.StatusCode != 200 || r.TLS.Version != tls.VersionTLS13 || r.ProtoMajor != 2 {
		t.Errorf("TLS 1.3: %v %v", r, err)
	}
	if r, err := get(tls.VersionTLS12); err == nil {
		t.Errorf("TLS 1.2: %v", r.Status)
	}
}

// Goal: no plain HTTP beyond this machine. Method: listeners that say where they are.
func TestPlainOnlyOnLoopback(t *testing.T) {
	for _, ip := range []string{"0.0.0.0", "192.168.0.1", "::"} {
		ln := &elsewhere{addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080}}
		if err := Serve(t.Context(), ln, http.NotFoundHandler(), nil); err == nil || !strings.Contains(err.Error(), "plain HTTP is refused") ||
			!ln.closed {
			t.Errorf("%s: %v", ip, err)
		}
	}
	for _, a := range []net.Addr{&net.TCPAddr{IP: net.IPv6loopback}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, &net.UnixAddr{}} {
		if !local(a) {
			t.Errorf("%v is not local", a)
		}
	}
}

type elsewhere struct {
	net.Listener
	addr   net.Addr
	closed bool
}

func (l *elsewhere) Addr() net.Addr            { return l.addr }
func (l *elsewhere) Close() error              { l.closed = true; return nil }
func (l *elsewhere) Accept() (net.Conn, error) { return nil, io.EOF }

// Goal: shutdown lets a request in work finish, and ends one that does not. Method: a held request, released after or never.
func TestShutdown(t *testing.T) {
	for name, release := range map[string]bool{"finishes": true, "never": false} {
		f := newFake()
		f.hold, f.entered = make(chan struct{}), make(chan struct{}, 1)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		drain := time.Minute
		if !release {
			drain = time.Millisecond
		}
		ctx, stop := context.WithCancel(context.Background())
		ended, answered := make(chan error, 1), make(chan int, 1)
		go func() { ended <- serve(ctx, ln, devServer(f), nil, drain) }()
		go func() {
			r, err := http.Post("http://"+ln.Addr().String()+"/api/v1/sign", "", strings.NewReader(signOne))
			if err != nil {
				answered <- 0
				return
			}
			_ = r.Body.Close()
			answered <- r.StatusCode
		}()
		<-f.entered
		stop()
		if release {
			close(f.hold)
		}
		if code, err := <-answered, <-ended; (code == 200) != release || (err == nil) != release {
			t.Errorf("%s: %d %v", name, code, err)
		}
	}
}

// Goal: the time allowed for the body does not end a long ceremony, though net/http takes an expired read deadline for a client
// that left. Method: look for a deadline that is still set when the node is asked.
func TestNoDeadlineDuringCeremony(t *testing.T) {
	c := &deadlines{}
	s := newServer(Config{Backend: newFake(), Dev: true})
	c.ResponseWriter = discardWriter()
	r := newRequest("POST", "/api/v1/sign", signOne)
	s.ServeHTTP(c, r)
	if len(c.read) < 2 || !c.read[len(c.read)-1].IsZero() || c.read[0].IsZero() {
		t.Errorf("read deadlines %v", c.read)
	}
	alone := &deadlines{ResponseWriter: discardWriter()}
	if _, err := readBody(alone, newRequest("POST", "/", `{}`)); err != nil || len(alone.read) != 2 || !alone.read[1].IsZero() {
		t.Errorf("readBody leaves the deadlines %v, %v", alone.read, err)
	}
	if len(c.write) == 0 || c.write[len(c.write)-1].Before(time.Now().Add(requestTimeout)) {
		t.Errorf("write deadlines %v", c.write)
	}
}

type deadlines struct {
	http.ResponseWriter
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }

func discardWriter() http.ResponseWriter { return &discard{header: http.Header{}} }

func newRequest(method, path, body string) *http.Request {
	r, err := http.NewRequest(method, "http://localhost:8080"+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.RemoteAddr = "127.0.0.1:1"
	return r
}
