package natsnet

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// Authorities are the CAs of a cluster, of which each node and each of its clients has a file.
type Authorities []*x509.Certificate

// LoadAuthorities reads the file, as Start does. None in it is passed over that cannot be read: it may be the one that is needed.
func LoadAuthorities(file string) (Authorities, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("natsnet: %w: %w", ErrCA, err)
	}
	var as Authorities
	begun := bytes.Count(raw, []byte("-----BEGIN "))
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		begun--
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("natsnet: %w: %s: %w", ErrCA, file, err)
		}
		as = append(as, c)
	}
	switch {
	case as == nil:
		return nil, fmt.Errorf("natsnet: %w: %s holds no certificate in PEM", ErrCA, file)
	case begun > 0:
		return nil, fmt.Errorf("natsnet: %w: %s holds what is cut, or no PEM, beside a certificate", ErrCA, file)
	}
	return as, nil
}

// Check refuses certificates that are no CA's, as a node's own put there by mistake: TLS would trust that node, and no other; and a root's
// of which anything is not as the root has signed it, for TLS asks only for its name and key.
func (as Authorities) Check() error {
	for _, c := range as {
		if bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) != nil {
			return fmt.Errorf("natsnet: %w: the certificate of %q is damaged: it is not what the CA has signed", ErrCA, c.Subject.CommonName)
		}
		if !c.IsCA {
			return fmt.Errorf("natsnet: %w: the certificate of %q is no CA's", ErrCA, c.Subject.CommonName)
		}
	}
	return nil
}

// CheckRoute refuses a node's certificate, with those that come with it, that its peers would not take for routes, where the node dials or
// where it is dialled. Whether it is in its time is not asked: that changes by itself.
func (as Authorities) CheckRoute(chain []*x509.Certificate, cluster string) error {
	if err := as.verify(chain, clusterName(cluster), x509.ExtKeyUsageServerAuth); err != nil {
		return err
	}
	return as.verify(chain, "", x509.ExtKeyUsageClientAuth)
}

// CheckServer refuses one that clients who trust the CAs would not take, by whatever name they call the node.
func (as Authorities) CheckServer(chain []*x509.Certificate) error {
	return as.verify(chain, "", x509.ExtKeyUsageServerAuth)
}

func (as Authorities) verify(chain []*x509.Certificate, name string, usage x509.ExtKeyUsage) error {
	now := time.Now()
	timeless := func(c *x509.Certificate) *x509.Certificate {
		x := *c
		x.NotBefore, x.NotAfter = now, now
		return &x
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range as {
		roots.AddCert(timeless(c))
	}
	for _, c := range chain[1:] {
		between.AddCert(timeless(c))
	}
	_, err := timeless(chain[0]).Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name,
		KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now})
	return err
}

// Claimed tells whether a certificate says that it is of such a CA: it names a node of a cluster, or has one of these for its issuer.
func (as Authorities) Claimed(c *x509.Certificate) bool {
	for _, u := range c.URIs {
		if u.Scheme == nodeScheme {
			return true
		}
	}
	for _, ca := range as {
		if bytes.Equal(c.RawIssuer, ca.RawSubject) || ca.SubjectKeyId != nil && bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId) {
			return true
		}
	}
	return false
}
