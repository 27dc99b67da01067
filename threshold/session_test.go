package threshold_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

type (
	party   = threshold.PartyID
	message = threshold.Message
	tokens  = []byte
)

// toy is a protocol of three rounds: a broadcast, a direct message to each, both. Its result is everything that was said; a
// body "bad" is refused.
type toy struct {
	parties []party
	self    party
	round   int
	said    []byte
	erased  *int
}

func (r *toy) Expect() threshold.Expect {
	return threshold.Expect{Broadcast: r.round != 2, Direct: r.round != 1, MaxBytes: 16}
}

func (r *toy) Check(_ party, in threshold.Inbound) (threshold.Payload, error) {
	for _, b := range [][]byte{in.Broadcast, in.Direct} {
		switch string(b) {
		case "bad":
			return nil, threshold.Faultf(threshold.Proven, "toy", "a bad body")
		case "weak":
			return nil, threshold.Faultf(threshold.Ban, "toy-pair", "a weak body")
		}
	}
	return append(slices.Clone(in.Broadcast), in.Direct...), nil
}

func (r *toy) Advance(_ io.Reader, in []threshold.Received) (threshold.Step[tokens], error) {
	for _, x := range in {
		r.said = append(r.said, x.Payload.([]byte)...)
	}
	if r.round == 3 {
		return threshold.Step[tokens]{Result: r.said}, nil
	}
	next := *r
	next.round++
	return threshold.Step[tokens]{Out: next.out(), Next: &next}, nil
}

func (r *toy) out() []threshold.Outgoing {
	var out []threshold.Outgoing
	if r.round != 2 {
		out = append(out, threshold.Outgoing{To: threshold.Everybody, Body: fmt.Appendf(nil, "%d:%d;", r.self, r.round)})
	}
	if r.round != 1 {
		for _, p := range r.parties {
			if p != r.self {
				out = append(out, threshold.Outgoing{To: p, Body: fmt.Appendf(nil, "%d>%d;", r.self, p)})
			}
		}
	}
	return out
}

func (r *toy) Erase() { *r.erased++ }

type counts struct{ begun, opened, erased, discarded int }

// open starts a toy session of one party.
func open(t *testing.T, s threshold.Setup, c *counts) *threshold.Session[tokens] {
	t.Helper()
	x, err := threshold.NewSession(s, tt.NewRand(7, fmt.Sprint("toy", s.Self)), threshold.Opening[tokens]{
		Begin: func(io.Reader, threshold.SessionID, []threshold.Received) (threshold.Step[tokens], error) {
			c.begun++
			r := &toy{parties: s.Committee.Parties, self: s.Self, round: 1, erased: &c.erased}
			return threshold.Step[tokens]{Out: r.out(), Next: r}, nil
		},
		Erase:   func() { c.opened++ },
		Discard: func(tokens) { c.discarded++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func toys(t *testing.T, w *tt.World, change func(*threshold.Setup)) (*tt.Run[tokens], map[party]*counts) {
	t.Helper()
	run := &tt.Run[tokens]{World: w, Sessions: map[party]*threshold.Session[tokens]{}, Liars: map[party]tt.Tamper{}}
	cs := map[party]*counts{}
	for _, p := range w.Committee.Parties {
		s := w.Setup(p, nil, "toy")
		if change != nil {
			change(&s)
		}
		cs[p] = &counts{}
		run.Sessions[p] = open(t, s, cs[p])
	}
	return run, cs
}

func play(t *testing.T, run *tt.Run[tokens]) map[party]tt.Outcome[tokens] {
	t.Helper()
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Goal: rounds of every shape get through on every network, and everything is erased once. Method: a toy protocol.
func TestRoundShapes(t *testing.T) {
	for name, f := range tt.Networks() {
		for seed := range uint64(20) {
			w := tt.NewWorld(seed, 3, 2)
			w.Faults = f
			run, cs := toys(t, w, nil)
			for p, o := range play(t, run) {
				if !o.Done || len(o.Result) == 0 {
					t.Errorf("%s, seed %d, party %d: %v, missing %v", name, seed, p, o.Abort, o.Missing)
				}
				if c := cs[p]; *c != (counts{begun: 1, opened: 1, erased: 3}) {
					t.Errorf("party %d erased %+v", p, *c)
				}
			}
		}
	}
}

// Goal: faults in direct and broadcast messages have the kind that the round gives them. Method: one liar, every round.
func TestFaultKinds(t *testing.T) {
	for _, c := range []struct {
		body string
		to   bool // the direct message
		want func(liar party) []tt.Ending
	}{
		{"bad", false, func(l party) []tt.Ending { return tt.Proven(l, "toy") }},
		{"bad", true, func(l party) []tt.Ending { return append(tt.Proven(l, "toy"), tt.Waits...) }},
		{"weak", true, func(l party) []tt.Ending {
			return append([]tt.Ending{{Kind: threshold.Ban, Check: "toy-pair", Culprit: l}}, tt.Waits...)
		}},
		{"far too long for this round", false, func(l party) []tt.Ending { return tt.Proven(l, "length") }},
		{"far too long for this round", true, func(l party) []tt.Ending { return append(tt.Proven(l, "length"), tt.Waits...) }},
	} {
		for round := uint8(1); round <= 3; round++ {
			if round == 1 && c.to || round == 2 && !c.to {
				continue
			}
			w := tt.NewWorld(uint64(round), 3, 2)
			run, cs := toys(t, w, nil)
			liar := w.Committee.Parties[1]
			run.Liars[liar] = func(m message, _ party) []message {
				if m.Round == round && (m.To != threshold.Everybody) == c.to {
					m.Body = []byte(c.body)
				}
				return []message{m}
			}
			out := play(t, run)
			for p, o := range out {
				if p == liar {
					continue
				}
				got := tt.EndingOf(o)
				if !slices.Contains(c.want(liar), got) {
					t.Errorf("%q in round %d: party %d ends %v, want %v", c.body, round, p, got, c.want(liar))
				}
				if cs[p].erased == 0 || cs[p].opened != 1 {
					t.Errorf("party %d erased %+v", p, *cs[p])
				}
			}
			if !slices.ContainsFunc(w.Committee.Parties, func(p party) bool { return p != liar && out[p].Abort != nil }) {
				t.Errorf("%q in round %d goes unnoticed", c.body, round)
			}
		}
	}
}

// Goal: honest parties who hold different records of one ceremony find out in OPEN and blame nobody (a coordinator that
// tells two stories bans no one). Method: every part of the view differs in turn.
func TestViewsDiffer(t *testing.T) {
	for name, change := range map[string]func(*threshold.Setup){
		"context":   func(s *threshold.Setup) { s.Context = []byte("another") },
		"threshold": func(s *threshold.Setup) { s.Committee.Threshold = 3 },
		"identities": func(s *threshold.Setup) {
			s.Committee.Identities = slices.Clone(s.Committee.Identities)
			s.Committee.Identities[3] = bytes.Repeat([]byte{9}, 32)
		},
		"signers": func(s *threshold.Setup) { s.Signers = s.Committee.Parties[:3] },
	} {
		w := tt.NewWorld(4, 4, 2)
		odd := w.Committee.Parties[0]
		run, _ := toys(t, w, func(s *threshold.Setup) {
			if s.Self == odd {
				change(s)
			}
		})
		aborted := 0
		for p, o := range play(t, run) {
			if got := tt.EndingOf(o); got != tt.Retry("config-mismatch")[0] && got != tt.Waits[0] {
				t.Errorf("%s: party %d ends %v", name, p, o.Abort)
			}
			if o.Abort != nil {
				aborted++
			}
		}
		if aborted == 0 {
			t.Errorf("%s: nobody noticed", name)
		}
	}
}

// Goal: without signatures an echo that differs ends in a retry, and blames nobody. Method: a lying echo.
func TestNoSignatures(t *testing.T) {
	w := tt.NewWorld(5, 3, 2)
	run, _ := toys(t, w, func(s *threshold.Setup) { s.Authentic = nil })
	liar := w.Committee.Parties[0]
	run.Liars[liar] = func(m message, _ party) []message {
		if m.Round == 3 {
			m.Echo[0] ^= 1
		}
		return []message{m}
	}
	for p, o := range play(t, run) {
		if got := tt.EndingOf(o); p != liar && got != tt.Retry("echo")[0] {
			t.Errorf("party %d ends %v", p, got)
		}
	}
}

// Goal: a peer cannot fill our memory. Method: it sends the largest bodies to every place there is, a thousand times, and
// originals and accusations of every round.
func TestFlood(t *testing.T) {
	w := tt.NewWorld(6, 3, 2)
	run, _ := toys(t, w, nil)
	self, peer, other := w.Committee.Parties[0], w.Committee.Parties[1], w.Committee.Parties[2]
	x := run.Sessions[self]
	if _, err := x.Start(); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, threshold.MaxBody)
	flood := func() {
		for i := range 1000 {
			for _, to := range []party{threshold.Everybody, self, other} {
				m := message{Ceremony: w.Setup(self, nil, "toy").Ceremony, Round: uint8(i), Kind: threshold.MessageKind(1 + i%3), From: peer,
					To: to, Body: big}
				m.Session = threshold.SessionID{byte(i), 1}
				if m.Round == 0 && m.Kind == threshold.Data {
					continue // its OPEN would be refused, and that would be the end
				}
				if _, err := x.Step(m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flood()
	const places = 2 * 2 // this round's and the next, broadcast and direct
	if limit := (places + 1) * threshold.MaxBody; x.Held() > limit+1024 || x.Held() < 3*threshold.MaxBody {
		t.Errorf("holds %d bytes, at most %d per peer", x.Held(), limit)
	}
	// Originals of finished rounds, in turns, do not make us repeat ours.
	w2 := tt.NewWorld(6, 3, 2)
	run2, _ := toys(t, w2, nil)
	if out := play(t, run2); !out[self].Done {
		t.Fatal("honest run failed")
	}
	y := run2.Sessions[self]
	before := len(y.Outbox())
	for i := range 1000 {
		round := uint8(i % 4)
		opens := threshold.EncodeOriginals(y.Opens()[:0])
		_, _ = y.Step(message{Ceremony: w.Setup(self, nil, "toy").Ceremony, Session: y.ID(), Round: round, Kind: threshold.Originals, From: peer,
			Body: opens})
	}
	if n := len(y.Outbox()) - before; n > 5 {
		t.Errorf("sent %d messages in answer to repeated originals", n)
	}
}

// Goal: a session's life has the edges its comments promise. Method: each in turn.
func TestLife(t *testing.T) {
	w := tt.NewWorld(8, 3, 2)
	p := w.Committee.Parties[0]
	c := &counts{}
	x := open(t, w.Setup(p, nil, "toy"), c)
	if _, err := x.Step(message{}); err == nil {
		t.Error("stepped before start")
	}
	if ms, err := x.Start(); err != nil || len(ms) != 1 || len(x.Outbox()) != 1 {
		t.Error(ms, err)
	}
	if _, err := x.Start(); err == nil {
		t.Error("started twice")
	}
	if got := x.Missing(); !slices.Equal(got, w.Committee.Parties[1:]) {
		t.Errorf("missing %v", got)
	}
	if _, ok := x.Result(); ok {
		t.Error("a result before the end")
	}
	x.Erase()
	x.Erase()
	var a *threshold.Abort
	if _, err := x.Step(message{}); !errors.As(err, &a) || a.Kind != threshold.Local || c.opened != 1 || x.Missing() != nil {
		t.Errorf("after Erase: %v, %+v", err, c)
	}
	y := open(t, w.Setup(p, nil, "toy"), c)
	y.Erase()
	if _, err := y.Start(); err == nil {
		t.Error("started after Erase")
	}

	// A result nobody took is discarded.
	run, cs := toys(t, w, nil)
	queue := []message{}
	for _, q := range w.Committee.Parties {
		ms, err := run.Sessions[q].Start()
		if err != nil {
			t.Fatal(err)
		}
		queue = append(queue, ms...)
	}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for _, q := range w.Committee.Parties {
			ms, err := run.Sessions[q].Step(m)
			if err != nil {
				t.Fatal(err)
			}
			queue = append(queue, ms...)
		}
	}
	z := run.Sessions[p]
	z.Erase()
	if r, ok := z.Result(); ok || r != nil || cs[p].discarded != 1 {
		t.Error("an erased session gives a result")
	}
	other := run.Sessions[w.Committee.Parties[1]]
	if _, ok := other.Result(); !ok {
		t.Fatal("no result")
	}
	other.Erase()
	if _, ok := other.Result(); !ok || cs[w.Committee.Parties[1]].discarded != 0 {
		t.Error("a taken result was discarded")
	}

	// Our own generator fails.
	s := w.Setup(p, nil, "toy")
	broken, err := threshold.NewSession(s, bytes.NewReader(nil), threshold.Opening[tokens]{Begin: nil})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.Start(); !errors.As(err, &a) || a.Kind != threshold.Local || a.Check != "random" {
		t.Error(err)
	}
	// A payload that is not what the protocol wants is our own mistake.
	erased := false
	if _, err := threshold.NewSession(s, w.Rand(p), threshold.Opening[tokens]{PayloadLen: 3, Erase: func() { erased = true }}); err == nil ||
		!erased {
		t.Error("payload of the wrong length accepted, or its secrets kept")
	}
	// Nor is a session among others than t members, once each and in order.
	c3 := w.Committee.Parties
	for _, q := range [][]party{{}, c3[:1], {c3[1], c3[0]}, {c3[0], c3[0]}, {c3[0], 60000}} {
		erased = false
		few := w.Setup(p, q, "toy")
		if _, err := threshold.NewSession(few, w.Rand(p), threshold.Opening[tokens]{Erase: func() { erased = true }}); err == nil || !erased {
			t.Errorf("session of %v opened, or its secrets kept", q)
		}
	}
	s.Committee.Threshold, erased = 1, false
	if _, err := threshold.NewSession(s, w.Rand(p), threshold.Opening[tokens]{Erase: func() { erased = true }}); err == nil || !erased {
		t.Error("1-of-n accepted, or its secrets kept")
	}
}

// Goal: two broadcasts of OPEN that differ are found out even when the protocol has no further round. Method: an equivocator
// in a session that ends with OPEN; the originals convict it on both sides.
func TestEquivocationAfterTheEnd(t *testing.T) {
	w := tt.NewWorld(9, 3, 2)
	run := &tt.Run[tokens]{World: w, Sessions: map[party]*threshold.Session[tokens]{}, Liars: map[party]tt.Tamper{}}
	for _, p := range w.Committee.Parties {
		x, err := threshold.NewSession(w.Setup(p, nil, "short"), w.Rand(p), threshold.Opening[tokens]{
			Begin: func(_ io.Reader, id threshold.SessionID, _ []threshold.Received) (threshold.Step[tokens], error) {
				return threshold.Step[tokens]{Result: id[:]}, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		run.Sessions[p] = x
	}
	a, b, liar := w.Committee.Parties[0], w.Committee.Parties[1], w.Committee.Parties[2]
	run.Liars[liar] = func(m message, to party) []message {
		if to == a {
			m.Body = slices.Clone(m.Body)
			m.Body[0] ^= 1
		}
		return []message{m}
	}
	setup := w.Setup(a, nil, "short")
	out := play(t, run)
	if !out[a].Done || !out[b].Done || bytes.Equal(out[a].Result, out[b].Result) {
		t.Fatal("the equivocator did not split the session IDs")
	}
	for _, pair := range [][2]party{{a, b}, {b, a}} {
		shown, _ := run.Sessions[pair[1]].OpenOriginals()
		_, err := run.Sessions[pair[0]].Step(w.Sign(shown))
		var abort *threshold.Abort
		if !errors.As(err, &abort) || abort.Check != "equivocation" || !slices.Equal(abort.Culprits, []party{liar}) {
			t.Fatalf("party %d: %v", pair[0], err)
		}
		if err := threshold.VerifyConduct(setup, abort); err != nil {
			t.Error(err)
		}
		abort.Culprits = []party{a}
		if threshold.VerifyConduct(setup, abort) == nil {
			t.Error("frames an honest party")
		}
	}
}

// Goal: what does not belong to the session leaves no trace in it. Method: one good message, changed in every way that makes
// it somebody else's, too late or too large.
func TestDropped(t *testing.T) {
	w := tt.NewWorld(10, 4, 2)
	self, peer, third, outsider := w.Committee.Parties[0], w.Committee.Parties[1], w.Committee.Parties[2], w.Committee.Parties[3]
	q := w.Committee.Parties[:3]
	setup := w.Setup(self, q, "toy")
	x := open(t, setup, &counts{})
	if _, err := x.Start(); err != nil {
		t.Fatal(err)
	}
	before := x.Held()
	good := message{Ceremony: setup.Ceremony, Round: 1, Kind: threshold.Data, From: peer, Body: []byte("early")}
	for name, change := range map[string]func(*message){
		"another ceremony":        func(m *message) { m.Ceremony[3] ^= 1 },
		"member, but no signer":   func(m *message) { m.From = outsider },
		"stranger":                func(m *message) { m.From = 4711 },
		"nobody":                  func(m *message) { m.From = 0 },
		"ourselves":               func(m *message) { m.From = self },
		"for another party":       func(m *message) { m.To = third },
		"two rounds ahead":        func(m *message) { m.Round = 2 },
		"beyond all rounds":       func(m *message) { m.Round = threshold.MaxRounds + 1 },
		"beyond all limits":       func(m *message) { m.Body = make([]byte, threshold.MaxBody+1) },
		"kind 0":                  func(m *message) { m.Kind = 0 },
		"originals of the future": func(m *message) { m.Kind = threshold.Originals },
		"accusation of nothing":   func(m *message) { m.Kind = threshold.Accusation },
	} {
		m := good
		change(&m)
		for _, body := range []string{"", "two things"} { // twice, otherwise: not even equivocation is our business
			m.Body = append(m.Body, body...)
			if out, err := x.Step(w.SignAs(m, peer)); err != nil || len(out) > 0 || x.Held() != before {
				t.Errorf("%s: %v, %d messages, holds %d bytes more", name, err, len(out), x.Held()-before)
			}
		}
	}
	if _, err := x.Step(w.Sign(good)); err != nil || x.Held() != before+len(good.Body) {
		t.Errorf("the good one was not kept: %v", err)
	}

	// After the end: places that stayed empty stay empty.
	run, _ := toys(t, w, nil)
	ceremony := w.Setup(self, nil, "toy").Ceremony
	if out := play(t, run); !out[self].Done {
		t.Fatal(out[self].Abort)
	}
	y := run.Sessions[self]
	before = y.Held()
	for round := range uint8(5) {
		for _, to := range []party{threshold.Everybody, self} {
			m := message{Ceremony: ceremony, Round: round, Kind: threshold.Data, From: peer, To: to, Body: []byte("late")}
			if _, err := y.Step(m); err != nil || y.Held() != before {
				t.Errorf("late message of round %d kept: %v", round, err)
			}
		}
	}
}

// Goal: a broadcast under our own identity that we did not send is our own alarm, and nobody's fault. Method: a clone of one
// party says something else to one peer.
func TestIdentityUsedElsewhere(t *testing.T) {
	w := tt.NewWorld(12, 3, 2)
	run, _ := toys(t, w, nil)
	self, peer := w.Committee.Parties[0], w.Committee.Parties[1]
	run.Liars[self] = func(m message, to party) []message { // the clone's message reaches the peer in place of ours
		if m.Round == 0 && to == peer && m.Kind == threshold.Data {
			m.Body = slices.Clone(m.Body)
			m.Body[0] ^= 1
		}
		return []message{m}
	}
	out := play(t, run)
	if a := out[self].Abort; a == nil || a.Kind != threshold.Local || a.Check != "identity" {
		t.Errorf("got %v", a)
	}
}

// Goal: a peer's accusations cost one judgement, whatever it sends. Method: count them; what convinces ends the session, what
// accuses ourselves is not even judged.
func TestAccusationsAreJudgedOnce(t *testing.T) {
	w := tt.NewWorld(14, 4, 2)
	self, peer, other, third := w.Committee.Parties[0], w.Committee.Parties[1], w.Committee.Parties[2], w.Committee.Parties[3]
	judged, convincing := 0, false
	x, err := threshold.NewSession(w.Setup(self, nil, "x"), w.Rand(self), threshold.Opening[tokens]{Judge: func(a *threshold.Abort) error {
		if judged++; convincing && a.Check == "toy" && len(a.Evidence) == 1 {
			return nil
		}
		return threshold.ErrEvidence
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Start(); err != nil {
		t.Fatal(err)
	}
	accuse := func(from, culprit party, n int) error {
		inner := message{Round: 1, Kind: threshold.Data, Body: []byte("x")}
		_, err := x.Step(w.Sign(message{Ceremony: w.Setup(self, nil, "x").Ceremony, Round: 1, Kind: threshold.Accusation, From: from,
			Body: canon.MustMarshal(map[int]any{1: "toy", 2: []party{culprit},
				3: []map[int]any{{1: culprit, 2: inner.Encode(), 3: []byte{byte(n)}}}})}))
		return err
	}
	for i := range 10 {
		if err := accuse(peer, other, i); err != nil {
			t.Fatal(err)
		}
	}
	if judged != 1 {
		t.Errorf("judged %d of one peer's accusations", judged)
	}
	convincing = true
	if err := accuse(third, self, 0); err != nil || judged != 1 {
		t.Errorf("accused ourselves: %v, judged %d", err, judged)
	}
	var a *threshold.Abort
	if err := accuse(other, peer, 1); !errors.As(err, &a) || a.Kind != threshold.Proven || !slices.Equal(a.Culprits, []party{peer}) ||
		a.Check != "toy" {
		t.Errorf("evidence that convinces: %v", err)
	}
	if n := len(x.Outbox()); n != 2 {
		t.Errorf("an accusation that convinces is not passed on: %d messages sent", n)
	}
}
