package dkls23

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: C1, exactly t distinct members sign, with their own shares and pair state. Method: the table of wrong signer sets and keys.
func TestC1Signers(t *testing.T) {
	f := newFixture(t, 5, 3)
	c := f.Committee.Parties
	p := c[0]
	for name, q := range map[string][]party{
		"t-1": c[:2], "t+1": c[:4], "all": nil, "none": {}, "repeated": {c[0], c[0], c[1]}, "descending": {c[2], c[1], c[0]},
		"stranger": {c[0], c[1], 60000}, "zero": {0, c[0], c[1]},
	} {
		if _, err := f.scheme(p).Presign(f.setup(p, q), f.keys(p, []party{p}, 1), f.rand(p)); err == nil {
			t.Errorf("%s: presigns", name)
		}
	}
	q := c[:3]
	other := newFixture(t, 3, 2)
	for name, f := range map[string]func() error{
		"no pair state":   func() error { _, err := Scheme{}.Presign(f.setup(p, q), f.keys(p, q, 1), f.rand(p)); return err },
		"another's pairs": func() error { _, err := f.scheme(c[1]).Presign(f.setup(p, q), f.keys(p, q, 1), f.rand(p)); return err },
		"no share":        func() error { _, err := f.scheme(p).Presign(f.setup(p, q), f.keys(p, nil, 1), f.rand(p)); return err },
		"another's share": func() error { _, err := f.scheme(p).Presign(f.setup(p, q), f.keys(c[1], q, 1), f.rand(p)); return err },
		"no key":          func() error { _, err := f.scheme(p).Presign(f.setup(p, q), nil, f.rand(p)); return err },
		"too many": func() error {
			_, err := f.scheme(p).Presign(f.setup(p, q), f.keys(p, q, MaxBatch+1), f.rand(p))
			return err
		},
		"another committee": func() error {
			_, err := f.scheme(p).Presign(f.setup(p, q), other.keys(other.Committee.Parties[0], other.Committee.Parties, 1), f.rand(p))
			return err
		},
		"requests too few": func() error {
			_, err := f.scheme(p).PresignFor(f.setup(p, q), f.keys(p, q, 1), nil, f.rand(p))
			return err
		},
		"x-only tweak": func() error {
			_, err := f.scheme(p).PresignFor(f.setup(p, q), f.keys(p, q, 1),
				[]threshold.SignRequest{{Message: digestOf("x"), Tweaks: []threshold.Tweak{{T: [32]byte{31: 1}, XOnly: true}}}}, f.rand(p))
			return err
		},
		"request with a presignature": func() error {
			_, err := f.scheme(p).PresignFor(f.setup(p, q), f.keys(p, q, 1),
				[]threshold.SignRequest{{Message: digestOf("x"), Pre: &threshold.Presignature{}}}, f.rand(p))
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: presigns", name)
		}
	}
	// Pair state is bound to identity keys.
	moved := f.setup(p, q)
	moved.Committee.Identities = slices.Clone(moved.Committee.Identities)
	moved.Committee.Identities[1] = moved.Committee.Identities[1][:0:0]
	moved.Committee.Identities[1] = bytes.Repeat([]byte{7}, 32)
	info := f.shares[p].KeyInfo
	info.Committee = moved.Committee
	share := threshold.NewKeyShare(info, bytes.Clone(f.shares[p].Secret()))
	if _, err := f.scheme(p).Presign(moved, []threshold.PresignKey{{Info: info, Share: share}}, f.rand(p)); err == nil {
		t.Error("presigns with a party under another identity key than its pair setup's")
	}
}

// Goal: C2, parties with different views of digests, tweaks or pair-epochs retry; nobody is blamed or banned. Method: one view different.
func TestC2LateMismatchNeverBans(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	one := []threshold.SignRequest{{Message: digestOf("one")}}
	for name, views := range map[string][2][]threshold.SignRequest{
		"digest": {one, {{Message: digestOf("two")}}},
		"tweak":  {one, {{Message: one[0].Message, Tweaks: []threshold.Tweak{{T: [32]byte{31: 1}}}}}},
		"mode":   {one, nil},
	} {
		f.next()
		run := &thresholdtest.Run[presignatures]{World: f.World, Sessions: map[party]*threshold.Session[presignatures]{}}
		for i, p := range q {
			x, err := f.scheme(p).newPresigning(f.setup(p, q), f.keys(p, q, 1), views[i])
			if err != nil {
				t.Fatal(err)
			}
			if run.Sessions[p], err = x.session(f.rand(p)); err != nil {
				t.Fatal(err)
			}
		}
		out, err := run.Go()
		if err != nil {
			t.Fatal(err)
		}
		for p, o := range out {
			wantAbort(t, o.Abort, retry, "config-mismatch")
			if len(f.pairs[p].Banned()) > 0 {
				t.Errorf("%s: an honest party is banned", name)
			}
		}
	}
	// An OPEN that says two things makes two session IDs. The honest parties do not ban each other: the liar is found out.
	f = newFixture(t, 5, 3)
	q = f.Committee.Parties[:3]
	run, _ := f.presigning(t, q, nil, 1)
	run.Liars[q[1]] = func(m threshold.Message, to party) []threshold.Message {
		if m.Round == 0 && to == q[2] {
			m.Body = bytes.Clone(m.Body)
			m.Body[0] ^= 1
		}
		return []threshold.Message{m}
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []party{q[0], q[2]} {
		wantAbort(t, out[p].Abort, proven, "equivocation", q[1])
		if len(f.pairs[p].Banned()) > 0 {
			t.Errorf("party %d bans %v", p, f.pairs[p].Banned())
		}
	}
}

// Goal: C10, a party that commits to different R_j before different peers is found out before R2 is accepted; without signatures nobody is
// blamed. Method: equivocate in R1.
func TestC10Equivocation(t *testing.T) {
	for _, signed := range []bool{true, false} {
		f := newFixture(t, 5, 3)
		q := f.Committee.Parties[:3]
		run, _ := f.presigning(t, q, nil, 1)
		if !signed {
			for _, p := range q {
				s := f.setup(p, q)
				s.Authentic = nil
				var err error
				if run.Sessions[p], err = f.scheme(p).Presign(s, f.keys(p, q, 1), f.rand(p)); err != nil {
					t.Fatal(err)
				}
			}
		}
		run.Liars[q[1]] = func(m threshold.Message, to party) []threshold.Message {
			if m.Round == 1 && m.To == threshold.Everybody && to == q[2] {
				m.Body = bytes.Clone(m.Body)
				m.Body[0] ^= 1
			}
			return []threshold.Message{m}
		}
		out, err := run.Go()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []party{q[0], q[2]} {
			switch {
			case signed:
				wantAbort(t, out[p].Abort, proven, "equivocation", q[1])
			default:
				wantAbort(t, out[p].Abort, retry, "echo")
			}
		}
	}
}

// Goal: C16, nobody shows its R_j or answers before it has everybody's commitment (adaptive R). Method: the network holds back one party's
// R1; the others must not send R2.
func TestC16AdaptiveNonce(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := f.Committee.Parties[:3]
	late := q[2]
	_, states := f.presigning(t, q, nil, 1)
	sessions := map[party]*threshold.Session[presignatures]{}
	var queue, held []threshold.Message
	for _, p := range q {
		var err error
		if sessions[p], err = states[p].session(f.rand(p)); err != nil {
			t.Fatal(err)
		}
		ms, err := sessions[p].Start()
		if err != nil {
			t.Fatal(err)
		}
		queue = append(queue, ms...)
	}
	deliverAll := func() {
		for len(queue) > 0 {
			m := f.Sign(queue[0])
			queue = queue[1:]
			if m.From == late && m.Round == 1 && m.To == threshold.Everybody && held == nil {
				held = append(held, m)
				continue
			}
			for _, p := range q {
				if p == m.From {
					continue
				}
				ms, err := sessions[p].Step(m)
				if err != nil {
					t.Fatal(err)
				}
				queue = append(queue, ms...)
			}
		}
	}
	deliverAll()
	for _, p := range q[:2] {
		for _, m := range sessions[p].Outbox() {
			if m.Round > 1 {
				t.Errorf("party %d sent round %d before the commitment of party %d", p, m.Round, late)
			}
		}
		if !slices.Equal(sessions[p].Missing(), []party{late}) {
			t.Errorf("party %d misses %v", p, sessions[p].Missing())
		}
	}
	queue = append(queue, held...)
	deliverAll()
	for _, p := range q {
		if _, ok := sessions[p].Result(); !ok {
			t.Errorf("party %d has no result after all", p)
		}
	}
}

// Goal: the hashes that keep sessions, directions and entries apart do; zero shares sum to zero. Method: change one argument at a time.
func TestSeparation(t *testing.T) {
	a := directed([32]byte{1}, 2, 3)
	if a == directed([32]byte{1}, 3, 2) || a == directed([32]byte{2}, 2, 3) || a == directed([32]byte{1}, 2, 4) ||
		a == directed([32]byte{1}, 1, 3) {
		t.Error("two directions or sessions of a pair have one ID")
	}
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties
	lo, hi := f.pairs[q[0]].pair(q[1]), f.pairs[q[1]].pair(q[0])
	z, y := lo.zeroShare(q[0], [32]byte{1}), hi.zeroShare(q[1], [32]byte{1})
	if z.Equal(lo.zeroShare(q[0], [32]byte{2})) == 1 || z.IsZero() == 1 || z.Add(z, y).IsZero() != 1 {
		t.Error("zero shares do not sum to zero, or repeat")
	}
	_, states := f.presigning(t, q[:2], nil, 2)
	p := states[q[0]]
	if _, err := p.begin(f.rand(q[0]), threshold.SessionID{1}, nil); err != nil {
		t.Fatal(err)
	}
	if p.entries[0].sid == p.entries[1].sid || p.entries[0].r.Equal(&p.entries[1].r) == 1 || p.entries[0].sk.Equal(&p.entries[1].sk) == 1 {
		t.Error("entries of a batch share what must be their own")
	}
	com := commitment(p.id, q[0], 2, p.encoded(), p.salt[:])
	changed := p.encoded()
	changed[public2Len] ^= 1
	for name, c := range map[string][32]byte{
		"session": commitment(threshold.SessionID{2}, q[0], 2, p.encoded(), p.salt[:]),
		"party":   commitment(p.id, q[1], 2, p.encoded(), p.salt[:]),
		"last R":  commitment(p.id, q[0], 2, changed, p.salt[:]), "salt": commitment(p.id, q[0], 2, p.encoded(), make([]byte, saltLen)),
		"size": commitment(p.id, q[0], 1, p.encoded(), p.salt[:]),
	} {
		if c == com {
			t.Errorf("the commitment does not bind the %s", name)
		}
	}
	half, salt := []byte("half"), []byte("salt")
	com = seedCommitment(p.id, 1, 2, half, salt)
	for name, c := range map[string][32]byte{
		"session": seedCommitment(threshold.SessionID{2}, 1, 2, half, salt), "sender": seedCommitment(p.id, 3, 2, half, salt),
		"recipient": seedCommitment(p.id, 1, 3, half, salt), "half": seedCommitment(p.id, 1, 2, salt, salt),
		"salt": seedCommitment(p.id, 1, 2, half, half),
	} {
		if c == com {
			t.Errorf("the commitment to half a seed does not bind the %s", name)
		}
	}
}

// Goal: what a signer shows of its share is new in every session and entry, and is not the public share that everybody can compute: who
// sees many sessions learns no more than who sees one. Method: R_i and pk_i of two sessions of two entries.
func TestPublicValuesAreFresh(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	_, public, err := points(f.shares[q[0]].KeyInfo)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, p := range q {
		x := group.Secp256k1.NewPoint().ScalarMult(lagrange(p, q), public[p])
		seen[string(x.Bytes())] = "λ·X"
	}
	for i := range 2 {
		run, states := f.presigning(t, q, nil, 2)
		results(t, run)
		for p, st := range states {
			for k, e := range st.entries {
				for name, point := range map[string]*secp256k1.Point{"R": &e.point, "pk": &e.public} {
					here := fmt.Sprintf("%s of party %d, session %d, entry %d", name, p, i, k)
					if there, twice := seen[string(point.Bytes())]; twice {
						t.Errorf("%s is %s", here, there)
					}
					seen[string(point.Bytes())] = here
				}
			}
		}
	}
}

// Goal: a whole contribution of an old session, commitment and opening together, is refused (C9 is bound to the session). Method: a liar
// that replays itself.
func TestReplayedContribution(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := f.Committee.Parties[:3]
	var com, opening []byte
	_, out := play(t, f, q, q[0], lie{
		r1: func(_ *scene, o []threshold.Outgoing) { com = bytes.Clone(*to(o, threshold.Everybody)) },
		r2: func(_ *scene, o []threshold.Outgoing) { opening = bytes.Clone(*to(o, threshold.Everybody)) },
	}, nil)
	if out[q[0]].Abort != nil {
		t.Fatal(out[q[0]].Abort)
	}
	s, out := play(t, f, q, q[0], lie{
		r1: func(_ *scene, o []threshold.Outgoing) { *to(o, threshold.Everybody) = com },
		r2: func(_ *scene, o []threshold.Outgoing) { *to(o, threshold.Everybody) = opening },
	}, nil)
	wantAbort(t, out[q[0]].Abort, proven, "C9", s.liar)
}

// Goal: nothing of one session passes in another, nor from one direction in the other (missing ssid, splices). Method: every direct message
// of a finished session in place of the same one of the next.
func TestSplicedSessions(t *testing.T) {
	for round := uint8(1); round <= 2; round++ {
		for _, public := range []bool{true, false} {
			f := newFixture(t, 3, 2)
			q := f.Committee.Parties[:2]
			var old threshold.Message
			run, _ := f.presigning(t, q, nil, 1)
			run.Liars[q[1]] = func(m threshold.Message, _ party) []threshold.Message {
				if m.Round == round && (m.To == threshold.Everybody) == public {
					old = m
				}
				return []threshold.Message{m}
			}
			results(t, run)
			run, _ = f.presigning(t, q, nil, 1)
			run.Liars[q[1]] = func(m threshold.Message, _ party) []threshold.Message {
				if m.Round == round && (m.To == threshold.Everybody) == public {
					m.Body = old.Body
				}
				return []threshold.Message{m}
			}
			out, err := run.Go()
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"1 true": "echo", "1 false": "C7", "2 true": "C9", "2 false": "C8"}[fmt.Sprint(round, public)]
			if a := out[q[0]].Abort; a == nil || a.Check != want && want != "echo" || !slices.Equal(a.Culprits, q[1:]) {
				t.Errorf("round %d, broadcast %v: %v, want %s", round, public, a, want)
			}
		}
	}
}

// failing is a source of randomness that ends.
type failing struct {
	io.Reader
	left int
}

func (r *failing) Read(b []byte) (int, error) {
	if r.left -= len(b); r.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return r.Reader.Read(b)
}

// Goal: without randomness nothing happens, and nothing is blamed on others. Method: a source that ends at every place it is used.
func TestRandomnessFails(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	for left := 0; left < 300; left += 20 {
		run, states := f.presigning(t, q, nil, 1)
		var err error
		if run.Sessions[q[0]], err = states[q[0]].session(&failing{f.rand(q[0]), 32 + left}); err != nil {
			t.Fatal(err)
		}
		out, err := run.Go()
		if err != nil {
			t.Fatal(err)
		}
		if a := out[q[0]].Abort; (a != nil) != (left < 32) || a != nil && a.Kind != threshold.Local { // what a round's stream starts from
			t.Errorf("%d bytes: %v", left, a)
		}
		_, states = f.presigning(t, q, nil, 1)
		if _, err := states[q[0]].begin(&failing{f.rand(q[0]), left}, threshold.SessionID{}, nil); err == nil {
			t.Errorf("%d bytes are enough for all that R1 draws", left)
		}
		for _, e := range states[q[0]].entries {
			if e.r.IsZero()&e.phi.IsZero()&e.sk.IsZero() != 1 {
				t.Errorf("%d bytes: secrets are left", left)
			}
		}
	}
}

// Goal: an OPEN of another form convicts its sender before everybody, in all three ceremonies. Method: shorten and lengthen its payload.
func TestOpenLength(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := f.Committee.Parties[:3]
	pres := f.presign(t, q, 2)
	for i, change := range []func([]byte) []byte{func(b []byte) []byte { return b[:63] },
		func(b []byte) []byte { return append(bytes.Clone(b), 0) }} {
		convicted(t, f, q, change, func(p party) (*threshold.Session[presignatures], error) {
			return f.scheme(p).Presign(f.setup(p, q), f.keys(p, q, 1), f.rand(p))
		})
		convicted(t, f, q, change, func(p party) (*threshold.Session[[][32]byte], error) {
			return f.scheme(p).Agree(f.setup(p, q), []threshold.SignRequest{{Message: digestOf("x"), Pre: pres[p][i]}}, f.rand(p))
		})
		convicted(t, f, f.Committee.Parties, change, func(p party) (*threshold.Session[threshold.PairState], error) {
			return Scheme{}.NewPairState(f.setup(p, nil), 1, f.rand(p))
		})
	}
}

// convicted asserts that everybody names the second party, whose OPEN to the first is changed: the others by its accusation alone.
func convicted[R any](t *testing.T, f *fixture, q []party, change func([]byte) []byte, open func(party) (*threshold.Session[R], error)) {
	t.Helper()
	f.next()
	run := &thresholdtest.Run[R]{World: f.World, Sessions: map[party]*threshold.Session[R]{}, Liars: map[party]thresholdtest.Tamper{}}
	for _, p := range q {
		var err error
		if run.Sessions[p], err = open(p); err != nil {
			t.Fatal(err)
		}
	}
	run.Liars[q[1]] = func(m threshold.Message, to party) []threshold.Message {
		if m.Round == 0 && to == q[0] {
			m.Body = change(m.Body)
		} else if m.Round == 0 {
			return nil
		}
		return []threshold.Message{m}
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range q {
		if p != q[1] {
			wantAbort(t, out[p].Abort, proven, "open-length", q[1])
		}
	}
}

// Goal: Checks of several peers may run at once. Method: hold back everything for one party, so that it has whole rounds to check together,
// in goroutines; run with -race.
func TestParallelChecks(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := f.Committee.Parties[:3]
	reqs := []threshold.SignRequest{{Message: digestOf("parallel")}}
	f.next()
	var sessions []*threshold.Session[presignatures]
	together := 0
	for _, p := range q {
		s := f.setup(p, q)
		s.Parallel = func(n int, do func(int)) {
			together = max(together, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { do(i) })
			}
			wg.Wait()
		}
		x, err := f.scheme(p).PresignFor(s, f.keys(p, q, 1), reqs, f.rand(p))
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, x)
	}
	var queue []threshold.Message
	for _, x := range sessions {
		ms, err := x.Start()
		if err != nil {
			t.Fatal(err)
		}
		queue = append(queue, ms...)
	}
	step := func(i int, m threshold.Message) {
		if q[i] == m.From || m.To != threshold.Everybody && m.To != q[i] {
			return
		}
		ms, err := sessions[i].Step(m)
		if err != nil {
			t.Fatal(err)
		}
		queue = append(queue, ms...)
	}
	var held []threshold.Message // for the first party: it hears one OPEN after the R1 of both others
	for len(queue) > 0 || len(held) > 0 {
		if len(queue) == 0 {
			step(0, held[0])
			held = held[1:]
			continue
		}
		m := queue[0]
		queue = queue[1:]
		if m.Round == 0 && m.From == q[1] {
			held = append(held, m)
		} else {
			step(0, m)
		}
		step(1, m)
		step(2, m)
	}
	if together < 2 {
		t.Error("no two Checks ran at once: the test proves nothing")
	}
	pres := map[party]presignatures{}
	for i, p := range q {
		r, ok := sessions[i].Result()
		if !ok {
			t.Fatalf("party %d misses %v", p, sessions[i].Missing())
		}
		pres[p] = r
	}
	f.signBatch(t, q, reqs, pres, [][]byte{f.shares[q[0]].GroupKey})
}
