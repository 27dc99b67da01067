package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
)

func startCommand(o *output) *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node",
		Long: "Boots in this order: self-tests, token, vault, roster and keys, network, API. Whatever fails ends the process with its reason and the\n" +
			"exit code of its kind, before the node has spoken to anybody. SIGTERM ends it in good order.",
		Example: "  mpcd start --config /etc/mpcd/mpcd.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			return c.start(cmd.Context())
		},
	}
	flags.register(cmd)
	return cmd
}

// memoryGoal is what the Go heap may grow to before it is collected more often, in bytes; it is no hard limit. GOMEMLIMIT
// overrides it.
const memoryGoal = 112 << 20

// bootTimeout bounds the boot: a token that does not answer ends it.
const bootTimeout = 60 * time.Second

// booted is a node ready to run, and what has to be closed after it, the last first.
type booted struct {
	node    *appliance.Node
	network *natsnet.Network
	vault   *vault.Vault
	closers []io.Closer
	started time.Time
}

func (b *booted) Close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i].Close())
	}
	return errors.Join(errs...)
}

// start runs the node until ctx ends.
func (c *config) start(ctx context.Context) error {
	if err := harden(); err != nil {
		return fault.Doing("boot: harden the process", err)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
	log := c.logger()
	slog.SetDefault(log)
	for _, name := range c.unknown {
		log.Warn("this variable means nothing to mpcd; is it misspelt?", "variable", name)
	}
	if v := c.values["consul_addr"]; v.text != "" {
		log.Info("Consul is not used by this build: who is a member stands in the roster", "origin", v.origin)
	}
	listen, serverTLS, auth, err := c.openAPI()
	if err != nil {
		return fault.Doing("boot: API", err)
	}
	b := &booted{started: time.Now()}
	err = c.boot(ctx, b, log)
	if err == nil {
		err = c.serve(ctx, b, listen, serverTLS, auth, log)
	} else {
		err = errors.Join(err, listen.Close())
	}
	notify("STOPPING=1")
	if cerr := b.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// openAPI takes the API's address and reads its keys; nobody is answered before the boot is over.
func (c *config) openAPI() (net.Listener, *tls.Config, api.Authenticator, error) {
	serverTLS, err := c.apiTLS()
	if err != nil {
		return nil, nil, nil, err
	}
	if serverTLS == nil && !c.Dev {
		return nil, nil, nil, fault.Usage("set api.tls.cert and api.tls.key", "the API has no certificate, and plain HTTP is for dev")
	}
	var auth api.Authenticator
	switch {
	case len(c.API.JWTKeys) > 0:
		var pem []byte
		for _, path := range c.API.JWTKeys {
			b, err := durable.ReadFile(path, secretsLimit)
			if err != nil {
				return nil, nil, nil, err
			}
			pem = append(append(pem, bytes.TrimSpace(b)...), '\n')
		}
		if auth, err = api.NewJWT(pem, c.API.Audience); err != nil {
			return nil, nil, nil, fault.Usage("correct api.jwt", "%w", err)
		}
	case c.Dev:
		auth = api.Dev{}
	default:
		return nil, nil, nil, fault.Usage("set api.jwt.keys to the public keys of your issuer of tokens", "nobody could use the API: no keys for tokens")
	}
	var l net.Listener
	err = afterPredecessor(func() (err error) {
		l, err = net.Listen("tcp", c.Listen)
		return err
	}, func(err error) bool { return errors.Is(err, syscall.EADDRINUSE) })
	if err != nil {
		return nil, nil, nil, fault.Usage("choose another address with listen or --listen", "%w", err)
	}
	return l, serverTLS, auth, nil
}

// afterPredecessor tries again, for a second, what a process that was just killed may still hold: its address, its lock.
func afterPredecessor(try func() error, held func(error) bool) error {
	err := try()
	for end := time.Now().Add(time.Second); err != nil && held(err) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		err = try()
	}
	return err
}

func (c *config) apiTLS() (*tls.Config, error) {
	if c.API.Cert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.API.Cert, c.API.Key)
	if err != nil {
		return nil, fault.Usage("correct api.tls.cert and api.tls.key", "API certificate: %w", err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if c.API.ClientCA == "" {
		return t, nil
	}
	pem, err := durable.ReadFile(c.API.ClientCA, secretsLimit)
	if err != nil {
		return nil, err
	}
	t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fault.Usage("give a PEM file with certificates", "api.tls.client_ca holds no certificate")
	}
	return t, nil
}

// boot opens everything a node is made of, in the order that lets nothing be used before it was proven.
func (c *config) boot(ctx context.Context, b *booted, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	var token *tokens
	var disk *sealed
	var roster *attest.SignedRoster
	nc := appliance.Config{
		Cluster: c.Cluster, Node: c.Node, Release: release(), CosignKey: c.HSM.CosignKey, AttestKey: c.HSM.AttestKey,
		Schemes: schemes.ByID, SchemeFor: schemes.For, Threshold: c.Threshold, Limits: c.Limits, Logger: log, Clock: time.Now, Rand: rand.Reader,
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"self-test", func() error {
			if err := selfTest(); err != nil {
				return &fault.Error{Code: fault.CodeIntegrity, Err: err, Do: "do not use this machine: its arithmetic is wrong"}
			}
			return nil
		}},
		{"data directory", func() error {
			var held io.Closer
			err := afterPredecessor(func() (err error) { held, err = c.lock(); return err }, func(err error) bool { return errors.Is(err, durable.ErrLocked) })
			b.keep(held, err)
			return err
		}},
		{"roster", func() (err error) { roster, err = c.loadRoster(); return err }},
		{"token", func() (err error) {
			token, err = c.openTokens(ctx, log)
			b.keep(token, err)
			if err == nil {
				_, err = token.prove(ctx)
			}
			return err
		}},
		{"vault", func() (err error) {
			disk, err = c.openVault(ctx, token, true, log)
			b.keep(disk, err)
			if err != nil {
				return err
			}
			b.vault = disk.vault
			if err := keepSerial(ctx, disk.store, roster); err != nil {
				return err
			}
			return disk.vault.Advance(ctx) // copies made before this start are older ones now
		}},
		{"audit log", func() (err error) {
			nc.AuditLog, err = appliance.OpenAudit(c.auditPath(), string(c.Node), time.Now)
			b.keep(nc.AuditLog, err)
			return err
		}},
		{"identity", func() error {
			id, peer, err := c.identity(ctx, disk.vault)
			if err != nil {
				return err
			}
			m, err := roster.Roster.Node(string(c.Node))
			if err != nil {
				return err
			}
			if !bytes.Equal(m.Identity, peer.Identity) || !bytes.Equal(m.Seal, peer.HPKE) {
				return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the identity in the vault is not the one the roster has for %s", c.Node),
					Do: "use the data directory that was enrolled, or enrol the node anew"}
			}
			nc.Self = id
			return nil
		}},
		{"network", func() (err error) {
			b.network, err = natsnet.Start(ctx, c.natsConfig(roster.Roster, log))
			return err // the node closes it
		}},
		{"node", func() (err error) {
			nc.Roster, nc.Network, nc.HSM, nc.Vault, nc.Store = roster, b.network, token.Token, disk.vault, disk.store
			b.node, err = appliance.New(ctx, nc)
			if err != nil {
				return errors.Join(err, b.network.Close())
			}
			return nil
		}},
	}
	for _, s := range steps {
		began := time.Now()
		if err := s.do(); err != nil {
			return fault.Doing("boot: "+s.name, err)
		}
		log.Debug("boot", "step", s.name, "took", time.Since(began).Round(time.Millisecond))
	}
	for _, t := range token.open {
		if info, err := t.Info(ctx); err == nil && info.SoftwareOnly {
			log.Warn("the token is software: no hardware guards its keys", "provider", t.Provider(), "token", info.Label)
		}
	}
	return nil
}

// keep remembers what has to be closed.
func (b *booted) keep(c io.Closer, err error) {
	if err == nil {
		b.closers = append(b.closers, c)
	}
}

func (c *config) natsConfig(r attest.Roster, log *slog.Logger) natsnet.Config {
	return natsnet.Config{
		Cluster: c.Cluster, Node: c.Node, Peers: peers(r), RouteListen: c.NATS.Listen, Routes: c.NATS.Routes, RouteAdvertise: c.NATS.Advertise,
		ExternalURL: c.NATS.URL, CredsFile: c.NATS.Creds, CertFile: c.NATS.Cert, KeyFile: c.NATS.Key, CAFile: c.NATS.CA, Logger: quieter(log),
	}
}

// serve runs node and API until ctx ends or one of them fails. The API goes first: what it still works on needs the node.
func (c *config) serve(ctx context.Context, b *booted, l net.Listener, t *tls.Config, auth api.Authenticator, log *slog.Logger) error {
	var counting sync.WaitGroup
	defer counting.Wait() // after stopNode
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()
	counting.Go(func() { keepAnchor(nodeCtx, b.vault, anchorEvery, log) })
	nodeDone := make(chan error, 1)
	go func() { nodeDone <- b.node.Run(nodeCtx) }()
	if err := running(b.node, nodeDone); err != nil {
		return errors.Join(fault.Doing("boot: join the network", err), l.Close())
	}
	apiCtx, stopAPI := context.WithCancel(ctx)
	defer stopAPI()
	apiDone := make(chan error, 1)
	handler := api.New(api.Config{
		Backend: b.node, Auth: auth, Dev: c.Dev && t == nil, OpenMetrics: c.Dev, Registry: newRegistry(b.node), Logger: requestLog(log), Timeout: c.Limits.Request + 5*time.Second,
	})
	go func() { apiDone <- api.Serve(apiCtx, l, handler, t) }()
	notify("READY=1")
	log.Info("ready", "api", l.Addr().String(), "tls", t != nil, "cluster", c.Cluster, "version", release(), "boot", time.Since(b.started).Round(time.Millisecond))
	var err error
	select {
	case err = <-apiDone:
		stopNode()
		err = errors.Join(err, <-nodeDone)
	case err = <-nodeDone:
		stopAPI()
		err = errors.Join(err, <-apiDone)
		if err == nil {
			err = errors.New("the node stopped by itself")
		}
	}
	return fault.Doing("run", err)
}

// running waits until the node has joined the network, or could not.
func running(n *appliance.Node, done <-chan error) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, check := range n.Readiness().Checks {
			if check.Name == "running" && check.OK {
				return nil
			}
		}
		select {
		case err := <-done:
			if err == nil {
				err = errors.New("the node ended at once")
			}
			return err
		case <-tick.C:
		}
	}
}

// newRegistry exports the node's counters, the process and the Go runtime.
func newRegistry(n *appliance.Node) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), nodeMetrics{n})
	return r
}

// requestLog lowers the lines of single requests to debug, and keeps failures.
func requestLog(l *slog.Logger) *slog.Logger { return slog.New(lowered{l.Handler(), slog.LevelInfo}) }

// quieter lowers what the NATS server tells of itself.
func quieter(l *slog.Logger) *slog.Logger { return slog.New(lowered{l.Handler(), slog.LevelWarn}) }

// lowered makes debug lines of all that are not above a level.
type lowered struct {
	slog.Handler
	upTo slog.Level
}

func (h lowered) level(l slog.Level) slog.Level {
	if l <= h.upTo {
		return min(l, slog.LevelDebug)
	}
	return l
}

func (h lowered) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, h.level(l))
}

func (h lowered) Handle(ctx context.Context, r slog.Record) error {
	r.Level = h.level(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h lowered) WithAttrs(a []slog.Attr) slog.Handler {
	return lowered{h.Handler.WithAttrs(a), h.upTo}
}
func (h lowered) WithGroup(g string) slog.Handler { return lowered{h.Handler.WithGroup(g), h.upTo} }

// release is the version of the program, as built.
var version = "0.1.0-dev"

func release() string { return strings.TrimSpace(version) }
