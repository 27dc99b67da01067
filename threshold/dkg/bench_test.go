package dkg

import (
	"crypto/rand"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: the CPU time of a key generation of five, all parties in one process and one after the other. Method: messages
// straight from outbox to inbox.
func BenchmarkKeygen3of5(b *testing.B) {
	w := tt.NewWorld(1, 5, 3)
	for _, p := range []Params{edParams, skParams} {
		b.Run(p.Group.Name(), func(b *testing.B) {
			for b.Loop() {
				sessions := map[party]*threshold.Session[share]{}
				var queue []message
				for _, id := range w.Committee.Parties {
					x, err := NewKeygen(p, threshold.Setup{Committee: w.Committee, Self: id}, rand.Reader)
					if err != nil {
						b.Fatal(err)
					}
					sessions[id] = x
					ms, err := x.Start()
					if err != nil {
						b.Fatal(err)
					}
					queue = append(queue, ms...)
				}
				for ; len(queue) > 0; queue = queue[1:] {
					for _, id := range w.Committee.Parties {
						ms, err := sessions[id].Step(queue[0])
						if err != nil {
							b.Fatal(err)
						}
						queue = append(queue, ms...)
					}
				}
				for id, x := range sessions {
					k, ok := x.Result()
					if !ok {
						b.Fatalf("party %d has no result", id)
					}
					k.Destroy()
				}
			}
		})
	}
}
