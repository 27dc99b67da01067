package benchmarks

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/internal/sim"
)

// BenchmarkNodes is the sustained load of Node in one process, for profiles: SoftHSM, Badger, NATS and the API's handler, all
// five nodes of a 3-of-5 key.
func BenchmarkNodes(b *testing.B) {
	c := sim.New(b, sim.Config{Nodes: 5})
	w := c.Keygen("ed25519", 3, 5)
	h := api.New(api.Config{Backend: appliance.NewFront(c.Nodes[0].Node), Auth: api.Dev{}, Dev: true})
	s := httptest.NewServer(h)
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				resp, err := client.Post(s.URL+"/api/v1/sign", "application/json",
					strings.NewReader(fmt.Sprintf(`{"wallet_id":%q,"message":"0x%016x"}`, w.ID, i)))
				if err != nil {
					b.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Error(resp.Status)
					return
				}
			}
		})
	}
	wg.Wait()
}
