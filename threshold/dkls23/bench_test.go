package dkls23

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/threshold"
)

// cpuTime is the processor time this process has used.
func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// deliver drives sessions to their end in the order of sending: no signatures and no encoding, the engine alone.
func deliver[R any](tb testing.TB, parties []party, sessions []*threshold.Session[R]) []R {
	tb.Helper()
	var queue []threshold.Message
	for _, s := range sessions {
		ms, err := s.Start()
		if err != nil {
			tb.Fatal(err)
		}
		queue = append(queue, ms...)
	}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for i, p := range parties {
			if p == m.From || m.To != threshold.Everybody && m.To != p {
				continue
			}
			ms, err := sessions[i].Step(m)
			if err != nil {
				tb.Fatal(err)
			}
			queue = append(queue, ms...)
		}
	}
	out := make([]R, len(sessions))
	for i, s := range sessions {
		r, ok := s.Result()
		if !ok {
			tb.Fatalf("party %d misses %v", parties[i], s.Missing())
		}
		out[i] = r
	}
	return out
}

func (f *fixture) benchPresign(b *testing.B, q []party, reqs []threshold.SignRequest, n int) map[party]presignatures {
	f.next()
	var sessions []*threshold.Session[presignatures]
	for _, p := range q {
		x, err := f.scheme(p).newPresigning(f.setup(p, q), f.keys(p, q, n), reqs)
		if err != nil {
			b.Fatal(err)
		}
		s, err := x.session(f.rand(p))
		if err != nil {
			b.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	out := map[party]presignatures{}
	for i, r := range deliver(b, q, sessions) {
		out[q[i]] = r
	}
	return out
}

// BenchmarkSign3of5 is the engine's cost of one signature by three of five parties, summed over the three signers, one of whom combines.
// Read cpu-ms/op: user and system time of the process, the garbage collector included. Interactive: OPEN, R1, R2, shares (aim 8);
// pool: agreement and shares with a presignature made ahead (aim 0.6).
func BenchmarkSign3of5(b *testing.B) {
	f := newFixture(b, 5, 3)
	q := []party{f.Committee.Parties[0], f.Committee.Parties[2], f.Committee.Parties[4]}
	for _, n := range []int{1, 8, 24} {
		reqs := slices.Repeat([]threshold.SignRequest{{Message: digestOf("bench")}}, n)
		b.Run(fmt.Sprintf("interactive/batch=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime(b)
			for done := 0; done < b.N; done += n {
				pres := f.benchPresign(b, q, reqs, n)
				for i := range n {
					f.benchSign(b, q, reqs[i], pres, i)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/1000/float64((b.N+n-1)/n*n), "cpu-ms/op")
		})
		b.Run(fmt.Sprintf("pool/batch=%d", n), func(b *testing.B) {
			var spent time.Duration
			for done := 0; done < b.N; done += n {
				pres := f.benchPresign(b, q, nil, n)
				start := cpuTime(b)
				f.next()
				var sessions []*threshold.Session[[][32]byte]
				for _, p := range q {
					mine := slices.Clone(reqs)
					for i := range mine {
						mine[i].Pre = pres[p][i]
					}
					s, err := f.scheme(p).Agree(f.setup(p, q), mine, f.rand(p))
					if err != nil {
						b.Fatal(err)
					}
					sessions = append(sessions, s)
				}
				agreement := deliver(b, q, sessions)[0]
				for i := range n {
					req := reqs[i]
					req.Agreement = agreement
					f.benchSign(b, q, req, pres, i)
				}
				spent += cpuTime(b) - start
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/float64((b.N+n-1)/n*n), "cpu-ms/op")
		})
	}
}

func (f *fixture) benchSign(b *testing.B, q []party, req threshold.SignRequest, pres map[party]presignatures, i int) {
	shares := f.sharesOf(b, q, req, pres, i)
	if _, err := f.combine(q[0], req, pres[q[0]][i], shares); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPairSetup5 is the pair setup of five parties, summed over all of them: ten pairs in both directions.
func BenchmarkPairSetup5(b *testing.B) {
	f := newFixture(b, 5, 3)
	start := cpuTime(b)
	for range b.N {
		f.next()
		var sessions []*threshold.Session[threshold.PairState]
		for _, p := range f.Committee.Parties {
			s, err := Scheme{}.NewPairState(f.setup(p, nil), 1, f.rand(p))
			if err != nil {
				b.Fatal(err)
			}
			sessions = append(sessions, s)
		}
		for _, p := range deliver(b, f.Committee.Parties, sessions) {
			p.Destroy()
		}
	}
	b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}
