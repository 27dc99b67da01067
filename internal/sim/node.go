package sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/softhsm"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
)

// Node is one node of a Cluster, made and started as the program does it, with what survives its restart and everything that a test may
// know of it.
type Node struct {
	ID    transport.NodeID
	Party threshold.PartyID
	Dir   string // the data directory: store/ and audit.log
	URI   string // of the token
	PIN   []byte
	Seed  []byte    // 64 bytes that identity and HPKE keys are made from
	Store string    // the machine secret that the store's key is derived from
	Key   []byte    // the store's key, 32 bytes
	Rand  *Recorder // what the node draws from

	Token hsm.Token // open while the test runs, beside the node's own
	// The parts of the running node.
	Node  *appliance.Node
	Vault *vault.Vault
	Self  transport.Identity

	c      *Cluster
	values host.Values // its configuration, but for Dir
	host   *host.Host
	stop   context.CancelFunc
	done   chan error
	tokens *host.Tokens // after Open
	disk   *host.Disk
}

// The keys of every node's token.
const (
	CosignKey = host.RoleCosign
	AttestKey = host.RoleAttest
	VaultKey  = host.RoleVault
)

// newNode makes a node and enrols it.
func (c *Cluster) newNode(i int, routes []string) (*Node, enrol.Enrolment) {
	tb := c.TB
	tb.Helper()
	n := &Node{c: c, ID: transport.NodeID(fmt.Sprintf("node%d", i+1)), Party: threshold.PartyID(i + 1), Dir: tb.TempDir(),
		URI: softhsm.New(tb), Seed: make([]byte, 64), Rand: &Recorder{}, Store: rand.Text()}
	n.must(os.Chmod(n.Dir, 0o700))
	_, _ = rand.Read(n.Seed)
	n.PIN = readPIN(tb, n.URI)
	u, err := hsm.ParseURI(n.URI)
	n.must(err)
	n.Token, err = pkcs11.Open(tb.Context(), u, hsm.Options{})
	n.must(err)
	tb.Cleanup(func() {
		n.Halt()
		_ = n.Token.Close()
	})
	n.configure(append([]string{routes[i]}, append(routes[:i:i], routes[i+1:]...)...))
	o := n.options()
	o.Rand = bytes.NewReader(n.Seed)
	e, err := enrol.Node(tb.Context(), n.config(), o, enrol.Place{Endpoint: "https://" + string(n.ID)}, false)
	n.must(err)
	n.Self, _, err = transport.NewIdentity(n.ID, bytes.NewReader(n.Seed))
	n.must(err)
	n.open()
	key, err := n.tokens.StoreKey(tb.Context())
	n.must(err)
	n.Key = bytes.Clone(key.Bytes())
	key.Wipe()
	n.Shut()
	return n, e
}

// configure gives the node its settings, and the files that they name.
func (n *Node) configure(routes []string) {
	dir := n.c.TB.TempDir()
	password := filepath.Join(dir, "password")
	n.must(os.WriteFile(password, []byte(n.Store), 0o600))
	n.must(n.c.operator.Issue(n.ID, nil, dir))
	n.values = host.Defaults()
	for key, text := range map[string]string{
		"cluster": ClusterName, "node_id": string(n.ID), "hsm.uri": n.URI, "password.provider": "file", "password.key_id": password,
		"roster": filepath.Join(n.c.dir, enrol.RosterFile), "roster_root": n.c.operator.RootHex(),
		"authority": filepath.Join(n.c.dir, enrol.AuthorityFile), "dev.initiator": filepath.Join(n.c.dir, enrol.InitiatorFile),
		"nats.listen": routes[0], "nats.routes": strings.Join(routes[1:], ","),
		"nats.tls.cert": filepath.Join(dir, "node.crt"), "nats.tls.key": filepath.Join(dir, "node.key"),
		"nats.tls.ca": filepath.Join(dir, "ca.crt"),
	} {
		n.values.Set(key, text, "test")
	}
}

// config is the node's configuration, on the data directory that it has now.
func (n *Node) config() host.Config {
	n.c.TB.Helper()
	n.values.Set("data_dir", n.Dir, "test")
	c, err := host.Parse(n.values)
	n.must(err)
	c.Limits, c.Dev = n.c.limits, true // which signs for callers
	return c
}

// inProcess loads the library of a token into the process of the test, which is not the program that would start itself for it.
var inProcess = hsm.Drivers{"pkcs11": pkcs11.Open}

func (n *Node) options() host.Options {
	return host.Options{Release: "sim", Log: n.logger(), Rand: n.Rand, Drivers: inProcess,
		Network: func(net transport.Network) transport.Network { return n.c.Wire.tap(n.ID, net) }}
}

func (n *Node) must(err error) {
	n.c.TB.Helper()
	if err != nil {
		n.c.TB.Fatalf("%s: %v", n.ID, err)
	}
}

// Running tells whether the node is started.
func (n *Node) Running() bool { return n.stop != nil }

func (n *Node) live() int {
	live := 0
	for _, s := range n.Node.Nodes() {
		if s.Live {
			live++
		}
	}
	return live
}

func (n *Node) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(n.c.Log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", string(n.ID))
}

// Start boots the node on what it has stored, and returns when it has joined the network.
func (n *Node) Start() {
	n.c.TB.Helper()
	ctx := context.Background()
	var err error
	n.host, err = host.Open(ctx, n.config(), n.options())
	n.must(err)
	n.Node, n.Vault = n.host.Node, n.host.Vault
	run, stop := context.WithCancel(ctx)
	n.stop, n.done = stop, make(chan error, 1)
	ready, h, done := make(chan struct{}), n.host, n.done
	go func() { done <- h.Run(run, nil, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		n.must(errors.Join(err, errors.New("it ended at once")))
	}
}

// Halt ends the node in good order; what it stored stays. It may be called again.
func (n *Node) Halt() {
	n.c.TB.Helper()
	if n.stop == nil {
		return
	}
	n.stop()
	if err := <-n.done; err != nil {
		n.c.TB.Errorf("%s: %v", n.ID, err)
	}
	n.stop = nil
	n.close(n.host)
	n.host, n.Vault = nil, nil
}

func (n *Node) close(c io.Closer) {
	n.c.TB.Helper()
	if err := c.Close(); err != nil {
		n.c.TB.Errorf("%s: close: %v", n.ID, err)
	}
}

// Open opens the vault of a halted node; close it with Shut.
func (n *Node) Open() *vault.Vault {
	n.c.TB.Helper()
	n.open()
	return n.Vault
}

func (n *Node) open() {
	n.c.TB.Helper()
	var err error
	n.tokens, err = host.OpenTokens(context.Background(), n.config(), n.options())
	n.must(err)
	n.disk, err = n.tokens.OpenDisk(context.Background(), true)
	n.must(err)
	n.Vault = n.disk.Vault
}

// Shut closes what Open opened.
func (n *Node) Shut() {
	n.c.TB.Helper()
	n.close(n.disk)
	n.close(n.tokens)
	n.Vault = nil
}

// Share opens the active share of a wallet, as a thief with the token would. The node runs, or was opened.
func (n *Node) Share(wallet string) *threshold.KeyShare {
	n.c.TB.Helper()
	share, err := OpenShare(n.Vault, wallet)
	n.must(err)
	return share
}

// OpenShare opens the active share of a wallet.
func OpenShare(v *vault.Vault, wallet string) (*threshold.KeyShare, error) {
	b, meta, err := v.Load(context.Background(), wallet)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	return ParseShare(threshold.KindID(meta.KeyKind), b.Bytes())
}

// ParseShare reads a share by a scheme that signs with keys of its kind.
func ParseShare(kind threshold.KindID, b []byte) (*threshold.KeyShare, error) {
	for _, s := range schemes.All() {
		if s.Kind().ID == kind {
			return s.ParseKeyShare(b)
		}
	}
	return nil, fmt.Errorf("sim: no scheme signs with keys of kind %q", kind)
}

// Join takes a halted node's place on the network with its real keys, to speak as it.
func (n *Node) Join() (transport.Conn, func()) {
	n.c.TB.Helper()
	ctx := context.Background()
	c := n.config().NATS
	net, err := natsnet.Start(ctx, natsnet.Config{Cluster: ClusterName, Node: n.ID, Peers: n.c.peers(), RouteListen: c.Listen,
		Routes:   c.Routes,
		CertFile: c.Cert, KeyFile: c.Key, CAFile: c.CA, Logger: n.logger()})
	n.must(err)
	s := transport.Secure(net, n.Self, n.c.peers(), transport.Options{Cluster: ClusterName})
	conn, err := s.Join(ctx, "node")
	n.must(err)
	return conn, func() { _ = s.Close() }
}

// readPIN reads the PIN that the URI of a token of softhsm names.
func readPIN(tb testing.TB, uri string) []byte {
	tb.Helper()
	u, err := hsm.ParseURI(uri)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(strings.TrimPrefix(u.Attr("pin-source"), "file:"))
	if err != nil {
		tb.Fatal(err)
	}
	defer secret.Wipe(b)
	return bytes.Clone(bytes.TrimSpace(b))
}
