package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/presign"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/policy"
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
	AuditLog *audit.Log

	Schemes   func(threshold.SchemeID) (threshold.Scheme, error)
	SchemeFor func(curve, protocol string) (threshold.Scheme, error)

	// Authority says who may ask for what, as configured; the node keeps the newest it has seen. nil is that, or none: then nobody may.
	Authority attest.AuthorityChain
	// EventInitiator is the key of an initiator that the node's settings name; nil for none. It authorises nobody, and where the authority in
	// force has no initiator with it, the node says so.
	EventInitiator attest.Hex
	// Initiate signs what this node is asked for without an initiator's signature, in development; nil refuses it.
	Initiate func(context.Context, *attest.Intent) error

	// Ask asks programs that approve, at the webhook an authority names; it may be nil where none names any.
	Ask AskFunc

	Threshold int // default for keygen; 0 means a majority of the parties
	Policy    Policy
	Limits    Limits

	// Checks are what else must hold for this node to be ready, of what its caller knows: certificates, disks. They must not block.
	Checks func() []Check
	// KeepRoster is asked before a newer roster is taken up, which the roster's root has signed, and keeps it; nil lets all pass.
	KeepRoster func(context.Context, *attest.SignedRoster) error

	Logger *slog.Logger
	Clock  func() time.Time
	Rand   io.Reader // cryptographically secure; may be Streams
}

// Streams is randomness that tells its uses apart. A node draws each use from a stream of its own, so that what is drawn does not depend
// on the order in which concurrent uses draw: with such a Config.Rand from one seed, and clock, token, store and network from it too, a
// whole node is repeatable.
type Streams interface {
	io.Reader
	// Stream is the randomness of one use: of a purpose, about something. Every call is another use.
	Stream(purpose string, about ...[]byte) io.Reader
}

// Limits are the node's times and sizes. Zero values take the defaults.
type Limits struct {
	// Request is how long a request may take in all, when its context says nothing shorter; one for a key of more than four parties as much
	// longer as they are more. Default 30 s.
	Request time.Duration
	// Silence is how long a ceremony waits for a silent party before it is tried without it. Default 2 s.
	Silence time.Duration
	// Batch is the most signatures of one ceremony. Default 64.
	Batch int
	// Lanes is how many ceremonies of one quorum a coordinator runs at once. Default 2.
	Lanes int
	// Queue is the most requests waiting to be signed. Default 4096.
	Queue int
	// Ceremonies is the most ceremonies of others that a node takes part in at once: each other node has the same part of them, and four at
	// least. Default 128.
	Ceremonies int
	// Shares is the most key shares kept opened in memory. Default 512.
	Shares int
	// Presignatures is how many are kept ready for a key that is in use, where presigning is dear (ECDSA). Default 64; -1 for none.
	Presignatures int
}

// forKeys is how long making or refreshing a key of so many parties may take: each has work with each other.
func (l Limits) forKeys(parties int) time.Duration {
	return l.Request * time.Duration(max(parties, fewParties)) / fewParties
}

// fewParties is how many parties Request is enough for.
const fewParties = 4

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

// core is what the lines of a node share: who is who, its token, its gate, its keys and its records.
type core struct {
	cfg       Config
	members   *ceremony.Members
	router    *ceremony.Router
	peers     *ceremony.Peers
	clock     *clock
	token     *notary
	store     *heededStore // Config.Store
	gate      *gate
	authority *authority
	desk      *Desk
	freezer   *Freezer
	witness   *witness
	ledger    *ledger
	keys      *keys.Ring
	pairs     *keys.Pairs
	damage    keys.Damage
	ops       *operation.Operations
	refusals  refusalRate
	excuses   refusalRate
	quotas    quotas
	told      toldRate
	remarks   remarks
	counts    counters
	wg        sync.WaitGroup  // of what Run waits for
	base      context.Context // ends with Run
	conn      transport.Conn
}

// rand is the randomness of one use.
func (n *core) rand(purpose string, about ...[]byte) io.Reader {
	if s, ok := n.cfg.Rand.(Streams); ok {
		return s.Stream(purpose, about...)
	}
	return n.cfg.Rand
}

// Node is one party of the cluster. Its methods are safe for concurrent use once Run has begun.
type Node struct {
	core
	signing *signing
	filling *filling
	making  *making
	batches *batcher
	others  *others
	epochs  *epochs
	callers callers
	pool    *presign.Pool
	slots   *ceremony.Slots // one per ceremony we take part in
	asked   *ceremony.Slots // one per question of others.ask: none takes the slot of a proposal

	boot    ceremony.Boot
	net     atomic.Pointer[transport.Secured] // nil before Run
	watch   watch
	rosters sync.Mutex    // held while a roster is taken up
	removed atomic.Uint64 // serial of the roster that removes this node; 0 for none
	started chan struct{} // closed once Run serves
	mu      sync.Mutex    // held when serving ends, so that wg counts every request that was let in
	serving bool
}

// New checks the configuration and the token's keys against the roster. It touches no network.
func New(ctx context.Context, c Config) (*Node, error) {
	c.Limits = c.Limits.withDefaults()
	if c.Policy == nil {
		c.Policy = Majority{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	members, err := ceremony.NewMembers(c.Roster, c.Node)
	if err != nil {
		return nil, fmt.Errorf("appliance: %w", err)
	}
	self, ok := members.Member(c.Node)
	switch {
	case !ok:
		return nil, problem.New(problem.Invalid, "enrol this node, or correct node_id", "node %q is not in the roster of cluster %q",
			c.Node, c.Cluster)
	case c.Roster.Roster.Cluster != c.Cluster:
		return nil, problem.New(problem.Invalid, "use the roster of this cluster", "the roster is of cluster %q, this node is of %q",
			c.Roster.Roster.Cluster, c.Cluster)
	}
	token, err := newNotary(ctx, c, self)
	if err != nil {
		return nil, err
	}
	store := &heededStore{Store: c.Store, outcomes: outcomes{clock: c.Clock}}
	c.Store = store
	n := &Node{core: core{cfg: c, members: members, token: token, store: store},
		slots: ceremony.NewSlots(c.Limits.Ceremonies, len(members.All())-1),
		asked: ceremony.NewSlots(c.Limits.Ceremonies, len(members.All())-1), started: make(chan struct{})}
	if _, err := io.ReadFull(n.rand("boot"), n.boot[:]); err != nil {
		return nil, fmt.Errorf("appliance: randomness: %w", err)
	}
	n.furnish()
	return n, nil
}

// furnish puts the rooms together.
func (n *Node) furnish() {
	c := n.cfg
	hall := ceremony.Hall{Members: n.members, Send: n.send, Clock: c.Clock,
		Heard: func(id transport.NodeID) time.Time { notes, _ := n.peers.Notes(id); return notes.LastSeen },
		Slow:  func(id transport.NodeID) { n.peers.Silent(id) },
		Pace:  ceremony.Pace{Repeat: repeatAfter, Silence: c.Limits.Silence}}
	n.batches = newBatcher(&n.core)
	n.filling = &filling{core: &n.core}
	n.pool = presign.New(presign.Config{Self: c.Node, Nodes: len(n.members.All()), Ready: c.Limits.Presignatures, Fill: n.filling.lead,
		Idle: n.batches.idle, Go: func(f func(context.Context)) { n.wg.Go(func() { f(n.base) }) }, Clock: c.Clock, Logger: c.Logger})
	n.router = ceremony.NewRouter(hall)
	n.peers = ceremony.NewPeers(hall, n.boot, c.Release, n.pool.DropCoordinator)
	n.peers.Sight = func(id transport.NodeID) (s transport.Sight) {
		if net := n.net.Load(); net != nil {
			s = net.Sight(id)
		}
		return s
	}
	n.peers.NotForUs = func() (v uint64) {
		if net := n.net.Load(); net != nil {
			v = net.Stats().Dropped[transport.DropNotForUs.String()]
		}
		return v
	}
	n.token.hsm.timed = n.counts.signing
	n.token.hsm.changed, n.store.changed = n.peers.Tell, n.peers.Tell
	n.clock = newClock(&n.core)
	n.ops = operation.New(c.Store, n.clock.late)
	n.authority = &authority{core: &n.core}
	n.desk = &Desk{core: &n.core, each: deskTurn, m: map[string]*waiter{},
		followers: map[chan struct{}]string{}, asking: make(chan struct{}, webhooksAtOnce)}
	n.gate = newGate(c, func(x passage, d *intent.Decoded) (policy.Verdict, error) {
		return n.authority.judge(x, d, n.clock.late())
	}, len(n.members.All()))
	n.gate.writable, n.gate.clock = n.Writable, n.clock.late
	n.gate.memory.run = func(node string) [16]byte { return n.peers.Sight(transport.NodeID(node)).Run.ID }
	n.ledger = &ledger{core: &n.core, m: map[entryID]*entry{}}
	n.gate.ledger = n.ledger
	n.freezer = &Freezer{core: &n.core, m: map[attest.Hash]*frozen{}}
	n.gate.stopped = func(x passage) error {
		return cmp.Or(n.freezer.refuses(x.intent.KeyID, x.vault), n.desk.refuses(x.intent), n.witness.refuses())
	}
	n.witness = newWitness(&n.core)
	n.peers.Unfit, n.peers.Forgetful = n.witness.unfit, n.witness.forgetful
	n.gate.memory.gaps = func() bool { return n.witness.forgetful(c.Node) }
	n.keys = keys.NewRing(keys.Config{Store: c.Store, Vault: c.Vault, Schemes: c.Schemes, Shares: c.Limits.Shares, Late: ceremony.LateFor,
		Ended: n.pool.DropKey, Damage: &n.damage})
	n.pairs = keys.NewPairs(c.Vault, n.pool.DropPairs, n.pool.DropPeers)
	n.pairs.Damage, n.damage.Token = &n.damage, tokenNext
	n.signing = &signing{&n.core, n.pool}
	n.others = &others{core: &n.core, witness: n.witness}
	n.batches.others = n.others
	n.epochs = &epochs{core: &n.core, claims: map[transport.NodeID]map[string]holding{}, talks: map[transport.NodeID]*talk{}}
	n.filling.signing, n.filling.pool = n.signing, n.pool
	n.making = &making{core: &n.core, signing: n.signing, epochs: n.epochs}
	n.batches.signing, n.batches.pool = n.signing, n.pool
	furnishDesk(n)
}

// Run joins the network and serves until ctx ends, then waits for what is under way. It is called once.
func (n *Node) Run(ctx context.Context) error {
	number, err := n.nextBoot(ctx)
	if err != nil {
		return fmt.Errorf("appliance: number this boot: %w", err)
	}
	if err := n.keepRoster(ctx, n.members.Roster()); err != nil {
		return fmt.Errorf("appliance: keep the roster: %w", err)
	}
	net := transport.Secure(n.cfg.Network, n.cfg.Self, peersOf(n.members), transport.Options{Cluster: n.cfg.Cluster, Clock: n.cfg.Clock,
		Rand: n.rand("transport"), Want: n.router.Wants, Run: transport.Run{ID: n.boot, Number: number}})
	n.net.Store(net)
	conn, err := net.Join(ctx, channel)
	if err != nil {
		return fmt.Errorf("appliance: join the network: %w", err)
	}
	n.conn = conn
	defer net.Close()
	defer n.keys.Close()
	defer n.pairs.Close()
	defer n.pool.Close()

	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	n.base = base
	if err := n.keys.Load(ctx); err != nil {
		return err
	}
	if err := n.making.reconcile(ctx); err != nil {
		return err
	}
	if err := n.cfg.AuditLog.Append(ctx, audit.Event{Name: "node.start",
		Facts: map[string]string{"version": n.cfg.Release, "roster": n.members.Roster().Fingerprint()}}); err != nil {
		return err
	}
	if err := n.authority.load(ctx); err != nil {
		return fmt.Errorf("appliance: authority: %w", err)
	}
	if err := n.freezer.load(ctx); err != nil {
		return fmt.Errorf("appliance: what is frozen: %w", err)
	}
	if err := n.ledger.load(ctx); err != nil {
		return fmt.Errorf("appliance: what was signed: %w", err)
	}
	if err := n.desk.load(ctx); err != nil {
		return fmt.Errorf("appliance: requests that wait: %w", err)
	}
	if err := n.witness.load(ctx); err != nil {
		return fmt.Errorf("appliance: what was witnessed: %w", err)
	}
	for _, f := range []func(context.Context){n.receive, n.router.Tidy, n.pool.Tidy, n.making.catchUp, n.expire} {
		n.wg.Go(func() { f(base) })
	}
	n.serve(true)
	close(n.started)
	n.wg.Go(func() { n.peers.Beat(base, n.state) }) // last: its first word is that we serve
	<-ctx.Done()
	n.serve(false)
	cancel()
	n.wg.Wait()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	return n.cfg.AuditLog.Append(stop, audit.Event{Name: "node.stop"})
}

// Started is closed when Run has joined the network and serves; never, where Run fails before that.
func (n *Node) Started() <-chan struct{} { return n.started }

func (n *Node) serve(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serving = yes
}

// serves tells whether requests are let in.
func (n *Node) serves() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.serving
}

// Longest is how long a request may take.
func (n *core) Longest() time.Duration { return n.cfg.Limits.forKeys(len(n.members.All())) }

// request begins a request: its context ends with the node's and after the time given, and Run does not return before done is called.
// A session_id is checked, or made, if there is a place for one.
func (n *Node) request(ctx context.Context, session *string, most time.Duration) (_ context.Context, done func(), err error) {
	if session != nil && *session == "" {
		var b [16]byte
		if _, err := io.ReadFull(n.rand("session_id"), b[:]); err != nil {
			return nil, nil, err
		}
		*session = fmt.Sprintf("%x", b)
	}
	twice := n.twice()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.serving {
		return nil, nil, problem.New(problem.Starting, "repeat in a second", "the node is starting or stopping")
	}
	if twice != "" {
		return nil, nil, problem.New(problem.Starting, stopOne+"; ask another node", "this node %s", twice)
	}
	if c := n.memberCheck(); !c.OK {
		return nil, nil, problem.New(problem.Starting, "ask another node; stop this one", "%s", c.Detail)
	}
	if session != nil {
		if err := operation.CheckSession(*session); err != nil {
			return nil, nil, err
		}
	}
	n.wg.Add(1)
	ctx, cancel := context.WithTimeout(ctx, most)
	unhook := context.AfterFunc(n.base, cancel)
	return ctx, func() { unhook(); cancel(); n.wg.Done() }, nil
}

// receive is the only reader of the network.
func (n *Node) receive(ctx context.Context) {
	for {
		env, err := n.conn.Recv(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, transport.ErrClosed) {
				n.cfg.Logger.Error("receiving ended", "error", err)
			}
			return
		}
		n.peers.Heard(env.From)
		switch env.Kind {
		case ceremony.KindHeartbeat:
			n.peers.Heartbeat(env)
		case ceremony.KindProposal:
			n.begin(ctx, env, n.answerProposal)
		case ceremony.KindProved:
			n.begin(ctx, env, n.making.learnProof)
		case ceremony.KindAsk:
			n.begin(ctx, env, n.making.answerAsk)
		case ceremony.KindAnswer:
			n.begin(ctx, env, n.making.learnAnswer)
		case ceremony.KindSession:
			n.begin(ctx, env, n.others.answer)
		case ceremony.KindSaid:
			n.others.learn(env)
		case ceremony.KindRoster:
			n.begin(ctx, env, n.learnRoster)
		case ceremony.KindAuthority:
			n.begin(ctx, env, n.authority.learn)
		case ceremony.KindDesk:
			n.begin(ctx, env, n.desk.learn)
		case ceremony.KindFreeze:
			n.begin(ctx, env, n.freezer.learn)
		case ceremony.KindWitness:
			n.begin(ctx, env, n.witness.learn)
		case ceremony.KindNotice:
			n.begin(ctx, env, n.ledger.learn)
		case ceremony.KindEpochs:
			n.begin(ctx, env, n.epochs.learn)
		default:
			n.router.Deliver(env)
		}
	}
}

// begin answers an envelope on its own, if its sender has a slot left.
func (n *Node) begin(ctx context.Context, env transport.Envelope, answer func(context.Context, transport.Envelope)) {
	slots := n.slots
	if env.Kind == ceremony.KindSession {
		slots = n.asked
	}
	giveBack, ok := slots.Take(env)
	if !ok {
		n.counts.refused.Add(1)
		return
	}
	n.wg.Go(func() {
		defer giveBack()
		if ctx.Err() == nil {
			answer(ctx, env)
		}
	})
}

// send hands an envelope to the network. What fails is lost, as on any network; parties repeat. Who is no member any more is left out, so
// that the others get it; no recipients from the start are everybody.
func (n *core) send(e transport.Envelope) {
	if len(e.To) > 0 {
		e.To = slices.DeleteFunc(slices.Clone(e.To), func(id transport.NodeID) bool { return n.members.Party(id) == 0 })
		if len(e.To) == 0 {
			return
		}
	}
	if err := n.conn.Send(n.base, e); err != nil && n.base.Err() == nil {
		n.cfg.Logger.Warn("send failed", "kind", e.Kind, "error", err)
	}
}
