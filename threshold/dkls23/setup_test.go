package dkls23

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: after the setup the two sides of every pair fit, all parties have one ID, and no seed or Δ occurs twice. Method: look inside.
func TestPairSetup(t *testing.T) {
	f := newFixture(t, 5, 3)
	c := f.Committee.Parties
	seeds := map[[32]byte]int{}
	for _, p := range c {
		x := f.pairs[p]
		if x.id != f.pairs[c[0]].id || x.party != p || x.epoch != 1 || len(x.pairs) != 4 || !x.committee.Equal(f.Committee) {
			t.Errorf("party %d: %v", p, x)
		}
		for _, pr := range x.pairs {
			back := f.pairs[pr.peer].pair(p)
			if pr.seed != back.seed || pr.sender.ID() != back.receiver.ID() || pr.receiver.ID() != back.sender.ID() ||
				pr.sender.ID() == pr.receiver.ID() {
				t.Errorf("parties %d and %d hold other halves", p, pr.peer)
			}
			seeds[pr.seed]++
		}
		if s := fmt.Sprintf("%v %+v %#v %s %x", x, x, *x, f.scheme(p), f.scheme(p)); bytes.Contains([]byte(s), x.pairs[0].seed[:8]) ||
			len(s) > 400 {
			t.Errorf("prints %q", s)
		}
	}
	if len(seeds) != 10 {
		t.Errorf("%d seeds for 10 pairs", len(seeds))
	}
	for name, f := range map[string]func() error{
		"a stranger": func() error { _, err := Scheme{}.NewPairState(f.setup(60000, nil), 1, f.rand(1)); return err },
		"a part":     func() error { _, err := Scheme{}.NewPairState(f.setup(c[0], c[:4]), 1, f.rand(1)); return err },
		"epoch 0":    func() error { _, err := Scheme{}.NewPairState(f.setup(c[0], nil), 0, f.rand(1)); return err },
	} {
		if f() == nil {
			t.Errorf("%s: sets up", name)
		}
	}
}

// setupLie changes one message of the setup on its way to the victim.
type setupLie struct {
	name   string
	round  uint8
	change func(b []byte) []byte
	kind   threshold.AbortKind
	check  string
}

func at(change func([]byte)) func([]byte) []byte {
	return func(b []byte) []byte { change(b); return b }
}

// Goal: checks C3, C5, C6, C9 and the confirmation in the pair setup. Method: the tamper table; the victim must name the liar, and nobody
// else may be blamed.
func TestPairSetupLies(t *testing.T) {
	const atMsg1, atMsg2 = 32, 64
	trees := atMsg2 + ot.MsgSetup2Len - 64*128
	for _, l := range []setupLie{
		{"P1 short", 1, func(b []byte) []byte { return b[1:] }, ban, "C3"},
		{"P1 long", 1, func(b []byte) []byte { return append(b, 0) }, ban, "C3"},
		{"P1 empty", 1, func([]byte) []byte { return nil }, ban, "C3"},
		{"base OT point R is the identity", 1, at(zero(atMsg1, pointLen)), ban, "C5"},
		{"last base OT point R is not canonical", 1, at(ones(setup1Len - 32)), ban, "C5"},
		{"another commitment to the seed", 1, at(flip(0)), ban, "C9"},
		{"P2 short", 2, func(b []byte) []byte { return b[1:] }, ban, "C3"},
		{"P2 long", 2, func(b []byte) []byte { return append(b, 0) }, ban, "C3"},
		{"P2 empty", 2, func([]byte) []byte { return nil }, ban, "C3"},
		{"another seed", 2, at(flip(0)), ban, "C9"},
		{"another salt of the seed", 2, at(flip(63)), ban, "C9"},
		{"base OT point B is the identity", 2, at(zero(atMsg2, pointLen)), ban, "C5"},
		{"another base OT answer", 2, at(func(b []byte) { point(atMsg2)(b); point(atMsg2 + pointLen)(b) }), ban, "C6"},
		{"correction of the first tree", 2, at(func(b []byte) { b[trees] ^= 1; b[trees+16] ^= 1 }), ban, "C6"},
		{"t~ of the last tree", 2, at(flip(setup2Len - 33)), ban, "C6"},
		{"s~ of the last tree", 2, at(flip(setup2Len - 1)), ban, "C6"},
		{"another transcript", 3, at(flip(0)), ban, "confirm"},
		{"P3 short", 3, func(b []byte) []byte { return b[1:] }, proven, "C3"},
	} {
		t.Run(l.name, func(t *testing.T) {
			f := newFixture(t, 3, 2)
			c := f.Committee.Parties
			liar, victim := c[2], c[0]
			f.next()
			run := &thresholdtest.Run[threshold.PairState]{World: f.World, Sessions: map[party]*threshold.Session[threshold.PairState]{},
				Liars: map[party]thresholdtest.Tamper{}}
			for _, p := range c {
				var err error
				if run.Sessions[p], err = (Scheme{}).NewPairState(f.setup(p, nil), 1, f.rand(p)); err != nil {
					t.Fatal(err)
				}
			}
			run.Liars[liar] = func(m threshold.Message, to party) []threshold.Message {
				if m.Round == l.round && to == victim {
					m.Body = l.change(bytes.Clone(m.Body))
				}
				return []threshold.Message{m}
			}
			out, err := run.Go()
			if err != nil {
				t.Fatal(err)
			}
			wantAbort(t, out[victim].Abort, l.kind, l.check, liar)
			if l.kind == proven {
				wantAbort(t, out[c[1]].Abort, l.kind, l.check, liar) // by the accusation
			}
			if a := out[c[1]].Abort; a != nil && slices.ContainsFunc(a.Culprits, func(p party) bool { return p != liar }) {
				t.Errorf("party %d blames %v", c[1], a)
			}
		})
	}
}

// Goal: two others that disagree about their pair make everybody retry, without blame. Method: one of them confirms another transcript to
// all.
func TestPairSetupDisagreement(t *testing.T) {
	f := newFixture(t, 3, 2)
	c := f.Committee.Parties
	f.next()
	run := &thresholdtest.Run[threshold.PairState]{World: f.World, Sessions: map[party]*threshold.Session[threshold.PairState]{},
		Liars: map[party]thresholdtest.Tamper{}}
	for _, p := range c {
		var err error
		if run.Sessions[p], err = (Scheme{}).NewPairState(f.setup(p, nil), 1, f.rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	run.Liars[c[1]] = func(m threshold.Message, _ party) []threshold.Message {
		if m.Round == 3 {
			m.Body = bytes.Clone(m.Body)
			m.Body[32] ^= 1 // about its pair with c[2]
		}
		return []threshold.Message{m}
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	wantAbort(t, out[c[0]].Abort, retry, "confirm")
	wantAbort(t, out[c[2]].Abort, ban, "confirm", c[1])
}

// Goal: parties that count pair-epochs differently do not set up together, and blame nobody. Method: one of them is an epoch behind.
func TestPairEpochsHaveNames(t *testing.T) {
	f := newFixture(t, 3, 2)
	f.next()
	run := &thresholdtest.Run[threshold.PairState]{World: f.World, Sessions: map[party]*threshold.Session[threshold.PairState]{}}
	for i, p := range f.Committee.Parties {
		var err error
		if run.Sessions[p], err = (Scheme{}).NewPairState(f.setup(p, nil), uint64(2-min(i, 1)), f.rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range out {
		if o.Done || o.Abort != nil && (o.Abort.Check != "config-mismatch" || len(o.Abort.Culprits) > 0) {
			t.Errorf("party %d ends with %v", p, o.Abort)
		}
	}
}

// Goal: the stored form is one, whole, and keeps bans; of a banned pair nothing is left in it. Method: round trips and damage.
func TestPairStateRecord(t *testing.T) {
	f := newFixture(t, 3, 2)
	c := f.Committee.Parties
	x := f.pairs[c[0]]
	good := bytes.Clone(x.Bytes().Bytes())
	back, err := parsePairState(good)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Bytes().Bytes(), good) || back.id != x.id || back.epoch != x.epoch || back.party != x.party {
		t.Error("came back different")
	}
	seed := x.pairs[0].seed
	delta := bytes.Clone(x.pairs[0].sender.Bytes().Bytes()[34:50])
	x.Ban(c[1])
	x.Ban(c[1])
	x.Ban(60000)
	banned := x.Bytes().Bytes()
	if bytes.Contains(banned, seed[:]) || bytes.Contains(banned, delta) || !bytes.Contains(good, seed[:]) || !bytes.Contains(good, delta) {
		t.Error("the record of a ban holds the pair's state, or that of a pair does not")
	}
	back, err = parsePairState(banned)
	if err != nil || !slices.Equal(back.Banned(), c[1:2]) || !slices.Equal(x.Banned(), c[1:2]) {
		t.Errorf("bans %v, %v", back.Banned(), err)
	}
	var v pairStateBytes
	if err := canon.Unmarshal(good, &v); err != nil {
		t.Fatal(err)
	}
	damaged := func(change func(v *pairStateBytes)) []byte {
		w := v
		w.Pairs = slices.Clone(v.Pairs)
		change(&w)
		return canon.MustMarshal(w)
	}
	for name, b := range map[string][]byte{
		"empty":       nil,
		"truncated":   good[:len(good)-1],
		"trailing":    append(bytes.Clone(good), 0),
		"version":     damaged(func(v *pairStateBytes) { v.Version++ }),
		"stranger":    damaged(func(v *pairStateBytes) { v.Party = 60000 }),
		"committee":   damaged(func(v *pairStateBytes) { v.Committee.Threshold = 1 }),
		"a pair less": damaged(func(v *pairStateBytes) { v.Pairs = v.Pairs[1:] }),
		"a pair more": damaged(func(v *pairStateBytes) { v.Pairs = append(v.Pairs, v.Pairs[0]) }),
		"no seed":     damaged(func(v *pairStateBytes) { v.Pairs[0].Seed = nil }),
		"short seed":  damaged(func(v *pairStateBytes) { v.Pairs[0].Seed = v.Pairs[0].Seed[1:] }),
		"no sender":   damaged(func(v *pairStateBytes) { v.Pairs[0].Sender = nil }),
		"no receiver": damaged(func(v *pairStateBytes) { v.Pairs[1].Receiver = nil }),
		"roles exchanged": damaged(func(v *pairStateBytes) {
			v.Pairs[1].Receiver, v.Pairs[1].Sender = v.Pairs[1].Sender, v.Pairs[1].Receiver
		}),
	} {
		if p, err := parsePairState(b); err == nil {
			p.Destroy()
			t.Errorf("%s: parses", name)
		}
	}
}
