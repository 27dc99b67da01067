package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// attemptsPerNode is how often a call tries each node, unless Config says otherwise.
	attemptsPerNode = 3
	// attemptTimeout is how long one node may take to answer with the default HTTPClient.
	attemptTimeout = 90 * time.Second
	// liveTimeout is how long a node may take to show that it lives, where another could be asked, and heardFor
	// how long an answer shows it.
	liveTimeout = 3 * time.Second
	heardFor    = time.Second
	// answerMax is the largest answer that is read, in bytes.
	answerMax = 8 << 20
	// waitMax is the longest wait that a node's Retry-After can ask for.
	waitMax = 30 * time.Second
)

// Config is what New needs. Nodes is required.
type Config struct {
	// Nodes are the nodes' addresses: host:port, or a URL. Without a scheme it is https, and http on the same machine.
	Nodes []string
	// Token is a JWT, sent as a bearer token. It is refused where it would travel in the clear.
	Token string
	// HTTPClient makes the requests; nil is one with a timeout of 90 seconds that follows no redirects.
	HTTPClient *http.Client
	// Attempts is how many requests a call may make before it gives up; 0 means three for each node.
	Attempts int
	// Rand makes session_ids; nil is crypto/rand.
	Rand io.Reader
	// Initiator signs what is asked for; nil sends it unsigned, which a cluster does in dev alone.
	Initiator *Initiator
}

// Client is safe for concurrent use.
type Client struct {
	http      *http.Client
	token     string
	attempts  int
	rand      io.Reader
	initiator *Initiator
	invalid   error // what is wrong with the Config; every call returns it

	mu    sync.Mutex
	nodes []*node
	first int // where the next call begins
}

// node is a node, when it may be asked again, and when it answered last.
type node struct {
	base         string
	after, heard time.Time
}

// New makes a client. What is wrong with c, every call returns.
func New(c Config) *Client {
	out := &Client{http: c.HTTPClient, token: c.Token, attempts: c.Attempts, rand: c.Rand, initiator: c.Initiator}
	if out.http == nil {
		follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		out.http = &http.Client{Timeout: attemptTimeout, CheckRedirect: follow}
	}
	if out.rand == nil {
		out.rand = rand.Reader
	}
	for _, name := range c.Nodes {
		base, err := baseURL(name, c.Token != "")
		if err != nil {
			out.invalid = err
			continue
		}
		out.nodes = append(out.nodes, &node{base: base})
	}
	if len(c.Nodes) == 0 {
		out.invalid = errors.New("client: no nodes: set Config.Nodes")
	}
	if out.attempts <= 0 {
		out.attempts = attemptsPerNode * len(out.nodes)
	}
	return out
}

// baseURL completes the address of a node.
func baseURL(name string, token bool) (string, error) {
	full := name
	if !strings.Contains(name, "://") {
		full = "https://" + name
		if u, err := url.Parse(full); err == nil && loopback(u.Hostname()) {
			full = "http://" + name
		}
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("client: %q is not the address of a node: give host:port or https://host:port", name)
	}
	if token && u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", fmt.Errorf("client: the token would travel to %s in the clear: use https", u.Host)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// session returns id, or a version 4 UUID (RFC 9562 §5.4) if it is empty.
func (c *Client) session(id string) string {
	if id != "" {
		return id
	}
	var b [16]byte
	if _, err := io.ReadFull(c.rand, b[:]); err != nil {
		panic("client: no randomness: " + err.Error())
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
