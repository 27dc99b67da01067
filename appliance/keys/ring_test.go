package keys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/canon/canontest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// FuzzRecord: no bytes make the decoder panic, and a record has one encoding.
func FuzzRecord(f *testing.F) {
	canontest.Fuzz(f, Record{Version: 1, State: Active}, ProposedPairs{Epoch: 1})
}

// Goal: a damaged wallet record is refused with its code. Method: flip every byte of one.
func TestDamagedWallet(t *testing.T) {
	r := Record{Version: recordVersion, State: Active}
	r.Info.Kind, r.Info.GroupKey = threshold.Ed25519.ID, make([]byte, 32)
	_, _ = rand.Read(r.Info.GroupKey)
	b := canon.MustMarshal(r)
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if got, err := decode("w_another", bad); err == nil {
			t.Errorf("byte %d: %+v", i, got)
		} else if problem.As(err).Code != problem.Integrity {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

// Goal: a share whose epoch ended while it was being opened is wiped, not kept. Method: hold it behind a newer record, and before one.
func TestEndedEpochIsNotHeld(t *testing.T) {
	k := NewRing(Config{Shares: 8})
	open := func() *Held {
		return &Held{id: heldID("w", 1), Share: threshold.NewKeyShare(threshold.KeyInfo{Epoch: 1}, make([]byte, 32))}
	}
	k.records["w"] = &Record{Info: threshold.KeyInfo{Epoch: 2}}
	if _, err := k.hold("w", 1, open()); err == nil || len(k.held) != 0 {
		t.Error("a share of an epoch that is over is held")
	}
	k.records["w"].Info.Epoch = 1
	if h, err := k.hold("w", 1, open()); err != nil || h.refs != 1 || len(k.held) != 1 {
		t.Errorf("%v", err)
	}
}

// Goal: a wallet's record of another version is not read, be its fields ever so good. Method: a whole record under its own name.
func TestRecordOfAnotherVersion(t *testing.T) {
	r := Record{Version: recordVersion, State: Active}
	r.Info.Kind, r.Info.GroupKey = threshold.Ed25519.ID, make([]byte, 32)
	id := attest.KeyID(r.Info.Kind, r.Info.GroupKey)
	if _, err := decode(id, canon.MustMarshal(r)); err != nil {
		t.Fatal(err)
	}
	r.Version++
	if _, err := decode(id, canon.MustMarshal(r)); problem.As(err).Code != problem.Integrity {
		t.Errorf("%v", err)
	}
}

// Goal: what stands under a public key and under a key that waits is read by its version, and as strictly as a wallet's record. Method: the
// records of a key that waits, as the ring stores them; then one of another version, damage, the bytes of before they had a version,
// and the name of another key.
func TestNamesOfAnotherVersion(t *testing.T) {
	s := vaulttest.NewMemory()
	ring := func() *Ring { return NewRing(Config{Store: s, Ended: func(string, uint64) {}}) }
	info := threshold.KeyInfo{Kind: threshold.Ed25519.ID, GroupKey: make([]byte, 32), Epoch: 1}
	if err := ring().Put(t.Context(), "w_1", Record{Info: info, State: Staged}); err != nil {
		t.Fatal(err)
	}
	read := func() (waits []string, id string, err error) {
		k := ring()
		err = k.Load(t.Context())
		id, find := k.Find(t.Context(), "", info.GroupKey)
		return k.Waiting(), id, errors.Join(err, find)
	}
	if waits, id, err := read(); err != nil || id != "w_1" || !slices.Equal(waits, []string{"w_1"}) {
		t.Fatalf("%v, %q, %v", waits, id, err)
	}
	good := nameOf("w_1")
	for name, stored := range map[string][]byte{
		"another version": canon.MustMarshal(named{namedVersion + 1, "w_1"}), "damaged": good[:len(good)-1], "a mark": {1},
		"a bare name": []byte("w_1"),
	} {
		for _, key := range [][]byte{pendingKey("w_1"), publicKey(info.GroupKey)} {
			before, err := s.Get(t.Context(), key)
			put := func(b []byte) {
				t.Helper()
				if err := errors.Join(err, s.Batch(t.Context(), []vault.Pair{{Key: key, Value: b}}, nil)); err != nil {
					t.Fatal(err)
				}
			}
			put(stored)
			_, _, err2 := read()
			if problem.As(err2).Code != problem.Integrity || errors.As(err2, new(*canon.VersionError)) != (name == "another version") {
				t.Errorf("%s under %q: %v", name, key, err2)
			}
			put(before)
		}
	}
	if err := Check("pending", "w_2", good); problem.As(err).Code != problem.Integrity {
		t.Errorf("another key's name: %v", err)
	}
}

// Goal: a share that is open outlives its epoch only as long as who uses it, and then is wiped; and one line at a time changes a key.
// Method: a share is held twice over, its epoch ends, and it is released.
func TestShareEndsWithItsEpoch(t *testing.T) {
	var ended uint64
	k := NewRing(Config{Store: vaulttest.NewMemory(), Shares: 8, Ended: func(_ string, below uint64) { ended = below }})
	info := threshold.KeyInfo{Kind: threshold.Ed25519.ID, GroupKey: make([]byte, 32), Epoch: 1}
	if err := k.Put(t.Context(), "w", Record{Info: info, State: Active}); err != nil {
		t.Fatal(err)
	}
	share := threshold.NewKeyShare(info, bytes.Repeat([]byte{7}, 32))
	h, err := k.hold("w", 1, &Held{id: heldID("w", 1), Share: share})
	if err != nil {
		t.Fatal(err)
	}
	unlock, ok := k.Lock("w")
	if _, again := k.Lock("w"); !ok || again {
		t.Error("two lines change a key at once")
	}
	info.Epoch = 2
	if err := k.Put(t.Context(), "w", Record{Info: info, State: Active}); err != nil {
		t.Fatal(err)
	}
	unlock()
	if len(k.held) != 0 || ended != 2 {
		t.Errorf("%d shares are held after their epoch, the pool was told of %d", len(k.held), ended)
	}
	wiped := func() (is bool) { // whose secret is asked for then panics
		defer func() { is = recover() != nil }()
		share.Secret()
		return false
	}
	if wiped() {
		t.Error("a share is wiped while it is used")
	}
	if k.Release(h); !wiped() {
		t.Error("a share outlives its epoch")
	}
}

// Goal: what is lent is the share of the epoch that was asked for, opened by the token once. Method: a key whose share in the vault is of
// epoch 2, asked for as of 1 and, twice, of 2.
func TestOpenOfAnotherEpoch(t *testing.T) {
	ks, err := thresholdtest.NewWorld(1, 3, 2).Keygen(frost.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	v, token := newVault(t)
	for _, share := range ks {
		share.Epoch = 2
		b := share.Bytes()
		defer b.Wipe()
		err := v.Store(t.Context(), "w", b.Bytes(), vault.Meta{KeyKind: string(share.Kind), Index: uint16(share.Party), Threshold: 2,
			TotalParties: 3, PublicShare: share.PublicShare(share.Party), GroupKey: share.GroupKey, Epoch: 2,
			Info: canon.MustMarshal(share.KeyInfo)})
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if err := v.Activate(t.Context(), "w", 2); err != nil {
		t.Fatal(err)
	}
	k := NewRing(Config{Vault: v, Shares: 8})
	if _, err := k.Open(t.Context(), frost.Ed25519, "w", 1); problem.As(err).Code != problem.Conflict || len(k.held) != 0 {
		t.Errorf("as of epoch 1: %v", err)
	}
	first, err := k.Open(t.Context(), frost.Ed25519, "w", 2)
	if err != nil || first.Share.Epoch != 2 {
		t.Fatal(err)
	}
	calls := token.Calls.Load()
	again, err := k.Open(t.Context(), frost.Ed25519, "w", 2)
	if calls = token.Calls.Load() - calls; err != nil || again != first || first.refs != 2 || calls > 0 {
		t.Errorf("opened again, with %d calls of the token: %v", calls, err)
	}
}

// Goal: attempts that come to nothing slow down, so that the vault's limit is days away; a clock that was put back does not stop them.
// Method: by number of attempts and time since the last.
func TestPause(t *testing.T) {
	last := time.UnixMilli(1_800_000_000_000)
	for _, row := range []struct {
		attempts    int
		after, want time.Duration
	}{
		{0, 0, 0}, {3, 0, 0}, {4, 0, 2 * time.Second}, {4, 500 * time.Millisecond, 1500 * time.Millisecond}, {4, 2 * time.Second, 0},
		{5, 0, 4 * time.Second}, {14, 0, 2048 * time.Second}, {15, 0, time.Hour}, {100, time.Minute, 59 * time.Minute}, {100, time.Hour, 0},
		{5, -time.Millisecond, 0}, {5, -24 * 365 * time.Hour, 0},
	} {
		r := Record{Attempts: make([]Attempt, row.attempts)}
		if row.attempts > 0 {
			r.Attempts[row.attempts-1].Made = last.UnixMilli()
		}
		if got := r.Pause(last.Add(row.after)); got != row.want {
			t.Errorf("%d attempts, %v later: %v, want %v", row.attempts, row.after, got, row.want)
		}
	}
}

// Goal: whatever a coordinator has some parties stage and keeps from others, the epoch above all of them comes into the reach of each: no
// refresh is barred for ever; and no epoch comes near the last, whatever a party that refuses says of its own. Method: it takes the
// highest epoch in reach of both of two parties, one alone stages it, in turn, and as often as attempts may be staged, an hour after each
// other; then the next epoch is in reach of both a minute later, and what either proposes next, once the other has told its own; words of
// epochs at the edge of reach, beyond it, and at the end of all numbers.
func TestReach(t *testing.T) {
	made := time.UnixMilli(1_800_000_000_000)
	now := made
	both := []Record{{Created: made.UnixMilli()}, {Created: made.UnixMilli()}}
	in := func(r Record, next uint64) bool { return next > r.Top() && next-r.Top() <= r.Reach(now) }
	for i := range 64 {
		a, b := &both[i%2], &both[(i+1)%2]
		next := min(a.Top()+a.Reach(now), b.Top()+b.Reach(now))
		if !in(*a, next) || !in(*b, next) {
			t.Fatalf("attempt %d: no epoch is in reach of both", i+1)
		}
		a.Attempts = append(a.Attempts, Attempt{Epoch: next, Made: now.UnixMilli()})
		if above := max(a.Top(), b.Top()) + 1; in(*a, above+1_000_000) || in(*b, above+1_000_000) {
			t.Fatalf("attempt %d: a million above all is in reach", i+1)
		}
		now = now.Add(time.Minute)
		if above := max(a.Top(), b.Top()) + 1; !in(*a, above) || !in(*b, above) {
			t.Fatalf("attempt %d: %d is out of reach of one, at %d and %d", i+1, above, a.Top(), b.Top())
		}
		if next := b.Above(b.Top()+1, a.Top(), now); !in(*a, next) || !in(*b, next) {
			t.Fatalf("attempt %d: told %d, the other proposes %d", i+1, a.Top(), next)
		}
		now = now.Add(time.Hour)
	}
	r := Record{Created: now.Add(time.Hour).UnixMilli(), Attempts: []Attempt{{Made: now.Add(-time.Hour).UnixMilli()}}}
	if got := r.Reach(now); got != 64 {
		t.Errorf("on a clock that is behind it reaches %d", got)
	}
	r = Record{Created: now.Add(-time.Hour).UnixMilli(), Attempts: []Attempt{{Made: now.UnixMilli()}}}
	if got := r.Reach(now); got != 64 {
		t.Errorf("at once after an attempt it reaches %d", got)
	}
	r = Record{Info: threshold.KeyInfo{Epoch: 5}, Created: now.UnixMilli()}
	for told, want := range map[uint64]uint64{0: 7, 5: 7, 6: 7, 7: 8, 5 + 63: 5 + 64, 5 + 64: 7, 1 << 63: 7, 1<<64 - 2: 7, 1<<64 - 1: 7} {
		if got := r.Above(6, told, now); got != want {
			t.Errorf("after 6 was refused by one that tells of %d: %d, want %d", told, got, want)
		}
	}
}

// Goal: the committees of the active keys are listed, each once, and those without a key any more not. Method: keys of two committees
// enter, are refreshed, and leave.
func TestCommittees(t *testing.T) {
	k := NewRing(Config{})
	enter := func(id string, epoch uint64, state State, t int, parties ...threshold.PartyID) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.enter(id, Record{State: state, Info: threshold.KeyInfo{Epoch: epoch,
			Committee: threshold.Committee{Parties: parties, Threshold: t}}})
	}
	check := func(want string) {
		t.Helper()
		var got []string
		for _, c := range k.Committees() {
			got = append(got, fmt.Sprint(c.Threshold, c.Parties))
		}
		slices.Sort(got)
		if s := fmt.Sprint(got); s != want {
			t.Errorf("%s, not %s", s, want)
		}
	}
	check("[]")
	enter("a", 1, Active, 2, 1, 2, 3)
	enter("b", 1, Active, 2, 1, 2, 3)
	enter("b", 2, Active, 2, 1, 2, 3)
	enter("c", 1, Active, 3, 1, 2, 3)
	enter("d", 1, Staged, 2, 1, 2)
	check("[2 [1 2 3] 3 [1 2 3]]")
	enter("b", 3, Staged, 2, 1, 2, 3)
	check("[2 [1 2 3] 3 [1 2 3]]")
	enter("a", 3, Staged, 2, 1, 2, 3)
	check("[3 [1 2 3]]")
}

// Goal: the active keys with a party are listed by ID, as they are now, and are sorted once for many who ask: of 100,000 that takes more
// than a third of a second. Method: enter keys, list, change one, list; list once more and see whether it is the same.
func TestSharings(t *testing.T) {
	k := NewRing(Config{})
	enter := func(id string, epoch uint64, state State, parties ...threshold.PartyID) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.enter(id, Record{State: state, Info: threshold.KeyInfo{Epoch: epoch, Committee: threshold.Committee{Parties: parties}}})
	}
	list := func(with threshold.PartyID) (out []string) {
		for _, s := range k.Sharings(with) {
			out = append(out, fmt.Sprint(s.ID, s.Epoch))
		}
		return out
	}
	check := func(with threshold.PartyID, want ...string) {
		t.Helper()
		if got := list(with); !slices.Equal(got, want) {
			t.Errorf("with %d: %v, not %v", with, got, want)
		}
	}
	check(1)
	enter("c", 1, Active, 1, 2)
	enter("a", 1, Active, 1, 3)
	enter("b", 1, Active, 1, 2, 3)
	check(1, "a1", "b1", "c1")
	check(2, "b1", "c1")
	check(3, "a1", "b1")
	enter("b", 2, Active, 1, 2, 3)
	check(1, "a1", "b2", "c1")
	enter("c", 2, Staged, 1, 2)
	check(2, "b2")
	first := &k.byID()[0]
	if again := &k.byID()[0]; first != again {
		t.Error("keys that have not changed are sorted again")
	}
}
