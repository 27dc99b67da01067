package sim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Seeded is a whole cluster whose every run from one seed is the same: its nodes draw from streams of the seed, their tokens sign
// deterministically (Ed25519), their clock is that of a bubble of testing/synctest, and each envelope takes a time that depends on the
// seed and on itself, so that no two things happen at one instant by the order of goroutines. Stores are in memory, audit logs on disk.
type Seeded struct {
	t     *testing.T
	seed  uint64
	began time.Time
	hub   *memnet.Hub

	Roster *attest.SignedRoster
	asker  *Asker
	nodes  []*seededNode

	mu    sync.Mutex
	seen  map[string]int // envelopes alike
	trace []string
}

// seededNode is what outlives a run of a node.
type seededNode struct {
	id           transport.NodeID
	self         transport.Identity
	token        hsm.Token
	state, vault vault.Store
	audit        string
	rand         *streams

	node *appliance.Node
	halt func()
}

// RunSeeded runs a story with a cluster of n nodes in a bubble and returns the trace of all envelopes, in their order: when, from whom to
// whom, of what kind and topic, and the hash of what is not sealed. The process's own randomness is another number, beside: tokens make
// their keys from the seed, and then nothing that shows in the trace may come from the process, only what is sealed. The test must not be
// parallel, for the process has one randomness.
func RunSeeded(t *testing.T, seed, beside uint64, n int, limits appliance.Limits, story func(c *Seeded)) (trace string) {
	t.Helper()
	t.Run(fmt.Sprintf("seed %d, beside %d", seed, beside), func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		synctest.Test(t, func(t *testing.T) {
			c := &Seeded{t: t, seed: seed, began: time.Now(), hub: memnet.New(), seen: map[string]int{}}
			c.hub.SetFault(c.fate)
			c.enrol(n)
			cryptotest.SetGlobalRandom(t, beside)
			for i := range c.nodes {
				c.Start(i, limits)
			}
			func() {
				defer c.close()
				story(c)
			}()
			slices.Sort(c.trace)
			trace = strings.Join(c.trace, "\n")
		})
	})
	return trace
}

// close ends every node; no goroutine stays in the bubble.
func (c *Seeded) close() {
	for i := range c.nodes {
		c.Halt(i)
		_ = c.nodes[i].token.Close()
	}
}

func (c *Seeded) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// enrol makes the nodes' identities and tokens, and the roster.
func (c *Seeded) enrol(n int) {
	c.t.Helper()
	r := attest.Roster{Version: attest.RosterVersion, Cluster: ClusterName, Serial: 1}
	for i := range n {
		x := &seededNode{id: transport.NodeID(fmt.Sprintf("node%d", i+1)), state: vaulttest.NewMemory(), vault: vaulttest.NewMemory()}
		dir, err := os.MkdirTemp("", "seeded") // a test's own name may not stand in a URI
		c.must(err)
		c.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		x.audit, x.rand = filepath.Join(dir, "audit.log"), newStreams(c.seed, x.id)
		var peer transport.Peer
		x.self, peer, err = transport.NewIdentity(x.id, x.rand.Stream("identity"))
		c.must(err)
		u, err := hsm.ParseURI("local:" + filepath.Join(dir, "token"))
		c.must(err)
		x.token, err = local.Open(c.t.Context(), u, hsm.Options{Dev: true, Logger: slog.New(slog.DiscardHandler)})
		c.must(err)
		c.must(x.token.(hsm.KeyGenerator).GenerateKey(c.t.Context(), VaultKey, hsm.KeyAESWrap))
		r.Nodes = append(r.Nodes, attest.RosterNode{ID: string(x.id), Party: threshold.PartyID(i + 1), Identity: attest.Hex(peer.Identity),
			Seal: peer.HPKE, CosignKey: c.tokenKey(x, CosignKey), AttestKey: c.tokenKey(x, AttestKey), Endpoint: string(x.id)})
		c.nodes = append(c.nodes, x)
	}
	root := make([]byte, ed25519.SeedSize)
	_, _ = newStreams(c.seed, "root").Read(root)
	var err error
	c.Roster, err = r.Sign(ed25519.NewKeyFromSeed(root))
	c.must(err)
	officer, asker := make([]byte, ed25519.SeedSize), make([]byte, ed25519.SeedSize)
	_, _ = newStreams(c.seed, "officer").Read(officer)
	_, _ = newStreams(c.seed, "asker").Read(asker)
	c.asker, err = NewAsker(ClusterName, ed25519.NewKeyFromSeed(root), officer, asker)
	c.must(err)
}

// tokenKey makes a signing key, of the only type whose signatures are a function of key and message.
func (c *Seeded) tokenKey(x *seededNode, id string) attest.Hex {
	c.t.Helper()
	c.must(x.token.(hsm.KeyGenerator).GenerateKey(c.t.Context(), id, hsm.KeyEd25519))
	pub, err := x.token.(hsm.PublicKeyer).PublicKey(c.t.Context(), id)
	c.must(err)
	der, err := attest.MarshalPublicKey(pub)
	c.must(err)
	return der
}

// Node is the i-th node, from 0, while it runs.
func (c *Seeded) Node(i int) *appliance.Node { return c.nodes[i].node }

// Start boots the i-th node on what it has stored, and returns when it serves.
func (c *Seeded) Start(i int, limits appliance.Limits) {
	c.t.Helper()
	x, ctx := c.nodes[i], context.Background()
	v, err := vault.Open(ctx, vault.Config{Store: x.vault, Wrapper: x.token.(hsm.KeyWrapper), KEK: VaultKey, Node: string(x.id),
		Clock: time.Now, Rand: x.rand.Stream("vault")})
	c.must(err)
	log, err := audit.Open(x.audit, string(x.id), time.Now)
	c.must(err)
	x.node, err = appliance.New(ctx, appliance.Config{
		Cluster: ClusterName, Node: x.id, Release: "sim", Roster: c.Roster, Network: c.hub.Node(x.id), Self: x.self,
		HSM: x.token, CosignKey: CosignKey, AttestKey: AttestKey, Vault: v, Store: x.state, AuditLog: log,
		Schemes: schemes.ByID, SchemeFor: schemes.For, Limits: limits, Clock: time.Now, Rand: x.rand, Logger: slog.New(slog.DiscardHandler),
		Authority: c.asker.Chain, Initiate: c.asker.Initiate,
	})
	c.must(err)
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	node := x.node
	go func() { done <- node.Run(run) }()
	<-node.Started()
	synctest.Wait() // its first heartbeat is sent before another node is there, or after: never by the order of goroutines
	x.halt = func() {
		stop()
		c.must(errors.Join(<-done, log.Close()))
		v.Close()
	}
}

// Halt ends the i-th node; what it stored stays. It may be called again.
func (c *Seeded) Halt(i int) {
	c.t.Helper()
	if x := c.nodes[i]; x.halt != nil {
		x.halt()
		x.halt = nil
	}
}

// fate lets an envelope take between one and three milliseconds, which depend on the seed, its link and what is not sealed of it.
func (c *Seeded) fate(f memnet.Frame) memnet.Fate {
	e, err := transporttest.Peek(transport.Envelope{Body: f.Body})
	if err != nil {
		panic(err)
	}
	name := fmt.Sprintf("%s>%s %2d %x", f.From, f.To, e.Kind, e.Topic[:6])
	if e.Private {
		name += fmt.Sprintf(" sealed, %d bytes", len(e.Body))
	} else {
		h := sha256.Sum256(e.Body)
		name += fmt.Sprintf(" %x", h[:6])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[name]++
	c.trace = append(c.trace, fmt.Sprintf("%12d %s #%d", time.Since(c.began).Microseconds(), name, c.seen[name]))
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", c.seed, name, c.seen[name]))
	return memnet.Fate{time.Millisecond + time.Duration(binary.BigEndian.Uint64(h[:])%uint64(2*time.Millisecond))}
}

// streams are a node's appliance.Streams: the n-th use of a purpose about something draws what the seed has for it.
type streams struct {
	seed uint64
	of   transport.NodeID

	mu   sync.Mutex
	uses map[[32]byte]uint64
	rest io.Reader
}

func newStreams(seed uint64, of transport.NodeID) *streams {
	s := &streams{seed: seed, of: of, uses: map[[32]byte]uint64{}}
	s.rest = s.Stream("rest")
	return s
}

// Read implements io.Reader, for who does not say what it is for.
func (s *streams) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rest.Read(b)
}

// Stream implements appliance.Streams.
func (s *streams) Stream(purpose string, about ...[]byte) io.Reader {
	use := canon.Hash("mpcd/v1/sim/use", append([][]byte{[]byte(purpose)}, about...)...)
	s.mu.Lock()
	s.uses[use]++
	n := s.uses[use]
	s.mu.Unlock()
	return &locked{r: rand.NewChaCha8(canon.Hash("mpcd/v1/sim/stream", canon.MustMarshal(s.seed), []byte(s.of), use[:], canon.MustMarshal(n)))}
}

// locked is a reader for several goroutines.
type locked struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *locked) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}
