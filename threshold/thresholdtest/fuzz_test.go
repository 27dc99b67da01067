package thresholdtest_test

import (
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: whatever an authenticated peer sends, a session neither panics nor stays undecided for its own fault: it ends, or it
// waits for the liar's peers, and blames at most the liar. Method: fuzz what one party of a keygen, a refresh or a presigning
// sends, byte for byte, in place of or beside what it should.
func FuzzSession(f *testing.F) {
	f.Add(uint8(0), uint64(1), []byte{})
	f.Add(uint8(1), uint64(2), []byte{1, 0, 5, 0xff, 0x80})
	f.Add(uint8(2), uint64(3), []byte{2, 1, 1, 0, 0, 3, 1, 2, 9, 9})
	f.Add(uint8(7), uint64(4), []byte{3, 0, 3, 0xa0, 3, 3, 3, 3, 3, 3})
	type kept struct {
		w  thresholdtest.World
		ks thresholdtest.Shares
	}
	lives := map[threshold.SchemeID]kept{}
	for _, s := range simple() {
		w := thresholdtest.NewWorld(1, 3, 2)
		ks, err := w.Keygen(s)
		if err != nil {
			f.Fatal(err)
		}
		lives[s.ID()] = kept{*w, ks}
	}
	f.Fuzz(func(t *testing.T, what uint8, seed uint64, script []byte) {
		scheme := simple()[int(what)%len(simple())]
		life := lives[scheme.ID()]
		w := life.w
		w.Seed = seed
		liar := w.Committee.Parties[1]
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		tamper := func(m threshold.Message, _ threshold.PartyID) []threshold.Message {
			odd := m
			odd.Body = append([]byte(nil), m.Body...)
			how := next()
			if how == 0 {
				return []threshold.Message{m}
			}
			if how&1 != 0 && len(odd.Body) > 0 {
				odd.Body[(int(next())<<8|int(next()))%len(odd.Body)] ^= next()
			}
			if how&2 != 0 {
				odd.Body = odd.Body[:len(odd.Body)*int(next())/255]
			}
			if how&4 != 0 {
				n := min(int(next()), len(script))
				odd.Body = append(odd.Body, script[:n]...)
			}
			if how&8 != 0 {
				odd.Round = next() % 18
			}
			if how&16 != 0 {
				odd.Kind = threshold.MessageKind(next() % 5)
			}
			if how&32 != 0 {
				odd.Echo[0], odd.Session[0] = odd.Echo[0]^next(), odd.Session[0]^next()
			}
			if how&64 != 0 {
				odd.To = threshold.PartyID(next())
			}
			if how&128 != 0 {
				return []threshold.Message{odd, m}
			}
			return []threshold.Message{odd}
		}
		switch what / 2 % 3 {
		case 0:
			fuzzed(t, &w, liar, tamper, func(p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
				return scheme.Keygen(w.Setup(p, nil, "fuzz"), w.Rand(p))
			}, (*threshold.KeyShare).Destroy)
		case 1:
			fuzzed(t, &w, liar, tamper, func(p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
				return scheme.Refresh(w.Setup(p, nil, "fuzz"), life.ks[p], w.Rand(p))
			}, (*threshold.KeyShare).Destroy)
		case 2:
			fuzzed(t, &w, liar, tamper, func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
				return scheme.Presign(w.Setup(p, nil, "fuzz"), []threshold.PresignKey{{Info: life.ks[p].KeyInfo, Share: life.ks[p]}}, w.Rand(p))
			}, func(ps []*threshold.Presignature) { ps[0].Burn() })
		}
	})
}

func fuzzed[R any](t *testing.T, w *thresholdtest.World, liar threshold.PartyID, tamper thresholdtest.Tamper,
	open func(threshold.PartyID) (*threshold.Session[R], error), discard func(R)) {
	run := &thresholdtest.Run[R]{World: w, Sessions: map[threshold.PartyID]*threshold.Session[R]{},
		Liars: map[threshold.PartyID]thresholdtest.Tamper{liar: tamper}}
	for _, p := range w.Committee.Parties {
		s, err := open(p)
		if err != nil {
			t.Fatal(err)
		}
		run.Sessions[p] = s
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range out {
		if o.Done {
			discard(o.Result)
		}
		if p == liar || o.Abort == nil {
			continue
		}
		if o.Abort.Kind == threshold.Local {
			t.Errorf("party %d: %v", p, o.Abort)
		}
		for _, c := range o.Abort.Culprits {
			if c != liar {
				t.Errorf("party %d blames the honest party %d: %v", p, c, o.Abort)
			}
		}
	}
}
