package appliance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Freezer keeps what is frozen, the same on every node. A freeze is attested by the node where it was asked for, a thaw is signed by
// officers, so it does not matter who brings them. Each signer asks its own before it acts. A freeze covers from the moment a node has
// judged it, before it is stored: it must stop everything where the disk is full, too. A thaw is on record and stored first.
type Freezer struct {
	core   *core
	loaded atomic.Bool

	taking sync.Mutex // held while a record is taken up
	mu     sync.RWMutex
	m      map[attest.Hash]*frozen // by Freeze.Digest
	force  []attest.Freeze         // those not thawed, the oldest first
	pace   exchange
}

// Bounds of what is frozen: each node has its own part, so that none takes away another's.
const (
	freezesNode = 64  // in force, of a node
	freezesKept = 256 // of a node with those thawed, which are kept for as long as there is room: a freeze that comes again stays thawed
	freezesHave = freezesKept * attest.MaxNodes
	// freezesMinute is how many envelopes of a peer are read in a minute.
	freezesMinute = 120
)

// freezeRecord is a freeze as it is stored and sent to peers.
type freezeRecord struct {
	Version  uint8               `cbor:"1,keyasint"`
	Signed   attest.SignedFreeze `cbor:"2,keyasint"`
	Thaw     *attest.SignedThaw  `cbor:"3,keyasint,omitempty"`
	ThawedAt int64               `cbor:"4,keyasint,omitempty"` // Unix milliseconds, when this node took the thaw up; each says that for itself
}

const freezeVersion = 1

// frozen is a record, and whether it could not be stored yet.
type frozen struct {
	freezeRecord
	unkept bool
}

// freezeDigest names what a record says: which freeze, and whether it is over.
type freezeDigest [16]byte

func (r *freezeRecord) digest() freezeDigest {
	over := byte(0)
	if r.Thaw != nil {
		over = 1
	}
	of := r.Signed.Freeze.Digest()
	h := canon.Hash("mpcd/v1/freeze/have", of[:], []byte{over})
	return freezeDigest(h[:16])
}

var freezePrefix = []byte("node/freeze/")

func (r *freezeRecord) put() vault.Pair {
	return vault.Pair{Key: append(bytes.Clone(freezePrefix), r.Signed.Freeze.Digest().String()...), Value: canon.MustMarshal(*r)}
}

func parseFreeze(name string, b []byte) (*freezeRecord, error) {
	var r freezeRecord
	err := canon.UnmarshalVersion(b, freezeVersion, &r)
	if err == nil {
		err = r.Signed.Freeze.Validate()
	}
	if err == nil && r.Signed.Freeze.Digest().String() != name {
		err = errors.New("it is of another freeze")
	}
	if err != nil {
		return nil, problem.Unreadable("the freeze "+name, problem.Restore, err)
	}
	return &r, nil
}

// load reads what a node has from before.
func (z *Freezer) load(ctx context.Context) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	err := z.core.cfg.Store.Iterate(ctx, freezePrefix, func(k, value []byte) error {
		r, err := parseFreeze(strings.TrimPrefix(string(k), string(freezePrefix)), value)
		if err == nil {
			z.m[r.Signed.Freeze.Digest()] = &frozen{freezeRecord: *r}
		}
		return err
	})
	z.changed()
	for _, f := range z.force {
		z.core.cfg.Logger.Warn("frozen", "what", f.What(), "by", f.Node, "reason", f.Reason)
	}
	z.loaded.Store(err == nil)
	return err
}

// changed finds again what is in force. The caller holds mu.
func (z *Freezer) changed() {
	z.force = nil
	for _, x := range z.m {
		if x.Thaw == nil {
			z.force = append(z.force, x.Signed.Freeze)
		}
	}
	slices.SortFunc(z.force, func(a, b attest.Freeze) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), bytes.Compare(a.Nonce, b.Nonce))
	})
}

// refuses tells why nothing is done now with a wallet of a vault; of a key to be made, wallet is "".
func (z *Freezer) refuses(wallet, vault string) error {
	z.mu.RLock()
	defer z.mu.RUnlock()
	for _, f := range z.force {
		if f.Covers(wallet, vault) {
			return problem.New(problem.Frozen, "have the officers thaw it: `mpcd freeze thaw`", "%s is frozen by %s since %s: %s", f.What(),
				f.Node, time.UnixMilli(f.Created).UTC().Format(time.RFC3339), f.Reason)
		}
	}
	return nil
}

// inForce counts the freezes that are not thawed.
func (z *Freezer) inForce() int {
	z.mu.RLock()
	defer z.mu.RUnlock()
	return len(z.force)
}

// FreezeRequest asks for a freeze.
type FreezeRequest struct {
	Scope     attest.Scope
	Name      string // of the vault, or the wallet's ID
	Reason    string
	Requester string // who asked, as authenticated
}

// FreezeState is a freeze as this node knows it.
type FreezeState struct {
	Freeze    attest.Freeze
	Authority attest.Hash // in force here, under which officers thaw it
	Thaw      *attest.SignedThaw
}

// Freeze freezes the cluster, a vault or a wallet, here at once and then at all nodes that can be reached.
func (z *Freezer) Freeze(ctx context.Context, req FreezeRequest) (*FreezeState, error) {
	n := z.core
	if !z.loaded.Load() {
		return nil, problem.New(problem.Starting, "repeat in a second, or ask another node", "the node is starting")
	}
	f := attest.Freeze{Version: attest.FreezeVersion, Cluster: n.cfg.Cluster, Node: string(n.cfg.Node), Scope: req.Scope, Name: req.Name,
		Reason: req.Reason, Created: n.cfg.Clock().UnixMilli(), Nonce: make([]byte, 16)}
	if _, err := io.ReadFull(n.rand("freeze"), f.Nonce); err != nil {
		return nil, fmt.Errorf("appliance: randomness: %w", err)
	}
	if err := f.Validate(); err != nil {
		return nil, &problem.Error{Code: problem.Invalid, Message: "nothing can be frozen so", Err: err,
			Next: "correct scope, name and reason"}
	}
	signed, err := f.Attest(ctx, n.token.hsm, n.token.attest)
	if err != nil {
		return nil, &problem.Error{Code: problem.HSM, Message: "the token did not attest the freeze", Next: "freeze it at another node",
			Err: err}
	}
	_, err = z.take(ctx, freezeRecord{Version: freezeVersion, Signed: *signed}, req.Requester)
	z.tell(f.Digest())
	if errors.As(err, new(unstored)) {
		return nil, problem.Unkept(fmt.Sprintf("the freeze %s is in force here, and the others were told, but this node could not store it: "+
			"only a restart before it can loses it here", f.Digest()), err)
	}
	if err != nil {
		return nil, err
	}
	return z.state(f.Digest())
}

// state is that of one freeze; NotFound.
func (z *Freezer) state(id attest.Hash) (*FreezeState, error) {
	z.mu.RLock()
	defer z.mu.RUnlock()
	x := z.m[id]
	if x == nil {
		return nil, problem.New(problem.NotFound, "list them: `mpcd freeze list`", "there is no freeze %s", id)
	}
	_, digest, _ := z.core.authority.inForce()
	return &FreezeState{x.Signed.Freeze, digest, x.Thaw}, nil
}

// Freezes lists the freezes that this node knows, those in force first, each the newest first.
func (z *Freezer) Freezes(context.Context) ([]FreezeState, error) {
	_, digest, _ := z.core.authority.inForce()
	out := []FreezeState{}
	z.mu.RLock()
	for _, x := range z.m {
		out = append(out, FreezeState{x.Signed.Freeze, digest, x.Thaw})
	}
	z.mu.RUnlock()
	over := func(x FreezeState) int { return map[bool]int{true: 1}[x.Thaw != nil] }
	slices.SortFunc(out, func(a, b FreezeState) int {
		return cmp.Or(cmp.Compare(over(a), over(b)), cmp.Compare(b.Freeze.Created, a.Freeze.Created),
			bytes.Compare(a.Freeze.Nonce, b.Freeze.Nonce))
	})
	return out, nil
}

// Thaw takes the officers' word that a freeze is over: as many as the authority in force says must have signed it under that authority.
func (z *Freezer) Thaw(ctx context.Context, id attest.Hash, signatures []attest.AuthoritySignature) (*FreezeState, error) {
	s, err := z.state(id)
	if err != nil || s.Thaw != nil {
		return s, err
	}
	t := attest.SignedThaw{Thaw: attest.Thaw{Cluster: z.core.cfg.Cluster, Freeze: id, Authority: s.Authority}, Signatures: signatures}
	z.taking.Lock()
	err = z.thaw(ctx, id, t)
	z.taking.Unlock()
	if err != nil {
		return nil, err
	}
	z.tell(id)
	return z.state(id)
}

// thaw ends a freeze that is in force here, if its thaw holds under the authority in force. The caller holds taking.
func (z *Freezer) thaw(ctx context.Context, id attest.Hash, t attest.SignedThaw) error {
	n := z.core
	z.mu.RLock()
	x := z.m[id]
	z.mu.RUnlock()
	if x == nil || x.Thaw != nil { // meanwhile
		return nil
	}
	r := x.freezeRecord
	who, _, _ := n.authority.inForce()
	if who == nil {
		return problem.New(problem.Denied, "have the operator sign one, `mpcd authority init`",
			"the cluster has no authority, whose officers thaw")
	}
	if err := who.CheckThaw(r.Signed.Freeze, t); err != nil {
		return &problem.Error{Code: problem.Denied, Message: "the officers have not thawed it", Err: err,
			Next: fmt.Sprintf("have %d officers of the authority of serial %d sign it: `mpcd freeze sign FILE`", who.Quorum, who.Serial)}
	}
	return z.over(ctx, r, t)
}

// over puts on record that a freeze is thawed, stores it and lets all go on.
func (z *Freezer) over(ctx context.Context, r freezeRecord, t attest.SignedThaw) error {
	n, id := z.core, r.Signed.Freeze.Digest()
	facts := freezeFacts(r.Signed.Freeze)
	for _, s := range t.Signatures {
		facts["thawed."+s.By] = "true"
	}
	if err := n.cfg.AuditLog.Append(ctx, audit.Event{Name: "freeze.thawed", Facts: facts}); err != nil {
		return err
	}
	r.Thaw, r.ThawedAt = &t, n.cfg.Clock().UnixMilli()
	if err := n.cfg.Store.Batch(ctx, []vault.Pair{r.put()}, nil); err != nil {
		return err
	}
	z.mu.Lock()
	z.m[id] = &frozen{freezeRecord: r}
	z.changed()
	z.mu.Unlock()
	n.cfg.Logger.Warn("thawed", "what", r.Signed.Freeze.What(), "by", r.Signed.Freeze.Node, "freeze", id)
	n.desk.wake()
	n.peers.Tell()
	return nil
}

func freezeFacts(f attest.Freeze) map[string]string {
	return map[string]string{"freeze": f.Digest().String(), "scope": string(f.Scope), "name": f.Name, "by": f.Node, "reason": f.Reason}
}

// take takes up a record, from a caller or a peer. It returns whether anything is new.
func (z *Freezer) take(ctx context.Context, r freezeRecord, requester string) (news bool, err error) {
	z.taking.Lock()
	defer z.taking.Unlock()
	id := r.Signed.Freeze.Digest()
	z.mu.RLock()
	known := z.m[id]
	z.mu.RUnlock()
	if known != nil {
		if known.Thaw != nil || r.Thaw == nil {
			return false, nil
		}
		return true, z.thaw(ctx, id, *r.Thaw)
	}
	gone, err := z.room(r.Signed.Freeze.Node, r.Thaw != nil)
	if err != nil {
		return false, err
	}
	if err := r.Signed.Verify(z.core.members.Roster().Roster); err != nil {
		return false, &problem.Error{Code: problem.Invalid, Message: "the freeze does not hold", Err: err}
	}
	if len(gone) > 0 {
		if err := z.drop(ctx, gone); err != nil {
			return false, err
		}
	}
	if r.Thaw != nil && z.wasThawed(r) {
		return true, z.over(ctx, freezeRecord{Version: freezeVersion, Signed: r.Signed}, *r.Thaw)
	}
	return true, z.set(ctx, freezeRecord{Version: freezeVersion, Signed: r.Signed}, requester)
}

// unstored is what a freeze says that is in force, and not stored or not on record.
type unstored struct{ error }

func (e unstored) Unwrap() error { return e.error }

// set has a freeze that was judged cover what it covers from now on, and then puts it on record and stores it. The error is of that, and is
// unstored: the freeze is in force.
func (z *Freezer) set(ctx context.Context, r freezeRecord, requester string) error {
	n, f := z.core, r.Signed.Freeze
	z.mu.Lock()
	z.m[f.Digest()] = &frozen{freezeRecord: r, unkept: true}
	z.changed()
	z.mu.Unlock()
	n.cfg.Logger.Warn("frozen", "what", f.What(), "by", f.Node, "reason", f.Reason, "freeze", f.Digest())
	facts := freezeFacts(f)
	if requester != "" {
		facts["requester"] = requester
	}
	ctx = context.WithoutCancel(ctx)
	if err := errors.Join(z.keep(ctx), n.cfg.AuditLog.Append(ctx, audit.Event{Name: "freeze.set", Facts: facts})); err != nil {
		return unstored{err}
	}
	return nil
}

// keep stores what is not stored yet.
func (z *Freezer) keep(ctx context.Context) error {
	var puts []vault.Pair
	z.mu.RLock()
	for _, x := range z.m {
		if x.unkept && len(puts) < vault.MaxBatch {
			puts = append(puts, x.put())
		}
	}
	z.mu.RUnlock()
	if len(puts) == 0 {
		return nil
	}
	if err := z.core.cfg.Store.Batch(ctx, puts, nil); err != nil {
		return err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, x := range z.m {
		if x.unkept && slices.ContainsFunc(puts, func(p vault.Pair) bool { return bytes.Equal(p.Key, x.put().Key) }) {
			x.unkept = false
		}
	}
	return nil
}

// wasThawed tells of a freeze that is not known here whether the officers have thawed it, under whichever authority was in force: what is
// long over does not freeze a node that comes to the cluster late.
func (z *Freezer) wasThawed(r freezeRecord) bool {
	chain, _ := z.core.authority.current()
	for _, s := range slices.Backward(chain) {
		if s.Authority.Digest() == r.Thaw.Thaw.Authority {
			return s.Authority.CheckThaw(r.Signed.Freeze, *r.Thaw) == nil
		}
	}
	return false
}

// room refuses one more freeze of a node that has its part in force, and finds the one thawed longest ago where it has its part of all.
func (z *Freezer) room(node string, thawed bool) (gone []attest.Hash, err error) {
	z.mu.RLock()
	defer z.mu.RUnlock()
	all, force, since := 0, 0, int64(0)
	for id, x := range z.m {
		if x.Signed.Freeze.Node != node {
			continue
		}
		all++
		if x.Thaw == nil {
			force++
		} else if gone == nil || x.ThawedAt < since {
			gone, since = []attest.Hash{id}, x.ThawedAt
		}
	}
	if force >= freezesNode && !thawed {
		return nil, problem.New(problem.Overload, "freeze the cluster or a vault at another node, or have the officers thaw some",
			"%d freezes of %s are in force, and none has more", force, node)
	}
	if all < freezesKept {
		gone = nil
	}
	return gone, nil
}

// drop forgets freezes that are over.
func (z *Freezer) drop(ctx context.Context, ids []attest.Hash) error {
	var keys [][]byte
	z.mu.Lock()
	for _, id := range ids {
		keys = append(keys, z.m[id].put().Key)
		delete(z.m, id)
	}
	z.mu.Unlock()
	return z.core.cfg.Store.Batch(ctx, nil, keys)
}

// check says how much is frozen. It does not fail: the node can sign what is not, and thaws itself only by the officers.
func (z *Freezer) check() Check {
	if n := z.inForce(); n > 0 {
		return Check{Name: "freezes", OK: true, Detail: fmt.Sprintf("%d freezes are in force: `mpcd freeze list`", n)}
	}
	return Check{Name: "freezes", OK: true, Detail: "nothing is frozen"}
}
