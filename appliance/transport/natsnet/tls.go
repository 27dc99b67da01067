package natsnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Every node's certificate carries two names besides its hosts: the cluster's, by which the dialling side knows that it has
// reached the cluster whatever the address, and the node's, which must be in the roster.

// clusterName is the DNS name in every certificate of the cluster.
func clusterName(cluster string) string { return cluster + ".mpcd.internal" }

// nodeScheme is that of a node's URI.
const nodeScheme = "mpcd"

// nodeURI is the URI name of a node in its certificate.
func nodeURI(cluster string, node transport.NodeID) *url.URL {
	return &url.URL{Scheme: nodeScheme, Host: cluster, Path: "/" + string(node)}
}

// LoadTLS reads a node's certificate and key, and the CA that both sides must show certificates of.
func LoadTLS(certFile, keyFile, caFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("natsnet: certificate: %w", err)
	}
	pool, err := loadPool(caFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool}, nil
}

// ErrCA is of a file that should hold the CA.
var ErrCA = errors.New("CA")

func loadPool(caFile string) (*x509.CertPool, error) {
	cas, err := LoadAuthorities(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range cas {
		pool.AddCert(c)
	}
	return pool, nil
}

// trusted are the CAs of the other side; nil is the system's, where a broker is that.
func (c Config) trusted() (*x509.CertPool, error) {
	if c.CAFile == "" && c.ExternalURL != "" {
		return nil, nil
	}
	return loadPool(c.CAFile)
}

// CheckFiles refuses files of TLS that Start refuses. It neither listens nor dials.
func (c Config) CheckFiles() error {
	var err error
	switch {
	case c.ExternalURL != "":
		_, err = c.externalOptions()
	case c.RouteListen != "":
		_, err = c.routeTLS()
	}
	return err
}

// tlsBase returns the configured TLS settings as a copy, or nil if there are none.
func (c Config) tlsBase() (*tls.Config, error) {
	switch {
	case c.TLS != nil && (c.CertFile != "" || c.KeyFile != "" || c.CAFile != ""):
		return nil, errors.New("natsnet: TLS is configured twice, by value and by files: choose one")
	case c.TLS != nil:
		t := c.TLS.Clone()
		t.MinVersion = tls.VersionTLS13
		return t, nil
	case c.Certificate != nil:
		pool, err := c.trusted()
		return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool,
			GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Certificate() },
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate() }}, err
	case c.CertFile == "" && c.KeyFile == "" && c.CAFile != "" && c.ExternalURL != "":
		pool, err := loadPool(c.CAFile)
		return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}, err
	case c.CertFile != "" || c.KeyFile != "" || c.CAFile != "":
		return LoadTLS(c.CertFile, c.KeyFile, c.CAFile)
	}
	return nil, nil
}

// routeTLS returns the settings for both sides of a route.
func (c Config) routeTLS() (*tls.Config, error) {
	t, err := c.tlsBase()
	if err != nil {
		return nil, err
	}
	if t == nil || t.RootCAs == nil || t.ClientCAs == nil || (len(t.Certificates) == 0 && t.GetCertificate == nil) {
		return nil, errors.New("natsnet: routes need TLS: a certificate, its key and the cluster's CA")
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	t.InsecureSkipVerify = false
	t.ServerName = clusterName(c.Cluster)
	t.VerifyConnection = c.verifyRoute
	return t, nil
}

// verifyRoute runs on both sides after the chain has been verified.
func (c Config) verifyRoute(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 || len(s.VerifiedChains) == 0 {
		return errors.New("natsnet: route without a verified certificate")
	}
	node, err := nodeOf(s.PeerCertificates[0], c.Cluster)
	if err != nil {
		return err
	}
	_, ok := c.Peers[node]
	if c.Known != nil {
		ok = c.Known(node)
	}
	if !ok {
		return fmt.Errorf("natsnet: certificate names node %s: %w", node, ErrUnknown)
	}
	return nil
}

// ErrOtherNode: the certificate is another node's.
var ErrOtherNode = errors.New("natsnet: the certificate is of another node")

// CheckNode refuses a route certificate that does not name this node of the cluster, and no other: peers would not know it. ErrOtherNode if
// it names another.
func CheckNode(cert *x509.Certificate, cluster string, node transport.NodeID) error {
	named, err := nodeOf(cert, cluster)
	if err == nil && named != node {
		err = fmt.Errorf("%w: it is of node %s, this is %s", ErrOtherNode, named, node)
	}
	return err
}

// ErrUnknown is in the error of a Probe where this node's roster does not have the peer, which the cluster's CA has certified.
var ErrUnknown = errors.New("it is not in this node's roster")

// ErrStranger is in the error of a Probe where the peer's roster does not have this node.
var ErrStranger = errors.New("the peer's roster does not have this node")

// ErrOtherCA is in the error of a Probe where one of the two has a certificate that is not of the other's CA.
var ErrOtherCA = errors.New("the certificates of the two are of different CAs")

// refusal tells why a peer refuses our certificate. One that it can verify, of nobody whom it knows, is bad; others have their own alerts.
func refusal(err error) error {
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		switch remote.Err.Error() {
		case "tls: bad certificate":
			err = fmt.Errorf("%w: %w", ErrStranger, err)
		case "tls: unknown certificate authority":
			err = fmt.Errorf("%w: %w", ErrOtherCA, err)
		}
	}
	return fmt.Errorf("natsnet: it does not take this node's certificate: %w", err)
}

// Probe dials a route as Start would, and returns the node that answers there. It sends nothing but the handshake. ErrUnknown,
// ErrStranger or ErrOtherCA is in the error where one of the two does not know the other.
func Probe(ctx context.Context, c Config, addr string) (transport.NodeID, error) {
	t, err := c.routeTLS()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: t}).DialContext(ctx, "tcp", addr)
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return "", fmt.Errorf("natsnet: %w: %w", ErrOtherCA, err)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(end)
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it speaks first, unless it refuses our certificate
		return "", refusal(err)
	}
	return nodeOf(conn.(*tls.Conn).ConnectionState().PeerCertificates[0], c.Cluster)
}

// nodeOf returns the one node of the cluster that a certificate names.
func nodeOf(cert *x509.Certificate, cluster string) (transport.NodeID, error) {
	var found []transport.NodeID
	for _, u := range cert.URIs {
		node, err := transport.ParseNodeID(strings.TrimPrefix(u.Path, "/"))
		if err == nil && *u == *nodeURI(cluster, node) {
			found = append(found, node)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("natsnet: certificate %q names %d nodes of cluster %s, want 1", cert.Subject.CommonName, len(found), cluster)
	}
	return found[0], nil
}

// tls13 trusts the system's roots.
func tls13() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS13} }
