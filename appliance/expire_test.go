package appliance

import (
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
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

// Goal: no party makes a second key under one session_id, once the first is certified; one that never will be is in nobody's way. Method: a
// keygen before the gate of a party that has a wallet of its session_id, in each state.
func TestNoSecondKey(t *testing.T) {
	for state, held := range map[keys.State]bool{keys.Staged: false, keys.Proving: true, keys.Active: true} {
		x := newInside(t)
		id, _ := x.newKeyOf(t, frost.Ed25519, state)
		in := &attest.Intent{Operation: attest.OpKeygen, RequestID: "s", Node: "node2",
			Keygen: &attest.KeygenParams{Threshold: 2, Kind: threshold.Ed25519.ID}}
		use := operation.Use{Purpose: purposeOf(in), Coordinator: "node3", At: 1, Key: id}
		if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{use.Put("s")}, nil); err != nil {
			t.Fatal(err)
		}
		_, err := x.making.permitKeygen(t.Context(), frost.Ed25519, in, x.world.Committee, true)
		if e := problem.As(err); (err != nil) != held || held && e.Code != problem.Held {
			t.Errorf("%s: %v", state, err)
		}
	}
}
