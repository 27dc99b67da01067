package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/vault"
)

// spends is an intent of an initiator, about a wallet of a vault, and what it moves.
func spends(session, wallet, vault, by, asset string, n int64) (passage, *intent.Decoded) {
	in := &attest.Intent{Operation: attest.OpSign, RequestID: session, KeyID: wallet, Chain: "ethereum", Message: attest.Hex{1},
		Initiation: &attest.Initiation{By: by}}
	return passage{intent: in, vault: vault, counted: new([]entryID)}, &intent.Decoded{Transfers: []intent.Transfer{
		{What: intent.Send, To: "a", Asset: asset, Amount: big.NewInt(n)}}}
}

// sums are what a ledger has of a scope for a request, in the last hour, day and week.
func (x *inside) sums(p passage, d *intent.Decoded, of policy.Scope, asset string) (out [3]int64) {
	spent := x.ledger.known(p.intent, p.vault, d)
	for i, w := range policy.Windows {
		out[i] = spent(of, asset, w.For).Int64()
	}
	return out
}

func permits(policy.Spent) policy.Verdict { return policy.Verdict{Allow: true} }

// counts has a ledger permit and count a request that moves an amount, for good unless given back.
func (x *inside) counts(t *testing.T, session, wallet, vault, by, asset string, n int64) []entryID {
	t.Helper()
	p, d := spends(session, wallet, vault, by, asset, n)
	if v, err := x.ledger.judge(p, d, permits); err != nil || !v.Allow || len(*p.counted) != 1 {
		t.Fatalf("%+v, %v, %v", v, err, *p.counted)
	}
	if err := x.ledger.store(t.Context(), nil, *p.counted); err != nil {
		t.Fatal(err)
	}
	return *p.counted
}

// Goal: sums are of the last hour, day and week by the node's clock, of wallet, vault and initiator, each of its asset and network, and a
// clock that was put back takes nothing out of them. Method: entries of different ages, of everything but one thing the same.
func TestLedgerSums(t *testing.T) {
	x := newInside(t)
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	x.cfg.Clock = func() time.Time { return now }
	x.counts(t, "old", "w", "v", "a", "", 1)
	now = now.Add(6 * 24 * time.Hour)
	x.counts(t, "days", "w", "v", "a", "", 10)
	now = now.Add(12 * time.Hour)
	x.counts(t, "hours", "w", "v", "a", "", 100)
	now = now.Add(12 * time.Hour)
	x.counts(t, "now", "w", "v", "a", "", 1000)
	x.counts(t, "wallet", "w2", "v", "b", "", 10_000)
	x.counts(t, "vault", "w3", "v2", "a", "", 100_000)
	x.counts(t, "asset", "w", "v", "a", "usdc", 7)
	p, d := spends("next", "w", "v", "a", "", 5)
	for of, want := range map[policy.Scope][3]int64{policy.SpentWallet: {1000, 1110, 1111}, policy.SpentVault: {11_000, 11_110, 11_111},
		policy.SpentInitiator: {101_000, 101_110, 101_111}} {
		if got := x.sums(p, d, of, ""); got != want {
			t.Errorf("%s: %v", of, got)
		}
	}
	p.intent.Chain = "base"
	if got := x.sums(p, d, policy.SpentWallet, ""); got != [3]int64{} {
		t.Errorf("another network: %v", got)
	}
	p.intent.Chain = "ethereum"
	if p, d := spends("next", "w", "v", "a", "usdc", 5); x.sums(p, d, policy.SpentWallet, "usdc") != [3]int64{7, 7, 7} {
		t.Error("another asset")
	}
	if p, d := spends("now", "w", "v", "a", "", 1000); x.sums(p, d, policy.SpentWallet, "") != [3]int64{0, 110, 111} {
		t.Error("the act itself is not before it")
	}
	now = now.Add(time.Hour + time.Millisecond)
	if got := x.sums(p, d, policy.SpentWallet, ""); got != [3]int64{0, 1100, 1110} {
		t.Errorf("an hour later: %v", got)
	}
	now = now.Add(-14 * time.Hour)
	if got := x.sums(p, d, policy.SpentWallet, ""); got != [3]int64{1100, 1110, 1111} {
		t.Errorf("put back: %v", got)
	}
}

// Goal: of two requests that come at once the second sees the first, what is tried again counts once, from then on, and what came to
// nothing is given back, unless a share may have left. Method: judgements by a limit, and ends of both kinds.
func TestLedgerReserves(t *testing.T) {
	x := newInside(t)
	now := time.Now()
	x.cfg.Clock = func() time.Time { return now }
	limit := func(spent policy.Spent) policy.Verdict {
		return policy.Verdict{Allow: spent(policy.SpentWallet, "", time.Hour).Int64() <= 5}
	}
	try := func(session string, n int64) (bool, []entryID) {
		p, d := spends(session, "w", "v", "a", "", n)
		v, err := x.ledger.judge(p, d, limit)
		if err != nil {
			t.Fatal(err)
		}
		return v.Allow, *p.counted
	}
	ok, first := try("1", 6)
	if again, _ := try("2", 1); !ok || again {
		t.Error("the second of two at once does not see the first")
	}
	twice, second := try("1", 6)
	if !twice || len(x.ledger.m) != 1 || first[0] != second[0] {
		t.Error("what is tried again counts twice")
	}
	x.ledger.release(t.Context(), second, false)
	if ok, _ := try("2", 1); ok {
		t.Error("given back while another ceremony counts it")
	}
	x.ledger.release(t.Context(), first, false)
	ok, third := try("2", 6)
	if !ok || len(x.ledger.m) != 1 {
		t.Error("what came to nothing is not given back")
	}
	x.ledger.release(t.Context(), third, true)
	_, fourth := try("2", 6)
	now = now.Add(50 * time.Minute)
	_, fifth := try("2", 6)
	x.ledger.release(t.Context(), fourth, false)
	x.ledger.release(t.Context(), fifth, false)
	now = now.Add(50 * time.Minute)
	if ok, _ := try("3", 1); ok {
		t.Error("what may have been signed is given back, or counts from when it was tried first")
	}
	p, d := spends("4", "w", "v", "b", "", 1)
	if p.counted = nil; !must(x.ledger.judge(p, d, permits)).Allow || len(x.ledger.m) != 1 {
		t.Error("what is only judged is counted")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Goal: a gate counts what it permits, on disk before the act may be done, and gives it back when it refuses another of the batch, or ends
// before an act. Method: batches of two by a limit for one and for two, a store that fails, and a ledger that is loaded again.
func TestGateCounts(t *testing.T) {
	x := newInside(t)
	var most int64
	x.gate.initiated = func(p passage, d *intent.Decoded) (policy.Verdict, error) {
		return x.ledger.judge(p, d, func(spent policy.Spent) policy.Verdict {
			return policy.Verdict{Allow: spent(policy.SpentWallet, "", time.Hour).Int64() < most, Why: "limit"}
		})
	}
	x.gate.policy = Majority{AllowMinority: true}
	batch := func(session string) []passage {
		var out []passage
		for i := range 2 {
			p, d := spends(fmt.Sprint(session, i), "w", "v", "a", "", 1)
			p.intent.Node, p.counted = string(x.cfg.Node), nil
			p.judge, p.read = func() error { return nil }, func() (*intent.Decoded, error) { return d, nil }
			out = append(out, p)
		}
		return out
	}
	loaded := func() int {
		l := &ledger{core: &x.core, m: map[entryID]*entry{}}
		if err := l.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(l.m)
	}
	most = 1
	if _, err := x.gate.permit(t.Context(), attest.OpSign, batch("a"), "share.sign"); problem.As(err).Code != problem.Denied ||
		len(x.ledger.m) != 0 {
		t.Errorf("two that are too much together: %v, %d counted", err, len(x.ledger.m))
	}
	most = 2
	for _, acted := range []bool{false, true} {
		p, err := x.gate.permit(t.Context(), attest.OpSign, batch(fmt.Sprint("b", acted)), "share.sign")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.recorded(); err != nil || loaded() != 2 {
			t.Errorf("%v, %d on disk before the act", err, loaded())
		}
		p.acted.Store(acted)
		p.end(t.Context())
		if want := map[bool]int{true: 2}[acted]; len(x.ledger.m) != want || loaded() != want {
			t.Errorf("acted %v: %d counted, %d on disk", acted, len(x.ledger.m), loaded())
		}
	}
	most = 10
	x.gate.store, x.store.Store = failingWrites{x.store.Store}, failingWrites{x.store.Store}
	p, err := x.gate.permit(t.Context(), attest.OpSign, batch("c"), "share.sign")
	if err != nil {
		t.Fatal(err)
	}
	if p.recorded() == nil {
		t.Error("an act that is counted nowhere may be done")
	}
	p.end(t.Context())
	if len(x.ledger.m) != 2 {
		t.Errorf("%d counted", len(x.ledger.m))
	}
}

// failingWrites is a store that writes nothing.
type failingWrites struct{ vault.Store }

func (failingWrites) Batch(context.Context, []vault.Pair, [][]byte) error {
	return errors.New("no disk")
}

// Goal: a ledger keeps as much as it may, and permits no more beyond that, to one initiator or to all; what others have signed counts on.
// What is over goes, on disk too, and no sooner than it can count. Method: ledgers that are full, and one of entries of all ages.
func TestLedgerBounds(t *testing.T) {
	x, now := newInside(t), time.Now()
	x.cfg.Clock = func() time.Time { return now }
	fill := func(by string, n int) {
		for i := range n {
			e := &entry{entryRecord: entryRecord{Initiator: by, At: now.UnixMilli()}, sure: true}
			h := canon.Hash("test/fill", []byte(by), canon.MustMarshal(i))
			x.ledger.m[entryID(h[:16])] = e
		}
	}
	judge := func(by string) error {
		p, d := spends("next", "w", "v", by, "", 1)
		_, err := x.ledger.judge(p, d, permits)
		x.ledger.release(t.Context(), *p.counted, false)
		return err
	}
	fill("a", entriesInitiator)
	if err := judge("a"); err == nil || problem.As(err).Code != problem.Overload {
		t.Errorf("an initiator with more than its part: %v", err)
	}
	if err := judge("b"); err != nil {
		t.Errorf("another: %v", err)
	}
	fill("b", entriesAll-entriesInitiator-1)
	if judge("c") != nil {
		t.Error("the last place")
	}
	fill("c", 1)
	if judge("d") == nil {
		t.Error("more than all")
	}
	x.ledger.m = map[entryID]*entry{}
	x.counts(t, "old", "w", "v", "a", "", 1)
	now = now.Add(entryKept - entryFor + time.Minute)
	kept := x.counts(t, "kept", "w", "v", "a", "", 1)
	now = now.Add(entryFor - time.Second)
	x.ledger.release(t.Context(), kept, true)
	for _, e := range x.ledger.m {
		if e.holds > 0 {
			e.holds, e.sure = 0, true
		}
	}
	x.ledger.prune(t.Context())
	l := &ledger{core: &x.core, m: map[entryID]*entry{}}
	if err := l.load(t.Context()); err != nil || len(l.m) != 1 || len(x.ledger.m) != 1 || l.m[kept[0]] == nil {
		t.Errorf("%d on disk, %d in memory, %v", len(l.m), len(x.ledger.m), err)
	}
}

// FuzzEntry: a stored entry is refused, or is the one that gives the same bytes, with amounts that are those of its bytes.
func FuzzEntry(f *testing.F) {
	name := entryID{1}.String()
	good := entryRecord{Version: entryVersion, At: 1, Network: "ethereum", Wallet: "w", Initiator: "a",
		Amounts: []entryAmount{{"", []byte{1, 0}}, {"usdc", nil}}}
	f.Add(name, canon.MustMarshal(good))
	good.Amounts[0].Amount = []byte{0, 1}
	f.Add(name, canon.MustMarshal(good))
	f.Add("x", []byte{0xa0})
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		id, e, err := parseEntry(name, b)
		if err != nil {
			return
		}
		if id.String() != name || !bytes.Equal(canon.MustMarshal(e.entryRecord), b) || len(e.amounts) != len(e.Amounts) {
			t.Fatalf("%s is %s", name, id)
		}
		for _, x := range e.Amounts {
			if !bytes.Equal(e.amounts[x.Asset].Bytes(), x.Amount) || len(x.Amount) > amountBytes {
				t.Fatalf("%x is %s", x.Amount, e.amounts[x.Asset])
			}
		}
	})
}

// FuzzNotice: what a peer tells is refused or is within its bounds, and is read from one encoding only.
func FuzzNotice(f *testing.F) {
	f.Add(canon.MustMarshal(noticeBody{Version: noticeVersion, From: 1, Hours: []hourHash{{1}}}))
	f.Add(canon.MustMarshal(noticeBody{Version: noticeVersion, Asks: []int64{1}, Have: []entryID{{1}}, Receipts: [][]byte{{1}}}))
	f.Add(canon.MustMarshal(noticeBody{Version: noticeVersion, Asks: make([]int64, noticesHours+1)}))
	f.Add(canon.MustMarshal(noticeBody{Version: noticeVersion, Receipts: make([][]byte, noticesPart+1)}))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseNotice(body)
		if err != nil {
			return
		}
		if len(b.Hours) > int(noticesHours) || len(b.Asks) > int(noticesHours) || len(b.Have) > entriesHeard || len(b.Receipts) > noticesPart ||
			!bytes.Equal(canon.MustMarshal(b), body) {
			t.Fatalf("%+v", b)
		}
	})
}
