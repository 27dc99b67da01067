package natsnet

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nuid"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Patience of the embedded server.
const (
	startTimeout = 10 * time.Second
	tlsTimeout   = 5 * time.Second
	// pingInterval and pingsOut bound how long a peer that vanished without a word (power, cable) looks connected.
	pingInterval = 5 * time.Second
	pingsOut     = 2
	// routeWriteDeadline is how long a route may block on a peer that does not read before it is closed.
	routeWriteDeadline = 5 * time.Second
	// pendingMax is how many bytes may wait for one slow peer or for this node, before it is disconnected and dials anew.
	pendingMax = 64 << 20
)

// startServer starts the embedded server, with routes if the configuration has them.
func startServer(c Config) (*server.Server, error) {
	opts := &server.Options{
		// Not just the node's name: after a power cut, peers may still hold the route of the life before.
		ServerName:          string(c.Node) + "-" + nuid.Next(),
		DontListen:          true,
		NoSigs:              true,
		NoLog:               true,
		NoSystemAccount:     true,
		MaxPayload:          transport.FrameMax,
		MaxPending:          pendingMax,
		NoFastProducerStall: true, // one dead peer must not slow the others
		PingInterval:        pingInterval,
		MaxPingsOut:         pingsOut,
	}
	if c.RouteListen != "" {
		if err := addRoutes(opts, c); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("natsnet: embedded server: %w", err)
	}
	if c.Logger != nil {
		s.SetLoggerV2(newServerLog(c.Logger), false, false, false)
	}
	s.Start()
	if c.RouteListen != "" && !startRoutes(s) {
		s.Shutdown()
		return nil, fmt.Errorf("natsnet: cannot listen for routes on %s: is another process there, or the address not ours?", c.RouteListen)
	}
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return nil, fmt.Errorf("natsnet: embedded server is not ready after %s", startTimeout)
	}
	return s, nil
}

// startRoutes opens the route port. With DontListen, nats-server 2.15.2 leaves its own call of StartRouting waiting for a
// client port that never opens; ours takes its place, also in the count that Shutdown waits for, and the other sleeps on. A
// release that starts routes by itself would listen twice, which every test here would notice.
func startRoutes(s *server.Server) bool {
	opened := make(chan struct{})
	close(opened)
	s.StartRouting(opened)
	return s.ClusterAddr() != nil
}

func addRoutes(opts *server.Options, c Config) error {
	host, port, err := parseListen(c.RouteListen)
	if err != nil {
		return err
	}
	if opts.Routes, err = parseRoutes(c.Routes); err != nil {
		return err
	}
	tlsConfig, err := c.routeTLS()
	if err != nil {
		return err
	}
	// A route carries this cluster's subjects and nothing else.
	only := &server.SubjectPermission{Allow: []string{prefix(c.Cluster) + ">"}}
	opts.Cluster = server.ClusterOpts{
		Name:          c.Cluster,
		Host:          host,
		Port:          port,
		Advertise:     c.RouteAdvertise,
		NoAdvertise:   true, // there are no client URLs to advertise
		TLSConfig:     tlsConfig,
		TLSTimeout:    tlsTimeout.Seconds(),
		PoolSize:      -1, // one connection per peer: order kept, less work
		Compression:   server.CompressionOpts{Mode: server.CompressionOff},
		PingInterval:  pingInterval,
		MaxPingsOut:   pingsOut,
		WriteDeadline: routeWriteDeadline,
		Permissions:   &server.RoutePermissions{Import: only, Export: only},
	}
	return nil
}

// ErrNoRoutes is returned by WaitPeers where there is no embedded server with routes.
var ErrNoRoutes = errors.New("natsnet: no routes: peers are not counted on an external broker")
