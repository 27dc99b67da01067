package appliance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"reflect"
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
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// Store is the node's own state.
func (n *Node) Store() vault.Store { return n.cfg.Store }

// Queued counts the requests that wait to be signed.
func (n *Node) Queued() int {
	n.batches.mu.Lock()
	defer n.batches.mu.Unlock()
	return n.batches.queued
}

// Working counts the ceremonies that sign requests.
func (n *Node) Working() int {
	n.batches.mu.Lock()
	defer n.batches.mu.Unlock()
	return n.batches.active
}

// AuditLog is the node's audit log.
func (n *Node) AuditLog() *audit.Log { return n.cfg.AuditLog }

// Blind has the node's gate learn that nothing can be written when it writes, as where a disk fails at that moment. Before Run.
func (n *Node) Blind() { n.gate.writable = nil }

// Accuse does what an abort that names a peer does.
func (n *Node) Accuse(peer transport.NodeID) { n.peers.Accuse(peer, "a check") }

// BanPeer does what a failed check of the oblivious transfer does: the pair state is destroyed, and the ban stored.
func (n *Node) BanPeer(ctx context.Context, wallet string, peer threshold.PartyID) error {
	key, err := n.keys.Key(ctx, wallet)
	if err != nil {
		return err
	}
	committee := key.Record.Info.Committee
	s, p, err := n.pairs.State(ctx, key.Scheme, committee)
	if err != nil {
		return err
	}
	p.Ban(peer)
	return n.pairs.KeepBans(ctx, s, committee, p, &threshold.Abort{Kind: threshold.Ban, Culprits: []threshold.PartyID{peer},
		Err: errors.New("test")})
}

// Share lends the active share of a wallet; the caller releases it.
func (n *Node) Share(ctx context.Context, wallet string) (*threshold.KeyShare, func(), error) {
	key, err := n.keys.Key(ctx, wallet)
	if err != nil {
		return nil, nil, err
	}
	rec, scheme := key.Record, key.Scheme
	h, err := n.keys.Open(ctx, scheme, wallet, rec.Info.Epoch)
	if err != nil {
		return nil, nil, err
	}
	return h.Share, func() { n.keys.Release(h) }, nil
}

// StageAttempt stores the share of a refresh and certifies it, as a party does whose coordinator then withholds the others'
// certificates. It returns this party's certificate.
func (n *Node) StageAttempt(ctx context.Context, wallet string, share *threshold.KeyShare) (certificate, error) {
	rec, err := n.keys.Record(ctx, wallet)
	if err != nil {
		return certificate{}, err
	}
	if err := n.making.stageRefresh(ctx, wallet, &rec, share); err != nil {
		return certificate{}, err
	}
	self := n.members.SelfParty()
	b, err := attest.Attest(ctx, n.token.hsm, n.token.attest, n.token.header(attest.KindKeygen),
		[][]byte{n.making.leaf(wallet, share.KeyInfo, rec, self)})
	if err != nil {
		return certificate{}, err
	}
	return certificate{self, b.Cose}, nil
}

// RefreshHeld is what a party answers, of a key that is locked, to the proposal of a refresh to so many of the committee.
func (n *Node) RefreshHeld(ctx context.Context, wallet string, epoch uint64, signers int) error {
	unlock, ok := n.keys.Lock(wallet)
	if !ok {
		return errors.New("it is locked already")
	}
	defer unlock()
	rec, err := n.keys.Record(ctx, wallet)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel() // wait for nothing
	in := n.token.intent(attest.OpRefresh, "r", "test", rec.Info.Committee.Parties[:signers])
	in.KeyID, in.Scheme, in.Epoch = wallet, rec.Scheme, epoch
	_, _, err = n.making.holdForRefresh(ctx, in)
	return err
}

// AdoptSignature has the node take over the answer of node1 to a request, which names the receipt.
func (n *Node) AdoptSignature(ctx context.Context, req SignRequest, answer string, receipt *attest.Receipt) (*Signature, error) {
	key, err := n.keys.Key(ctx, req.WalletID)
	if err != nil {
		return nil, err
	}
	return n.others.adoptSignature(ctx, req, key, heard{"node1", said{Answer: []byte(answer), Receipt: canon.MustMarshal(receipt)}})
}

// AdoptWallet has the node, that was asked to make or refresh one key, take over the answer of node1 about a key, bent.
func (n *Node) AdoptWallet(ctx context.Context, op attest.Operation, session, asked, id string,
	bend func(session *string, r *keys.Record)) error {
	rec, err := n.keys.Record(ctx, id)
	if err != nil {
		return err
	}
	was, err := n.keys.Record(ctx, asked)
	if err != nil {
		return err
	}
	x := asks{op: op, session: session, fits: func(id string, _ keys.Record) bool { return id == asked }}
	if op == attest.OpKeygen {
		req := KeygenRequest{Threshold: was.Info.Committee.Threshold, Label: was.Label, Group: was.Group}
		scheme, err := n.cfg.Schemes(was.Scheme)
		if err != nil {
			return err
		}
		x.fits = func(_ string, rec keys.Record) bool { return n.making.fits(req, scheme, rec) }
	}
	a := keyAnswer{keyAnswerVersion, id, session, rec, "node1"}
	bend(&a.Session, &a.Record)
	_, err = n.others.adoptWallet(ctx, x, heard{"node1", said{Answer: canon.MustMarshal(a)}})
	return err
}

// Shown is what a node shows of a wallet.
type Shown struct {
	ID     string
	Record keys.Record
	Certs  []certificate
	Proofs *proofs
	Alone  bool // it and an accomplice certify the record
	Echoed bool // the accomplice says the same
	Forged bool // the group key is one that the node has whole, which signs the proofs
}

// JudgeWallets is what this node makes of what nodes show of a wallet when it asks for one of that name, the first of them bent unless bend
// is nil.
func (n *Node) JudgeWallets(ctx context.Context, name, shown string, of []*Node, accomplice *Node,
	bend func(*Shown)) (*keys.Record, error) {
	all := make([]heard, len(of))
	for i, x := range of {
		all[i].from = x.cfg.Node
		if err := x.others.show(ctx, shown, &all[i].said); err != nil {
			return nil, err
		}
	}
	if bend != nil {
		h := &all[0]
		a, err := parseKeyAnswer(h.Answer)
		if err != nil {
			return nil, err
		}
		s := Shown{ID: a.ID, Record: a.Record, Certs: h.Certs, Proofs: h.Proofs}
		bend(&s)
		if s.Forged {
			pub, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return nil, err
			}
			s.Record.Info.GroupKey = pub
			for i, p := range s.Proofs.Each {
				s.Proofs.Each[i].Signature = ed25519.Sign(key, proofMessage(s.ID, s.Proofs.Epoch, p.Signers))
			}
		}
		if s.Alone {
			s.Certs = nil
			for _, x := range []*Node{of[0], accomplice} {
				own, err := x.making.ownCertificate(ctx, s.ID, s.Record.Info, s.Record)
				if err != nil {
					return nil, err
				}
				s.Certs = append(s.Certs, own)
			}
		}
		h.Answer, h.Certs, h.Proofs = newKeyAnswer(s.ID, s.Record.SessionID, s.Record, h.from), s.Certs, s.Proofs
		if s.Echoed {
			all = append(all, heard{accomplice.cfg.Node, h.said})
		}
	}
	rec, err := n.others.judgeWallets(ctx, name, all)
	if problem.As(err).Code == problem.NotFound || problem.As(err).Code == problem.Quorum { // why none is taken
		err = nil
	}
	return rec, err
}

// AskNobody has the node's own gate let all pass that nobody asked for.
func (n *Node) AskNobody() { n.gate.initiated = anybody }

func (a *authority) serial() uint64 {
	if _, now := a.current(); now != nil {
		return now.Serial
	}
	return 0
}

// AuthoritySerial is that of the authority in force.
func (n *Node) AuthoritySerial() uint64 { return n.authority.serial() }

// KeygenUnproven is a keygen whose coordinator leaves it when all have certified the key.
func (n *Node) KeygenUnproven(ctx context.Context, req KeygenRequest) (id string, err error) {
	scheme, committee, err := n.making.plan(req)
	if err != nil {
		return "", err
	}
	in := n.token.intent(attest.OpKeygen, req.SessionID, req.Requester, committee.Parties)
	in.Scheme, in.Keygen = scheme.ID(), keygenParams(scheme, committee, req)
	if err := n.initiate(ctx, in, req.Consent); err != nil {
		return "", err
	}
	permitted, err := n.making.permitKeygen(ctx, scheme, in, committee, true)
	if err != nil {
		return "", err
	}
	defer permitted.end(ctx)
	err = n.making.lead(ctx, &proposal{Operation: attest.OpKeygen, Signers: committee.Parties}, in, permitted, scheme, committee,
		func(c *ceremony.Ceremony, p *proposal) (err error) {
			id, err = n.making.runKeygen(ctx, c, p, scheme, committee, in, permitted)
			return err
		})
	return id, err
}

// KeyInfo is what the node knows of a wallet's key.
func (n *Node) KeyInfo(ctx context.Context, wallet string) threshold.KeyInfo {
	key, _ := n.keys.Key(ctx, wallet)
	return key.Record.Info
}

// Show gives the node a complete certificate, as any peer may.
func (n *Node) Show(ctx context.Context, wallet string, epoch uint64, certs ...certificate) {
	n.making.learnAnswer(ctx, transport.Envelope{From: "node3", Kind: ceremony.KindAnswer,
		Body: canon.MustMarshal(answer{KeyID: wallet, Epoch: epoch, Certs: certs})})
}

// eachGroup shows the groups of the pool, from inside and under its lock: a thief of the memory asks nobody.
func (n *Node) eachGroup(f func(of presign.Group, g reflect.Value)) {
	pool := reflect.ValueOf(n.pool).Elem()
	mu := (*sync.Mutex)(pool.FieldByName("mu").Addr().UnsafePointer())
	mu.Lock()
	defer mu.Unlock()
	for groups := pool.FieldByName("groups").MapRange(); groups.Next(); {
		g := groups.Value().Elem()
		f(*(*presign.Group)(g.FieldByName("Group").Addr().UnsafePointer()), g)
	}
}

// EachReady shows every presignature of the wallet that is in this node's memory, whoever coordinates with it.
func (n *Node) EachReady(wallet string, f func(*threshold.Presignature)) {
	n.eachGroup(func(of presign.Group, g reflect.Value) {
		for pres := g.FieldByName("pres").MapRange(); of.Key == wallet && pres.Next(); {
			f((*threshold.Presignature)(pres.Value().UnsafePointer()))
		}
	})
}

// Filling tells whether the pool is being filled.
func (n *Node) Filling() (yes bool) {
	n.eachGroup(func(_ presign.Group, g reflect.Value) { yes = yes || g.FieldByName("filling").Bool() })
	return yes
}

// LeakReady takes one presignature out of this coordinator's pool and keeps it, as a coordinator does who means to use it twice.
func (n *Node) LeakReady(wallet string) *threshold.Presignature {
	var own []presign.Group
	n.eachGroup(func(of presign.Group, _ reflect.Value) {
		if of.Coordinator == n.cfg.Node && of.Key == wallet {
			own = append(own, of)
		}
	})
	for _, of := range own {
		if got := n.pool.Reserve([]presign.Group{of}, n.peers.Boots(n.members.Nodes(of.Signers))); got != nil {
			return got[0]
		}
	}
	return nil
}

// Return puts a presignature back, as a signer does who forgets that he used it.
func (n *Node) Return(coordinator transport.NodeID, wallet string, epoch uint64, signers []threshold.PartyID, pre *threshold.Presignature) {
	n.pool.Add(presign.Group{Coordinator: coordinator, Key: wallet, Epoch: epoch, Scheme: pre.Scheme, Signers: signers}, [32]byte{}, nil,
		[]*threshold.Presignature{pre})
}

// SignWith coordinates a ceremony over the message with a presignature that the signers hold, whether or not it was used before.
func (n *Node) SignWith(ctx context.Context, wallet, session string, signers []threshold.PartyID, pre *threshold.Presignature,
	message []byte) error {
	key, err := n.keys.Key(ctx, wallet)
	if err != nil {
		return err
	}
	in := n.rogueIntent(key, session, signers, message)
	_, err = n.signing.lead(ctx, asked{op: attest.OpSign, signers: signers, intents: []*attest.Intent{in}, keys: []keys.Key{key},
		pres: []*threshold.Presignature{pre}})
	return err
}

func (n *Node) rogueIntent(key keys.Key, session string, signers []threshold.PartyID, message []byte) *attest.Intent {
	in := n.token.intent(attest.OpSign, session, "rogue", signers)
	in.KeyID, in.Scheme, in.Epoch, in.Message, in.Vault = key.ID, key.Scheme.ID(), key.Record.Info.Epoch, message, key.Record.Group
	if err := n.initiate(context.Background(), in, Consent{}); err != nil {
		panic(err)
	}
	return in
}

// SignForged coordinates a ceremony over an intent that nobody judges here, bent in any way, and returns the signature: what a
// coordinator does that is no longer ours. It must not be a signer. With prove it asks for a proof of the threshold instead of a payment.
func (n *Node) SignForged(ctx context.Context, wallet, session string, signers []threshold.PartyID, message []byte,
	bend func(*attest.Intent), prove bool) (signature []byte, err error) {
	key, err := n.keys.Key(ctx, wallet)
	if err != nil {
		return nil, err
	}
	op := attest.OpSign
	if prove {
		op, message = opProve, proofMessage(wallet, key.Record.Info.Epoch, signers)
	}
	in := n.rogueIntent(key, session, signers, message)
	bend(in)
	if err := n.initiate(ctx, in, Consent{Approvals: in.Approvals}); err != nil {
		return nil, err
	}
	pairs, err := n.pairs.Propose(ctx, key.Scheme, key.Record.Info.Committee, false, 0)
	if err != nil {
		return nil, err
	}
	d, err := n.propose(ctx, &proposal{Operation: op, Signers: signers, Pairs: pairs}, []*attest.Intent{in})
	if err != nil {
		return nil, err
	}
	items := []*item{{intent: in, hash: in.Hash(), key: key, req: in.SignRequest()}}
	defer n.signing.release(items)
	err = n.lead(ctx, d, onRecord(), func(c *ceremony.Ceremony) error {
		own, _, err := n.signing.contribute(ctx, c, d.proposal, items, nil, onRecord())
		if err != nil {
			return err
		}
		out, err := n.signing.collect(ctx, c, d, items, own)
		if err == nil {
			signature = out[0].signature.Bytes
		}
		return err
	})
	return signature, err
}

// RefusedWith is the code that a signer refused with, "" for any other end.
func RefusedWith(err error) problem.Code {
	if r := ceremony.FailureOf(err).Refused; r != nil {
		return r.Code
	}
	return ""
}

// Lines are the operations that a proposal may name.
func (n *Node) Lines() []string {
	var out []string
	for op := range n.lines() {
		out = append(out, string(op))
	}
	slices.Sort(out)
	return out
}

// Fill makes presignatures for the pool now.
func (n *Node) Fill(ctx context.Context, wallet string, signers ...transport.NodeID) error {
	key, err := n.keys.Key(ctx, wallet)
	if err != nil {
		return err
	}
	g := presign.Group{Coordinator: n.cfg.Node, Key: wallet, Epoch: key.Record.Info.Epoch, Scheme: key.Scheme.ID()}
	for _, id := range signers {
		g.Signers = append(g.Signers, n.members.Party(id))
	}
	_, err = n.filling.lead(ctx, g, 2)
	return n.members.Explain(err)
}

// SignBy coordinates one ceremony over the message with an intent for each scheme, which names it, and returns the first one's receipt.
func (n *Node) SignBy(ctx context.Context, wallet, session string, signers []threshold.PartyID, message []byte,
	by ...threshold.SchemeID) (*attest.Receipt, error) {
	a := asked{op: attest.OpSign, signers: signers}
	for i, scheme := range by {
		key, err := n.keys.KeyWhen(ctx, wallet, scheme, func(keys.Record) bool { return true })
		if err != nil {
			return nil, err
		}
		a.keys = append(a.keys, key)
		a.intents = append(a.intents, n.rogueIntent(key, fmt.Sprint(session, i), signers, message))
	}
	out, err := n.signing.lead(ctx, a)
	if err != nil {
		return nil, err
	}
	hdr := n.token.header(attest.KindSettlement)
	r := n.receipt(out[0], hdr.Time)
	d := r.Digest()
	batch, err := attest.Attest(ctx, n.token.hsm, n.token.attest, hdr, [][]byte{d[:]})
	if err != nil {
		return nil, err
	}
	r.Settlement.Attestation = batch.Proof(0)
	return r, nil
}

// ProofMessage is what a quorum signs to prove that it can.
func ProofMessage(keyID string, epoch uint64, signers []threshold.PartyID) []byte {
	return proofMessage(keyID, epoch, signers)
}

// PairsOf is how a proposal names the pair state of the wallet's committee.
func (n *Node) PairsOf(ctx context.Context, wallet string) (*keys.ProposedPairs, error) {
	key, err := n.keys.Key(ctx, wallet)
	if err != nil {
		return nil, err
	}
	return n.pairs.Propose(ctx, key.Scheme, key.Record.Info.Committee, false, 0)
}

// Forget has the node take part in ceremonies of the coordinator, proposed at the time, until it has forgotten the first.
func (n *Node) Forget(coordinator transport.NodeID, created int64) error {
	for i := range 1<<16 + 1 {
		topic := canon.Hash("test/forget", canon.MustMarshal(i))
		c, err := n.router.Enter(topic, coordinator, nil)
		if err != nil {
			return err
		}
		n.router.Date(topic, coordinator, created)
		c.Leave()
	}
	return nil
}

// FalseAnswer is an answer about an epoch of a key with certificates and proofs that nobody made.
func FalseAnswer(id string, epoch uint64) []byte {
	return canon.MustMarshal(answer{KeyID: id, Epoch: epoch, Certs: []certificate{{Party: 1}, {Party: 2}, {Party: 3}},
		Proofs: &proofs{KeyID: id}})
}

// onRecord is the permission of who needs none.
func onRecord() *permission {
	done := make(chan struct{})
	close(done)
	return &permission{done: done}
}

// ClaimEpoch has a peer have said, long enough ago, that it holds a key at an epoch.
func (n *Node) ClaimEpoch(id transport.NodeID, key string, epoch uint64) {
	n.epochs.mu.Lock()
	defer n.epochs.mu.Unlock()
	if n.epochs.claims[id] == nil {
		n.epochs.claims[id] = map[string]holding{}
	}
	n.epochs.claims[id][key] = holding{epoch, n.cfg.Clock().Add(-epochsSettle)}
}

// KeepAuthority puts a chain into a store as a node does.
func KeepAuthority(ctx context.Context, s vault.Store, c attest.AuthorityChain) error {
	return keepAuthority(ctx, s, c)
}

// WaitTurns has the node leave it to each node before it for so long to ask for a signature that may be made.
func (n *Node) WaitTurns(d time.Duration) {
	n.desk.mu.Lock()
	defer n.desk.mu.Unlock()
	n.desk.each = d
}

// DeskHas is how many requests that wait the node tells the others that it has.
func (n *Node) DeskHas() int { return len(n.desk.have()) }

// WakeDesk has the node look again at all that waits.
func (n *Node) WakeDesk() { n.desk.wake() }

// Programs are those that the node would ask now about a request that waits.
func (n *Node) Programs(ctx context.Context, session string) (names []string) {
	r, _ := n.desk.record(session)
	for _, x := range n.desk.programs(n.desk.judge(ctx, r)) {
		names = append(names, x.Name)
	}
	return names
}

// FirstFor is the node whose turn it is first, of a session.
func (n *Node) FirstFor(session string) int {
	all := n.members.All()
	return (slices.Index(all, n.cfg.Node) + len(all) - n.desk.rank(session)) % len(all)
}

// TellDesk has the node take a record of a request that waits as a peer's, which says that it was asked for here.
func (n *Node) TellDesk(ctx context.Context, from transport.NodeID, in attest.Intent, rejected []attest.Approval, cancelled []byte,
	failed string) {
	n.desk.learn(ctx, transport.Envelope{From: from, Kind: ceremony.KindDesk, Body: canon.MustMarshal(deskBody{Version: deskVersion,
		Records: []waiterRecord{{Version: waiterVersion, Intent: in, Rejected: rejected, Cancelled: cancelled, Failed: failed,
			Here: true}}})})
}

// AgeDesk has a request wait at the node for long.
func (n *Node) AgeDesk(session string) {
	n.desk.mu.Lock()
	defer n.desk.mu.Unlock()
	n.desk.m[session].since = time.Time{}
}

// TellFreeze has the node take a freeze as a peer's, with a thaw unless it is nil.
func (n *Node) TellFreeze(ctx context.Context, from transport.NodeID, s attest.SignedFreeze, t *attest.SignedThaw) {
	n.freezer.learn(ctx, transport.Envelope{From: from, Kind: ceremony.KindFreeze, Body: canon.MustMarshal(freezeBody{Version: freezeVersion,
		Records: []freezeRecord{{Version: freezeVersion, Signed: s, Thaw: t}}})})
}

// SignedFreeze is a freeze as the node has it, with its thaw if it has one.
func (n *Node) SignedFreeze(id attest.Hash) (*attest.SignedFreeze, *attest.SignedThaw) {
	n.freezer.mu.RLock()
	defer n.freezer.mu.RUnlock()
	x := n.freezer.m[id]
	if x == nil {
		return nil, nil
	}
	return &x.Signed, x.Thaw
}

// Frozen counts the freezes in force at the node, and those it knows.
func (n *Node) Frozen() (force, all int) {
	n.freezer.mu.RLock()
	defer n.freezer.mu.RUnlock()
	return len(n.freezer.force), len(n.freezer.m)
}

// BlindAtFirst has the node's gate see nothing that stops it as often as it looks first, as one does that is past it when a freeze comes,
// or a word that takes back.
func (n *Node) BlindAtFirst(blind *atomic.Int32) {
	see := n.gate.stopped
	n.gate.stopped = func(x passage) error {
		if blind.Add(-1) >= 0 {
			return nil
		}
		return see(x)
	}
}

// The bounds of freezes.
const (
	MaxFreezes   = freezesNode
	KeptFreezes  = freezesKept
	RecordFreeze = "node/freeze/"
)

// MaxWaiting is how many requests of an initiator may wait.
const MaxWaiting = waitersInitiator

// DeskRecord and DeskBody are what nodes tell each other of requests that wait.
type (
	DeskRecord = waiterRecord
	DeskBody   = deskBody
	DeskDigest = waiterDigest
)

// The versions of both.
const (
	DeskRecordVersion = waiterVersion
	DeskBodyVersion   = deskVersion
)

// LearnDesk has the node hear what a peer says of requests that wait.
func (n *Node) LearnDesk(ctx context.Context, from transport.NodeID, b DeskBody) {
	n.desk.learn(ctx, transport.Envelope{From: from, Kind: ceremony.KindDesk, Body: canon.MustMarshal(b)})
}

// ForgetAnswer has the node not know the answer of a session.
func (n *Node) ForgetAnswer(ctx context.Context, session string) {
	if err := n.cfg.Store.Batch(ctx, nil, [][]byte{[]byte(operation.Prefix + "sign/" + session)}); err != nil {
		panic(err)
	}
}

// LookAgain has the node look at every request that waits.
func (n *Node) LookAgain() {
	n.desk.wake()
	n.peers.Tell()
}

// Looked tells whether the node has looked at a request that waits, and left it for later.
func (n *Node) Looked(session string) bool {
	n.desk.mu.Lock()
	defer n.desk.mu.Unlock()
	w := n.desk.m[session]
	return w != nil && w.turn && !w.doing && w.next.After(n.cfg.Clock().Add(time.Second))
}

// Dropped counts the envelopes that the transport refused, by why.
func (n *Node) Dropped() map[string]uint64 { return n.net.Load().Stats().Dropped }

// Counted is what the node has counted: how many requests, of how many it has receipts, and how much of a network's own asset they moved.
func (n *Node) Counted() (entries, receipts int, sum *big.Int) {
	n.ledger.mu.Lock()
	defer n.ledger.mu.Unlock()
	sum = new(big.Int)
	for _, e := range n.ledger.m {
		if entries++; e.Made > 0 {
			receipts++
		}
		if own := e.amounts[""]; own != nil {
			sum.Add(sum, own)
		}
	}
	return entries, receipts, sum
}

// TakeUnverified has the node take up a receipt without verifying it.
func (n *Node) TakeUnverified(ctx context.Context, r *attest.Receipt) error {
	return n.ledger.take(ctx, canon.MustMarshal(r), false)
}

// LastCounted is from when the newest of what the node has counted counts.
func (n *Node) LastCounted() (at time.Time) {
	n.ledger.mu.Lock()
	defer n.ledger.mu.Unlock()
	for _, e := range n.ledger.m {
		if x := time.UnixMilli(e.At); x.After(at) {
			at = x
		}
	}
	return at
}

// FillLedger has the node have counted as many requests as it keeps, of another wallet.
func (n *Node) FillLedger() {
	n.ledger.mu.Lock()
	defer n.ledger.mu.Unlock()
	for i := len(n.ledger.m); i < entriesHeard; i++ {
		h := canon.Hash("test/fill", canon.MustMarshal(i))
		n.ledger.m[entryID(h[:16])] = &entry{entryRecord: entryRecord{At: n.cfg.Clock().UnixMilli()}, sure: true}
	}
}

// NoExchange has the node not tell which receipts it has.
func (n *Node) NoExchange() {
	n.ledger.pace.mu.Lock()
	defer n.ledger.pace.mu.Unlock()
	n.ledger.pace.told = n.cfg.Clock().Add(time.Hour)
}

// TellNotice has the node hear receipts of a peer, as they are.
func (n *Node) TellNotice(ctx context.Context, from transport.NodeID, all ...*attest.Receipt) {
	b := noticeBody{Version: noticeVersion}
	for _, r := range all {
		b.Receipts = append(b.Receipts, canon.MustMarshal(r))
	}
	n.ledger.learn(ctx, transport.Envelope{From: from, Kind: ceremony.KindNotice, Body: canon.MustMarshal(b)})
}

// QuotaProofs is how many proofs of a threshold a member may have of a node at once that make no key active.
const QuotaProofs = quotaProofs

// RemoveOld has the node remove all that is over, as it does now and then.
func (n *Node) RemoveOld(ctx context.Context) error {
	n.desk.tend(ctx, func(f func()) { f() })
	n.ledger.prune(ctx)
	return n.expireNow(ctx)
}

// Steady tells whether enough others have confirmed the node's clock.
func (n *Node) Steady() bool { return n.clock.steady.Load() != 0 }
