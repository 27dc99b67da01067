package host

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
)

// BootTimeout bounds each step of the boot: a token that does not answer ends it.
const BootTimeout = 60 * time.Second

// Host is a node that is ready to run.
type Host struct {
	Node  *appliance.Node
	Vault *vault.Vault

	config  Config
	options Options
	record  *record
	opened  closers
	began   time.Time
	certs   certificates
	roster  atomic.Pointer[attest.SignedRoster]
	disk    *Disk
	network *natsnet.Network
	machine *machine
	tokens  atomic.Pointer[api.JWT] // of the API's; nil before Run, and in dev
	events  *api.Events             // nil where nobody is told
	refused atomic.Pointer[error]   // why the file of the authority was not taken up; nil where it was, or is none
}

// Close closes what Open opened; Run must have returned, or never begun.
func (h *Host) Close() error { return h.opened.Close() }

// Open opens everything a node is made of, in the order that lets nothing be used before it was proven. The caller closes the Host.
func Open(ctx context.Context, c Config, o Options) (*Host, error) {
	o = o.withDefaults()
	h := &Host{config: c, options: o, began: time.Now(), machine: newMachine(o.Log)}
	b := &boot{Host: h}
	b.node = appliance.Config{
		Cluster: c.Cluster, Node: c.Node, Release: o.Release, CosignKey: c.HSM.CosignKey, AttestKey: c.HSM.AttestKey,
		Schemes: schemes.ByID, SchemeFor: schemes.For, Ask: api.AskWebhook, Threshold: c.Threshold, Limits: c.Limits,
		EventInitiator: c.EventInitiator,
		Logger:         o.Log, Clock: o.Clock, Rand: o.Rand,
		KeepRoster: h.keepRoster,
		Checks: func() []appliance.Check {
			return append(append(h.certs.checks(), b.tokens.checks()...), h.fileCheck()...)
		},
	}
	if err := b.run(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// boot is a Host on its way.
type boot struct {
	*Host
	signed *attest.SignedRoster
	tokens *Tokens
	node   appliance.Config
}

func (b *boot) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"self-test", b.selfTest},
		{"data directory", b.lock},
		{"roster", b.loadRoster},
		{"token", b.openTokens},
		{"vault", b.openVault},
		{"audit log", b.openAudit},
		{"identity", b.openIdentity},
		{"authority", b.loadAuthority},
		{"events", b.loadEvents},
		{"network", b.startNetwork},
		{"node", b.makeNode},
	} {
		began := time.Now()
		if err := b.inTime(ctx, step.do); err != nil {
			return fault.Doing("boot: "+step.name, err)
		}
		b.options.Log.Debug("boot", "step", step.name, "took", time.Since(began).Round(time.Millisecond))
	}
	for _, t := range b.tokens.All() {
		if info, err := t.Info(ctx); err == nil && info.SoftwareOnly {
			b.options.Log.Warn("the token is software: no hardware guards its keys", "provider", t.Provider(), "token", info.Label)
		}
	}
	return nil
}

// inTime bounds a step by itself, for a first reading of a long audit log is none that a token's timeout should end.
func (b *boot) inTime(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, BootTimeout)
	defer cancel()
	return step(ctx)
}

func (b *boot) selfTest(context.Context) error {
	if err := selfTest(); err != nil {
		return &fault.Error{Code: fault.CodeIntegrity, Err: err, Do: "do not use this machine: its arithmetic is wrong"}
	}
	return nil
}

func (b *boot) lock(context.Context) error {
	var held io.Closer
	err := afterPredecessor(func() (err error) {
		held, err = Lock(b.config)
		return err
	}, func(err error) bool { return errors.Is(err, durable.ErrLocked) })
	return b.opened.keep(held, err)
}

func (b *boot) loadRoster(context.Context) (err error) {
	b.signed, err = loadRoster(b.config)
	if err != nil {
		return err
	}
	b.node.Roster = b.signed
	b.roster.Store(b.signed)
	return nil
}

func (b *boot) openTokens(ctx context.Context) (err error) {
	b.tokens, err = OpenTokens(ctx, b.config, b.options)
	if err := b.opened.keep(b.tokens, err); err != nil {
		return err
	}
	b.node.HSM = b.tokens.Token
	_, err = b.tokens.Prove(ctx)
	return err
}

func (b *boot) openVault(ctx context.Context) (err error) {
	b.disk, err = b.tokens.OpenDisk(ctx, true)
	if err := b.opened.keep(b.disk, err); err != nil {
		return err
	}
	b.Vault, b.node.Vault, b.node.Store = b.disk.Vault, b.disk.Vault, b.disk.Store
	return keepSerial(ctx, b.disk.Store, b.signed)
}

func (b *boot) openAudit(ctx context.Context) error {
	v, err := appliance.AuditVerifier(string(b.config.Node), b.roster.Load())
	if err != nil {
		return err
	}
	sign := func(message []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), sealTimeout)
		defer cancel()
		return b.tokens.Sign(ctx, b.config.HSM.AttestKey, message)
	}
	b.record, err = openRecord(ctx, b.config, b.Vault, b.disk.Store, v, sign, b.options)
	if err := b.opened.keep(b.record, err); err != nil {
		return err
	}
	b.node.AuditLog = b.record.Log
	return nil
}

func (b *boot) openIdentity(ctx context.Context) error {
	m, err := b.signed.Roster.Node(string(b.config.Node))
	if err != nil {
		return err
	}
	b.node.Self, err = enrolledIdentity(ctx, b.Vault, m)
	return err
}

func (b *boot) startNetwork(ctx context.Context) error {
	c := b.config
	warn, do, err := c.checkCluster(b.signed.Roster)
	if err != nil {
		return err
	}
	if warn != "" {
		b.options.Log.Warn(warn, "do", do)
	}
	cert, err := c.routeCertificate()
	if err != nil {
		return err
	}
	if err := c.routesFree(); err != nil {
		return err
	}
	config := c.network(b.signed.Roster, cert)
	config.Known = func(id transport.NodeID) bool {
		_, err := b.roster.Load().Roster.Node(string(id))
		return err == nil
	}
	config.Logger = quieter(b.options.Log)
	b.certs.add(cert, b.options)
	n, err := natsnet.Start(ctx, config)
	if err := b.opened.keep(n, err); err != nil {
		return err
	}
	b.network, b.node.Network = n, n
	if b.options.Network != nil {
		b.node.Network = b.options.Network(n)
	}
	return nil
}

// network is how the node reaches the others.
func (c Config) network(r attest.Roster, cert *certificate) natsnet.Config {
	n := natsnet.Config{Cluster: c.Cluster, Node: c.Node, Peers: Peers(r), RouteListen: c.NATS.Listen, Routes: c.NATS.Routes,
		RouteAdvertise: c.NATS.Advertise, ExternalURL: c.NATS.URL, CredsFile: c.NATS.Creds, CAFile: c.NATS.CA}
	if cert != nil {
		n.Certificate = cert.get
	}
	return n
}

func (b *boot) makeNode(ctx context.Context) (err error) {
	if b.Node, err = appliance.New(ctx, b.node); err != nil {
		return err
	}
	// Only now: what does not fit together changes nothing. It is a commit, too: copies of the directory made before this start are
	// older ones.
	return b.record.mark(ctx)
}
