package appliance

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/vault"
)

const day = 24 * time.Hour

// ticks is a node's clock that a test puts where it likes, and the steady one beside it.
type ticks struct {
	*inside
	began, now time.Time
	ran        time.Duration
}

func newTicks(t *testing.T) *ticks {
	x := &ticks{began: time.Date(2040, 1, 1, 12, 0, 0, 0, time.UTC)}
	x.now = x.began
	x.inside = newInsideAt(t, func() time.Time { return x.now })
	x.clock.run = func() time.Duration { return x.ran }
	return x
}

// others has the other members' clocks have said so now, one after the other, and the node look; never is silence.
func (x *ticks) others(said ...time.Time) {
	x.say(said...)
	x.clock.look()
}

func (x *ticks) say(said ...time.Time) {
	all := slices.DeleteFunc(x.members.All(), func(id transport.NodeID) bool { return id == x.cfg.Node })
	now := x.now
	x.peers.Sight = func(id transport.NodeID) transport.Sight {
		i := slices.Index(all, id)
		if i < 0 || said[i].IsZero() {
			return transport.Sight{}
		}
		return transport.Sight{Ahead: said[i].Sub(now), At: now}
	}
}

var never time.Time

// Goal: a time is past for good by the node's clock and by those of so many others that one of them is honest; what is said counts as it
// was said, also after the node's own clock has jumped. Method: clocks of three nodes that say different things; the counts of larger
// clusters; a key that more must sign with than half.
func TestPast(t *testing.T) {
	x := newTicks(t)
	right, wrong := x.began, x.began.Add(401*day)
	for name, row := range map[string]struct {
		own, one, two, want time.Time
	}{
		"nobody is heard":           {right, never, never, time.UnixMilli(0)},
		"one of two is heard":       {right, right, never, time.UnixMilli(0)},
		"all are right":             {right, right, right, right},
		"its own is ahead":          {wrong, right, right, right},
		"one helps it":              {wrong, wrong, right, right},
		"the other helps it":        {wrong, right, wrong, right},
		"all others are ahead":      {right, wrong, wrong, right},
		"all of them are ahead":     {wrong, wrong, wrong, wrong},
		"one other is a day behind": {right, right.Add(-day), right, right.Add(-day)},
	} {
		x.now = row.own
		if x.others(row.one, row.two); !x.clock.past().Equal(row.want) {
			t.Errorf("%s: %v", name, x.clock.past())
		}
	}
	x.now = right
	x.others(right, right)
	if x.now = wrong; !x.clock.past().Equal(right) {
		t.Errorf("it jumps between two beats: %v", x.clock.past())
	}
	if x.clock.look(); !x.clock.past().Equal(right) {
		t.Errorf("it has jumped, and nobody has spoken since: %v", x.clock.past())
	}
	for others, want := range []int{0, 1, 2, 3, 3, 4, 4, 5} {
		if got := x.clock.confirms(others); got != want {
			t.Errorf("of %d others %d confirm, want %d", others, got, want)
		}
	}
	id, _ := x.newKeyOf(t, frost.Ed25519, keys.Active)
	rec, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	rec.Info.Committee.Threshold = 5
	if err := x.keys.Put(t.Context(), id, rec); err != nil || x.clock.confirms(6) != 5 {
		t.Errorf("with a key of which five must sign %d of six others confirm, %v", x.clock.confirms(6), err)
	}
}

// leaves puts into a node all that goes by the time, as of now, and returns what tells which of it is there, and a look at all of it.
func (x *ticks) leaves(t *testing.T) (there func() []string, tend func()) {
	t.Helper()
	ctx := t.Context()
	id, shares := x.newKeyOf(t, frost.Ed25519, keys.Staged)
	if err := x.making.stage(ctx, id, shares[x.world.Committee.Parties[0]]); err != nil {
		t.Fatal(err)
	}
	rec, err := x.keys.Record(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	rec.Created = x.now.UnixMilli()
	if err := x.keys.Put(ctx, id, rec); err != nil {
		t.Fatal(err)
	}
	spent := x.counts(t, "pay", "w", "v", "a", "", 10)
	x.ledger.release(ctx, spent, true)
	w := waiterOf("asker", x.now)
	w.Cancelled = attest.Hex{1}
	x.desk.m["waits"] = w
	of := map[string][]byte{"amount": entryKey(spent[0]), "request that waits": waiterKey("waits"), "session": nil,
		"receipt": receiptKey("rc_pay"), "use": nil}
	puts := []vault.Pair{x.ops.Answered(string(attest.OpSign), "pay", [32]byte{}, []byte("rc_pay")),
		operation.Use{At: x.gate.clock().UnixMilli()}.Put("pay"), {Key: of["receipt"], Value: []byte{1}},
		{Key: of["request that waits"], Value: canon.MustMarshal(w.waiterRecord)}}
	of["session"], of["use"] = puts[0].Key, puts[1].Key
	if err := x.cfg.Store.Batch(ctx, puts, nil); err != nil {
		t.Fatal(err)
	}
	there = func() (out []string) {
		for what, key := range of {
			if _, err := x.cfg.Store.Get(ctx, key); err == nil {
				out = append(out, what)
			}
		}
		if _, err := x.keys.Record(ctx, id); err == nil {
			out = append(out, "share")
		}
		if x.ledger.m[spent[0]] != nil {
			out = append(out, "amount in memory")
		}
		if x.desk.m["waits"] != nil {
			out = append(out, "request in memory")
		}
		slices.Sort(out)
		return out
	}
	first := x.now
	return there, func() {
		x.desk.tend(ctx, func(f func()) { f() })
		x.ledger.prune(ctx)
		if err := x.expireNow(ctx); err != nil {
			t.Fatal(err)
		}
		x.sent = nil
		x.making.askAbout(ctx, &turns{m: map[string]*turn{id: {count: 1, first: first, last: first}}})
		if asked := slices.ContainsFunc(x.sent, func(e transport.Envelope) bool { return e.Kind == ceremony.KindAsk }); asked !=
			slices.Contains(there(), "share") {
			t.Errorf("the others are asked about a share that waits: %v, it is there: %v", asked, !asked)
		}
		if err := x.making.expireKey(ctx, id, stagedAsked); err != nil && problem.As(err).Code != problem.NotFound {
			t.Fatal(err)
		}
	}
}

// Goal: nothing goes by the node's own clock alone, on disk or in memory: not receipts and session_ids, what was signed, what was taken
// back, shares of keys that wait; and all of it goes when enough others say so too. Method: all that goes, and a clock that is 401 days
// ahead, of a node that hears nobody, one other, both, of which one helps it; at last of all.
func TestNothingGoesByOneClock(t *testing.T) {
	x := newTicks(t)
	there, tend := x.leaves(t)
	all := there()
	if len(all) != 8 {
		t.Fatalf("%v", all)
	}
	x.now = x.began.Add(401 * day)
	for name, said := range map[string][]time.Time{"nobody": {never, never}, "one": {x.now, never}, "both": {x.began, x.began},
		"a liar": {x.now, x.began}} {
		x.others(said...)
		if tend(); !slices.Equal(there(), all) {
			t.Errorf("heard: %s; left are %v of %v", name, there(), all)
		}
	}
	x.others(x.now, x.now)
	if tend(); len(there()) != 0 {
		t.Errorf("all say so, and %v are left", there())
	}
}

// Goal: a node that is alone in its cluster goes by its own clock. Method: a roster of which all others are removed.
func TestAloneGoesByItsClock(t *testing.T) {
	x := newTicks(t)
	for _, p := range x.world.Committee.Parties[1:] {
		x.remove(t, p)
	}
	x.others(never, never)
	x.now = x.now.Add(day)
	if x.clock.look(); !x.clock.past().Equal(x.now) || !x.clock.early().Equal(x.now) || !x.clock.late().Equal(x.now) {
		t.Errorf("%v, %v, %v", x.clock.past(), x.clock.early(), x.clock.late())
	}
}

// Goal: a jump of a running node's clock takes nothing out of a window, nor does one member's word; the time of a window goes on, by the
// clock that does not jump; what enough others say counts. Method: an amount, and jumps before and after a beat.
func TestJumpEmptiesNoWindow(t *testing.T) {
	x := newTicks(t)
	x.others(x.began, x.began)
	x.counts(t, "pay", "w", "v", "a", "", 10)
	p, d := spends("next", "w", "v", "a", "", 5)
	sums := func(when string, want [3]int64) {
		t.Helper()
		if got := x.sums(p, d, policy.SpentWallet, ""); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	x.now = x.began.Add(9 * day)
	sums("between two beats", [3]int64{10, 10, 10})
	if v, err := x.ledger.judge(p, d, func(s policy.Spent) policy.Verdict {
		return policy.Verdict{Allow: s(policy.SpentWallet, "", time.Hour).Sign() == 0}
	}); err != nil || v.Allow {
		t.Errorf("judged between two beats: %v, %v", v, err)
	}
	x.others(x.now, x.began)
	sums("one helps it", [3]int64{10, 10, 10})
	if s := x.clockCheck(); !s.OK || !strings.Contains(s.Detail, "it has jumped ahead by 216h0m0s, which too few peers confirm") {
		t.Errorf("said of it: %+v", s)
	}
	x.ran = 2 * time.Hour
	sums("two hours later", [3]int64{0, 10, 10})
	x.now = x.began.Add(x.ran)
	sums("right again", [3]int64{0, 10, 10})
	x.now = x.began.Add(9 * day)
	x.others(x.now, x.now)
	if sums("all say so", [3]int64{}); strings.Contains(x.clockCheck().Detail, "jumped") {
		t.Error(x.clockCheck().Detail)
	}
}

// Goal: a node that was started with a clock ahead counts by the time of most others as soon as it hears them, and by its own again when
// that is right. Method: as it says; then a peer that alone is behind, and peers that were heard an hour ago, which change nothing.
func TestStartedAheadCountsByTheOthers(t *testing.T) {
	x := newTicks(t)
	x.counts(t, "pay", "w", "v", "a", "", 10)
	x.now = x.began.Add(9 * day)
	x.clock.look()
	p, d := spends("next", "w", "v", "a", "", 5)
	if x.sums(p, d, policy.SpentWallet, "") != [3]int64{} {
		t.Error("it knows better before it has heard anybody")
	}
	x.others(x.began, x.began)
	if got := x.sums(p, d, policy.SpentWallet, ""); got != [3]int64{10, 10, 10} {
		t.Errorf("most say that it is ahead: %v", got)
	}
	x.now = x.began
	x.others(x.began.Add(-9*day), x.began)
	right := func(when string) {
		t.Helper()
		if !x.clock.early().Equal(x.now) || !x.clock.late().Equal(x.now) {
			t.Errorf("%s: %v, %v", when, x.clock.early(), x.clock.late())
		}
	}
	right("one is behind")
	x.others(x.began, x.began)
	x.now, x.ran = x.began.Add(time.Hour), time.Hour
	x.clock.look()
	right("an hour after they were heard")
}

// Goal: the others' clocks are looked at with each beat. Method: a beat.
func TestBeatLooksAtClocks(t *testing.T) {
	x := newTicks(t)
	x.say(x.began, x.began)
	x.state()
	if _, ok := x.clock.steadily(); !ok {
		t.Error("there is no steady time")
	}
}

// Goal: a node that was started with a wrong clock, and hears too few who could confirm it or not, goes by its clock as soon as that is
// right. Method: three nodes of which one is away; the clock is ahead at the start, or behind, and right a minute later.
func TestUnconfirmedGoesByItsClock(t *testing.T) {
	for _, off := range []time.Duration{401 * day, -401 * day} {
		x := newTicks(t)
		x.now = x.began.Add(off)
		x.others(x.began, never)
		x.now, x.ran = x.began.Add(time.Minute), time.Minute
		x.others(x.now, never)
		if !x.clock.early().Equal(x.now) || !x.clock.late().Equal(x.now) {
			t.Errorf("off by %s: %v, %v", off, x.clock.early(), x.clock.late())
		}
	}
}

// Goal: what is kept for a time is kept for all of it, though the node's clock had jumped back when it was kept: a payment that was signed
// then counts in the window after, and its session_id stays. Method: everything that goes by the time, of a clock that was back by 401
// days for a moment, a minute later.
func TestJumpBackForgetsNothing(t *testing.T) {
	x := newTicks(t)
	x.others(x.began, x.began)
	x.now = x.began.Add(-401 * day)
	there, tend := x.leaves(t)
	p, d := spends("next", "w", "v", "a", "", 5)
	x.now, x.ran = x.began.Add(time.Minute), time.Minute
	x.others(x.now, x.now)
	if got := x.sums(p, d, policy.SpentWallet, ""); got != [3]int64{10, 10, 10} {
		t.Errorf("what was signed meanwhile: %v", got)
	}
	tend()
	for _, what := range []string{"amount", "amount in memory", "receipt", "session", "use"} {
		if !slices.Contains(there(), what) {
			t.Errorf("%s is gone", what)
		}
	}
}
