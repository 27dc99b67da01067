package dkls23

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/threshold"
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
			_, err := f.scheme(p).PresignFor(f.setup(p, q), f.keys(p, q, 1), []threshold.SignRequest{{Message: digestOf("x"), Tweaks: []threshold.Tweak{{T: [32]byte{31: 1}, XOnly: true}}}}, f.rand(p))
			return err
		},
		"request with a presignature": func() error {
			_, err := f.scheme(p).PresignFor(f.setup(p, q), f.keys(p, q, 1), []threshold.SignRequest{{Message: digestOf("x"), Pre: &threshold.Presignature{}}}, f.rand(p))
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

// Goal: C13 and C14, sums that make no signature. Method: contributions that cancel out, shares that sum to zero.
func TestC14Degenerate(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	p, err := f.scheme(q[0]).newPresigning(f.setup(q[0], q), f.keys(q[0], q, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.begin(f.rand(q[0]), threshold.SessionID{1}, nil); err != nil {
		t.Fatal(err)
	}
	e := p.entries[0]
	cancelling := &opened{make([]secp256k1.Point, 1), make([]secp256k1.Point, 1)}
	cancelling.point[0].Negate(&e.point)
	cancelling.public[0].Sub(&e.key.point, &e.public)
	_, err = p.sum(0, e, []threshold.Received{{From: q[1], Payload: cancelling}})
	wantAbort(t, err, retry, "C14")
	cancelling.point[0].Set(&e.point)
	if _, err = p.sum(0, e, []threshold.Received{{From: q[1], Payload: cancelling}}); err != nil {
		t.Error(err)
	}
	cancelling.public[0].Set(&e.public)
	_, err = p.sum(0, e, []threshold.Received{{From: q[1], Payload: cancelling}})
	wantAbort(t, err, retry, "C13")

	reqs := []threshold.SignRequest{{Message: digestOf("zero")}}
	run, _ := f.presigning(t, q, reqs, 1)
	pres := results(t, run)
	good := f.sharesOf(t, q, reqs[0], pres, 0)
	negated := func(b []byte) []byte {
		var s secp256k1.Scalar
		if _, err := s.SetBytes(b); err != nil {
			t.Fatal(err)
		}
		return s.Negate(&s).Bytes()
	}
	w, u := good[0].Payload[:32], good[0].Payload[32:]
	for name, payload := range map[string][]byte{
		"w cancels": slices.Concat(negated(w), good[1].Payload[32:]), "u cancels": slices.Concat(good[1].Payload[:32], negated(u)), "both cancel": slices.Concat(negated(w), negated(u)),
	} {
		bad := []*threshold.SignatureShare{good[0], {From: q[1], Pre: good[1].Pre, Payload: payload}}
		sig, err := f.combine(q[0], reqs[0], pres[q[0]][0], bad)
		if sig.Bytes != nil {
			t.Errorf("%s: a signature", name)
		}
		wantAbort(t, err, retry, "C14")
	}
}

// Goal: C4 and C15, a wrong share gives no signature; one that is no share names its sender, and a wrong value nobody. Method: the table of
// bad shares.
func TestC15Shares(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	reqs := []threshold.SignRequest{{Message: digestOf("a")}, {Message: digestOf("b")}}
	run, _ := f.presigning(t, q, reqs, 2)
	pres := results(t, run)
	good, others := f.sharesOf(t, q, reqs[0], pres, 0), f.sharesOf(t, q, reqs[1], pres, 1)
	pre := pres[q[0]][0]
	with := func(change func(*threshold.SignatureShare)) []*threshold.SignatureShare {
		s := *good[1]
		s.Payload = bytes.Clone(s.Payload)
		change(&s)
		return []*threshold.SignatureShare{good[0], &s}
	}
	order := func(at int) func(*threshold.SignatureShare) {
		return func(s *threshold.SignatureShare) { copy(s.Payload[at:], bytes.Repeat([]byte{0xff}, 32)) }
	}
	for name, shares := range map[string][]*threshold.SignatureShare{
		"w not canonical": with(order(0)), "u not canonical": with(order(32)), "short": with(func(s *threshold.SignatureShare) { s.Payload = s.Payload[1:] }),
		"long":  with(func(s *threshold.SignatureShare) { s.Payload = append(s.Payload, 0) }),
		"empty": with(func(s *threshold.SignatureShare) { s.Payload = nil }), "of another presignature": {good[0], others[1]},
	} {
		sig, err := f.combine(q[0], reqs[0], pre, shares)
		wantAbort(t, err, proven, "C4", q[1])
		req := reqs[0]
		req.Pre = pre
		if sig.Bytes != nil || (Scheme{}).VerifyShare(f.shares[q[0]].KeyInfo, req, shares[1]) == nil || (Scheme{}).VerifyShare(f.shares[q[0]].KeyInfo, req, good[1]) != nil {
			t.Errorf("%s: judged otherwise", name)
		}
	}
	for name, shares := range map[string][]*threshold.SignatureShare{
		"wrong w": with(func(s *threshold.SignatureShare) { s.Payload[31] ^= 1 }), "wrong u": with(func(s *threshold.SignatureShare) { s.Payload[63] ^= 1 }),
		"renamed": with(func(s *threshold.SignatureShare) { s.Payload = others[1].Payload }), "zero": with(func(s *threshold.SignatureShare) { clear(s.Payload) }),
	} {
		sig, err := f.combine(q[0], reqs[0], pre, shares)
		if sig.Bytes != nil {
			t.Errorf("%s: a signature", name)
		}
		wantAbort(t, err, retry, "C15")
	}
	for name, shares := range map[string][]*threshold.SignatureShare{
		"none": nil, "one": good[:1], "three": append(slices.Clone(good), good[0]), "reversed": {good[1], good[0]}, "nil": {good[0], nil},
	} {
		var a *threshold.Abort
		if _, err := f.combine(q[0], reqs[0], pre, shares); err == nil || errors.As(err, &a) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.combine(q[0], reqs[0], pre, good); err != nil {
		t.Errorf("the good shares after all that: %v", err)
	}
	if _, err := f.combine(q[0], reqs[1], pre, good); err == nil {
		t.Error("combines for another digest")
	}
}

// Goal: C16, nobody shows its R_j or answers before it has everybody's commitment (adaptive R). Method: the network holds back one party's R1;
// the others must not send R2.
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

// Goal: C17 and "don't overextend your OT": a peer that fails one check gets no second guess: concurrent sessions with it die,
// presignatures made with it do not sign, later sessions are refused, also after the state was stored and read again; nobody else is
// affected. Method: 300 sessions in a row and 64 at once with one liar.
func TestC17SelectiveFailure(t *testing.T) {
	f := newFixture(t, 5, 3)
	c := f.Committee.Parties
	q, liar, victim := c[:3], c[1], c[0]
	reqs := []threshold.SignRequest{{Message: digestOf("made before the ban")}}
	run, _ := f.presigning(t, q, reqs, 1)
	before := results(t, run)

	// 64 sessions get as far as R1; one of them carries the lie.
	const parallel = 64
	type live struct {
		x *threshold.Session[presignatures]
		m []threshold.Message
	}
	var sessions []live
	for i := range parallel {
		f.next()
		var xs []*threshold.Session[presignatures]
		var queue []threshold.Message
		for _, p := range q {
			x, err := f.scheme(p).Presign(f.setup(p, q), f.keys(p, q, 1), f.rand(p))
			if err != nil {
				t.Fatal(err)
			}
			ms, err := x.Start()
			if err != nil {
				t.Fatal(err)
			}
			xs, queue = append(xs, x), append(queue, ms...)
		}
		l := live{x: xs[0]}
		for len(queue) > 0 {
			m := queue[0]
			queue = queue[1:]
			for k, p := range q {
				switch {
				case p == m.From || m.To != threshold.Everybody && m.To != p:
				case p == victim && m.Round >= 1:
					if m.From == liar && m.Round == 1 && m.To == victim && i == parallel/2 {
						m.Body = bytes.Clone(m.Body)
						m.Body[40] ^= 1
					}
					l.m = append(l.m, m)
				default:
					ms, err := xs[k].Step(m)
					if err != nil {
						t.Fatal(err)
					}
					queue = append(queue, ms...)
				}
			}
		}
		sessions = append(sessions, l)
	}
	bans, killed := 0, 0
	step := func(l live) {
		for _, m := range l.m {
			_, err := l.x.Step(m)
			var a *threshold.Abort
			if !errors.As(err, &a) {
				continue
			}
			if a.Kind != threshold.Ban || !slices.Equal(a.Culprits, []party{liar}) {
				t.Fatalf("abort %v", a)
			}
			if a.Check == "C7" {
				bans++
			} else if a.Check == "C17" {
				killed++
			}
			return
		}
		if _, ok := l.x.Result(); ok {
			t.Error("a session with the liar completed")
		}
	}
	step(sessions[parallel/2])
	for i, l := range sessions {
		if i != parallel/2 {
			step(l)
		}
	}
	if bans != 1 || killed != parallel-1 {
		t.Errorf("%d bans and %d sessions killed, want 1 and %d", bans, killed, parallel-1)
	}

	signer, err := f.scheme(victim).NewSigner(f.shares[victim])
	if err != nil {
		t.Fatal(err)
	}
	req := reqs[0]
	req.Pre = before[victim][0]
	if _, err := signer.SignShare(req); !errors.Is(err, ErrBanned) {
		t.Errorf("a presignature made with the liar signs: %v", err)
	}

	for i := range 300 {
		if i == 150 { // as if restarted
			stored := f.pairs[victim].Bytes()
			if f.pairs[victim], err = ParseProvision(stored.Bytes()); err != nil {
				t.Fatal(err)
			}
			stored.Wipe()
		}
		f.next()
		if _, err := f.scheme(victim).Presign(f.setup(victim, q), f.keys(victim, q, 1), f.rand(victim)); !errors.Is(err, ErrBanned) {
			t.Fatalf("session %d after the ban: %v", i, err)
		}
	}
	if !slices.Equal(f.pairs[victim].Banned(), []party{liar}) {
		t.Errorf("banned: %v", f.pairs[victim].Banned())
	}
	// An honest quorum without the edge goes on.
	q = []party{c[0], c[2], c[3]}
	run, _ = f.presigning(t, q, reqs, 1)
	f.signBatch(t, q, reqs, results(t, run), [][]byte{f.shares[q[0]].GroupKey})
}

// Goal: a ban wipes what was shared, once the last user has left, and not under its feet. Method: users and bans in many goroutines.
func TestBanWipes(t *testing.T) {
	f := newFixture(t, 3, 2)
	p := f.pairs[f.Committee.Parties[0]]
	x := p.pairs[0]
	var wg sync.WaitGroup
	var inside atomic.Int64
	for i := range 50 {
		wg.Go(func() {
			_ = x.use(func() error {
				inside.Add(1)
				if x.seed == [32]byte{} || len(x.sender.Bytes().Bytes()) == 0 {
					t.Error("wiped under a user's feet")
				}
				if i == 25 {
					x.close(banned)
					if err := x.use(func() error { return nil }); !errors.Is(err, ErrBanned) {
						t.Errorf("somebody enters after the ban: %v", err)
					}
				}
				return nil
			})
		})
	}
	wg.Wait()
	if x.seed != [32]byte{} || x.users.Load() != 0 {
		t.Error("the seed is still there")
	}
	if err := x.use(func() error { return nil }); !errors.Is(err, ErrBanned) {
		t.Errorf("after the ban: %v", err)
	}
	p.Destroy()
	p.Destroy()
	if p.pairs[1].users.Load() != 0 {
		t.Error("destroyed state is still there")
	}
	(*Provision)(nil).Destroy()
}

// Goal: the end of a pair-epoch ends what was made with it, and blames nobody. Method: destroy the state under a session and a presignature.
func TestDestroyBlamesNobody(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	reqs := []threshold.SignRequest{{Message: digestOf("too late")}}
	run, _ := f.presigning(t, q, reqs, 1)
	pre := results(t, run)[q[0]][0]
	run, _ = f.presigning(t, q, nil, 1)
	f.Trace = func(to party, m threshold.Message) {
		if to == q[0] && m.Round == 1 {
			f.pairs[q[0]].Destroy()
			f.pairs[q[0]].Ban(q[1]) // too late
		}
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	wantAbort(t, out[q[0]].Abort, retry, "C17")
	signer, err := f.scheme(q[0]).NewSigner(f.shares[q[0]])
	if err != nil {
		t.Fatal(err)
	}
	_, err = signer.SignShare(threshold.SignRequest{Message: reqs[0].Message, Pre: pre})
	wantAbort(t, err, retry, "C17")
	if _, err := f.scheme(q[0]).Presign(f.setup(q[0], q), f.keys(q[0], q, 1), f.rand(q[0])); !errors.Is(err, ErrDestroyed) {
		t.Errorf("presigns with destroyed state: %v", err)
	}
	if len(f.pairs[q[0]].Banned()) > 0 {
		t.Error("somebody is banned")
	}
	defer func() {
		if recover() == nil {
			t.Error("destroyed state can be stored")
		}
	}()
	f.pairs[q[0]].Bytes()
}

// Goal: C18, a presignature signs once. Method: use it again: at once, for another digest, in 1000 goroutines, after Burn, after a refused
// request, and in two agreements.
func TestC18PresignatureReuse(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	signer, err := f.scheme(q[0]).NewSigner(f.shares[q[0]])
	if err != nil {
		t.Fatal(err)
	}
	reqs := []threshold.SignRequest{{Message: digestOf("first")}, {Message: digestOf("parallel")}, {Message: digestOf("burnt")}, {Message: digestOf("refused")}}
	pres := f.presign(t, q, 5)
	agreement := f.agree(t, q, reqs, pres)[q[0]]
	for i := range reqs {
		reqs[i].Pre, reqs[i].Agreement = pres[q[0]][i], agreement
	}
	if _, err := signer.SignShare(reqs[0]); err != nil {
		t.Fatal(err)
	}
	again := reqs[0]
	again.Message = digestOf("another")
	copied := *again.Pre
	copied.Prepared = pres[q[1]][0].Prepared
	for _, r := range []threshold.SignRequest{reqs[0], again, {Message: reqs[0].Message, Agreement: agreement, Pre: &copied}} {
		if _, err := signer.SignShare(r); !errors.Is(err, threshold.ErrBurnt) {
			t.Errorf("second use: %v", err)
		}
	}
	var wg sync.WaitGroup
	var made atomic.Int64
	for range 1000 {
		wg.Go(func() {
			if _, err := signer.SignShare(reqs[1]); err == nil {
				made.Add(1)
			} else if !errors.Is(err, threshold.ErrBurnt) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d shares from one presignature", made.Load())
	}
	reqs[2].Pre.Burn()
	reqs[2].Pre.Burn()
	if _, err := signer.SignShare(reqs[2]); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("after Burn: %v", err)
	}
	if n := reqs[2].Pre.Nonces.(*secrets); n.phi.IsZero()&n.u.IsZero()&n.v.IsZero() != 1 {
		t.Error("Burn leaves secrets")
	}
	bad := reqs[3]
	bad.Message = digestOf("not agreed")
	if _, err := signer.SignShare(bad); err == nil {
		t.Error("signs what was not agreed")
	}
	if _, err := signer.SignShare(reqs[3]); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("after a refusal: %v", err)
	}
	for i := range reqs {
		if n := pres[q[0]][i].Nonces.(*secrets); n.phi.IsZero()&n.u.IsZero()&n.v.IsZero() != 1 {
			t.Errorf("presignature %d leaves secrets", i)
		}
	}

	// An agreement that is given up burns; a retry needs another presignature.
	f.next()
	open := func() (*threshold.Session[[][32]byte], error) {
		return f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: digestOf("m"), Pre: pres[q[0]][4]}}, f.rand(q[0]))
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("a second agreement: %v", err)
	}
	s.Erase()
	if _, err := signer.SignShare(threshold.SignRequest{Message: digestOf("m"), Pre: pres[q[0]][4], Agreement: agreement}); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("after a failed agreement: %v", err)
	}
}

// Goal: C19, no share leaves unless all signers agreed on this digest, tweak and these nonces. Method: split views in the agreement; then
// a caller that asks for something else than agreed.
func TestC19Agreement(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	tweak := []threshold.Tweak{{T: [32]byte{31: 9}}}
	message := digestOf("agreed")
	views := []threshold.SignRequest{{Message: digestOf("other")}, {Message: message, Tweaks: tweak}}
	pres := f.presign(t, q, len(views)+6)
	for i, view := range views {
		f.next()
		run := &thresholdtest.Run[[][32]byte]{World: f.World, Sessions: map[party]*threshold.Session[[][32]byte]{}}
		for k, r := range []threshold.SignRequest{{Message: message}, view} {
			var err error
			r.Pre = pres[q[k]][i]
			if run.Sessions[q[k]], err = f.scheme(q[k]).Agree(f.setup(q[k], q), []threshold.SignRequest{r}, f.rand(q[k])); err != nil {
				t.Fatal(err)
			}
		}
		out, err := run.Go()
		if err != nil {
			t.Fatal(err)
		}
		for k, p := range q {
			wantAbort(t, out[p].Abort, retry, "config-mismatch")
			if pres[q[k]][i].Nonces.(*secrets).state.Load() != burnt {
				t.Error("a failed agreement leaves the presignature")
			}
		}
	}

	rest := map[party]presignatures{q[0]: pres[q[0]][len(views):], q[1]: pres[q[1]][len(views):]}
	reqs := slices.Repeat([]threshold.SignRequest{{Message: message}}, 5)
	agreement := f.agree(t, q, reqs, rest)[q[0]]
	signer, err := f.scheme(q[0]).NewSigner(f.shares[q[0]])
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(agreement)
	other[1][0] ^= 1
	for i, r := range []threshold.SignRequest{
		{Message: digestOf("other"), Agreement: agreement},
		{Message: message, Tweaks: tweak, Agreement: agreement},
		{Message: message, Agreement: other},
		{Message: message},
		{Message: message, Agreement: agreement[:1]},
		{Message: message, Agreement: agreement}, // the sixth was never agreed on
	} {
		r.Pre = rest[q[0]][i]
		if _, err := signer.SignShare(r); err == nil {
			t.Errorf("request %d: signs what was not agreed", i)
		}
	}
	// What was presigned for one request signs no other, and needs no agreement.
	run, _ := f.presigning(t, q, reqs[:2], 2)
	bound := results(t, run)
	for i, r := range []threshold.SignRequest{{Message: digestOf("other")}, {Message: message, Agreement: agreement}} {
		r.Pre = bound[q[0]][i]
		if _, err := signer.SignShare(r); err == nil {
			t.Errorf("request %d: signs what was not presigned for", i)
		}
	}
	run, _ = f.presigning(t, q, reqs[:4], 4)
	bound = results(t, run)
	free := f.presign(t, q, 3)
	for name, pre := range map[string]pre{"for one request already": bound[q[0]][0], "with another's secrets": free[q[1]][0]} {
		for self, signers := range map[party][]party{q[0]: q, 60000: q} { // an observer is refused too
			if _, err := f.scheme(q[0]).Agree(f.setup(self, signers), []threshold.SignRequest{{Message: message, Pre: pre}}, f.rand(q[0])); err == nil && (self == q[0] || pre == bound[q[0]][0]) {
				t.Errorf("agrees on a presignature %s", name)
			}
		}
	}
	for name, x := range map[string]func() error{
		"other signers": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], []party{q[0], f.Committee.Parties[2]}), []threshold.SignRequest{{Message: message, Pre: free[q[0]][0]}}, f.rand(q[0]))
			return err
		},
		"none": func() error { _, err := f.scheme(q[0]).Agree(f.setup(q[0], q), nil, f.rand(q[0])); return err },
		"no presignature": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: message}}, f.rand(q[0]))
			return err
		},
		"a foreign one": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: message, Pre: &threshold.Presignature{Signers: q}}}, f.rand(q[0]))
			return err
		},
		"an x-only tweak": func() error {
			r := threshold.SignRequest{Message: message, Pre: free[q[0]][0], Tweaks: []threshold.Tweak{{T: tweak[0].T, XOnly: true}}}
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{r}, f.rand(q[0]))
			return err
		},
		"no randomness": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: message, Pre: free[q[0]][1]}}, &failing{f.rand(q[0]), 31})
			return err
		},
	} {
		if x() == nil {
			t.Errorf("agrees on %s", name)
		}
	}
	if free[q[0]][0].Nonces.(*secrets).state.Load() != idle || free[q[0]][1].Nonces.(*secrets).state.Load() != burnt {
		t.Error("a refused agreement burns, or one without randomness does not")
	}
	// Nor does a presignature sign with another party's share, or if it was exchanged.
	theirs, err := f.scheme(q[1]).NewSigner(f.shares[q[1]])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.SignShare(threshold.SignRequest{Message: message, Pre: bound[q[0]][1]}); err == nil {
		t.Error("signs with another's secrets")
	}
	exchanged := *bound[q[0]][2]
	exchanged.Nonces = bound[q[0]][3].Nonces
	if _, err := signer.SignShare(threshold.SignRequest{Message: message, Pre: &exchanged}); err == nil {
		t.Error("signs with another presignature's secrets")
	}
	// Combine refuses what the presignature is not for, before it blames the shares.
	var a *threshold.Abort
	shares := f.sharesOf(t, q, reqs[0], bound, 0)
	for name, r := range map[string]threshold.SignRequest{
		"another request":        {Message: digestOf("other"), Pre: bound[q[0]][0]},
		"an agreement":           {Message: message, Pre: bound[q[0]][0], Agreement: agreement},
		"no agreement":           {Message: message, Pre: free[q[0]][2]},
		"a part of an agreement": {Message: message, Pre: free[q[0]][2], Agreement: agreement[:1]},
	} {
		if _, err := (Scheme{}).Combine(f.shares[q[0]].KeyInfo, r, shares); err == nil || errors.As(err, &a) {
			t.Errorf("combines with %s: %v", name, err)
		}
	}
	other2 := f.shares[q[0]].KeyInfo
	other2.Epoch++
	if _, err := (Scheme{}).Combine(other2, threshold.SignRequest{Message: message, Pre: bound[q[0]][0]}, shares); err == nil {
		t.Error("combines for another epoch of the key")
	}
	for name, change := range map[string]func(*threshold.Presignature){
		"ID":      func(p *threshold.Presignature) { p.ID[0] ^= 1 },
		"signers": func(p *threshold.Presignature) { p.Signers = f.Committee.Parties[1:] },
		"commitments": func(p *threshold.Presignature) {
			p.Commitments = slices.Clone(p.Commitments)
			slices.Reverse(p.Commitments)
		},
	} {
		altered := *bound[q[0]][0]
		change(&altered)
		if _, err := (Scheme{}).Combine(f.shares[q[0]].KeyInfo, threshold.SignRequest{Message: message, Pre: &altered}, shares); err == nil || errors.As(err, &a) {
			t.Errorf("combines with altered %s: %v", name, err)
		}
	}
}

// Goal: secrets are handed out in one state only, and to one taker. Method: every state; then takers that spin for the same moment.
func TestTake(t *testing.T) {
	for state, want := range map[uint32]error{idle: errNotAgreed, agreeing: errNotAgreed, agreed: nil, burnt: threshold.ErrBurnt} {
		n := &secrets{}
		n.state.Store(state)
		if _, _, _, err := n.take(); err != want {
			t.Errorf("state %d: %v, want %v", state, err, want)
		}
	}
	for range 3000 {
		n := &secrets{}
		n.state.Store(agreed)
		var ready, takers atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for ready.Add(1); ready.Load() < 2; {
				}
				if _, _, _, err := n.take(); err == nil {
					takers.Add(1)
				}
			})
		}
		wg.Wait()
		if takers.Load() != 1 {
			t.Fatalf("%d takers", takers.Load())
		}
	}
}

// Goal: the hashes that keep sessions, directions and entries apart do; zero shares sum to zero. Method: change one argument at a time.
func TestSeparation(t *testing.T) {
	a := directed([32]byte{1}, 2, 3)
	if a == directed([32]byte{1}, 3, 2) || a == directed([32]byte{2}, 2, 3) || a == directed([32]byte{1}, 2, 4) || a == directed([32]byte{1}, 1, 3) {
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
		"session": commitment(threshold.SessionID{2}, q[0], 2, p.encoded(), p.salt[:]), "party": commitment(p.id, q[1], 2, p.encoded(), p.salt[:]),
		"last R": commitment(p.id, q[0], 2, changed, p.salt[:]), "salt": commitment(p.id, q[0], 2, p.encoded(), make([]byte, saltLen)),
		"size": commitment(p.id, q[0], 1, p.encoded(), p.salt[:]),
	} {
		if c == com {
			t.Errorf("the commitment does not bind the %s", name)
		}
	}
}

// Goal: a whole contribution of an old session, commitment and opening together, is refused (C9 is bound to the session). Method: a liar that
// replays itself.
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

// Goal: C17, a session whose last check passed before a ban still dies. Method: ban the peer while another's message is outstanding.
func TestC17BanBeforeTheEnd(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := f.Committee.Parties[:3]
	run, _ := f.presigning(t, q, nil, 1)
	seen := map[party]int{}
	f.Trace = func(to party, m threshold.Message) {
		if to != q[0] || m.Round != 2 {
			return
		}
		if seen[m.From]++; seen[m.From] == 2 && len(seen) == 2 && seen[q[1]] == 2 && seen[q[2]] == 2 {
			// This message is the last: the other peer's have passed.
			first := q[1] + q[2] - m.From
			f.pairs[q[0]].Ban(first)
			seen[first] = 100
		}
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	who := f.pairs[q[0]].Banned()
	if len(who) != 1 {
		t.Fatal("the test banned nobody")
	}
	wantAbort(t, out[q[0]].Abort, ban, "C17", who...)
}

// Goal: the raw-hash forgery on presignatures (Groth and Shoup, ePrint 2021/1330) works against shares without re-randomisation and not
// against ours. Method: run it against both. To forge on h*, choose a, r' = x(a·R), ask for h = h*·r/r'; then s' = s·r'/(r·a) fits (r', h*).
func TestRawHashForgery(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	info := f.shares[q[0]].KeyInfo
	target := digestOf("target of the forgery")
	// attack returns whether the forgery verifies, given an oracle that signs one digest with a presignature whose R the attacker knows.
	attack := func(pre pre, oracle func(digest []byte) threshold.Signature) bool {
		R := &pre.Prepared.(*prepared).point
		a := new(secp256k1.Scalar).SetUint64(12345)
		forgedR := new(secp256k1.Point).ScalarMult(a, R)
		r, _ := coordinate(R)
		r2, _ := coordinate(forgedR)
		z := new(secp256k1.Scalar).SetBytesReduced(target)
		var h, inv, s secp256k1.Scalar
		h.Mul(z, r)
		h.Mul(&h, inv.Invert(r2))
		sig := oracle(h.Bytes())
		if _, err := s.SetBytes(sig.Bytes[32:]); err != nil {
			t.Fatal(err)
		}
		s.Mul(&s, r2)
		s.Mul(&s, inv.Invert(r))
		s.Mul(&s, inv.Invert(a))
		s.CondNegate(s.IsHigh())
		return Scheme{}.Verify(info.GroupKey, nil, target, slices.Concat(r2.Bytes(), s.Bytes())) == nil
	}
	pres := f.presign(t, q, 2)

	naive := func(digest []byte) threshold.Signature { // delta = 0: shares of s under R itself
		z := new(secp256k1.Scalar).SetBytesReduced(digest)
		prep := pres[q[0]][0].Prepared.(*prepared)
		r, recovery := coordinate(&prep.point)
		var w, u secp256k1.Scalar
		for _, p := range q {
			n := pres[p][0].Nonces.(*secrets)
			w.MulAdd(z, &n.phi, &w)
			w.MulAdd(r, &n.v, &w)
			u.Add(&u, &n.u)
		}
		x := &request{binding: &binding{z: *z, child: prep.key.point}, r: *r, recovery: recovery}
		sig, err := x.signature(&w, &u)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	if !attack(pres[q[0]][0], naive) {
		t.Error("the forgery fails where it should succeed: the test proves nothing")
	}
	ours := func(digest []byte) threshold.Signature {
		rest := map[party]presignatures{q[0]: pres[q[0]][1:], q[1]: pres[q[1]][1:]}
		req := threshold.SignRequest{Message: digest}
		req.Agreement = f.agree(t, q, []threshold.SignRequest{req}, rest)[q[0]]
		sig, err := f.combine(q[0], req, rest[q[0]][0], f.sharesOf(t, q, req, rest, 0))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	if attack(pres[q[0]][1], ours) {
		t.Error("a signature was forged")
	}
}

// Goal: delta depends on every nonce, the digest, the tweak, the key, the signers and R, so no party and no requester can fix it. Method:
// change one at a time; all must differ.
func TestRerandomiser(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	pres := f.presign(t, q, 2)[q[0]]
	seen := map[string]string{}
	try := func(name string, p *prepared, message []byte, tweaks []threshold.Tweak, agreement [][32]byte) {
		b, err := newBinding(p.key, threshold.SignRequest{Message: message, Tweaks: tweaks})
		if err != nil {
			t.Fatal(err)
		}
		d := p.rerandomiser(&request{binding: b, agreement: agreement})
		if other, ok := seen[string(d.Bytes())]; ok || d.IsZero() == 1 {
			t.Errorf("%s and %s have one delta", name, other)
		}
		seen[string(d.Bytes())] = name
	}
	p := pres[0].Prepared.(*prepared)
	m, nonces := digestOf("m"), [][32]byte{{1}, {2}}
	try("plain", p, m, nil, nonces)
	try("digest", p, digestOf("m2"), nil, nonces)
	try("tweak", p, m, []threshold.Tweak{{T: [32]byte{31: 1}}}, nonces)
	try("first nonce", p, m, nil, [][32]byte{{3}, {2}})
	try("second nonce", p, m, nil, [][32]byte{{1}, {3}})
	try("nonces swapped", p, m, nil, [][32]byte{{2}, {1}})
	try("no nonces", p, m, nil, nil)
	try("presignature", pres[1].Prepared.(*prepared), m, nil, nonces)
	other := &prepared{id: p.id, signers: p.signers, key: p.key, point: *secp256k1.NewGenerator()}
	try("R", other, m, nil, nonces)
	other = &prepared{id: [32]byte{1}, signers: p.signers, key: p.key, point: p.point}
	try("ID alone", other, m, nil, nonces)
	other = &prepared{id: p.id, signers: f.Committee.Parties[1:], key: p.key, point: p.point}
	try("signers", other, m, nil, nonces)
	key := *p.key
	key.point.Add(&key.point, secp256k1.NewGenerator())
	other = &prepared{id: p.id, signers: p.signers, key: &key, point: p.point}
	try("key", other, m, nil, nonces)
}

// Goal: nothing of one session passes in another, nor from one direction in the other (missing ssid, splices). Method: every direct message of
// a finished session in place of the same one of the next.
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
	for left := 32; left < 600; left += 40 {
		run, states := f.presigning(t, q, nil, 1)
		var err error
		if run.Sessions[q[0]], err = states[q[0]].session(&failing{f.rand(q[0]), left}); err != nil {
			t.Fatal(err)
		}
		out, err := run.Go()
		if err != nil {
			t.Fatal(err)
		}
		if a := out[q[0]].Abort; a != nil && a.Kind != threshold.Local {
			t.Errorf("%d bytes: %v", left, a)
		} else if a == nil && left < 300 {
			t.Errorf("%d bytes are enough", left)
		}
		for _, e := range states[q[0]].entries {
			if e.r.IsZero()&e.phi.IsZero()&e.sk.IsZero() != 1 {
				t.Errorf("%d bytes: secrets are left", left)
			}
		}
	}
}
