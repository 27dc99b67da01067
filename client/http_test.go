package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Goal: who cannot speak to a node that is there is told what to change, not to start it. Method: a server with an unknown CA, one without
// TLS, and an address where nothing is.
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
	for what, got := range map[string]string{
		"--ca":    ask(h, secure.URL),
		"http://": ask(h, strings.Replace(plain.URL, "http:", "https:", 1)),
		"as its":  ask(named, secure.URL),
	} {
		if !strings.Contains(got, what) {
			t.Errorf("%s: %q", what, got)
		}
	}
	plain.Close()
	if got := ask(h, gone); got != "" {
		t.Errorf("nobody there: %q", got)
	}
}
