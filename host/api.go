package host

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// pemMax is the largest file of keys or certificates that is read, in bytes.
const pemMax = 64 << 10

// API is where a node's API will be answered: its address is taken and its keys are read, but nobody is answered before Run. The methods
// of a nil API are those of a node without one.
type API struct {
	listener net.Listener
	tls      *tls.Config // nil is plain HTTP
	cert     *certificate
	auth     api.Authenticator
	tokens   *api.JWT // of auth; nil in dev
}

// Listen takes the API's address.
func Listen(c Config) (*API, error) {
	if c.Roster == "" || c.RosterRoot == "" { // nobody has finished it
		return nil, notSet("the configuration", c.missing())
	}
	cert, err := c.apiCertificate()
	if err != nil {
		if _, wrong := loadRoster(c); wrong != nil && errors.Is(err, natsnet.ErrOtherNode) {
			err = wrong // node_id, and not the certificate
		}
		return nil, err
	}
	a, err := c.door(cert)
	if err != nil {
		return nil, err
	}
	if a.listener, err = take(c.Listen); err != nil {
		return nil, occupied(c, err)
	}
	return a, nil
}

// door reads what judges who comes to the API, whose certificate is cert, nil for none.
func (c Config) door(cert *certificate) (*API, error) {
	a := &API{cert: cert}
	var err error
	if a.tls, err = apiTLS(c, cert); err != nil {
		return nil, err
	}
	if a.tls == nil && !c.Dev {
		return nil, fault.Usage("set api.tls.cert and api.tls.key", "the API has no certificate, and plain HTTP is for dev")
	}
	if a.tokens, err = tokens(c); err != nil {
		return nil, err
	}
	if a.auth = a.tokens; a.tokens == nil {
		a.auth = api.Dev{}
	}
	return a, nil
}

// take takes an address of this host.
func take(address string) (l net.Listener, err error) {
	err = afterPredecessor(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}, func(err error) bool { return errors.Is(err, syscall.EADDRINUSE) })
	return l, err
}

// occupied is why the API's address cannot be had: most likely the node runs already.
func occupied(c Config, err error) error {
	held, running := Lock(c)
	if running == nil {
		_ = held.Close()
	}
	if errors.Is(running, durable.ErrLocked) {
		return running
	}
	return notTaken("listen", "--listen", err)
}

// notTaken is an address of a setting that cannot be had.
func notTaken(setting, flag string, err error) error {
	return fault.Usage(fmt.Sprintf("choose another address with %s or %s, or stop what has it", setting, flag), "%s: %w", setting, err)
}

// routesFree tells whether the address of the routes can be had. The embedded server does not say why it could not.
func (c Config) routesFree() error {
	if c.NATS.Listen == "" {
		return nil
	}
	l, err := take(c.NATS.Listen)
	if err != nil {
		return notTaken("nats.listen", "--nats-listen", err)
	}
	return l.Close()
}

// Close gives the address back.
func (a *API) Close() error {
	if a == nil {
		return nil
	}
	return a.listener.Close()
}

func (a *API) address() string {
	if a == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Reach is the URL by which a program on the node's host reaches its API: where the address is that of every interface, loopback. Where the
// certificate does not have the URL's, name is one that it has.
func (c Config) Reach() (url, name string) {
	host, port, err := net.SplitHostPort(c.Listen)
	url = c.Listen
	if ip := net.ParseIP(host); err == nil && (host == "" || ip.IsUnspecified()) {
		if host = "127.0.0.1"; strings.HasPrefix(c.Listen, "[") {
			host = "::1"
		}
		url = net.JoinHostPort(host, port)
	}
	if c.API.Cert == "" {
		return "http://" + url, ""
	}
	if pair, err := tls.LoadX509KeyPair(c.API.Cert, c.API.Key); err == nil && pair.Leaf.VerifyHostname(host) != nil {
		for _, ip := range pair.Leaf.IPAddresses {
			name = ip.String()
		}
		for _, dns := range pair.Leaf.DNSNames {
			name = dns
		}
	}
	return "https://" + url, name
}

func (a *API) secure() bool { return a != nil && a.tls != nil }

// issuer is the OpenID provider whose tokens let in; nil is none. Nobody is asked for anything yet.
func (c Config) issuer() (*api.Issuer, error) {
	i := c.API.Issuer
	if i.URL == "" {
		return nil, nil
	}
	var err error
	if c.API.IssuerCA != "" {
		if i.Roots, err = readCAs("api.oidc.ca", c.API.IssuerCA); err != nil {
			return nil, err
		}
	}
	issuer, err := api.NewIssuer(i)
	if err != nil {
		return nil, fault.Usage("correct api.oidc", "%w", err)
	}
	return issuer, nil
}

// readSetting reads the file that a setting names, and names the setting where it cannot.
func readSetting(setting, path string) ([]byte, error) {
	b, err := durable.ReadFile(path, pemMax)
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, os.ErrNotExist):
		return nil, fault.Usage("correct "+setting+", or put the file there again", "%s: %w", setting, err)
	}
	return nil, fmt.Errorf("%s: %w", setting, err)
}

// readCAs reads certificates of CAs.
func readCAs(setting, path string) (*x509.CertPool, error) {
	pem, err := readSetting(setting, path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.Usage("give a PEM file with certificates", "%s holds no certificate", setting)
	}
	return pool, nil
}

// tokens judges the tokens of who asks; nil where none are asked for, in dev.
func tokens(c Config) (*api.JWT, error) {
	issuer, err := c.issuer()
	if err != nil {
		return nil, err
	}
	if len(c.API.JWTKeys) == 0 && issuer == nil {
		if c.Dev {
			return nil, nil
		}
		return nil, fault.Usage("set api.jwt.keys to the public keys of your issuer of tokens, or api.oidc",
			"nobody could use the API: no keys for tokens")
	}
	var pem []byte
	for _, path := range c.API.JWTKeys {
		b, err := readSetting("api.jwt.keys", path)
		if err != nil {
			return nil, err
		}
		pem = append(append(pem, bytes.TrimSpace(b)...), '\n')
	}
	auth, err := api.NewJWT(pem, c.API.Audience, issuer)
	if err != nil {
		return nil, fault.Usage("correct api.jwt", "%w", err)
	}
	auth.Clients = c.API.Clients
	auth.Revoke(c.API.Revoked)
	return auth, nil
}

func apiTLS(c Config, cert *certificate) (*tls.Config, error) {
	if cert == nil {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert, // for tokens that are bound to one, and api.clients
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.get() }}
	if c.API.ClientCA == "" {
		return t, nil
	}
	var err error
	if t.ClientCAs, err = readCAs("api.tls.client_ca", c.API.ClientCA); err != nil {
		return nil, err
	}
	t.ClientAuth = tls.RequireAnyClientCert
	t.VerifyConnection = func(s tls.ConnectionState) error { return checkClient(s.PeerCertificates, t.ClientCAs, cert) }
	return t, nil
}

// checkClient refuses a client whose certificate comes from none of the CAs. The node's own is taken, whoever issued it: it is what the
// doctor beside the node shows.
func checkClient(shown []*x509.Certificate, cas *x509.CertPool, own *certificate) error {
	if pair, err := own.get(); err == nil && bytes.Equal(shown[0].Raw, pair.Certificate[0]) {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range shown[1:] {
		between.AddCert(c)
	}
	_, err := shown[0].Verify(x509.VerifyOptions{Roots: cas, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}
