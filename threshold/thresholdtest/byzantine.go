package thresholdtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// Ending is how a ceremony may end for an honest party.
type Ending struct {
	Kind    threshold.AbortKind // zero: no abort
	Check   string
	Culprit threshold.PartyID // zero: nobody
	Done    bool              // a result; if neither done nor aborted, it waits in vain
}

func (e Ending) String() string {
	switch {
	case e.Done:
		return "done"
	case e.Kind == 0:
		return "waits"
	}
	return fmt.Sprintf("%s %s %d", e.Kind, e.Check, e.Culprit)
}

// Done is the ending with a result.
var Done = []Ending{{Done: true}}

// Waits is the ending of a party that never hears again.
var Waits = []Ending{{}}

// Proven blames the culprit beyond doubt, by one of the checks.
func Proven(culprit threshold.PartyID, checks ...string) []Ending {
	var es []Ending
	for _, c := range checks {
		es = append(es, Ending{Kind: threshold.Proven, Check: c, Culprit: culprit})
	}
	return es
}

// Retry blames nobody.
func Retry(check string) []Ending { return []Ending{{Kind: threshold.Retry, Check: check}} }

// EndingOf tells how a ceremony ended for a party.
func EndingOf[R any](o Outcome[R]) Ending {
	if o.Abort == nil {
		return Ending{Done: o.Done}
	}
	e := Ending{Kind: o.Abort.Kind, Check: o.Abort.Check}
	if len(o.Abort.Culprits) == 1 {
		e.Culprit = o.Abort.Culprits[0]
	}
	return e
}

// AllChecks are the names under which an honest party might be framed with other people's evidence.
var AllChecks = []string{"equivocation", "originals", "echo", "length", "open-length", "dkg-length", "dkg-point", "dkg-commitment",
	"dkg-possession", "dkg-scalar", "dkg-share", "dkg-complaint", "dkg-verdict", "dkg-digest", "frost-commitment", "C3", "C5", "C9", ""}

// Judged asserts how a ceremony with one liar ended: every honest party as want says (or, on a network that loses what an
// aborted party said, in vain), no honest party blamed, and every proof convincing a third party, who is not fooled when
// the same evidence is held against an honest party, or when anything of the culprit's word in it is changed.
func Judged[R any](tb testing.TB, liar threshold.PartyID, outcomes map[threshold.PartyID]Outcome[R], lossy bool,
	want func(threshold.PartyID) []Ending, verify func(*threshold.Abort) error) {
	tb.Helper()
	for p, o := range outcomes {
		if p == liar {
			continue
		}
		got, wanted := EndingOf(o), want(p)
		if !slices.Contains(wanted, got) && !(lossy && got == Waits[0]) {
			tb.Errorf("party %d: got %v, want one of %v (abort: %v, missing %v)", p, got, wanted, o.Abort, o.Missing)
		}
		if o.Abort == nil {
			continue
		}
		for _, c := range o.Abort.Culprits {
			if c != liar {
				tb.Errorf("party %d blames the honest party %d: %v", p, c, o.Abort)
			}
		}
		if o.Abort.Kind != threshold.Proven && len(o.Abort.Culprits) > 0 {
			tb.Errorf("party %d blames without proof: %v", p, o.Abort)
		}
		if o.Abort.Kind != threshold.Proven || verify == nil {
			continue
		}
		if err := verify(o.Abort); err != nil {
			tb.Errorf("party %d: a third party is not convinced of %v: %v", p, o.Abort, err)
		}
		weaker := *o.Abort
		if weaker.Kind = threshold.Ban; verify(&weaker) == nil {
			tb.Errorf("party %d: an abort that is not Proven passes for proof: %v", p, o.Abort)
		}
		weaker = *o.Abort
		if weaker.Check = "dkg-nothing"; verify(&weaker) == nil {
			tb.Errorf("party %d: %v convicts by a check there is not", p, o.Abort)
		}
		framing(tb, o.Abort, liar, outcomes, verify)
	}
}

// framing holds the evidence against every honest party, under every check and round.
func framing[R any](tb testing.TB, a *threshold.Abort, liar threshold.PartyID, outcomes map[threshold.PartyID]Outcome[R],
	verify func(*threshold.Abort) error) {
	tb.Helper()
	for h := range outcomes {
		if h == liar {
			continue
		}
		frame := *a
		frame.Culprits = []threshold.PartyID{liar, h}
		if verify(&frame) == nil {
			tb.Errorf("the evidence for %v frames the honest party %d along with the liar", a, h)
		}
		frame.Culprits = []threshold.PartyID{h}
		for _, frame.Check = range AllChecks {
			if verify(&frame) == nil {
				tb.Errorf("the evidence for %v frames the honest party %d with %q", a, h, frame.Check)
			}
		}
	}
	// What the culprit never said does not convict it: every message of its in the evidence, damaged or unsigned.
	for i, m := range a.Evidence {
		if m.From != liar || m.Proof == nil {
			continue
		}
		for _, damage := range []func(m *threshold.Message){
			func(m *threshold.Message) { m.Body = append(slices.Clone(m.Body), 0) },
			func(m *threshold.Message) { m.Ceremony[0] ^= 1 },
			func(m *threshold.Message) { m.Echo[0] ^= 1 },
			func(m *threshold.Message) { m.Proof = nil },
		} {
			forged := *a
			forged.Evidence = slices.Clone(a.Evidence)
			damage(&forged.Evidence[i])
			if convicting(a, i) && verify(&forged) == nil {
				tb.Errorf("the evidence for %v convicts with a message its sender never sent", a)
			}
		}
	}
}

// convicting tells whether the i-th message of the evidence is one whose signature the verdict rests on.
func convicting(a *threshold.Abort, i int) bool {
	switch a.Check {
	case "equivocation", "originals", "echo":
		return true
	case "dkg-share":
		return a.Evidence[i].Round == 2 // the dealer's word, not what it said of others later
	}
	return int(a.Evidence[i].Round) == a.Round
}

// Networks are those that misbehaviour is tried on: in order, reordered, and rough.
func Networks() map[string]Faults {
	return map[string]Faults{"in order": {}, "reordered": {Delay: 60, Duplicate: 10}, "rough": Rough}
}

// Lossy tells whether a network may lose the last word of a party that aborts.
func (f Faults) Lossy() bool { return f.Drop > 0 }
