package appraise

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// rootsMax is the most certificates in a file of roots.
const rootsMax = 1024

// Roots are the certificates that evidence may lead to. Those that are self-signed are trusted; others only help to get there.
type Roots struct {
	trusted, helping *x509.CertPool
	n                int
}

// NewRoots takes certificates: at least one must be self-signed.
func NewRoots(certs ...*x509.Certificate) (*Roots, error) {
	r := &Roots{trusted: x509.NewCertPool(), helping: x509.NewCertPool()}
	for _, c := range certs {
		if bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			r.trusted.AddCert(c)
			r.n++
		} else {
			r.helping.AddCert(c)
		}
	}
	if r.n == 0 {
		return nil, errors.New("appraise: no root: none of the certificates is self-signed")
	}
	return r, nil
}

// ParseRoots reads certificates in PEM (RFC 7468 §5), and nothing else.
func ParseRoots(text []byte) (*Roots, error) {
	var certs []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("appraise: roots: not certificates in PEM")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("appraise: roots: %w", err)
		}
		if certs = append(certs, c); len(certs) > rootsMax {
			return nil, fmt.Errorf("appraise: roots: more than %d certificates", rootsMax)
		}
	}
	return NewRoots(certs...)
}

// Len is the number of trusted certificates.
func (r *Roots) Len() int { return r.n }
