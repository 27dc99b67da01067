package keys

import (
	"bytes"
	"container/list"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// State is where a key is in its life.
type State string

// The states of a key.
const (
	Staged  State = "staged"  // shares are durable, the success certificate is not complete
	Proving State = "proving" // certified; the threshold is being proven
	Active  State = "active"  // signs
)

// Record is what a node keeps of a key beside its share: public, and the same on every party but for times.
type Record struct {
	Version   uint8              `cbor:"1,keyasint"`
	Info      threshold.KeyInfo  `cbor:"2,keyasint"` // Party is 0
	Label     string             `cbor:"3,keyasint,omitempty"`
	Group     string             `cbor:"4,keyasint,omitempty"`
	State     State              `cbor:"5,keyasint"`
	Created   int64              `cbor:"6,keyasint"` // ms
	SessionID string             `cbor:"7,keyasint,omitempty"`
	Attempts  []Attempt          `cbor:"8,keyasint,omitempty"` // refreshes whose shares are staged, ascending
	Pairs     [32]byte           `cbor:"9,keyasint,omitempty"` // digest of the pair state certified, or to be certified, with the key
	Scheme    threshold.SchemeID `cbor:"10,keyasint"`          // that the wallet was asked for: what signs where nobody says otherwise
}

// Attempt is one refresh whose share this party has stored and perhaps certified, and whose certificate it has not seen complete.
// Every attempt has an epoch of its own, and what was certified is never discarded but by activating a higher epoch: whoever shows
// its complete certificate, however late, moves all honest parties to it, and no two of them can be led apart.
type Attempt struct {
	Epoch uint64   `cbor:"1,keyasint"`
	Pairs [32]byte `cbor:"2,keyasint,omitempty"` // as Record.Pairs
	Made  int64    `cbor:"3,keyasint,omitempty"` // ms, by this party's clock
}

// The first few attempts may follow each other; then each waits twice as long as the one before, up to pauseMax. A coordinator that has
// parties stage shares and then withholds a certificate reaches the vault's limit only after days, in which it is named.
const (
	attemptsFree = 3
	pauseMax     = time.Hour
)

// Pause is how long the next attempt has to wait at the time now; 0 if it may begin. After one that was made later than now the clock was
// put back, and nothing tells how long ago that was: the next may begin, and is dated by the clock as it is.
func (r Record) Pause(now time.Time) time.Duration {
	k := len(r.Attempts) - attemptsFree
	if k <= 0 {
		return 0
	}
	since := now.Sub(time.UnixMilli(r.Attempts[len(r.Attempts)-1].Made))
	if since < 0 {
		return 0
	}
	return max(0, min(pauseMax, time.Second<<min(k, 30))-since)
}

// reachLeast is how far above a party's own highest epoch the next attempt may be at any time: others may have more attempts.
const reachLeast = 64

// Reach is how far above Top the next attempt may be at the time now.
//
// A coordinator may choose the highest epoch that is in reach of all, and let some parties alone stage it. They are that far ahead then,
// and what is above their highest is out of the others' reach: were it fixed, no refresh could ever be made again. So it grows by one a
// minute from a party's last attempt on, and whatever distance was made is bridged after a minute. One attempt comes no further than the
// age of the key in minutes, and attempts that come to nothing wait for each other, so that no epoch comes near the last.
func (r Record) Reach(now time.Time) uint64 {
	last := r.Created
	if n := len(r.Attempts); n > 0 {
		last = max(last, r.Attempts[n-1].Made)
	}
	return reachLeast + uint64(max(0, now.Sub(time.UnixMilli(last))/time.Minute))
}

// Top is the highest epoch this party has a share of, active or staged. The next attempt is above it on every party.
func (r Record) Top() uint64 {
	if n := len(r.Attempts); n > 0 {
		return max(r.Info.Epoch, r.Attempts[n-1].Epoch)
	}
	return r.Info.Epoch
}

// Above is the epoch of a coordinator's next attempt, when the one of epoch next was refused by a party that says it has a share of the
// epoch told. If what is above that is out of this party's own reach, the word counts for nothing: an honest party comes so far ahead for
// a minute at most, and any number is soon said.
func (r Record) Above(next, told uint64, now time.Time) uint64 {
	if top := r.Top(); told > next && told-top < r.Reach(now) {
		return told + 1
	}
	return next + 1
}

// Waits lists the epochs whose end this party does not know.
func (r Record) Waits() []uint64 {
	var out []uint64
	if r.State != Active {
		out = append(out, r.Info.Epoch)
	}
	for _, a := range r.Attempts {
		out = append(out, a.Epoch)
	}
	return out
}

// Staged returns the record as it was certified with the staged share of the epoch.
func (r Record) Staged(epoch uint64) (Record, bool) {
	if r.State == Staged && epoch == r.Info.Epoch {
		return r, true
	}
	for _, a := range r.Attempts {
		if a.Epoch == epoch {
			r.Pairs = a.Pairs
			return r, true
		}
	}
	return r, false
}

// recordVersion: version 1 had the scheme in Info, which names the kind of the key now.
const recordVersion = 2

func recordKey(id string) []byte  { return []byte("node/wallet/" + id) }
func publicKey(pub []byte) []byte { return append([]byte("node/public/"), pub...) }
func pendingKey(id string) []byte { return []byte("node/pending/" + id) }

// named is what stands under a public key, and under the name of a key that waits: which key it is.
type named struct {
	Version uint8  `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
}

const namedVersion = 1

func nameOf(id string) []byte { return canon.MustMarshal(named{namedVersion, id}) }

func parseName(key, b []byte) (id string, err error) {
	var n named
	if err := canon.UnmarshalVersion(b, namedVersion, &n); err != nil {
		return "", problem.Unreadable(fmt.Sprintf("the record %q", key), problem.Restore, err)
	}
	return n.ID, nil
}

// Check reads a stored record, whose key is "node/", kind, "/" and name: "wallet", "public" or "pending".
func Check(kind, name string, stored []byte) error {
	if kind == "wallet" {
		_, err := decode(name, stored)
		return err
	}
	id, err := parseName([]byte("node/"+kind+"/"+name), stored)
	if err == nil && kind == "pending" && id != name {
		err = problem.New(problem.Integrity, problem.Restore, "the record of the key %q, which waits, names %q", name, id)
	}
	return err
}

// Held is an opened key share, shared by the ceremonies that use it.
type Held struct {
	id      string
	Share   *threshold.KeyShare
	signers map[threshold.SchemeID]threshold.Signer // those that were asked for
	refs    int
	dead    bool // wipe at the last release
	place   *list.Element
}

// Config is what a Ring stands on.
type Config struct {
	Store   vault.Store  // records, under keys that begin with "node/"
	Vault   *vault.Vault // shares
	Schemes func(threshold.SchemeID) (threshold.Scheme, error)
	Shares  int                            // the most key shares kept opened
	Late    time.Duration                  // how long RecordWhen and LockSoon wait for what others know already
	Ended   func(id string, before uint64) // is told that the epochs of a key below one are over
	Damage  *Damage                        // of shares; nil remembers none
}

// Ring finds keys and keeps a bounded number of shares opened.
type Ring struct {
	c Config

	mu      sync.Mutex
	records map[string]*Record // recently used
	held    map[string]*Held   // by id and epoch
	age     *list.List         // of *Held, oldest at the back
	pending map[string]bool    // keys that wait for a certificate or a proof
	locked  map[string]bool    // keys whose epoch is being changed
	changed chan struct{}      // closed and made anew when a record changes
	active  map[string]Sharing // of all active keys
	entered uint64             // how often active has changed
	groups  map[string]*group  // the committees of active, by numbers and threshold
	sorted  []Sharing          // active by ID, as long as it has not; never written to
}

// Sharing is which epoch of an active key this node holds a share of, and with whom.
type Sharing struct {
	ID        string
	Epoch     uint64
	Committee threshold.Committee
}

// SharingOf is that of a record.
func SharingOf(id string, r Record) Sharing { return Sharing{id, r.Info.Epoch, r.Info.Committee} }

// Sharing is that of an active key.
func (k *Ring) Sharing(id string) (s Sharing, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok = k.active[id]
	return s, ok
}

// Sharings lists the active keys that this node holds with a party, by ID.
func (k *Ring) Sharings(with threshold.PartyID) []Sharing {
	return slices.DeleteFunc(slices.Clone(k.byID()), func(s Sharing) bool { return !s.Committee.Contains(with) })
}

// byID lists the active keys by ID, for reading. They may be many: nobody waits for mu while they are sorted.
func (k *Ring) byID() []Sharing {
	k.mu.Lock()
	all, entered := k.sorted, k.entered
	if all != nil {
		k.mu.Unlock()
		return all
	}
	all = slices.Collect(maps.Values(k.active))
	k.mu.Unlock()
	slices.SortFunc(all, func(a, b Sharing) int { return strings.Compare(a.ID, b.ID) })
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entered == entered {
		k.sorted = all
	}
	return all
}

// enter keeps active what a record says. The caller holds mu.
func (k *Ring) enter(id string, r Record) {
	k.entered++
	k.sorted = nil
	if was, is := k.active[id]; is {
		name := groupName(was.Committee)
		if k.groups[name].keys--; k.groups[name].keys == 0 {
			delete(k.groups, name)
		}
	}
	if r.State != Active {
		delete(k.active, id)
		return
	}
	k.active[id] = SharingOf(id, r)
	name := groupName(r.Info.Committee)
	if k.groups[name] == nil {
		k.groups[name] = &group{committee: r.Info.Committee}
	}
	k.groups[name].keys++
}

// group is a committee, and how many active keys it has.
type group struct {
	committee threshold.Committee
	keys      int
}

func groupName(c threshold.Committee) string { return fmt.Sprint(c.Threshold, c.Parties) }

// Committees are those that hold the active keys, each once.
func (k *Ring) Committees() []threshold.Committee {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]threshold.Committee, 0, len(k.groups))
	for _, g := range k.groups {
		out = append(out, g.committee)
	}
	return out
}

const recordsMax = 65536

// NewRing makes an empty one; Load reads what it must know.
func NewRing(c Config) *Ring {
	return &Ring{c: c, records: map[string]*Record{}, held: map[string]*Held{}, age: list.New(), pending: map[string]bool{},
		locked: map[string]bool{}, changed: make(chan struct{}), active: map[string]Sharing{},
		groups: map[string]*group{}}
}

// Load reads which keys wait for others, and the epochs of those that are active. A damaged record is told when it is used.
func (k *Ring) Load(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.c.Store.Iterate(ctx, recordKey(""), func(key, value []byte) error {
		id := string(key[len(recordKey("")):])
		if r, err := decode(id, bytes.Clone(value)); err == nil {
			k.enter(id, r)
		}
		return nil
	}); err != nil {
		return err
	}
	return k.c.Store.Iterate(ctx, pendingKey(""), func(key, value []byte) error {
		id := strings.TrimPrefix(string(key), string(pendingKey("")))
		k.pending[id] = true
		return Check("pending", id, value)
	})
}

func noWallet(id string) error {
	return problem.New(problem.NotFound, "list the wallets of this node, or ask a node that is a party of the key",
		"no wallet %q on this node", id)
}

// Record returns a copy of the wallet's record.
func (k *Ring) Record(ctx context.Context, id string) (Record, error) {
	k.mu.Lock()
	if r := k.records[id]; r != nil {
		defer k.mu.Unlock()
		return *r, nil
	}
	k.mu.Unlock()
	if len(id) > 128 {
		return Record{}, noWallet(id[:16] + "…")
	}
	b, err := k.c.Store.Get(ctx, recordKey(id))
	if errors.Is(err, vault.ErrNotFound) {
		return Record{}, noWallet(id)
	}
	if err != nil {
		return Record{}, err
	}
	r, err := decode(id, b)
	if err != nil {
		return Record{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.records) >= recordsMax {
		clear(k.records)
	}
	k.records[id] = &r
	return r, nil
}

func decode(id string, b []byte) (Record, error) {
	var r Record
	if err := canon.UnmarshalVersion(b, recordVersion, &r); err != nil {
		return r, problem.Unreadable("the record of wallet "+id, problem.Restore, err)
	}
	if attest.KeyID(r.Info.Kind, r.Info.GroupKey) != id {
		return r, problem.New(problem.Integrity, problem.Restore, "the record of wallet %s is another wallet's", id)
	}
	return r, nil
}

// RecordWhen returns the wallet's record as soon as ok holds of it, or as it is after Config.Late. A wallet that is not here is not
// waited for: a party's record is durable before its certificate leaves.
func (k *Ring) RecordWhen(ctx context.Context, id string, ok func(Record) bool) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, k.c.Late)
	defer cancel()
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		r, err := k.Record(context.WithoutCancel(ctx), id)
		if err != nil || ok(r) {
			return r, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r, err
		}
	}
}

// Put stores a record durably and remembers it.
func (k *Ring) Put(ctx context.Context, id string, r Record) error {
	r.Version = recordVersion
	r.Info.Party = 0
	puts := []vault.Pair{{Key: recordKey(id), Value: canon.MustMarshal(r)}, {Key: publicKey(Shown(r.Info)), Value: nameOf(id)}}
	var dels [][]byte
	waits := len(r.Waits()) > 0
	if waits {
		puts = append(puts, vault.Pair{Key: pendingKey(id), Value: nameOf(id)})
	} else {
		dels = append(dels, pendingKey(id))
	}
	if err := k.c.Store.Batch(ctx, puts, dels); err != nil {
		return fmt.Errorf("appliance: store wallet %s: %w", id, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.records[id]; old != nil && old.Info.Epoch < r.Info.Epoch {
		if h := k.held[heldID(id, old.Info.Epoch)]; h != nil { // opened again since it was retired
			k.drop(h)
		}
	}
	k.c.Ended(id, r.Info.Epoch)
	k.records[id] = &r
	k.enter(id, r)
	close(k.changed)
	k.changed = make(chan struct{})
	if waits {
		k.pending[id] = true
	} else {
		delete(k.pending, id)
	}
	return nil
}

// Forget removes the record of a key whose share is erased, and every name of it. The key is locked.
func (k *Ring) Forget(ctx context.Context, id string, r Record) error {
	if err := k.c.Store.Batch(ctx, nil, [][]byte{recordKey(id), publicKey(Shown(r.Info)), pendingKey(id)}); err != nil {
		return fmt.Errorf("appliance: forget wallet %s: %w", id, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.records, id)
	delete(k.pending, id)
	return nil
}

// Lock keeps a key's epoch from being changed by two lines at once.
func (k *Ring) Lock(id string) (unlock func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.locked[id] {
		return nil, false
	}
	k.locked[id] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.locked, id)
		close(k.changed)
		k.changed = make(chan struct{})
	}, true
}

// LockSoon waits up to Config.Late for the lock: the change before may be over for others already.
func (k *Ring) LockSoon(ctx context.Context, id string) (unlock func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, k.c.Late)
	defer cancel()
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		if unlock, ok := k.Lock(id); ok {
			return unlock, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false
		}
	}
}

// Waiting are the keys with an epoch whose end this party does not know.
func (k *Ring) Waiting() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := make([]string, 0, len(k.pending))
	for id := range k.pending {
		ids = append(ids, id)
	}
	return ids
}

// Find resolves a wallet ID or any valid encoding of a public key to the wallet ID.
func (k *Ring) Find(ctx context.Context, id string, pub []byte) (string, error) {
	if id != "" {
		if strings.HasPrefix(id, "w_") {
			return id, nil
		}
		b, err := hex.DecodeString(strings.TrimPrefix(id, "0x"))
		if err != nil {
			return "", noWallet(id)
		}
		pub = b
	}
	for _, kind := range threshold.Kinds() {
		form := kind.Shown(pub)
		if form == nil {
			continue
		}
		b, err := k.c.Store.Get(ctx, publicKey(form))
		if err == nil {
			return parseName(publicKey(form), b)
		}
		if !errors.Is(err, vault.ErrNotFound) {
			return "", err
		}
	}
	return "", problem.New(problem.NotFound, "list the wallets of this node, or ask a node that is a party of the key",
		"no wallet with public key %x on this node", pub[:min(len(pub), 65)])
}

// Shown is a public key as chains and users write it.
func Shown(info threshold.KeyInfo) []byte { return threshold.KindOf(info.Kind).Shown(info.GroupKey) }

func heldID(id string, epoch uint64) string { return fmt.Sprintf("%s/%d", id, epoch) }

// Open returns the active share of a key, opened once through the hardware and kept, for any scheme of its kind. The caller releases it.
func (k *Ring) Open(ctx context.Context, scheme threshold.Scheme, id string, epoch uint64) (*Held, error) {
	name := heldID(id, epoch)
	k.mu.Lock()
	if h := k.held[name]; h != nil {
		h.refs++
		k.age.MoveToFront(h.place)
		k.mu.Unlock()
		return h, nil
	}
	k.mu.Unlock()

	b, meta, err := k.c.Vault.Load(ctx, id)
	if err != nil {
		return nil, k.c.Damage.Failed("the share of wallet "+id, "cannot be opened", err)
	}
	defer b.Wipe()
	if meta.Epoch != epoch {
		return nil, problem.New(problem.Conflict, "repeat the request", "wallet %s is at epoch %d, not %d", id, meta.Epoch, epoch)
	}
	share, err := scheme.ParseKeyShare(b.Bytes())
	if err != nil {
		return nil, k.c.Damage.Unreadable("the share of wallet "+id, err)
	}
	k.c.Damage.Opened("the share of wallet " + id)
	return k.hold(id, epoch, &Held{id: name, Share: share, signers: map[threshold.SchemeID]threshold.Signer{}})
}

// Signer is what makes signature shares by the scheme with a share that is held.
func (k *Ring) Signer(h *Held, scheme threshold.Scheme) (threshold.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := h.signers[scheme.ID()]; s != nil {
		return s, nil
	}
	s, err := scheme.NewSigner(h.Share)
	if err == nil {
		h.signers[scheme.ID()] = s
	}
	return s, err
}

// hold keeps an opened share and lends it, unless its epoch has ended since it was read.
func (k *Ring) hold(id string, epoch uint64, h *Held) (*Held, error) {
	name := h.id
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.records[id]; r != nil && r.Info.Epoch > epoch {
		h.Share.Destroy()
		return nil, problem.New(problem.Conflict, "repeat the request", "wallet %s is at epoch %d, not %d", id, r.Info.Epoch, epoch)
	}
	if other := k.held[name]; other != nil { // another ceremony was faster
		h.Share.Destroy()
		other.refs++
		return other, nil
	}
	h.refs = 1
	h.place = k.age.PushFront(h)
	k.held[name] = h
	for e := k.age.Back(); e != nil && k.age.Len() > k.c.Shares; {
		old := e.Value.(*Held)
		e = e.Prev()
		if old.refs == 0 {
			k.drop(old)
		}
	}
	return h, nil
}

// drop forgets a share and wipes it once nobody uses it. The caller holds mu.
func (k *Ring) drop(h *Held) {
	if k.held[h.id] == h {
		delete(k.held, h.id)
		k.age.Remove(h.place)
	}
	h.dead = true
	if h.refs == 0 {
		h.Share.Destroy()
	}
}

// Release gives back what Open lent; nil is nothing.
func (k *Ring) Release(h *Held) {
	if h == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h.refs--
	if h.dead && h.refs == 0 {
		h.Share.Destroy()
	}
}

// Retire forgets the share of an epoch that is over.
func (k *Ring) Retire(id string, epoch uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[heldID(id, epoch)]; h != nil {
		k.drop(h)
	}
}

// Close wipes every share that nobody uses, and the others when they are released.
func (k *Ring) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.held {
		k.drop(h)
	}
}

// Key is a key as a request goes by it, and the scheme that signs: looked up once.
type Key struct {
	ID     string
	Record Record
	Scheme threshold.Scheme
}

// Key looks a key up, with the scheme that its wallet was asked for.
func (k *Ring) Key(ctx context.Context, id string) (Key, error) {
	return k.KeyWhen(ctx, id, "", func(Record) bool { return true })
}

// KeyWhen is Key with RecordWhen, and with the scheme of that name, which may not be one of the key's kind; empty is the wallet's.
func (k *Ring) KeyWhen(ctx context.Context, id string, by threshold.SchemeID, ok func(Record) bool) (Key, error) {
	r, err := k.RecordWhen(ctx, id, ok)
	if err != nil {
		return Key{}, err
	}
	if by == "" {
		by = r.Scheme
	}
	s, err := k.c.Schemes(by)
	if err != nil {
		err = &problem.Error{Code: problem.Invalid, Message: fmt.Sprintf("scheme %q is not in this build", by),
			Next: "run the same version on all nodes", Err: err}
	}
	return Key{id, r, s}, err
}

// Each calls f with the records after an ID, in the order of IDs, until it returns false.
func (k *Ring) Each(ctx context.Context, after string, f func(id string, r Record) bool) error {
	stop := errors.New("enough")
	prefix := recordKey("")
	err := k.c.Store.Iterate(ctx, prefix, func(key, value []byte) error {
		id := string(key[len(prefix):])
		if id <= after {
			return nil
		}
		r, err := decode(id, bytes.Clone(value))
		if err == nil && !f(id, r) {
			err = stop
		}
		return err
	})
	if errors.Is(err, stop) {
		return nil
	}
	return err
}

// Busy tells whether a key's epoch is being changed right now.
func (k *Ring) Busy(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.locked[id]
}
