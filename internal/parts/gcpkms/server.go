package gcpkms

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"

	"github.com/luxfi/mpcd/hsm"
)

// KeyRing is the key ring that every server has from the start.
const KeyRing = "projects/mpcd-test/locations/europe-west4/keyRings/mpcd"

// Server is a running server.
type Server struct {
	endpoint string
	grpc     *grpc.Server
	done     chan struct{} // closed when serving has ended

	mu     sync.Mutex
	faults []*Fault
	calls  map[string]int
	conns  map[net.Conn]bool
}

// Start listens on addr, "127.0.0.1:0" or "unix:/path", and serves until Stop. Any other address than loopback or a unix socket
// is refused: everybody who reaches it has the keys.
func Start(addr string) (*Server, error) {
	l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{endpoint: l.Addr().String(), done: make(chan struct{}), calls: map[string]int{}, conns: map[net.Conn]bool{}}
	if l.Addr().Network() == "unix" {
		s.endpoint = "unix:" + s.endpoint
	}
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	kmspb.RegisterKeyManagementServiceServer(s.grpc, newService())
	go func() {
		defer close(s.done)
		_ = s.grpc.Serve(&listener{l, s})
	}()
	return s, nil
}

func listen(addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return net.Listen("unix", path)
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("parts/gcpkms: address %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, errors.New("parts/gcpkms: the address must be a loopback IP or unix:/path")
	}
	return net.Listen("tcp", addr)
}

// Endpoint is what the driver's endpoint attribute takes.
func (s *Server) Endpoint() string { return s.endpoint }

// URI names KeyRing in this server.
func (s *Server) URI() string {
	u, err := hsm.ParseURI("gcpkms:" + KeyRing)
	if err == nil {
		u, err = u.With("endpoint", s.endpoint)
	}
	if err != nil {
		panic(err) // of our own making
	}
	return u.String()
}

// Stop ends all calls and returns when the socket is gone.
func (s *Server) Stop() {
	s.grpc.Stop()
	<-s.done
}

// Calls counts the calls of a method ("AsymmetricSign") so far, the failed ones too.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// listener remembers its connections, so that they can be cut.
type listener struct {
	net.Listener
	s *Server
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.conns[c] = true
	return &conn{c, l.s}, nil
}

type conn struct {
	net.Conn
	s *Server
}

func (c *conn) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c.Conn)
	c.s.mu.Unlock()
	return c.Conn.Close()
}
