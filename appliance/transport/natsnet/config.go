package natsnet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Config says how a node reaches the others. Either RouteListen or ExternalURL is set, or neither for a cluster of one.
type Config struct {
	// Cluster names the cluster, and Node this node, by the rules of transport.CheckName.
	Cluster string
	Node    transport.NodeID
	// Peers is the roster: a route's certificate must name one of them. Only the names are used.
	Peers transport.Peers
	// Known, if set, tells who is in the roster in place of Peers, while the node runs.
	Known func(transport.NodeID) bool

	// RouteListen is the address for routes from other nodes, as host:port; port 0 takes a free one (see RouteAddr).
	RouteListen string
	// Routes are the other nodes' route addresses, as host:port; our own among them does no harm.
	Routes []string
	// RouteAdvertise is the host:port by which others reach us, where it is not RouteListen (behind NAT).
	RouteAdvertise string

	// ExternalURL lists the URLs of an existing broker, separated by commas; then no server is embedded. A user and password
	// may stand in the URL; CredsFile, a file with a user JWT and its key, is better.
	ExternalURL string
	CredsFile   string

	// TLS for routes, or for the external broker; at least version 1.3 is always enforced. Set either the files (PEM) or the
	// Config. For routes all parts are required, ClientCAs included.
	CertFile, KeyFile, CAFile string
	TLS                       *tls.Config
	// Certificate, if set, takes the place of CertFile and KeyFile: it is asked for every new connection.
	Certificate func() (*tls.Certificate, error)

	// Logger hears of connections and their failures; nil is silence.
	Logger *slog.Logger
}

func (c Config) check() error {
	if err := transport.CheckName("cluster", c.Cluster); err != nil {
		return err
	}
	if err := transport.CheckName("node", string(c.Node)); err != nil {
		return err
	}
	switch {
	case c.ExternalURL != "" && (c.RouteListen != "" || len(c.Routes) > 0):
		return errors.New("natsnet: both an external URL and routes are configured: choose one")
	case c.RouteListen == "" && len(c.Routes) > 0:
		return errors.New("natsnet: routes need a route listen address")
	case c.RouteListen != "" && len(c.Peers) == 0 && c.Known == nil:
		return errors.New("natsnet: routes need the roster: no certificate could be accepted")
	}
	return nil
}

// parseListen splits host:port; NATS means a free port by -1, and no listener by 0.
func parseListen(addr string) (string, int, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("natsnet: route listen address %q: want host:port", addr)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("natsnet: route listen address %q: port is not a number from 0 to 65535", addr)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == 0 {
		return host, -1, nil
	}
	return host, int(port), nil
}

func parseRoutes(routes []string) ([]*url.URL, error) {
	var urls []*url.URL
	for _, r := range routes {
		r = strings.TrimPrefix(r, "nats-route://")
		host, port, err := net.SplitHostPort(r)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("natsnet: route %q: want host:port", r)
		}
		urls = append(urls, &url.URL{Scheme: "nats-route", Host: net.JoinHostPort(host, port)})
	}
	return urls, nil
}

// ErrCreds is of a file that should hold a user's credentials for a broker.
var ErrCreds = errors.New("credentials of the broker")

// checkCreds refuses a file that no broker takes: without it the client would only say, at every try, that it was refused. Whether the user
// is in its time and known is the broker's word, which changes by itself.
func checkCreds(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("natsnet: %w: %w", ErrCreds, err)
	}
	defer clear(b)
	text, err := jwt.ParseDecoratedJWT(b)
	if err != nil {
		return fmt.Errorf("natsnet: %w: %s: %w", ErrCreds, file, err)
	}
	user, err := jwt.DecodeUserClaims(text)
	if err != nil {
		return fmt.Errorf("natsnet: %w: %s holds no user's JWT", ErrCreds, file)
	}
	key, err := nkeys.ParseDecoratedUserNKey(b)
	if err != nil {
		return fmt.Errorf("natsnet: %w: %s holds no user's seed", ErrCreds, file)
	}
	defer key.Wipe()
	if public, err := key.PublicKey(); err != nil || public != user.Subject {
		return fmt.Errorf("natsnet: %w: %s holds the JWT of one user and the seed of another", ErrCreds, file)
	}
	return nil
}
