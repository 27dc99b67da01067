package thresholdtest_test

import (
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: nothing that honest parties sign in a ceremony of a scheme convicts one of them before the scheme's judges, under any check and in
// any round, whatever else is laid beside it; and none of them blames another. Method: ceremonies of every kind in which one party lies at
// random; then evidence drawn from all that was said.
func TestChaos(t *testing.T) {
	for _, scheme := range append(simple(), paired()...) {
		w := tt.NewWorld(31, 4, 3)
		ks, err := w.Keygen(scheme)
		if err != nil {
			t.Fatal(err)
		}
		judge, q := scheme.(threshold.Judge), w.Committee.Parties[:3]
		infos := []threshold.KeyInfo{ks[q[0]].KeyInfo}
		t.Run(string(scheme.ID())+"/presign", func(t *testing.T) {
			rounds := 20
			if needsPairs(scheme) {
				rounds = 6 // a pair setup each
			}
			chaos(t, w, rounds, q, "presign", func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
				if p == q[0] { // whoever was banned is trusted again
					if err := w.PairUp(scheme); err != nil {
						return nil, err
					}
				}
				return w.As(scheme, p).Presign(w.Setup(p, q, "presign"), []threshold.PresignKey{{Info: ks[p].KeyInfo, Share: ks[p]}}, w.Rand(p))
			}, func(s threshold.Setup, a *threshold.Abort) error { return judge.VerifyPresigning(s, infos, nil, a) })
		})
		t.Run(string(scheme.ID())+"/refresh", func(t *testing.T) {
			chaos(t, w, 10, w.Committee.Parties, "refresh", func(p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
				return scheme.Refresh(w.Setup(p, nil, "refresh"), ks[p], w.Rand(p))
			}, func(s threshold.Setup, a *threshold.Abort) error { return judge.VerifyEvidence(s, &infos[0], a) })
		})
		if x, ok := scheme.(threshold.Pairer); ok {
			t.Run(string(scheme.ID())+"/pair setup", func(t *testing.T) {
				chaos(t, w, 6, q[:0], "pairs", func(p threshold.PartyID) (*threshold.Session[threshold.PairState], error) {
					return x.NewPairState(w.Setup(p, nil, "pairs"), 2, w.Rand(p))
				}, nil)
			})
		}
	}
}

// chaos runs ceremonies of the signers, all if there are none, and holds what the honest said against them.
func chaos[R any](t *testing.T, w *tt.World, rounds int, q []threshold.PartyID, context string,
	open func(threshold.PartyID) (*threshold.Session[R], error), judge func(threshold.Setup, *threshold.Abort) error) {
	t.Helper()
	if len(q) == 0 {
		q = w.Committee.Parties
	}
	proven, finished := 0, 0
	for i := range rounds {
		r := tt.NewRand(uint64(i), context)
		c := &tt.Chaos[R]{World: w, Rand: r, Liars: q[:1], Sessions: map[threshold.PartyID]*threshold.Session[R]{}}
		for _, p := range q {
			s, err := open(p)
			if err != nil {
				t.Fatal(err)
			}
			c.Sessions[p] = s
		}
		setup := w.Setup(0, q, context)
		c.Go(150)
		for _, p := range q[1:] {
			if a := c.Aborts[p]; a != nil && slices.ContainsFunc(a.Culprits, func(c threshold.PartyID) bool { return c != q[0] }) {
				t.Errorf("ceremony %d: party %d blames %v: %v", i, p, a.Culprits, a)
			}
			if a := c.Aborts[p]; a != nil && a.Kind == threshold.Proven {
				proven++
				if judge != nil && judge(setup, a) != nil {
					t.Errorf("ceremony %d: party %d has no evidence for %v", i, p, a)
				}
			}
			if _, ok := c.Sessions[p].Result(); ok {
				finished++
			}
			for range 100 {
				a := &threshold.Abort{Kind: threshold.Proven, Check: tt.AllChecks[r.IntN(len(tt.AllChecks))], Round: r.IntN(4),
					Culprits: []threshold.PartyID{p}, Evidence: c.Evidence(p)}
				if judge != nil && judge(setup, a) == nil {
					t.Fatalf("ceremony %d: honest party %d is convicted: %v by %v", i, p, a, a.Evidence)
				}
			}
		}
	}
	if proven < rounds/2 || judge != nil && finished == 0 {
		t.Errorf("too tame or too wild: %d times proven, %d times finished", proven, finished)
	}
}
