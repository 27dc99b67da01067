package frost

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/threshold"
)

// BenchmarkSign3of5 is the engine's cost of one signature by three of five parties, summed over the three signers: each
// presigns with the others, makes its share and verifies it; one of them, or every one for itself, combines and verifies the
// signature. batch is the presignatures per session. On a shared machine read cpu-µs/op: user and
// system time of the process, the garbage collector included (aims: 600 for Ed25519, 1200 for Taproot).
func BenchmarkSign3of5(b *testing.B) {
	for _, v := range variants() {
		keys := keygen(b, v.scheme, committee(3, partiesTo(5)...), "bench")
		signers := []threshold.PartyID{1, 3, 5}
		var mine []threshold.Signer
		for _, p := range signers {
			s, err := v.scheme.NewSigner(keys[p-1])
			if err != nil {
				b.Fatal(err)
			}
			mine = append(mine, s)
		}
		for _, c := range []struct{ n, combiners int }{{1, 1}, {1, 3}, {16, 1}, {16, 3}} {
			n := c.n
			b.Run(fmt.Sprintf("%s/batch=%d/combiners=%d", v.scheme.ID(), n, c.combiners), func(b *testing.B) {
				batch := make([][]*threshold.KeyShare, n)
				for i := range batch {
					batch[i] = keys
				}
				b.ReportAllocs()
				start := cpuTime(b)
				for done := 0; done < b.N; done += n {
					pre := presignWith(b, v.scheme, batch, signers, nil, "bench")
					for k := range n {
						req := threshold.SignRequest{Message: v.message}
						shares := make([]*threshold.SignatureShare, len(signers))
						for i := range signers {
							var err error
							req.Pre = pre[i][k]
							if shares[i], err = mine[i].SignShare(req); err != nil {
								b.Fatal(err)
							}
						}
						for i, p := range signers[:c.combiners] {
							req.Pre = pre[i][k]
							if _, err := v.scheme.Combine(keys[p-1].KeyInfo, req, shares); err != nil {
								b.Fatal(err)
							}
						}
					}
				}
				b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// cpuTime is the processor time this process has used.
func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
