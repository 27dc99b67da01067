package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Goal: who cannot speak to a node that is there is told what to change, not to start it. Method: a server with an unknown CA, one without
// TLS, an address where nothing is, and certificates that ended and that begin later.
func TestAdvice(t *testing.T) {
	secure, plain := httptest.NewTLSServer(http.NotFoundHandler()), httptest.NewServer(http.NotFoundHandler())
	defer secure.Close()
	gone := plain.URL
	h, err := NewHTTP(Files{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c *http.Client, url string) string {
		resp, err := c.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		return Advice(err)
	}
	named, err := NewHTTP(Files{Name: "elsewhere.test"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	named.Transport.(*http.Transport).TLSClientConfig.RootCAs = secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	guarded := httptest.NewUnstartedServer(http.NotFoundHandler())
	guarded.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert}
	guarded.Config.ErrorLog = log.New(io.Discard, "", 0)
	guarded.StartTLS()
	defer guarded.Close()
	without, err := NewHTTP(Files{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	without.Transport.(*http.Transport).ForceAttemptHTTP2 = false // which may end before it reads why
	settings := without.Transport.(*http.Transport).TLSClientConfig
	settings.RootCAs = guarded.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: settings.Clone()}}
	strange := guarded.TLS.Certificates[0] // not of a CA that the server knows
	other.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &strange, nil
	}
	for what, got := range map[string]string{
		"wants a certificate of yours":   ask(without, guarded.URL),
		"does not take your certificate": ask(other, guarded.URL),
		"--ca":                           ask(h, secure.URL),
		"http://":                        ask(h, strings.Replace(plain.URL, "http:", "https:", 1)),
		"as its":                         ask(named, secure.URL),
	} {
		if !strings.Contains(got, what) {
			t.Errorf("%s: %q", what, got)
		}
	}
	var refused *Error
	_, err = New(Config{Nodes: []string{strings.Replace(secure.URL, "https:", "http:", 1)}, Attempts: 1}).Health(t.Context())
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Next, "https://") ||
		!strings.Contains(refused.Detail, "speaks TLS") {
		t.Errorf("plain HTTP to TLS: %v", err)
	}
	for _, days := range []int{-1, 1} {
		now := time.Now()
		leaf := &x509.Certificate{NotBefore: now.AddDate(0, 0, days*2-1), NotAfter: now.AddDate(0, 0, days*2+1)}
		want := map[int]string{-1: "ended at " + leaf.NotAfter.UTC().Format(time.RFC3339), 1: "set the clock"}[days]
		err := fmt.Errorf("tls: %w", x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired})
		if got := Advice(err); !strings.Contains(got, want) {
			t.Errorf("%d days: %q", days, got)
		}
	}
	if got := Advice(errors.New("http2: client conn could not be established")); !strings.Contains(got, "--cert") {
		t.Errorf("ended before the reason was read: %q", got)
	}
	plain.Close()
	if got := ask(h, gone); got != "" {
		t.Errorf("nobody there: %q", got)
	}
}
