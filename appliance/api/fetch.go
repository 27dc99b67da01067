package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// newFetcher is a client for what others publish or decide: it asks where it is told and nowhere else, and nobody on the way learns what.
func newFetcher(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{ // no Proxy: those of the environment would learn who is asked for what
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, DisableKeepAlives: true,
			DisableCompression: true, MaxResponseHeaderBytes: headerMax, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects, which is not followed") },
	}
}

// fetch returns the body of an answer of status 200 and at most limit bytes.
func fetch(c *http.Client, r *http.Request, limit int) ([]byte, error) {
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", r.URL, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.URL, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s answers more than %d KiB", r.URL, limit>>10)
	}
	return b, nil
}
