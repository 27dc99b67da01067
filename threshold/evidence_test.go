package threshold_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: nothing that honest parties ever sign convicts one of them of equivocation or of a lie, however it is put together;
// the liar is convicted by some of it. Method: every message of a disputed ceremony, in every combination of one, two and
// three, as evidence against everybody.
func TestNoCombinationFrames(t *testing.T) {
	for name, lie := range map[string]func(m *message, to, victim party){
		"an echo that is not its own": func(m *message, _, _ party) {
			if m.Round == 2 && m.Kind == threshold.Data {
				m.Echo[0] ^= 1
			}
		},
		"another session ID": func(m *message, _, _ party) {
			if m.Round == 1 && m.Kind == threshold.Data {
				m.Session[0] ^= 1
			}
		},
		"originals that are none": func(m *message, _, _ party) {
			if m.Round == 2 && m.Kind == threshold.Data {
				m.Echo[0] ^= 1
			}
			if m.Kind == threshold.Originals {
				m.Body = []byte("none")
			}
		},
		"two broadcasts": func(m *message, to, victim party) {
			if m.Round == 1 && m.Kind == threshold.Data && to == victim {
				m.Body = []byte("other")
			}
		},
	} {
		w := tt.NewWorld(13, 3, 2)
		setup := w.Setup(0, nil, "toy")
		run, _ := toys(t, w, nil)
		liar, victim := w.Committee.Parties[0], w.Committee.Parties[1]
		run.Liars[liar] = func(m message, to party) []message {
			m.Body = slices.Clone(m.Body)
			lie(&m, to, victim)
			return []message{m}
		}
		var all []message
		seen := map[string]bool{}
		w.Trace = func(_ party, m message) {
			if !seen[string(m.Proof)] && m.Kind != threshold.Accusation {
				seen[string(m.Proof)] = true
				all = append(all, m)
			}
		}
		play(t, run)
		convicted := 0
		try := func(check string, evidence ...message) {
			for _, p := range w.Committee.Parties {
				a := &threshold.Abort{Kind: threshold.Proven, Check: check, Culprits: []party{p}, Evidence: evidence}
				if threshold.VerifyConduct(setup, a) != nil {
					continue
				}
				if p != liar {
					t.Errorf("%s: honest party %d framed with %q", name, p, check)
				}
				convicted++
				elsewhere := setup
				if elsewhere.Ceremony[0] ^= 1; threshold.VerifyConduct(elsewhere, a) == nil {
					t.Errorf("%s: %q convicts in another ceremony", name, check)
				}
				// The same, of another ceremony, or without a signature that counts, does not.
				for i := range evidence {
					for _, damage := range []func(*message){func(m *message) { m.Ceremony[0] ^= 1 }, func(m *message) { m.Proof = nil }} {
						b := *a
						b.Evidence = slices.Clone(evidence)
						damage(&b.Evidence[i])
						if threshold.VerifyConduct(setup, &b) == nil {
							t.Errorf("%s: %q convicts without signature or in another ceremony", name, check)
						}
					}
				}
			}
		}
		opens := slices.DeleteFunc(slices.Clone(all), func(m message) bool { return m.Round != 0 })
		for _, a := range all {
			for _, b := range all {
				try("originals", a, b)
				try("equivocation", a, b)
				for _, c := range all {
					for _, d := range opens {
						try("echo", a, b, c, d)
					}
				}
			}
		}
		if convicted == 0 {
			t.Errorf("%s: the liar gets away", name)
		}
	}
}

// Goal: whatever honest parties sign, finished, aborted or left in any round, convicts none of them, before anybody, however it is put
// together; and none of them blames another. Method: ceremonies in which one or two of four lie at random and the coordinator may have told
// one of the others something else; then every message of an honest party in every place of the evidence of conduct, before the judge of
// every view.
func TestNothingHonestConvicts(t *testing.T) {
	finished, disputed := 0, 0
	for seed := range uint64(1500) {
		w := tt.NewWorld(seed, 4, 2)
		r := tt.NewRand(seed, "chaos")
		views := views(w, r)
		c := &tt.Chaos[tokens]{World: w, Rand: r, Liars: w.Committee.Parties[:1+r.IntN(2)],
			Sessions: map[party]*threshold.Session[tokens]{}}
		for _, p := range w.Committee.Parties {
			s := views[r.IntN(len(views))]
			if s.Self = p; !slices.Contains(s.Signers, p) || r.Chance(60) {
				s = views[0]
				s.Self = p
			}
			c.Sessions[p] = open(t, s, &counts{})
		}
		c.Go(250)
		for _, p := range w.Committee.Parties {
			if slices.Contains(c.Liars, p) {
				continue
			}
			if a := c.Aborts[p]; a != nil {
				for _, q := range a.Culprits {
					if !slices.Contains(c.Liars, q) {
						t.Errorf("seed %d: party %d blames honest party %d: %v", seed, p, q, a)
					}
				}
			}
			if _, ok := c.Sessions[p].Result(); ok {
				finished++
			}
			disputed += framed(t, seed, views, p, c.Said[p])
		}
	}
	if finished < 20 || disputed < 100 {
		t.Errorf("too tame: %d parties finished, %d disputed", finished, disputed)
	}
}

// views are what a coordinator may tell: one story, and others under its name.
func views(w *tt.World, r *tt.Rand) []threshold.Setup {
	s := w.Setup(0, w.Committee.Parties, "toy")
	out := []threshold.Setup{s}
	if r.Chance(50) {
		return out
	}
	context, few, other := s, s, s
	context.Context = []byte("another")
	few.Signers = w.Committee.Parties[1:]
	other.Committee.Threshold = 3
	return append(out, context, few, other)
}

// framed holds everything that an honest party said against it, and counts the originals that it showed.
func framed(t *testing.T, seed uint64, views []threshold.Setup, p party, said []message) int {
	t.Helper()
	shown := 0
	try := func(check string, evidence ...message) {
		for _, s := range views {
			a := &threshold.Abort{Kind: threshold.Proven, Check: check, Culprits: []party{p}, Evidence: evidence}
			if threshold.VerifyConduct(s, a) == nil {
				t.Fatalf("seed %d: honest party %d is convicted by %q of %v", seed, p, check, evidence)
			}
		}
	}
	for _, a := range said {
		if a.Kind == threshold.Originals {
			shown++
		}
		for _, b := range said {
			try("equivocation", a, b)
			try("originals", a, b)
			if a.Kind != threshold.Data || b.Kind != threshold.Originals {
				continue // no claim, or nothing shown
			}
			for _, own := range said {
				try("echo", a, b, own, said[0])
			}
		}
	}
	return shown
}

// Goal: a party that leaves before round 0 has ended says nothing of what it saw then, and cannot be convicted by what it held. Method: it
// leaves at an OPEN of another view, as a coordinator can make it; its originals of before this rule, signed, in an accusation, and before
// third parties; and those of a party that has finished, cut short, which do convict.
func TestLeavingConvictsNobody(t *testing.T) {
	w := tt.NewWorld(77, 4, 2)
	honest, liar, other := w.Committee.Parties[0], w.Committee.Parties[1], w.Committee.Parties[2]
	setup := w.Setup(other, nil, "toy")
	n := open(t, w.Setup(honest, nil, "toy"), &counts{})
	opened, err := n.Start()
	if err != nil {
		t.Fatal(err)
	}
	theirs := w.Sign(message{Ceremony: setup.Ceremony, Kind: threshold.Data, From: liar, Body: make([]byte, 64)})
	var a *threshold.Abort
	if _, err := n.Step(theirs); !errors.As(err, &a) || a.Kind != threshold.Retry || len(a.Culprits) != 0 {
		t.Fatal(err)
	}
	if m, ok := n.OpenOriginals(); ok {
		t.Errorf("shows %v", m)
	}
	shown := message{Ceremony: setup.Ceremony, Kind: threshold.Originals, From: honest, Body: threshold.EncodeOriginals([]message{theirs})}
	for session, guilty := range map[threshold.SessionID]bool{{}: false, {1}: true} {
		shown.Session = session
		evidence := []message{w.Sign(shown), w.Sign(opened[0])}
		a := &threshold.Abort{Kind: threshold.Proven, Check: "originals", Culprits: []party{honest}, Evidence: evidence}
		if err := threshold.VerifyConduct(setup, a); (err == nil) != guilty {
			t.Errorf("originals that claim session %x: %v", session[:1], err)
		}
		b := open(t, setup, &counts{})
		if _, err := b.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Step(w.Sign(accusing(setup, liar, a))); (err != nil) != guilty {
			t.Errorf("accused with originals that claim session %x: %v", session[:1], err)
		}
		view := setup
		view.Signers = w.Committee.Parties[:3]
		if threshold.VerifyConduct(view, a) == nil {
			t.Error("judged by the signers of another view than its own")
		}
	}
}

// Goal: nor do originals that name no session convict in the dispute itself. Method: both kinds, to a party that has finished.
func TestOriginalsNameTheirSession(t *testing.T) {
	for session, guilty := range map[threshold.SessionID]bool{{}: false, {1}: true} {
		w := tt.NewWorld(78, 3, 2)
		self, peer := w.Committee.Parties[0], w.Committee.Parties[1]
		setup := w.Setup(self, nil, "toy")
		run, _ := toys(t, w, nil)
		if out := play(t, run); !out[self].Done {
			t.Fatal(out[self].Abort)
		}
		_, err := run.Sessions[self].Step(w.Sign(message{Ceremony: setup.Ceremony, Session: session, Kind: threshold.Originals, From: peer,
			Body: threshold.EncodeOriginals([]message{})}))
		var a *threshold.Abort
		if errors.As(err, &a) != guilty || guilty && threshold.VerifyConduct(setup, a) != nil {
			t.Errorf("originals that claim session %x: %v", session[:1], err)
		}
	}
}

// Goal: evidence that convinces nobody of what it is said to show still convicts who is seen in it to say something else than to us.
// Method: a peer passes on the other broadcast of a liar, in an accusation that no judge of ours knows.
func TestAccusationsAreCompared(t *testing.T) {
	w := tt.NewWorld(79, 4, 2)
	self, liar := w.Committee.Parties[0], w.Committee.Parties[3]
	setup := w.Setup(self, nil, "toy")
	run, _ := toys(t, w, nil)
	if out := play(t, run); !out[self].Done {
		t.Fatal(out[self].Abort)
	}
	x := run.Sessions[self]
	same := x.Opens()[2]
	other := same
	other.Body = append(slices.Clone(same.Body[:32]), make([]byte, 32)...)
	for i, evidence := range []message{same, w.Sign(other)} { // from one peer each, which is heard once
		_, err := x.Step(w.Sign(accusing(setup, w.Committee.Parties[1+i],
			&threshold.Abort{Check: "toy", Culprits: []party{liar}, Evidence: []message{evidence}})))
		if i == 0 {
			if err != nil {
				t.Error("what we hold ourselves convicts:", err)
			}
			continue
		}
		var a *threshold.Abort
		if !errors.As(err, &a) || a.Check != "equivocation" || !slices.Equal(a.Culprits, []party{liar}) ||
			threshold.VerifyConduct(setup, a) != nil {
			t.Errorf("two OPENs of one sender: %v", err)
		}
	}
}

// Goal: what convicts always fits a message, or a liar goes free that is convicted by large ones. Method: the largest committee with the
// largest OPENs and proofs that a session takes: everybody's originals, and an accusation with the largest evidence; an OPEN longer by one
// byte makes no session.
func TestEvidenceFits(t *testing.T) {
	w := tt.NewWorld(80, threshold.MaxParties, 2)
	proof := make([]byte, threshold.MaxProof)
	open := func(payload int) (*threshold.Session[tokens], threshold.Setup, error) {
		s := w.Setup(w.Committee.Parties[0], w.Committee.Parties, "large")
		s.Authentic = func(threshold.Message) bool { return true }
		x, err := threshold.NewSession(s, w.Rand(s.Self), threshold.Opening[tokens]{Payload: make([]byte, payload), PayloadLen: payload,
			Check: func(party, []byte) (threshold.Payload, error) { return nil, nil },
			Begin: func(io.Reader, threshold.SessionID, []threshold.Received) (threshold.Step[tokens], error) {
				return threshold.Step[tokens]{Result: tokens{}}, nil
			}})
		return x, s, err
	}
	most := threshold.MaxOriginals/threshold.MaxParties - threshold.ExhibitMax - 64
	if _, _, err := open(most + 1); err == nil {
		t.Error("a session whose OPENs no dispute can show")
	}
	x, s, err := open(most)
	if err != nil {
		t.Fatal(err)
	}
	context := threshold.ContextHash(s)
	own, err := x.Start()
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(m message) error {
		m.Ceremony, m.Proof = s.Ceremony, proof
		_, err := x.Step(m)
		return err
	}
	tooLong := message{Ceremony: s.Ceremony, Kind: threshold.Data, From: s.Committee.Parties[1], Body: make([]byte, 99),
		Proof: append(proof, 0)}
	if _, err := x.Step(tooLong); err != nil {
		t.Error("a message whose proof no dispute can show is not dropped:", err)
	}
	for _, p := range s.Committee.Parties[1:] {
		body := slices.Concat(make([]byte, 32), context[:], make([]byte, most))
		if err := deliver(message{Kind: threshold.Data, From: p, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	shown, ok := x.OpenOriginals()
	if _, err := threshold.DecodeMessage(shown.Encode()); !ok || err != nil {
		t.Fatal("the originals do not fit:", ok, err)
	}
	// Bad originals as long as they get, and the claim in a message as long as it gets.
	bad := message{Session: threshold.SessionID{1}, Kind: threshold.Originals, From: s.Committee.Parties[1],
		Body: make([]byte, threshold.MaxOriginals)}
	if err := deliver(bad); err == nil || len(x.Outbox()) != len(own)+1 {
		t.Fatalf("bad originals: %v, %d messages", err, len(x.Outbox()))
	}
	if _, err := threshold.DecodeMessage(x.Outbox()[len(own)].Encode()); err != nil {
		t.Error("the accusation does not fit:", err)
	}
	claim := message{Kind: threshold.Data, From: s.Committee.Parties[1], Body: make([]byte, threshold.MaxBody), Proof: proof}
	bad.Proof = proof
	for name, evidence := range map[string][]message{"echo": {claim, bad, x.Opens()[0], x.Opens()[0]}, "equivocation": {claim, claim}} {
		m := accusing(s, s.Self, &threshold.Abort{Check: name, Culprits: s.Committee.Parties[1:2], Evidence: evidence})
		if _, err := threshold.DecodeMessage(m.Encode()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// accusing is the message by which a party passes an abort on.
func accusing(s threshold.Setup, from party, a *threshold.Abort) message {
	var evidence []map[int]any
	for _, m := range a.Evidence {
		evidence = append(evidence, map[int]any{1: m.From, 2: m.Encode(), 3: m.Proof})
	}
	return message{Ceremony: s.Ceremony, Round: uint8(a.Round), Kind: threshold.Accusation, From: from,
		Body: canon.MustMarshal(map[int]any{1: a.Check, 2: a.Culprits, 3: evidence})}
}

// Goal: a broadcast in a round that wants none changes nothing for those that it reaches, who would else echo and show what others never
// saw. Method: a liar sends one to a single peer, in a round of direct messages.
func TestStrayBroadcast(t *testing.T) {
	w := tt.NewWorld(21, 3, 2)
	run, _ := toys(t, w, nil)
	liar, victim := w.Committee.Parties[0], w.Committee.Parties[1]
	run.Liars[liar] = func(m message, to party) []message {
		if m.Round == 2 && to == victim {
			stray := m
			stray.To, stray.Body = threshold.Everybody, []byte("stray")
			return []message{stray, m}
		}
		return []message{m}
	}
	for p, o := range play(t, run) {
		if !o.Done {
			t.Errorf("party %d: %v, missing %v", p, o.Abort, o.Missing)
		}
	}
}
