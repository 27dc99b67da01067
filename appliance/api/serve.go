package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerTimeout is how long a client may take to send a request's header.
	headerTimeout = 5 * time.Second
	// headerMax is the largest header, in bytes.
	headerMax = 16 << 10
	// idleTimeout is how long a connection is kept between requests.
	idleTimeout = 2 * time.Minute
	// writeTimeout is how long a client may take to read an answer.
	writeTimeout = 30 * time.Second
	// drainTimeout is how long requests in work have to end at shutdown.
	drainTimeout = 30 * time.Second
)

// Serve answers on ln until ctx ends, then lets the requests in work finish, for half a minute at most. It speaks TLS 1.3, with t
// for the certificates; t may be nil only if ln listens on the loopback interface or a Unix socket. It closes ln.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, t *tls.Config) error {
	return serve(ctx, ln, h, t, drainTimeout)
}

func serve(ctx context.Context, ln net.Listener, h http.Handler, t *tls.Config, drain time.Duration) error {
	if t == nil && !local(ln.Addr()) {
		_ = ln.Close()
		return fmt.Errorf("api: %s is not on the loopback interface: plain HTTP is refused there; give a certificate", ln.Addr())
	}
	srv := newHTTPServer(h)
	srv.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx.Done())
	}
	ln = perAddress(ln, connectionsMax)
	if t != nil {
		t = t.Clone()
		t.MinVersion = tls.VersionTLS13
		srv.TLSConfig = t
	}
	ended := make(chan error, 1)
	go func() {
		if t != nil {
			ended <- srv.ServeTLS(ln, "", "")
			return
		}
		ended <- srv.Serve(ln)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("api: serving %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(deadline)
	if err != nil {
		_ = srv.Close() // ends what would not end; its requests see their contexts cancelled
		err = fmt.Errorf("api: requests were still in work %s after shutdown began: %w", drain, err)
	}
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// stoppingKey is of a channel that closes when the server shuts down: what would not end by itself ends then.
type stoppingKey struct{}

func stopping(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return c
}

// newHTTPServer bounds what comes before a request; the door bounds the rest.
func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           requestsPerAddress(h, requestsMax),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    headerMax,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

func local(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
