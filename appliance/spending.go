package appliance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/vault"
)

// ledger is where a node counts amounts that are signed, for rules that bound them over a time. It counts what it permits itself, from the
// moment it does, durably before its share leaves, and what others have signed, of which it hears by receipts. A rule's limit holds at
// every signer by what that one counts, whoever coordinates. It is used where the rules in force count (policy.Rules.Counts); elsewhere it
// costs nothing.
type ledger struct {
	core *core

	// storing is held while entries are taken out of the store, and for reading while some are put there: what is given back does not take
	// away what is counted anew.
	storing sync.RWMutex
	// mu is held while a request is judged by the sums and counted: of two that come at once, the second sees the first.
	mu sync.Mutex
	m  map[entryID]*entry

	pace, asks exchange
	pruned     time.Time
}

// Bounds of the ledger. Where they are reached, nothing more is permitted by rules that count, since a sum that leaves out what was signed
// would permit too much.
const (
	entriesAll       = 1 << 16 // with which one more is counted
	entriesInitiator = entriesAll / 2
	// entriesHeard is how many there may be with what others have signed. Each of them some honest node has counted as its own.
	entriesHeard = 2 * entriesAll
	// entryFor is how long an entry can count, and entryKept how long it is kept.
	entryFor  = 7 * 24 * time.Hour
	entryKept = entryFor + 24*time.Hour
	// pruneEvery is how often what is over is taken out.
	pruneEvery = 10 * time.Minute
	// amountBytes is the longest amount: all parts of a request, of 256 bits each, added up.
	amountBytes = 40
)

// entryID names an act and what it moves: the same request, whichever node leads it, however often it is tried, is one entry.
type entryID [16]byte

func (id entryID) String() string { return hex.EncodeToString(id[:]) }

// entryRecord is an entry as it is stored.
type entryRecord struct {
	Version   uint8         `cbor:"1,keyasint"`
	At        int64         `cbor:"2,keyasint"` // Unix milliseconds: when this node last permitted it, or others attest that it was asked for
	Network   string        `cbor:"3,keyasint"`
	Wallet    string        `cbor:"4,keyasint"`
	Vault     string        `cbor:"5,keyasint"`
	Initiator string        `cbor:"6,keyasint"`
	Amounts   []entryAmount `cbor:"7,keyasint"`           // ascending by asset
	Made      int64         `cbor:"8,keyasint,omitempty"` // Unix milliseconds, of the intent whose receipt is here; 0 for none
}

// entryAmount is how much of an asset is moved, in its smallest unit.
type entryAmount struct {
	Asset  string `cbor:"1,keyasint"`
	Amount []byte `cbor:"2,keyasint"` // big-endian, without zeros before it
}

const entryVersion = 1

// entry is a record, and who needs it.
type entry struct {
	entryRecord
	amounts map[string]*big.Int
	holds   int  // ceremonies here that it is counted for
	sure    bool // a share of this node may have left, or others have signed it: it is not given back
	stored  bool // as far as it may be
}

// entryOf is what an intent about a wallet of a vault adds to what was signed; nil if it moves nothing that can be added up.
func entryOf(in *attest.Intent, vault string, d *intent.Decoded) (entryID, *entry) {
	amounts := policy.Counted(d)
	if len(amounts) == 0 || in.Initiation == nil {
		return entryID{}, nil
	}
	e := &entry{amounts: amounts, entryRecord: entryRecord{Version: entryVersion, Network: in.Chain, Wallet: in.KeyID, Vault: vault,
		Initiator: in.Initiation.By}}
	for asset, n := range amounts {
		e.Amounts = append(e.Amounts, entryAmount{asset, n.Bytes()})
	}
	slices.SortFunc(e.Amounts, func(a, b entryAmount) int { return cmp.Compare(a.Asset, b.Asset) })
	purpose := purposeOf(in)
	h := canon.Hash("mpcd/v1/spent", []byte(in.RequestID), purpose[:], canon.MustMarshal(e.entryRecord))
	return entryID(h[:16]), e
}

var entryPrefix, noticePrefix = []byte("node/spent/"), []byte("node/notice/")

func entryKey(id entryID) []byte  { return append(bytes.Clone(entryPrefix), id.String()...) }
func noticeKey(id entryID) []byte { return append(bytes.Clone(noticePrefix), id.String()...) }

func parseEntry(name string, b []byte) (id entryID, e *entry, err error) {
	e = &entry{amounts: map[string]*big.Int{}, sure: true, stored: true}
	err = canon.UnmarshalVersion(b, entryVersion, &e.entryRecord)
	if raw, herr := hex.DecodeString(name); err == nil && (herr != nil || len(raw) != len(id) || name != entryID(raw).String()) {
		err = errors.New("its name is none of an entry")
	} else if err == nil {
		id = entryID(raw)
	}
	for i, x := range e.Amounts {
		if len(x.Amount) > amountBytes || len(x.Amount) > 0 && x.Amount[0] == 0 || i > 0 && x.Asset <= e.Amounts[i-1].Asset {
			err = cmp.Or(err, errors.New("an amount in it is none"))
			break
		}
		e.amounts[x.Asset] = new(big.Int).SetBytes(x.Amount)
	}
	if err != nil {
		return id, nil, problem.Unreadable("what was signed, entry "+name+",", problem.Restore, err)
	}
	return id, e, nil
}

// load reads what a node has counted before.
func (l *ledger) load(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.cfg.Store.Iterate(ctx, entryPrefix, func(k, value []byte) error {
		id, e, err := parseEntry(strings.TrimPrefix(string(k), string(entryPrefix)), value)
		if err == nil {
			l.m[id] = e
		}
		return err
	})
}

// judge asks the rules about a passage by what was signed before, and counts it where they permit it, in one step.
func (l *ledger) judge(x passage, d *intent.Decoded, ask func(policy.Spent) policy.Verdict) (policy.Verdict, error) {
	id, e := entryOf(x.intent, x.vault, d)
	if e == nil {
		return ask(nil), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := ask(l.before(id, e, l.core.clock.early()))
	if !v.Allow || x.counted == nil {
		return v, nil
	}
	if known := l.m[id]; known != nil {
		e = known
	} else if err := l.room(e.Initiator); err != nil {
		return v, err
	}
	l.m[id] = e
	e.At = max(e.At, l.core.clock.late().UnixMilli())
	e.holds++
	*x.counted = append(*x.counted, id)
	return v, nil
}

// known is what was signed before an intent, as far as this node knows; nothing is counted.
func (l *ledger) known(in *attest.Intent, vault string, d *intent.Decoded) policy.Spent {
	id, e := entryOf(in, vault, d)
	if e == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before(id, e, l.core.clock.early())
}

// before adds up what was signed before an act, and not that one. The caller holds mu.
func (l *ledger) before(id entryID, e *entry, now time.Time) policy.Spent {
	sums := make(map[string][][]*big.Int, len(e.amounts)) // by asset, scope, and the shortest window that it is in
	for asset := range e.amounts {
		for range policy.Scopes {
			sums[asset] = append(sums[asset], []*big.Int{new(big.Int), new(big.Int), new(big.Int)})
		}
	}
	for other, x := range l.m {
		age := now.Sub(time.UnixMilli(x.At))
		in := slices.IndexFunc(policy.Windows, func(w policy.Window) bool { return age <= w.For })
		if other == id || x.Network != e.Network || in < 0 {
			continue
		}
		for asset, of := range sums {
			n := x.amounts[asset]
			for i, scope := range policy.Scopes {
				if n != nil && x.alike(e, scope) {
					of[i][in].Add(of[i][in], n)
				}
			}
		}
	}
	return func(of policy.Scope, asset string, in time.Duration) *big.Int {
		sum := new(big.Int)
		if by := sums[asset]; by != nil {
			for i, w := range policy.Windows { // each has those that are shorter
				if w.For <= in {
					sum.Add(sum, by[slices.Index(policy.Scopes, of)][i])
				}
			}
		}
		return sum
	}
}

// alike tells whether two entries are of the same wallet, vault or initiator.
func (e *entry) alike(x *entry, of policy.Scope) bool {
	switch of {
	case policy.SpentWallet:
		return e.Wallet == x.Wallet
	case policy.SpentVault:
		return e.Vault == x.Vault
	}
	return e.Initiator == x.Initiator
}

// room refuses one more entry where there are too many. The caller holds mu.
func (l *ledger) room(initiator string) error {
	of := 0
	for _, e := range l.m {
		if e.Initiator == initiator {
			of++
		}
	}
	if of < entriesInitiator && len(l.m) < entriesAll {
		return nil
	}
	return problem.New(problem.Overload, "wait until the oldest are eight days old, or have the rules count nothing",
		"%d amounts of %s are counted over a time, %d in all, and no more can be", of, initiator, len(l.m))
}

// store stores pairs, and with them the entries, durably.
func (l *ledger) store(ctx context.Context, puts []vault.Pair, ids []entryID) error {
	l.storing.RLock()
	defer l.storing.RUnlock()
	l.mu.Lock()
	for _, id := range ids {
		if e := l.m[id]; e != nil {
			e.stored = true
			puts = append(puts, vault.Pair{Key: entryKey(id), Value: canon.MustMarshal(e.entryRecord)})
		}
	}
	l.mu.Unlock()
	return storeAll(ctx, l.core.cfg.Store, puts)
}

// release is called when the ceremony is over that entries were counted for. Where no share of this node can have left, and no other
// ceremony counts them or has, they are given back.
func (l *ledger) release(ctx context.Context, ids []entryID, acted bool) {
	if !acted {
		l.storing.Lock()
		defer l.storing.Unlock()
	}
	var gone [][]byte
	l.mu.Lock()
	for _, id := range ids {
		e := l.m[id]
		e.holds--
		if e.sure = e.sure || acted; e.sure || e.holds > 0 {
			continue
		}
		delete(l.m, id)
		if e.stored {
			gone = append(gone, entryKey(id))
		}
	}
	l.mu.Unlock()
	l.remove(ctx, gone)
}

// remove takes keys out of the store. What stays is counted again after a restart, until it is over.
func (l *ledger) remove(ctx context.Context, keys [][]byte) {
	for chunk := range slices.Chunk(keys, vault.MaxBatch) {
		if err := l.core.cfg.Store.Batch(context.WithoutCancel(ctx), nil, chunk); err != nil {
			l.core.cfg.Logger.Warn("amounts that count no longer could not be taken out of the store", "error", err)
		}
	}
}

// prune takes out what is over.
func (l *ledger) prune(ctx context.Context) {
	before := l.core.clock.past().Add(-entryKept).UnixMilli()
	l.storing.Lock()
	defer l.storing.Unlock()
	var gone [][]byte
	l.mu.Lock()
	for id, e := range l.m {
		if e.At < before && e.holds == 0 {
			delete(l.m, id)
			gone = append(gone, entryKey(id), noticeKey(id))
		}
	}
	l.mu.Unlock()
	l.remove(ctx, gone)
}
