package threshold_test

import (
	"slices"
	"testing"

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
		for _, a := range all {
			try("originals", a)
			for _, b := range all {
				try("equivocation", a, b)
				for _, c := range all {
					try("echo", a, b, c)
				}
			}
		}
		if convicted == 0 {
			t.Errorf("%s: the liar gets away", name)
		}
	}
}
