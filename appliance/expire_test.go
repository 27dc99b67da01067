package appliance

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/vault"
)

// Goal: what a request has left is removed when it is out of date, on record, and not before. Method: a session_id with its receipt,
// one of a wallet and a use, just older than is kept and just younger.
func TestExpire(t *testing.T) {
	x := newInside(t)
	x.ops = operation.New(x.cfg.Store, x.cfg.Clock)
	var want [][]byte
	for name, age := range map[string]time.Duration{"old": operation.Kept + time.Second, "young": operation.Kept - time.Minute} {
		then := operation.New(x.cfg.Store, func() time.Time { return x.cfg.Clock().Add(-age) })
		puts := []vault.Pair{
			then.Answered(string(attest.OpSign), name, [32]byte{}, []byte("rc_"+name)),
			{Key: receiptKey("rc_" + name), Value: canon.MustMarshal(attest.Receipt{Version: attest.ReceiptVersion})},
			then.Answered(string(attest.OpKeygen), name, [32]byte{}, []byte("a wallet")),
			operation.Use{At: x.cfg.Clock().Add(-age).UnixMilli()}.Put(name),
		}
		if err := x.cfg.Store.Batch(t.Context(), puts, nil); err != nil {
			t.Fatal(err)
		}
		for _, p := range puts {
			if name == "young" {
				want = append(want, p.Key)
			}
		}
	}
	if err := x.expireNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if on := x.events(t); !slices.Equal(on, []string{"records.expire"}) {
		t.Errorf("on record: %v", on)
	}
	left := 0
	if err := x.cfg.Store.Iterate(t.Context(), []byte("node/"), func([]byte, []byte) error { left++; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, key := range want {
		if _, err := x.cfg.Store.Get(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if left != len(want) {
		t.Errorf("%d records are left, want %d", left, len(want))
	}
}

// Goal: what is out of date goes soon after the start and then once a day, in steps of a bounded size, each on record. Method: more than a
// step of uses, on the clock of a bubble; after it one more, which waits for the next day.
func TestExpireSoonAndDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newInside(t)
		x.cfg.Rand, x.ops = rand.Reader, operation.New(x.cfg.Store, x.cfg.Clock)
		old := func(id string) vault.Pair {
			return operation.Use{At: x.cfg.Clock().Add(-operation.Kept - time.Second).UnixMilli()}.Put(id)
		}
		for i := range expireStep/vault.MaxBatch + 1 {
			puts := make([]vault.Pair, vault.MaxBatch)
			for j := range puts {
				puts[j] = old(fmt.Sprint(i, "-", j))
			}
			if err := x.cfg.Store.Batch(t.Context(), puts, nil); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.expire(ctx) }()
		after := func(d time.Duration, want int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if on := x.events(t); len(on) != want {
				t.Errorf("%d steps are on record, want %d", len(on), want)
			}
		}
		after(expireFirst, 2)
		if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{old("later")}, nil); err != nil {
			t.Fatal(err)
		}
		after(expireEvery-expireFirst-time.Second, 0) // it began at once, at the earliest
		after(expireFirst+time.Second, 1)
		cancel()
		<-done
	})
}

// Goal: a new key whose certificate was withheld for a day is gone, with its share, on record; none is that was certified, that is
// active, younger, or that this run has not asked about. Method: a key of each sort on a clock of the test.
func TestStagedKeyExpires(t *testing.T) {
	x := newInside(t)
	id, shares := x.newKeyOf(t, frost.Ed25519, keys.Staged)
	self := x.world.Committee.Parties[0]
	if err := x.making.stage(t.Context(), id, shares[self]); err != nil {
		t.Fatal(err)
	}
	rec, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(rec.Created).Add(stagedFor)
	x.making.cfg.Clock = func() time.Time { return now }
	certified := vault.Pair{Key: certificateKey(id, 1), Value: canon.MustMarshal(certificates{Version: certificatesVersion,
		Each: []certificate{{Party: self}}})}
	gone := func() bool {
		_, rerr := x.keys.Record(t.Context(), id)
		_, serr := x.cfg.Vault.GetMeta(id)
		_, _, lerr := x.cfg.Vault.LoadStaged(t.Context(), id, 1)
		return problem.As(rerr).Code == problem.NotFound && serr != nil && lerr != nil
	}
	expire := func(asked time.Duration) {
		t.Helper()
		if err := x.making.expireKey(t.Context(), id, asked); err != nil {
			t.Fatal(err)
		}
	}
	put := func(r keys.Record) {
		t.Helper()
		if err := x.keys.Put(t.Context(), id, r); err != nil {
			t.Fatal(err)
		}
	}
	expire(stagedAsked - 1)
	now = now.Add(-1)
	expire(stagedAsked)
	now = now.Add(1)
	for _, state := range []keys.State{keys.Proving, keys.Active} {
		other := rec
		other.State = state
		put(other)
		expire(stagedAsked)
	}
	put(rec)
	if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{certified}, nil); err != nil {
		t.Fatal(err)
	}
	expire(stagedAsked)
	if err := x.cfg.Store.Batch(t.Context(), nil, [][]byte{certified.Key}); err != nil {
		t.Fatal(err)
	}
	if on := x.events(t); gone() || len(on) != 0 {
		t.Fatalf("a key is gone that may be needed; on record: %v", on)
	}
	var turns turns
	x.making.askAbout(t.Context(), &turns)
	if e := x.sent[len(x.sent)-1]; gone() || e.Kind != ceremony.KindAsk {
		t.Errorf("the others are not asked before it goes; kind %d", e.Kind)
	}
	now = now.Add(stagedAsked)
	x.making.askAbout(t.Context(), &turns)
	if on := x.events(t); !gone() || !slices.Equal(on, []string{"keygen.expire"}) {
		t.Errorf("it is still there; on record: %v", on)
	}
	if _, err := x.keys.Find(t.Context(), "", keys.Shown(rec.Info)); problem.As(err).Code != problem.NotFound {
		t.Errorf("its public key still names it: %v", err)
	}
	if w := x.keys.Waiting(); len(w) != 0 {
		t.Errorf("%v wait", w)
	}
	// Its complete certificate, shown later, finds nothing.
	x.making.learnAnswer(t.Context(), transport.Envelope{From: nodeOf(x.world.Committee.Parties[1]), Kind: ceremony.KindAnswer,
		Body: canon.MustMarshal(answer{KeyID: id, Epoch: 1, Certs: []certificate{{Party: self}}})})
	if !gone() {
		t.Error("it came back")
	}
	if attest.KeyID(rec.Info.Kind, rec.Info.GroupKey) != id || rec.Scheme != threshold.FrostEd25519 {
		t.Fatal("the test looked at another key")
	}
}
