package appliance

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// channel is the one channel of the transport all nodes share; ceremonies are told apart by topic.
const channel = "node"

// Config is everything a node is made of. The caller opened it and closes it after Run has returned.
type Config struct {
	Cluster string
	Node    transport.NodeID
	Release string // version of the program

	Roster  *attest.SignedRoster // verified against the pinned root by the caller
	Network transport.Network    // raw; the node secures it
	Self    transport.Identity   // opened from the vault

	HSM       hsm.Signer // signs intents and shares; VerifySelf must have passed
	CosignKey string     // key ID of the cosignature key in the token
	AttestKey string     // key ID of the attestation key; may be the same

	Vault    *vault.Vault
	Store    vault.Store // the node's own state, under keys that begin with "node/"
	AuditLog *Audit

	Schemes   func(threshold.SchemeID) (threshold.Scheme, error)
	SchemeFor func(curve, protocol string) (threshold.Scheme, error)

	Threshold int // default for keygen; 0 means a majority of the parties
	Policy    Policy
	Limits    Limits

	Logger *slog.Logger
	Clock  func() time.Time
	Rand   io.Reader
}

// Limits are the node's times and sizes. Zero values take the defaults.
type Limits struct {
	// Request is how long a request may take in all, when its context says nothing shorter. Default 30 s.
	Request time.Duration
	// Silence is how long a ceremony waits for a silent party before it is tried without it. Default 2 s.
	Silence time.Duration
	// Batch is the most signatures of one ceremony. Default 64.
	Batch int
	// Lanes is how many ceremonies of one quorum a coordinator runs at once. Default 2.
	Lanes int
	// Queue is the most requests waiting to be signed. Default 4096.
	Queue int
	// Ceremonies is the most ceremonies a node takes part in at once. Default 128.
	Ceremonies int
	// Shares is the most key shares kept opened in memory. Default 512.
	Shares int
	// Presignatures is how many are kept ready for a key that is in use, where presigning is dear (ECDSA). Default 64; -1 for none.
	Presignatures int
}

func (l Limits) withDefaults() Limits {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	num := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Request, 30*time.Second)
	def(&l.Silence, 2*time.Second)
	num(&l.Batch, 64)
	num(&l.Lanes, 2)
	num(&l.Queue, 4096)
	num(&l.Ceremonies, 128)
	num(&l.Shares, 512)
	num(&l.Presignatures, 64)
	return l
}

// Node is one party of the cluster. Its methods are safe for concurrent use once Run has begun.
type Node struct {
	Config
	self       attest.RosterNode
	cosign     attest.Key
	attestKey  attest.Key
	rosterKeys map[transport.NodeID]nodeKeys

	net      *transport.Secured
	conn     transport.Conn
	router   *router
	keys     *keyring
	pairs    *provisions
	pool     *pool
	sign     *batcher
	idem     *idempotency
	peers    *peerTable
	seen     *intentMemory
	refusals refusalRate
	slots    chan struct{} // one per ceremony we take part in
	share    sync.Mutex
	taken    map[transport.NodeID]int // of slots, by who asked
	counts   counters
	ready    atomic.Bool
	started  chan struct{} // closed once Run serves
	gate     sync.Mutex    // held when ready ends, so that wg counts every request that was let in
	wg       sync.WaitGroup
	base     context.Context // ends with Run
	boot     bootID
}

// nodeKeys are a member's pinned public keys, parsed.
type nodeKeys struct {
	party  threshold.PartyID
	cosign crypto.PublicKey
	attest crypto.PublicKey
}

// New checks the configuration and the token's keys against the roster. It touches no network.
func New(ctx context.Context, c Config) (*Node, error) {
	c.Limits = c.Limits.withDefaults()
	if c.Policy == nil {
		c.Policy = MajorityPolicy{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{Config: c, rosterKeys: map[transport.NodeID]nodeKeys{}, slots: make(chan struct{}, c.Limits.Ceremonies), taken: map[transport.NodeID]int{},
		started: make(chan struct{})}
	for _, m := range c.Roster.Roster.Nodes {
		cosign, err := attest.ParsePublicKey(m.CosignKey)
		if err != nil {
			return nil, fmt.Errorf("appliance: cosign key of %s in the roster: %w", m.ID, err)
		}
		att, err := attest.ParsePublicKey(m.AttestKey)
		if err != nil {
			return nil, fmt.Errorf("appliance: attestation key of %s in the roster: %w", m.ID, err)
		}
		n.rosterKeys[transport.NodeID(m.ID)] = nodeKeys{m.Party, cosign, att}
		if m.ID == string(c.Node) {
			n.self = m
		}
	}
	if n.self.ID == "" {
		return nil, fail(CodeInvalid, "enrol this node, or correct node_id", "node %q is not in the roster of cluster %q", c.Node, c.Cluster)
	}
	if c.Roster.Roster.Cluster != c.Cluster {
		return nil, fail(CodeInvalid, "use the roster of this cluster", "the roster is of cluster %q, this node is of %q", c.Roster.Roster.Cluster, c.Cluster)
	}
	var err error
	if n.cosign, err = n.ownKey(ctx, c.CosignKey, n.rosterKeys[c.Node].cosign, "cosign"); err != nil {
		return nil, err
	}
	if n.attestKey, err = n.ownKey(ctx, c.AttestKey, n.rosterKeys[c.Node].attest, "attestation"); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(n.Rand, n.boot[:]); err != nil {
		return nil, fmt.Errorf("appliance: randomness: %w", err)
	}
	n.router = newRouter(n.Clock, n.send)
	n.keys = newKeyring(n)
	n.pairs = newProvisions(n)
	n.pool = newPool(n)
	n.idem = newIdempotency(c.Store)
	n.peers = newPeerTable(n)
	n.seen = newIntentMemory(len(n.rosterKeys))
	n.sign = newBatcher(n)
	return n, nil
}

type equalKey interface{ Equal(crypto.PublicKey) bool }

// ownKey compares the token's key with the one the roster pins: peers would refuse everything another key signs.
func (n *Node) ownKey(ctx context.Context, id string, pinned crypto.PublicKey, what string) (attest.Key, error) {
	p, ok := hsm.As[hsm.PublicKeyer](n.HSM)
	if !ok {
		return attest.Key{}, fail(CodeHSM, "use a token that tells public keys", "the token of provider %s does not tell public keys", n.HSM.Provider())
	}
	pub, err := p.PublicKey(ctx, id)
	if err != nil {
		return attest.Key{}, &Error{Code: CodeHSM, Message: fmt.Sprintf("the %s key %q", what, id), Next: "check the key IDs and the token", Err: err}
	}
	if e, ok := pub.(equalKey); !ok || !e.Equal(pinned) {
		return attest.Key{}, fail(CodeHSM, "this is another token than the one enrolled; restore it or enrol the node anew", "the token's %s key %q is not the one the roster pins", what, id)
	}
	return attest.Key{ID: id, Public: pub}, nil
}

// Started is closed when Run has joined the network and serves; never, where Run fails before that.
func (n *Node) Started() <-chan struct{} { return n.started }

// Run joins the network and serves until ctx ends, then waits for what is under way. It is called once.
func (n *Node) Run(ctx context.Context) error {
	peers := transport.Peers{}
	for _, m := range n.Roster.Roster.Nodes {
		id := transport.NodeID(m.ID)
		peers[id] = transport.Peer{Node: id, Identity: ed25519.PublicKey(m.Identity), HPKE: m.Seal}
	}
	n.net = transport.Secure(n.Network, n.Self, peers, transport.Options{Cluster: n.Cluster, Clock: n.Clock, Rand: n.Rand, Want: n.router.wants})
	conn, err := n.net.Join(ctx, channel)
	if err != nil {
		return fmt.Errorf("appliance: join the network: %w", err)
	}
	n.conn = conn
	defer n.net.Close()
	defer n.keys.close()
	defer n.pairs.close()
	defer n.pool.close()

	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.base = base
	if err := n.keys.load(ctx); err != nil {
		cancel()
		return err
	}
	if err := n.reconcile(ctx); err != nil {
		cancel()
		return err
	}
	if err := n.AuditLog.Append(ctx, Event{"node.start", map[string]string{"version": n.Release, "roster": n.Roster.Fingerprint()}}); err != nil {
		cancel()
		return err
	}
	n.wg.Go(func() { n.receive(base) })
	n.wg.Go(func() { n.router.tidy(base) })
	n.wg.Go(func() { n.pool.tidy(base) })
	n.wg.Go(func() { n.peers.beat(base) })
	n.wg.Go(func() { n.catchUp(base) })
	n.ready.Store(true)
	close(n.started)
	<-ctx.Done()
	n.gate.Lock()
	n.ready.Store(false)
	n.gate.Unlock()
	cancel()
	n.wg.Wait()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	return n.AuditLog.Append(stop, Event{Name: "node.stop"})
}

// receive is the only reader of the network.
func (n *Node) receive(ctx context.Context) {
	for {
		env, err := n.conn.Recv(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, transport.ErrClosed) {
				n.Logger.Error("receiving ended", "error", err)
			}
			return
		}
		n.peers.heard(env.From)
		switch env.Kind {
		case kindHeartbeat:
			n.peers.heartbeat(env)
		case kindProposal:
			n.begin(ctx, env.From, func() { n.answerProposal(ctx, env) })
		case kindProved:
			n.begin(ctx, env.From, func() { n.learnProof(ctx, env) })
		case kindAsk:
			n.begin(ctx, env.From, func() { n.answerAsk(ctx, env) })
		case kindAnswer:
			n.begin(ctx, env.From, func() { n.learnAnswer(ctx, env) })
		default:
			n.router.deliver(env)
		}
	}
}

// slotsPeerMin is how many slots a peer may have at least, however many peers there are.
const slotsPeerMin = 4

// begin runs f on its own if a slot is free and the peer has not its part of them; a flood of proposals is dropped, their
// coordinators try again elsewhere.
func (n *Node) begin(ctx context.Context, from transport.NodeID, f func()) {
	n.share.Lock()
	defer n.share.Unlock()
	if n.taken[from] >= max(slotsPeerMin, cap(n.slots)/max(1, len(n.rosterKeys)-1)) {
		n.counts.refused.Add(1)
		return
	}
	select {
	case n.slots <- struct{}{}:
	default:
		n.counts.refused.Add(1)
		return
	}
	n.taken[from]++
	n.wg.Go(func() {
		defer func() {
			n.share.Lock()
			defer n.share.Unlock()
			n.taken[from]--
			<-n.slots
		}()
		if ctx.Err() == nil {
			f()
		}
	})
}

// send hands an envelope to the network. What fails is lost, as on any network; parties repeat.
func (n *Node) send(e transport.Envelope) {
	if err := n.conn.Send(n.base, e); err != nil && n.base.Err() == nil {
		n.Logger.Warn("send failed", "kind", e.Kind, "error", err)
	}
}

func (n *Node) party(id transport.NodeID) threshold.PartyID { return n.rosterKeys[id].party }

func (n *Node) nodeOf(p threshold.PartyID) transport.NodeID {
	if m, err := n.Roster.Roster.ByParty(p); err == nil {
		return transport.NodeID(m.ID)
	}
	return ""
}

func (n *Node) nodesOf(ps []threshold.PartyID) []transport.NodeID {
	out := make([]transport.NodeID, len(ps))
	for i, p := range ps {
		out[i] = n.nodeOf(p)
	}
	return out
}
