package dkg

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: no D1, D2 or D3 makes the judges panic, and what they find is a Proven fault of the sender, or of a dealer rightly
// complained of. Method: fuzz the bodies against the public record of an honest ceremony, with a commitment that fits, so
// that the fuzzer gets past it.
func FuzzJudge(f *testing.F) {
	w := tt.NewWorld(1, 3, 2)
	states := map[string]*state{}
	for _, p := range []Params{edParams, skParams} {
		run := &tt.Run[share]{World: w, Sessions: map[party]*threshold.Session[share]{}}
		for _, id := range w.Committee.Parties {
			st, err := newState(p, w.Setup(id, nil, "fuzz"), nil)
			if err != nil {
				f.Fatal(err)
			}
			if run.Sessions[id], err = st.session(w.Rand(id)); err != nil {
				f.Fatal(err)
			}
			states[p.Group.Name()] = st
		}
		w.Trace = func(_ party, m message) { f.Add(m.Round, m.Body) }
		if _, err := run.Go(); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(uint8(3), canon.MustMarshal(verdict{make([]byte, 32), []complaint{{w.Committee.Parties[1], make([]byte, 33), make([]byte, 64)}}}))
	from := w.Committee.Parties[0]
	f.Fuzz(func(t *testing.T, round uint8, body []byte) {
		for _, st := range states {
			pub := *st.public
			var err error
			switch round % 4 {
			case 1:
				_, err = pub.judgeCommitment(body)
			case 2:
				if len(body) >= pub.openLen() {
					coms := map[party][32]byte{from: commitment(pub.id, from, pub.encBytes[from], body[:pub.openLen()])}
					pub.coms = coms
				}
				_, err = pub.judgeDealing(from, body)
			case 3:
				err = pub.judgeVerdict(from, body, [32]byte{})
			}
			if err == nil {
				continue
			}
			var a *threshold.Abort
			if _, guilty := threshold.Convicts(err, from); !guilty && (!errors.As(err, &a) || a.Check != "dkg-share") {
				t.Errorf("not a proven fault: %v", err)
			}
		}
	})
}
