package sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/softhsm"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// Node is one node of a Cluster, with what survives its restart and everything that a test may know of it.
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

	Token hsm.Token // open while the test runs
	// The parts of the running node.
	Node  *appliance.Node
	Vault *vault.Vault
	Self  transport.Identity

	c      *Cluster
	peer   transport.Peer
	routes []string
	tls    *tls.Config
	stop   context.CancelFunc
	done   chan error
	closer []func() error
}

// The keys of every node's token.
const (
	CosignKey = "cosign"
	AttestKey = "attest"
	VaultKey  = "vault"
)

func (c *Cluster) newNode(i int, routes []string) *Node {
	tb := c.TB
	tb.Helper()
	ctx := tb.Context()
	n := &Node{c: c, ID: transport.NodeID(fmt.Sprintf("node%d", i+1)), Party: threshold.PartyID(i + 1), Dir: tb.TempDir(), URI: softhsm.New(tb),
		Seed: make([]byte, 64), Rand: &Recorder{}, routes: append([]string{routes[i]}, append(routes[:i:i], routes[i+1:]...)...)}
	n.must(os.Chmod(n.Dir, 0o700))
	raw := make([]byte, 24)
	_, _ = rand.Read(raw)
	_, _ = rand.Read(n.Seed)
	n.Store = fmt.Sprintf("%x", raw)
	n.PIN = readPIN(tb, n.URI)
	u, err := hsm.ParseURI(n.URI)
	n.must(err)
	n.Token, err = pkcs11.Open(ctx, u, hsm.Options{})
	n.must(err)
	tb.Cleanup(func() {
		n.Halt()
		_ = n.Token.Close()
	})
	for _, k := range []hsm.KeyInfo{{ID: CosignKey, Type: hsm.KeyP256}, {ID: AttestKey, Type: hsm.KeyP256}, {ID: VaultKey, Type: hsm.KeyAESWrap}} {
		n.must(n.Token.(hsm.KeyGenerator).GenerateKey(ctx, k.ID, k.Type))
	}
	n.Self, n.peer, err = transport.NewIdentity(n.ID, bytes.NewReader(n.Seed))
	n.must(err)
	cert, key, err := c.ca.Issue(n.ID, nil)
	n.must(err)
	pair, err := tls.X509KeyPair(cert, key)
	n.must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.ca.CertPEM())
	n.tls = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool}
	// The identity rests in the vault, as the program keeps it.
	n.open()
	n.must(n.Vault.PutSecret(ctx, "identity", n.Seed))
	n.shut()
	return n
}

func (n *Node) must(err error) {
	n.c.TB.Helper()
	if err != nil {
		n.c.TB.Fatalf("%s: %v", n.ID, err)
	}
}

func (n *Node) member() attest.RosterNode {
	return attest.RosterNode{ID: string(n.ID), Party: n.Party, Identity: attest.Hex(n.peer.Identity), Seal: n.peer.HPKE,
		CosignKey: n.publicKey(CosignKey), AttestKey: n.publicKey(AttestKey), Endpoint: "https://" + string(n.ID)}
}

func (n *Node) publicKey(id string) attest.Hex {
	pub, err := n.Token.(hsm.PublicKeyer).PublicKey(n.c.TB.Context(), id)
	n.must(err)
	der, err := attest.MarshalPublicKey(pub)
	n.must(err)
	return der
}

// StoreDir is where the Badger store is.
func (n *Node) StoreDir() string { return filepath.Join(n.Dir, "store") }

// AuditPath is where the audit log is.
func (n *Node) AuditPath() string { return filepath.Join(n.Dir, "audit.log") }

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

// open opens store and vault.
func (n *Node) open() vault.Store {
	n.c.TB.Helper()
	salt, err := badgerstore.Salt(n.StoreDir())
	n.must(err)
	key, err := badgerstore.KeyFromPassword(n.Store, false, salt)
	n.must(err)
	n.Key = bytes.Clone(key.Bytes())
	defer key.Wipe()
	store, err := badgerstore.Open(badgerstore.Config{Dir: n.StoreDir(), Key: key, Logger: n.logger()})
	n.must(err)
	n.closer = append(n.closer, store.Close)
	n.Vault, err = vault.Open(context.Background(), vault.Config{Store: store, Wrapper: n.Token.(hsm.KeyWrapper), KEK: VaultKey, Node: string(n.ID)})
	n.must(err)
	n.closer = append(n.closer, n.Vault.Close)
	return store
}

// shut closes what is open, the last first.
func (n *Node) shut() {
	for i := len(n.closer) - 1; i >= 0; i-- {
		if err := n.closer[i](); err != nil {
			n.c.TB.Errorf("%s: close: %v", n.ID, err)
		}
	}
	n.closer, n.Vault = nil, nil
}

func (n *Node) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(n.c.Log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", string(n.ID))
}

// Start boots the node on what it has stored.
func (n *Node) Start() {
	n.c.TB.Helper()
	ctx := context.Background()
	store := n.open()
	audit, err := audit.Open(n.AuditPath(), string(n.ID), time.Now)
	n.must(err)
	n.closer = append(n.closer, audit.Close)
	net, err := natsnet.Start(ctx, natsnet.Config{Cluster: ClusterName, Node: n.ID, Peers: n.c.peers(), RouteListen: n.routes[0], Routes: n.routes[1:],
		TLS: n.tls, Logger: n.logger()})
	n.must(err)
	n.Node, err = appliance.New(ctx, appliance.Config{
		Cluster: ClusterName, Node: n.ID, Release: "sim", Roster: n.c.Roster, Network: n.c.Wire.tap(n.ID, net), Self: n.Self,
		HSM: n.Token, CosignKey: CosignKey, AttestKey: AttestKey, Vault: n.Vault, Store: store, AuditLog: audit,
		Schemes: schemes.ByID, SchemeFor: schemes.For, Limits: n.c.limits, Rand: n.Rand, Logger: n.logger(),
	})
	n.must(err)
	run, stop := context.WithCancel(ctx)
	n.stop, n.done = stop, make(chan error, 1)
	node, done := n.Node, n.done
	go func() { done <- node.Run(run) }()
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
	n.shut()
}

// Open opens the vault of a halted node; close it with Shut.
func (n *Node) Open() *vault.Vault {
	n.c.TB.Helper()
	n.open()
	return n.Vault
}

// Shut closes what Open opened.
func (n *Node) Shut() { n.shut() }

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
	net, err := natsnet.Start(ctx, natsnet.Config{Cluster: ClusterName, Node: n.ID, Peers: n.c.peers(), RouteListen: n.routes[0], Routes: n.routes[1:],
		TLS: n.tls, Logger: n.logger()})
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
