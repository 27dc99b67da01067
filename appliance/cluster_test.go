package appliance_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// cluster is nodes of one process over memnet, with a software token each and stores in memory.
type cluster struct {
	t      testing.TB
	hub    *memnet.Hub
	roster *attest.SignedRoster
	root   ed25519.PrivateKey // signs it
	asker  *sim.Asker
	ask    appliance.AskFunc
	nodes  []*member
}

// member is one node with what survives its restart.
type member struct {
	c      *cluster
	id     transport.NodeID
	dir    string
	self   transport.Identity
	token  hsm.Token
	vault  vault.Store
	state  vault.Store
	limits appliance.Limits

	place     transport.NodeID                                   // on the network, where it is not id: of a copy of a node
	attestKey string                                             // "attest" if empty
	schemes   func(threshold.SchemeID) (threshold.Scheme, error) // schemes.ByID if nil
	policy    appliance.Policy                                   // nil for the default
	signer    hsm.Signer                                         // the token if nil
	clock     func() time.Time                                   // nil for the machine's
	blind     bool                                               // see Node.Blind
	logger    *slog.Logger                                       // says nothing if nil

	node         *appliance.Node
	stop         context.CancelFunc
	done         chan error
	closer       []func()
	blindAtFirst *atomic.Int32 // see Node.BlindAtFirst; nil for a node that sees
	unasked      bool          // asks no initiator for what is not signed
	had          []byte        // the checkpoint of node1 that it had, of TestRewrittenLogIsSeen
}

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	return newClusterLimits(t, n, appliance.Limits{})
}

// patience is how long parties wait for each other where a test does not say: longer under the race detector, which makes a pair setup
// of three nodes in one process last as long as the silence of a node that is gone.
func patience(l appliance.Limits) appliance.Limits {
	if slowdown > 1 && l.Silence == 0 {
		l.Silence = 10 * time.Second
	}
	return l
}

func newClusterLimits(t testing.TB, n int, limits appliance.Limits) *cluster {
	t.Helper()
	ctx := t.Context()
	c := &cluster{t: t, hub: memnet.New()}
	r := attest.Roster{Version: 1, Cluster: "test", Serial: 1}
	for range n {
		r.Nodes = append(r.Nodes, c.newMember(ctx, limits))
	}
	_, c.root, _ = ed25519.GenerateKey(rand.Reader)
	var err error
	if c.roster, err = r.Sign(c.root); err != nil {
		t.Fatal(err)
	}
	if c.asker, err = sim.NewAsker("test", c.root, randomSeed(), randomSeed()); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		m.start()
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.halt()
			m.token.Close()
		}
	})
	c.waitReady()
	return c
}

func randomSeed() []byte {
	b := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(b)
	return b
}

// newMember makes a node that is not started, and returns it as a roster has it.
func (c *cluster) newMember(ctx context.Context, limits appliance.Limits) attest.RosterNode {
	c.t.Helper()
	party := threshold.PartyID(len(c.nodes) + 1)
	m := &member{c: c, id: transport.NodeID(fmt.Sprintf("node%d", party)), dir: c.t.TempDir(), vault: vaulttest.NewMemory(),
		state: vaulttest.NewMemory(), limits: patience(limits)}
	var peer transport.Peer
	var err error
	if m.self, peer, err = transport.NewIdentity(m.id, rand.Reader); err != nil {
		c.t.Fatal(err)
	}
	m.openToken(ctx)
	for id, kind := range map[string]hsm.KeyType{"cosign": hsm.KeyP256, "attest": hsm.KeyP256, "vault": hsm.KeyAESWrap} {
		if err := m.token.(hsm.KeyGenerator).GenerateKey(ctx, id, kind); err != nil {
			c.t.Fatal(err)
		}
	}
	c.nodes = append(c.nodes, m)
	return attest.RosterNode{ID: string(m.id), Party: party, Identity: attest.Hex(peer.Identity), Seal: peer.HPKE,
		CosignKey: m.publicKey(ctx, "cosign"), AttestKey: m.publicKey(ctx, "attest"), WitnessKey: peer.WitnessKey,
		Endpoint: string(m.id)}
}

func (m *member) openToken(ctx context.Context) {
	u, err := hsm.ParseURI("local:" + filepath.Join(m.dir, "token"))
	if err != nil {
		m.c.t.Fatal(err)
	}
	if m.token, err = local.Open(ctx, u, hsm.Options{Dev: true}); err != nil {
		m.c.t.Fatal(err)
	}
}

func (m *member) publicKey(ctx context.Context, id string) attest.Hex {
	pub, err := m.token.(hsm.PublicKeyer).PublicKey(ctx, id)
	if err != nil {
		m.c.t.Fatal(err)
	}
	der, err := attest.MarshalPublicKey(pub)
	if err != nil {
		m.c.t.Fatal(err)
	}
	return der
}

// start boots the node on what it has stored.
func (m *member) start() {
	m.c.t.Helper()
	if err := m.boot(); err != nil {
		m.c.t.Fatal(err)
	}
}

func (m *member) boot() error {
	m.c.t.Helper()
	attestKey := m.attestKey
	if attestKey == "" {
		attestKey = "attest"
	}
	byID := m.schemes
	if byID == nil {
		byID = schemes.ByID
	}
	ctx := context.Background()
	v, err := vault.Open(ctx, vault.Config{Store: m.vault, Wrapper: m.token.(hsm.KeyWrapper), KEK: "vault", Node: string(m.id)})
	if err != nil {
		m.c.t.Fatal(err)
	}
	audit, err := audit.Open(filepath.Join(m.dir, "audit.log"), string(m.id), time.Now)
	if err != nil {
		m.c.t.Fatal(err)
	}
	signer := m.signer
	if signer == nil {
		signer = m.token
	}
	initiate := m.c.asker.Initiate
	if m.unasked {
		initiate = nil
	}
	m.node, err = appliance.New(ctx, appliance.Config{
		Cluster: "test", Node: m.id, Release: "test", Roster: m.c.roster, Network: m.c.hub.Node(cmp.Or(m.place, m.id)), Self: m.self,
		HSM: signer, CosignKey: "cosign", AttestKey: attestKey, Vault: v, Store: m.state, AuditLog: audit, Clock: m.clock,
		Schemes: byID, SchemeFor: schemes.For, Limits: m.limits, Policy: m.policy, Rand: rand.Reader,
		Authority: m.c.asker.Chain, Initiate: initiate,
		Ask: func(ctx context.Context, webhook string, o *appliance.Operation) (*attest.Approval, error) {
			return m.c.ask(ctx, webhook, o)
		},
		Logger: cmp.Or(m.logger, slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		audit.Close()
		v.Close()
		return err
	}
	if m.blind {
		m.node.Blind()
	}
	if m.blindAtFirst != nil {
		m.node.BlindAtFirst(m.blindAtFirst)
	}
	run, stop := context.WithCancel(ctx)
	m.stop, m.done = stop, make(chan error, 1)
	m.closer = []func(){func() { audit.Close() }, func() { v.Close() }}
	node, done := m.node, m.done
	go func() { done <- node.Run(run) }()
	return nil
}

// blindable has all nodes but the first, started again, see nothing that stops them as often as is stored in what it returns.
func (c *cluster) blindable() []*atomic.Int32 {
	var out []*atomic.Int32
	for _, m := range c.nodes[1:] {
		m.halt()
		m.blindAtFirst = &atomic.Int32{}
		out = append(out, m.blindAtFirst)
		m.start()
	}
	c.waitReady()
	return out
}

// halt ends the node; what it stored stays.
func (m *member) halt() {
	if m.stop == nil {
		return
	}
	m.stop()
	if err := <-m.done; err != nil && !errors.Is(err, context.Canceled) { // which is of one that is stopped while it starts
		m.c.t.Errorf("%s: %v", m.id, err)
	}
	for _, f := range m.closer {
		f()
	}
	m.stop = nil
}

// waitReady returns when every running node sees every other.
func (c *cluster) waitReady() {
	c.t.Helper()
	running := 0
	for _, m := range c.nodes {
		if m.stop != nil {
			running++
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, m := range c.nodes {
		for m.stop != nil {
			live := 0
			for _, s := range m.node.Nodes() {
				if s.Live {
					live++
				}
			}
			if live >= running && m.node.Readiness().Checks[0].OK {
				break
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("%s sees %d live nodes of %d", m.id, live, running)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (c *cluster) keygen(curve string, t, n int) *appliance.Wallet {
	c.t.Helper()
	return c.keygenBy(curve, "frost", t, n)
}

func (c *cluster) keygenBy(curve, protocol string, t, n int) *appliance.Wallet {
	c.t.Helper()
	w, err := c.nodes[0].node.Keygen(c.t.Context(), appliance.KeygenRequest{Curve: curve, Protocol: protocol, Threshold: t, Total: n,
		Label: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}

// goneToken is a token that signs nothing while it is gone.
type goneToken struct {
	hsm.Token
	gone atomic.Bool
}

func (f *goneToken) Sign(ctx context.Context, key string, m []byte) ([]byte, error) {
	if f.gone.Load() {
		return nil, errors.New("the token is gone")
	}
	return f.Token.Sign(ctx, key, m)
}

func (f *goneToken) PublicKey(ctx context.Context, key string) (crypto.PublicKey, error) {
	return f.Token.(hsm.PublicKeyer).PublicKey(ctx, key)
}

func (f *goneToken) Wrap(ctx context.Context, key string, plain, aad []byte) ([]byte, error) {
	return f.Token.(hsm.KeyWrapper).Wrap(ctx, key, plain, aad)
}

func (f *goneToken) Unwrap(ctx context.Context, key string, wrapped, aad []byte) ([]byte, error) {
	return f.Token.(hsm.KeyWrapper).Unwrap(ctx, key, wrapped, aad)
}
