package appliance_test

import (
	"context"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Goal: a restart never looks like an older boot: peers hear it at once also where the clock was ahead before. Method: node3 is started
// again with a record of its last boot that is an hour ahead, heard by peers that have heard that boot, and takes part in making a key.
func TestRestartAfterClockBack(t *testing.T) {
	c := newCluster(t, 3)
	m := c.nodes[2]
	record := func() (r struct {
		Version uint8  `cbor:"1,keyasint"`
		Number  uint64 `cbor:"2,keyasint"`
	}) {
		b, err := m.state.Get(t.Context(), []byte("node/boot"))
		if err == nil {
			err = canon.Unmarshal(b, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := record()
	if age := time.Since(time.UnixMilli(int64(first.Number))); age < 0 || age > time.Minute {
		t.Errorf("the first boot has number %d, %s ago", first.Number, age)
	}
	ahead := first
	ahead.Number = uint64(time.Now().Add(time.Hour).UnixMilli())
	for i := range uint64(2) { // the second is of a clock that was set back
		m.halt()
		if i == 0 {
			err := m.state.Batch(context.Background(), []vault.Pair{{Key: []byte("node/boot"), Value: canon.MustMarshal(ahead)}}, nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		m.start()
		c.waitReady()
		c.keygen("ed25519", 2, 3) // all three hear each other
		if got := record().Number; got != ahead.Number+1+i {
			t.Errorf("boot %d after %d", got, ahead.Number+i)
		}
	}
}
