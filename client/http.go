package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Files are what an HTTP client trusts and shows, in PEM. CA, where it is not "", is what nodes' certificates must come from; else the
// system says. Cert and Key are the client's own certificate, where it has one.
type Files struct {
	CA, Cert, Key string
	// Known, where it is not "", is the certificate of a node, which is taken whoever issued it.
	Known string
	// Name, where it is not "", is the name that nodes' certificates must have, in place of the one in the URL.
	Name string
}

// Advice is what to change at the client if a node was found and could not be spoken to; "" if nothing is known.
func Advice(err error) string {
	var stranger x509.UnknownAuthorityError
	var otherName x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &stranger):
		return "give the CA of the node's certificate: --ca, MPCD_CA"
	case errors.As(err, &otherName):
		return "name the node in --api as its certificate does"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(invalid.Cert.NotBefore):
		return "set the clock here: the node's certificate is valid from " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the node's certificate ended at " + invalid.Cert.NotAfter.UTC().Format(time.RFC3339) + ": renew it with `mpcd node renew`"
	case alerted(err, "certificate required"):
		return "the node wants a certificate of yours (api.tls.client_ca): give --cert and --key, or MPCD_CERT and MPCD_KEY"
	case alerted(err, "bad certificate", "unknown certificate authority", "expired certificate", "unsupported certificate"):
		return "the node does not take your certificate: give one of a CA in its api.tls.client_ca (--cert, MPCD_CERT)"
	case err != nil && strings.HasSuffix(err.Error(), "http2: client conn could not be established"): // nor does that tell its reason
		return "the node ended the connection at once: if it has api.tls.client_ca, give --cert and --key of that CA, or MPCD_CERT and MPCD_KEY"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the node speaks plain HTTP: use http:// in --api"
	}
	return ""
}

// alerted tells whether the other side ended a TLS handshake for one of the reasons. Its alert has no type that could be asked for.
func alerted(err error, reasons ...string) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	return slices.Contains(reasons, strings.TrimPrefix(op.Err.Error(), "tls: "))
}

// NewHTTP makes an HTTP client for Config.HTTPClient: TLS 1.3, no redirects, and timeout for a whole answer, 0 for none.
func NewHTTP(f Files, timeout time.Duration) (*http.Client, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: f.Name}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client: %s holds no certificate in PEM", f.CA)
		}
	}
	if f.Known != "" {
		if err := trust(t, f.Known); err != nil {
			return nil, err
		}
	}
	if f.Cert != "" {
		c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("client: certificate: %w", err)
		}
		// Whatever CAs the node names: it says so where it does not take this one.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	return &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{TLSClientConfig: t, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// trust has the first certificate of a file taken, beside those of the CAs.
func trust(t *tls.Config, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return fmt.Errorf("client: %s holds no certificate in PEM", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("client: %s: %w", file, err)
	}
	if t.RootCAs == nil {
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			return err
		}
	}
	t.RootCAs.AddCert(c)
	return nil
}
