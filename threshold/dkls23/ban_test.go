package dkls23

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

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
			if f.pairs[victim], err = parsePairState(stored.Bytes()); err != nil {
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
	(*pairState)(nil).Destroy()
}

// Goal: the end of a pair-epoch ends what was made with it, and blames nobody. Method: destroy the state under a session and a
// presignature.
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
