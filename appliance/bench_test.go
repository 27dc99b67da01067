package appliance_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/appliance"
)

// BenchmarkSign is what one signature costs all five nodes of a 3-of-5 key together, over memnet with software tokens: the
// appliance without network, hardware and HTTP.
func BenchmarkSign(b *testing.B) {
	c := newCluster(b, 5)
	w := c.keygen("ed25519", 3, 5)
	for _, clients := range []int{1, 16, 64} {
		b.Run(map[int]string{1: "clients=1", 16: "clients=16", 64: "clients=64"}[clients], func(b *testing.B) {
			var next atomic.Int64
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if _, err := c.nodes[0].node.Sign(b.Context(),
							appliance.SignRequest{WalletID: w.ID, Message: []byte{byte(i), byte(i >> 8), byte(i >> 16), 1}}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
