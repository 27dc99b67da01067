package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
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

// Goal: what came to nothing of a member's proposals is bounded, in bytes and in key ceremonies, and comes back at a rate; who is busy and
// succeeds is never refused, nor who others make fail. Method: a coordinator of each sort, on a clock of the test.
func TestQuotas(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	batch := costOf(attest.OpSign, make64())
	if batch.bytes < 64*(entryBytes+256) || batch.keys != 0 {
		t.Fatalf("a batch of 64 costs %+v", batch)
	}
	var q quotas
	run := func(by, blamed transport.NodeID, c cost, failed, kept bool) (refused int) {
		for range 1000 {
			if _, why := q.begin(now, by, c); why != "" {
				refused++
				continue
			}
			q.end(now, by, blamed, c, failed, kept)
		}
		return refused
	}
	if n := run("honest", "honest", batch, false, false); n != 0 {
		t.Errorf("who succeeds is refused %d times", n)
	}
	took := 1000 - run("silent", "silent", batch, true, false)
	if bytes := float64(took) * batch.bytes; bytes < quotaBytes/2 || bytes > 1.1*quotaBytes {
		t.Errorf("%.0f bytes came to nothing, at most %d", bytes, quotaBytes)
	}
	limited := func(peer transport.NodeID) bool {
		yes, _ := q.limited(now, peer)
		return yes
	}
	if !limited("silent") || limited("honest") {
		t.Error("who is limited does not show")
	}
	if first, why := q.begin(now, "silent", batch); first || why != excessNothing { // the run above had the first
		t.Error("an excess is put on record more often than once a minute")
	}
	now = now.Add(2 * time.Minute)
	if first, why := q.begin(now, "silent", batch); first || why != "" {
		t.Error("nothing is forgotten")
	}
	q.end(now, "silent", "silent", batch, true, false)
	took = 1000 - run("silent", "silent", batch, true, false)
	if bytes := float64(took) * batch.bytes; bytes > 1.1*2*quotaLeak {
		t.Errorf("in two minutes %.0f bytes came to nothing", bytes)
	}
	if first, _ := q.begin(now, "silent", batch); first {
		t.Error("twice in a minute")
	}

	// Others make it fail: they are to blame until they have used up their part.
	took = 1000 - run("victim", "liar", batch, true, false)
	if bytes := float64(took) * batch.bytes; bytes < 1.8*quotaBytes || bytes > 2.2*quotaBytes {
		t.Errorf("%.0f bytes of two members came to nothing", bytes)
	}

	// Keys.
	key := costOf(attest.OpKeygen, make64()[:1])
	if took := 1000 - run("hoarder", "hoarder", key, false, true); took != quotaKeys/unproven {
		t.Errorf("%d keys in no time that nobody proves, at most %d", took, quotaKeys/unproven)
	}
	took = 0
	for range 1000 {
		if _, why := q.begin(now, "maker", key); why == "" {
			took++
			q.end(now, "maker", "maker", key, false, true)
			q.proved(now, "maker", 0)
		}
	}
	if took < quotaKeys-unproven || took > quotaKeys {
		t.Errorf("%d keys in no time, at most %d", took, quotaKeys)
	}
	if took := 1000 - run("junk", "junk", key, true, false); took != quotaKeys/failedKey {
		t.Errorf("%d keygens came to nothing, at most %d", took, quotaKeys/failedKey)
	}
	if _, why := q.begin(now, "junk", batch); why != "" {
		t.Error("who makes too many keys cannot sign")
	}
	if took := 1000 - run("refresher", "refresher", costOf(attest.OpRefresh, make64()[:1]), false, false); took != 1000 {
		t.Errorf("%d refreshes of 1000 that succeed are taken", took)
	}

	// Many at once: what is under way counts beside what came to nothing.
	for range 1000 {
		if _, why := q.begin(now, "busy", batch); why != "" {
			t.Fatal("who is busy is refused")
		}
	}
	q.end(now, "busy", "busy", batch, true, false)
	if _, why := q.begin(now, "busy", batch); why == "" {
		t.Error("what is under way does not count")
	}
}

// Goal: proofs of a threshold that make no key active are bounded for each member, those of a key that becomes active are not, however
// many keys are made, and who has used them up is refused no other ceremony. Method: a party's quota on a clock of the test: a member that
// proves one key without end; that one a minute later; one that proves new keys; one whose proposals came to nothing before the record.
func TestProofsQuota(t *testing.T) {
	x := newInside(t)
	now := time.Unix(1_000_000, 0)
	x.cfg.Clock = func() time.Time { return now }
	ps := x.world.Committee.Parties
	prover, maker := nodeOf(ps[1]), nodeOf(ps[2])
	proves := func(by transport.NodeID, times int, write bool) (took int, refused error) {
		for range times {
			err := x.within(t.Context(), by, opProve, make64()[:1], func(ctx context.Context) error {
				if write {
					noteWritten(ctx, 0)
				}
				return nil
			})
			if err != nil {
				refused = err
				continue
			}
			took++
		}
		return took, refused
	}
	if took, err := proves(prover, 2*quotaProofs, false); err != nil {
		t.Errorf("what wrote nothing counts: %d are taken, %v", took, err)
	}
	took, err := proves(prover, 10*quotaProofs, true)
	if e := problem.As(err); took != quotaProofs || e.Code != problem.Overload || !strings.Contains(e.Message, string(prover)) {
		t.Errorf("%d proofs are taken, %v", took, err)
	}
	if on := x.events(t); !slices.Equal(on, []string{"quota.exceeded"}) {
		t.Errorf("on record: %v", on)
	}
	for _, s := range x.Nodes() {
		if s.Limited != (s.ID == prover) || strings.Contains(s.Trouble, excessProofs.words()) != s.Limited {
			t.Errorf("%s: limited %v, trouble %q", s.ID, s.Limited, s.Trouble)
		}
	}
	if err := x.within(t.Context(), prover, attest.OpSign, make64(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("a payment by it: %v", err)
	}
	now = now.Add(time.Minute)
	if took, _ := proves(prover, 10*quotaProofs, true); took != proofsLeak {
		t.Errorf("a minute later %d proofs are taken, want %d", took, proofsLeak)
	}
	batch := func(ctx context.Context) error {
		noteWritten(ctx, 0)
		return nil
	}
	if err := x.within(t.Context(), maker, opProve, make64(), batch); err != nil {
		t.Fatal(err)
	}
	if took, _ := proves(maker, quotaProofs, true); took != quotaProofs-64 {
		t.Errorf("beside a proposal of 64 proofs %d are taken", took)
	}
	x.quotas.m = nil
	for range quotaProofs {
		took, err := proves(maker, 2, true)
		if took != 2 {
			t.Fatalf("proofs of new keys are refused: %v", err)
		}
		x.quotas.proved(now, maker, 2)
	}
}

// Goal: fillings of the pool of presignatures, which nobody asks for, are bounded for each member, and come back; what found no room, and
// wrote nothing, does not count; who has used them up is refused no payment. Method: a member that fills without end, on a clock of the
// test.
func TestFillsQuota(t *testing.T) {
	x := newInside(t)
	now := time.Unix(1_000_000, 0)
	x.cfg.Clock = func() time.Time { return now }
	by := nodeOf(x.world.Committee.Parties[1])
	fills := func(times int, write bool) (took int, refused error) {
		for range times {
			if err := x.within(t.Context(), by, attest.OpPresign, make64()[:1], func(ctx context.Context) error {
				if write {
					noteWritten(ctx, 0)
				}
				return nil
			}); err != nil {
				refused = err
			} else {
				took++
			}
		}
		return took, refused
	}
	if took, err := fills(2*quotaFills, false); err != nil {
		t.Errorf("what wrote nothing counts: %d are taken, %v", took, err)
	}
	for range 2 {
		if took, err := fills(2*quotaFills, true); took != quotaFills || problem.As(err).Code != problem.Overload {
			t.Errorf("%d fillings are taken in no time, %v", took, err)
		}
		if limited, why := x.quotas.limited(now, by); !limited || why != excessFills.words() {
			t.Errorf("it is limited %v, for %q", limited, why)
		}
		if err := x.within(t.Context(), by, attest.OpSign, make64(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("a payment by it: %v", err)
		}
		now = now.Add(time.Minute)
	}
}

// Goal: what a member has done again and again under one session_id counts as what came to nothing, though it succeeds, and where it is
// refused for that, the member is named on record and shown. Method: ceremonies of which the gate says so.
func TestRepeatsQuota(t *testing.T) {
	x := newInside(t)
	by := nodeOf(x.world.Committee.Parties[1])
	run := func(again int, err error) error {
		return x.within(t.Context(), by, attest.OpSign, make64(), func(ctx context.Context) error {
			noteWritten(ctx, again)
			return err
		})
	}
	took := 0
	for took < 10_000 && run(32, nil) == nil {
		took++
	}
	if bytes := float64(took) * costOf(attest.OpSign, make64()).bytes / 2; bytes < 0.9*quotaBytes || bytes > 1.1*quotaBytes {
		t.Errorf("%.0f bytes of what was done before are taken, at most %d", bytes, quotaBytes)
	}
	x.quotas.m = nil
	x.events(t)
	for range 2 {
		if err := run(0, problem.All([]error{nil, tooOften("s", string(by))})); !errors.Is(err, errActs) {
			t.Fatal(err)
		}
	}
	if on := x.events(t); !slices.Equal(on, []string{"quota.exceeded"}) {
		t.Errorf("on record: %v", on)
	}
	for _, s := range x.Nodes() {
		if s.Limited != (s.ID == by) || strings.Contains(s.Trouble, excessActs.words()) != s.Limited {
			t.Errorf("%s: limited %v, trouble %q", s.ID, s.Limited, s.Trouble)
		}
	}
}

func make64() []*attest.Intent {
	out := make([]*attest.Intent, 64)
	for i := range out {
		out[i] = &attest.Intent{RequestID: strings.Repeat("s", 128), Requester: strings.Repeat("r", 128)}
	}
	return out
}

// Goal: a party counts what a ceremony wrote here and came to nothing, names who used up its part, on record and in the list of nodes, and
// refuses its proposals; what wrote nothing, or failed by this node's own fault, counts for nobody. Method: ceremonies of each end.
func TestWithinQuota(t *testing.T) {
	x := newInside(t)
	ps := x.world.Committee.Parties
	asker, other, intents := nodeOf(ps[1]), nodeOf(ps[2]), make64()
	failing := func(by transport.NodeID, write bool, err error) (refused error) {
		for range 200 {
			got := x.within(t.Context(), by, attest.OpSign, intents, func(ctx context.Context) error {
				if write {
					noteWritten(ctx, 0)
				}
				return err
			})
			if got != err {
				return got
			}
		}
		return nil
	}
	silence := &ceremony.SilenceError{Missing: ps[2:3]}
	if err := failing(asker, false, silence); err != nil {
		t.Errorf("what wrote nothing counts: %v", err)
	}
	if err := failing(asker, true, problem.New(problem.HSM, "", "our token")); err != nil {
		t.Errorf("what this node is to blame for counts: %v", err)
	}
	if err := failing(asker, true, nil); err != nil {
		t.Errorf("what succeeds counts: %v", err)
	}
	if on := x.events(t); len(on) != 0 {
		t.Errorf("on record: %v", on)
	}
	err := failing(asker, true, silence)
	if e := problem.As(err); e.Code != problem.Overload || !strings.Contains(e.Message, string(asker)) {
		t.Errorf("it is told %v", err)
	}
	if on := x.events(t); len(on) != 1 || on[0] != "quota.exceeded" {
		t.Errorf("on record: %v", on)
	}
	var last audit.Entry
	if es, err := x.cfg.AuditLog.Entries(x.seen-1, 1); err != nil || len(es) != 1 {
		t.Fatal(err)
	} else {
		last = es[0]
	}
	if last.Facts["culprit."+string(asker)] == "" {
		t.Errorf("nobody is named: %v", last.Facts)
	}
	for _, s := range x.Nodes() {
		if s.Limited != (s.ID == asker) || s.Accused {
			t.Errorf("%s: limited %v, accused %v", s.ID, s.Limited, s.Accused)
		}
	}
	for _, row := range []struct {
		err  error
		want transport.NodeID
	}{{silence, asker}, {errors.New("x"), asker},
		{&ceremony.RefusedError{From: other}, asker}, // it may have been asked for nonsense
		{&threshold.Abort{Kind: threshold.Ban, Culprits: ps[2:3]}, other},
		{&threshold.Abort{Kind: threshold.Local, Culprits: ps[2:3]}, asker},
		{&threshold.Abort{Kind: threshold.Ban, Culprits: ps[:1]}, asker}} {
		if got := x.toBlame(ceremony.FailureOf(row.err), asker); got != row.want {
			t.Errorf("%v: %s is to blame, want %s", row.err, got, row.want)
		}
	}
}

// Goal: a coordinator goes elsewhere for a while when a party refuses what others may not, and not for what a refresh, a restart or the
// pool explains, unless it does nothing else. Method: refusals of each code, and the quorum that is chosen then.
func TestGoesElsewhere(t *testing.T) {
	for code, want := range map[problem.Code]bool{problem.Denied: true, problem.Overload: true, problem.Invalid: true, problem.HSM: true,
		problem.Starting: false, problem.Conflict: false, problem.Held: false, problem.PairState: false, problem.Attempt: false,
		problem.Presig: false} {
		x := newInside(t)
		ps := x.world.Committee.Parties
		for _, p := range ps[1:] {
			x.peers.Heard(nodeOf(p))
			x.peers.Heartbeat(transport.Envelope{From: nodeOf(p), Body: canon.MustMarshal(struct {
				Version string        `cbor:"1,keyasint"`
				Ready   bool          `cbor:"2,keyasint"`
				Boot    ceremony.Boot `cbor:"3,keyasint"`
			}{"1", true, ceremony.Boot{byte(p), 1}})})
		}
		refusal := &ceremony.RefusedError{From: nodeOf(ps[1]), Refusal: ceremony.Refusal{Code: code}}
		x.goElsewhere(ceremony.FailureOf(refusal))
		q, err := x.peers.Quorum(x.world.Committee, nil)
		if err != nil || slices.Contains(q, ps[1]) == want {
			t.Errorf("after a refusal with %s the quorum is %v, %v", code, q, err)
		}
		for range excusesMinute {
			x.goElsewhere(ceremony.FailureOf(refusal))
		}
		if q, err := x.peers.Quorum(x.world.Committee, nil); err != nil || slices.Contains(q, ps[1]) {
			t.Errorf("after refusals with %s without end the quorum is %v, %v", code, q, err)
		}
	}
	x := newInside(t)
	x.goElsewhere(ceremony.FailureOf(errors.New("another end")))
}

// Goal: a member that asks again and again for what is large is told so much a second, the others what they ask, and it again in the next.
// Method: questions about a receipt of 1 MiB and about a key, on a clock of the test.
func TestToldAtARate(t *testing.T) {
	x := newInside(t)
	now := time.Unix(1_000_000, 0)
	x.cfg.Clock = func() time.Time { return now }
	id, _ := x.newKeyOf(t, frost.Ed25519, keys.Active)
	puts := []vault.Pair{{Key: receiptKey("rc_large"), Value: make([]byte, 1<<20)},
		{Key: certificateKey(id, 1),
			Value: canon.MustMarshal(certificates{Version: certificatesVersion, Each: []certificate{{Party: 1}}})}}
	if err := x.cfg.Store.Batch(t.Context(), puts, nil); err != nil {
		t.Fatal(err)
	}
	ps := x.world.Committee.Parties
	asks := func(of transport.NodeID, times int) (bytes int) {
		before, body := len(x.sent), canon.MustMarshal(question{Op: opReceipt, Session: "rc_large"})
		for range times {
			x.others.answer(t.Context(), transport.Envelope{From: of, Body: body})
		}
		for _, e := range x.sent[before:] {
			bytes += len(e.Body)
		}
		return bytes
	}
	askKey := func(of transport.NodeID) bool {
		before := len(x.sent)
		x.making.answerAsk(t.Context(), transport.Envelope{From: of, Body: canon.MustMarshal(ask{id, 1})})
		return len(x.sent) > before
	}
	greedy, other := nodeOf(ps[1]), nodeOf(ps[2])
	if got := asks(greedy, 100); got < toldSecond || got > toldSecond+2<<20 {
		t.Errorf("it was told %d bytes", got)
	}
	if askKey(greedy) {
		t.Error("and of keys besides")
	}
	var busy said
	x.others.answer(t.Context(), transport.Envelope{From: greedy, Body: canon.MustMarshal(question{Op: attest.OpSign, Session: "s"})})
	if last := x.sent[len(x.sent)-1]; canon.Unmarshal(last.Body, &busy) != nil || !busy.Acting {
		t.Error("silence about a session says that nobody has an answer")
	}
	if asks(other, 1) < 1<<20 || !askKey(other) {
		t.Error("another is told nothing")
	}
	now = now.Add(time.Second)
	if asks(greedy, 1) < 1<<20 || !askKey(greedy) {
		t.Error("it is told nothing in the next second")
	}
	now = now.Add(time.Second)
	for range toldSecond / loggedCost { // small answers, for which the log is read
		x.others.answer(t.Context(), transport.Envelope{From: greedy, Body: canon.MustMarshal(question{Op: opLogged, Session: "rc_none"})})
	}
	if askKey(greedy) {
		t.Error("it has the log read without an end")
	}
}

// Goal: messages that a member sends again and again fill no log: each thing about a member is said once a minute, in few bytes, and what
// is said of one hides nothing of another. Method: proposals, proofs, answers and rosters that are refused, on a clock of the test.
func TestRemarks(t *testing.T) {
	x, said := newInside(t), &bytes.Buffer{}
	now := time.Unix(1_000_000, 0)
	x.cfg.Clock, x.cfg.Logger = func() time.Time { return now }, slog.New(slog.NewTextHandler(said, nil))
	id, shares := x.newKeyOf(t, frost.Ed25519, keys.Staged)
	ps := x.world.Committee.Parties
	refused := canon.MustMarshal(proofs{KeyID: id})
	all := func(of transport.NodeID) {
		for range 50 {
			x.answerProposal(t.Context(), transport.Envelope{From: of, Body: []byte("no proposal")})
			x.making.learnProof(t.Context(), transport.Envelope{From: of, Body: refused})
			x.learnRoster(t.Context(), transport.Envelope{From: of, Body: fmt.Appendf(nil, "{%q:1}", strings.Repeat("long ", 1000))})
			x.learnRoster(t.Context(), transport.Envelope{From: of, Body: []byte("r_another 1")})
			x.making.learnAnswer(t.Context(), transport.Envelope{From: of, Body: canon.MustMarshal(answer{KeyID: id, Epoch: shares[ps[0]].Epoch,
				Certs: []certificate{{Party: ps[1]}, {Party: ps[1]}}})})
		}
	}
	for i, of := range []transport.NodeID{nodeOf(ps[1]), nodeOf(ps[2]), nodeOf(ps[1])} {
		if i == 2 {
			now = now.Add(remarkEvery)
		}
		all(of)
		if got := strings.Count(said.String(), "\n"); got != 5*(i+1) {
			t.Errorf("%d lines after %d rounds, not five a round:\n%s", got, i+1, said)
		}
	}
	for line := range strings.Lines(said.String()) {
		if len(line) > 700 {
			t.Errorf("a line of %d bytes: %.200s", len(line), line)
		}
	}
}

// Goal: nobody is charged for what failed at this node itself. Method: its own failures of every kind.
func TestOurs(t *testing.T) {
	for code, want := range map[problem.Code]bool{problem.HSM: true, problem.Storage: true, problem.Integrity: true, problem.Internal: true,
		problem.Quorum: false, problem.Denied: false} {
		if got := ours(ceremony.FailureOf(problem.New(code, "", "m"))); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
	if ours(ceremony.FailureOf(errors.New("another end"))) {
		t.Error("another end")
	}
}

// Goal: what a node says of a session_id is read by releases that know of no acts, as an answer that is not read is taken for none. Method:
// a use that counts acts, asked about.
func TestActsAreNotTold(t *testing.T) {
	x := newInside(t)
	asker := nodeOf(x.world.Committee.Parties[1])
	x.ops = operation.New(x.cfg.Store, x.cfg.Clock)
	use := operation.Use{Coordinator: "node2", At: 1, Acts: map[string]int{"node2": 3}}
	if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{use.Put("s")}, nil); err != nil {
		t.Fatal(err)
	}
	x.others.answer(t.Context(), transport.Envelope{From: asker, Body: canon.MustMarshal(question{Op: attest.OpSign, Session: "s"})})
	var got said
	err := canon.Unmarshal(x.sent[len(x.sent)-1].Body, &got)
	if err != nil || got.Use == nil || got.Use.Coordinator != "node2" || got.Use.Acts != nil {
		t.Errorf("it is told %+v, %v", got.Use, err)
	}
}
