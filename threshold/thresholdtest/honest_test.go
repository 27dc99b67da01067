package thresholdtest_test

import (
	"testing"

	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// court is all who judge anything of a scheme, each with the views under which it may be asked.
type court struct {
	judge threshold.Judge
	infos []threshold.KeyInfo
	reqs  []threshold.SignRequest
}

// convicts tells whether any verifier holds the abort for proven, in a ceremony of the setup.
func (c court) convicts(s threshold.Setup, a *threshold.Abort) bool {
	return threshold.VerifyConduct(s, a) == nil ||
		c.judge.VerifyEvidence(s, nil, a) == nil || c.judge.VerifyEvidence(s, &c.infos[0], a) == nil ||
		c.judge.VerifyPresigning(s, c.infos, nil, a) == nil ||
		c.reqs != nil && c.judge.VerifyPresigning(s, c.infos, c.reqs, a) == nil
}

// trial is a kind of ceremony in which one of its parties lies.
type trial[R any] struct {
	court
	w       *tt.World
	q       []threshold.PartyID // the first of them lies
	context string
	rounds  int
	anew    bool // all begin, leave in the middle, and begin anew
	open    func(threshold.PartyID) (*threshold.Session[R], error)
}

// begin opens the ceremony of everybody and lets it go on for so many steps.
func (x *trial[R]) begin(t *testing.T, r *tt.Rand, steps int) (*tt.Chaos[R], threshold.Setup) {
	t.Helper()
	c := &tt.Chaos[R]{World: x.w, Rand: r, Liars: x.q[:1], Sessions: map[threshold.PartyID]*threshold.Session[R]{}}
	for _, p := range x.q {
		s, err := x.open(p)
		if err != nil {
			t.Fatal(err)
		}
		c.Sessions[p] = s
	}
	setup := x.w.Setup(0, x.q, x.context)
	c.Go(steps)
	return c, setup
}

// leave has a party end as the appliance does: it shows what it holds, and erases.
func (x *trial[R]) leave(c *tt.Chaos[R], p threshold.PartyID) {
	if m, ok := c.Sessions[p].OpenOriginals(); ok {
		c.Said[p] = append(c.Said[p], x.w.Sign(m))
	}
	c.Sessions[p].Result()
	c.Sessions[p].Erase()
}

// hold runs the ceremonies, and holds what each honest party said in them against it: all of it under each check, in each round, every
// two of its messages, and as it is drawn at random. The liar is convicted, by two words in one place.
func (x *trial[R]) hold(t *testing.T) {
	t.Helper()
	said := 0
	for i := range x.rounds {
		r := tt.NewRand(uint64(i), "honest "+x.context)
		var before map[threshold.PartyID][]threshold.Message
		var setups []threshold.Setup
		if x.anew {
			c, setup := x.begin(t, r, 10+r.IntN(60))
			for _, p := range x.q[1:] {
				x.leave(c, p)
			}
			before, setups = c.Said, append(setups, setup)
		}
		c, setup := x.begin(t, r, 150)
		setups = append(setups, setup)
		for _, p := range x.q {
			c.Said[p] = append(c.Said[p], before[p]...)
		}
		var all []threshold.Message
		for _, p := range x.q {
			all = append(all, c.Said[p]...)
		}
		first := c.Said[x.q[0]][0]
		second := first
		second.Body = append([]byte{1}, first.Body...)
		if a := (&threshold.Abort{Kind: threshold.Proven, Check: "equivocation", Culprits: x.q[:1],
			Evidence: []threshold.Message{first, x.w.Sign(second)}}); !x.convicts(setup, a) {
			t.Errorf("ceremony %d: two messages in one place convict nobody", i)
		}
		for _, p := range x.q[1:] {
			said += len(c.Said[p])
			try := func(check string, round int, evidence []threshold.Message) {
				a := &threshold.Abort{Kind: threshold.Proven, Check: check, Round: round, Culprits: []threshold.PartyID{p}, Evidence: evidence}
				for _, s := range setups {
					if x.convicts(s, a) {
						t.Fatalf("ceremony %d: honest party %d is convicted: %v by %v", i, p, a, evidence)
					}
				}
			}
			for round := range 4 {
				for _, check := range tt.AllChecks {
					try(check, round, all)
				}
			}
			for _, a := range c.Said[p] {
				for _, b := range c.Said[p] {
					try("equivocation", 0, []threshold.Message{a, b})
					try("originals", 0, []threshold.Message{a, b})
				}
			}
			for range 60 {
				try(tt.AllChecks[r.IntN(len(tt.AllChecks))], r.IntN(4), c.Evidence(p))
			}
		}
	}
	if said < 2*x.rounds {
		t.Errorf("too tame: %d messages", said)
	}
}

// Goal: whatever honest parties send in the ceremonies of a scheme, in a key generation, a presigning for requests, an agreement, or when
// they begin anew after they left one in the middle, convicts none of them before any verifier that there is, not only before the one of
// that ceremony. Method: one party lies at random; all verifiers over all that was said, in every round and under every check.
func TestNothingHonestConvicts(t *testing.T) {
	for _, scheme := range append(simple(), paired()...) {
		w := tt.NewWorld(32, 4, 3)
		ks, err := w.Keygen(scheme)
		if err != nil {
			t.Fatal(err)
		}
		q, id := w.Committee.Parties[:3], string(scheme.ID())
		at := court{judge: scheme.(threshold.Judge), infos: []threshold.KeyInfo{ks[q[0]].KeyInfo}}
		keygen := trial[*threshold.KeyShare]{court: at, w: w, q: w.Committee.Parties, context: "keygen", rounds: 6,
			open: func(p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
				return scheme.Keygen(w.Setup(p, nil, "keygen"), w.Rand(p))
			}}
		t.Run(id+"/keygen", keygen.hold)
		keygen.anew = true
		t.Run(id+"/keygen anew", keygen.hold)
		key := func(p threshold.PartyID) []threshold.PresignKey {
			return []threshold.PresignKey{{Info: ks[p].KeyInfo, Share: ks[p]}}
		}
		presign := trial[[]*threshold.Presignature]{court: at, w: w, q: q, context: "presign", rounds: 10, anew: true,
			open: func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
				if err := trusted(w, scheme, p == q[0]); err != nil {
					return nil, err
				}
				return w.As(scheme, p).Presign(w.Setup(p, q, "presign"), key(p), w.Rand(p))
			}}
		if needsPairs(scheme) {
			presign.rounds = 3 // a pair setup each
		}
		t.Run(id+"/presign anew", presign.hold)
		if _, ok := scheme.(threshold.Pooler); !ok {
			continue
		}
		at.reqs = []threshold.SignRequest{{Message: make([]byte, 32)}}
		for _, anew := range []bool{false, true} {
			presign.court, presign.anew, presign.context = at, anew, "presign for"
			presign.open = func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
				if err := trusted(w, scheme, p == q[0]); err != nil {
					return nil, err
				}
				return w.As(scheme, p).(threshold.Pooler).PresignFor(w.Setup(p, q, "presign for"), key(p), at.reqs, w.Rand(p))
			}
			t.Run(id+map[bool]string{false: "/presign for", true: "/presign for, anew"}[anew], presign.hold)
		}
		var pres map[threshold.PartyID]*threshold.Presignature
		agree := trial[[][32]byte]{court: at, w: w, q: q, context: "agree", rounds: 3,
			open: func(p threshold.PartyID) (*threshold.Session[[][32]byte], error) {
				if p == q[0] { // a presignature is for one agreement
					if err := trusted(w, scheme, true); err != nil {
						return nil, err
					}
					if pres, err = w.Presign(scheme, ks, q); err != nil {
						return nil, err
					}
				}
				req := at.reqs[0]
				req.Pre = pres[p]
				return w.As(scheme, p).(threshold.Pooler).Agree(w.Setup(p, q, "agree"), []threshold.SignRequest{req}, w.Rand(p))
			}}
		t.Run(id+"/agree", agree.hold)
		agree.anew = true
		t.Run(id+"/agree anew", agree.hold)
	}
}

// trusted makes new pair state, in which nobody is banned, when the first party of a ceremony opens it.
func trusted(w *tt.World, scheme threshold.Scheme, first bool) error {
	if !first {
		return nil
	}
	return w.PairUp(scheme)
}
