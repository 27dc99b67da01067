package frost

import (
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// BenchmarkSign3of5 is the engine's cost of one signature by three of five parties, summed over the three signers: each
// presigns with the others, makes its share, and combines and verifies for itself. batch is the presignatures per session.
func BenchmarkSign3of5(b *testing.B) {
	for _, v := range variants() {
		keys := keygen(b, v.scheme, committee(3, partiesTo(5)...), "bench")
		signers := []threshold.PartyID{1, 3, 5}
		for _, n := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/batch=%d", v.scheme.ID(), n), func(b *testing.B) {
				batch := make([][]*threshold.KeyShare, n)
				for i := range batch {
					batch[i] = keys
				}
				b.ReportAllocs()
				for done := 0; done < b.N; done += n {
					pre := presignWith(b, v.scheme, batch, signers, nil, "bench")
					for k := range n {
						req := threshold.SignRequest{Message: v.message}
						shares := sharesOf(b, v.scheme, keys, signers, pre, k, req)
						for i, p := range signers {
							req.Pre = pre[i][k]
							if _, err := v.scheme.Combine(keys[p-1].KeyInfo, req, shares); err != nil {
								b.Fatal(err)
							}
						}
					}
				}
			})
		}
	}
}
