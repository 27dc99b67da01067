package appliance_test

import (
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/internal/sim"
)

// Goal: a committee of 16 whose nodes share two cores makes and uses keys of every kind: nobody is called missing for having much to do.
// Method: nodes of real parts in one process, 9 of 16; keygen, signatures, refresh. Under the race detector, which makes the work ten times
// as long, half as many nodes and as much more time for a request.
func TestSixteenNodes(t *testing.T) {
	n, most := 16, 2*time.Minute
	if slowdown > 1 {
		n, most = 8, slowdown*most
	}
	c := sim.New(t, sim.Config{Nodes: n, Limits: appliance.Limits{Request: most, Presignatures: -1}})
	node := c.Nodes[0].Node
	for _, kind := range []struct{ curve, protocol string }{{"ed25519", "frost"}, {"secp256k1", "frost"}, {"secp256k1", "dkls23"}} {
		w := c.KeygenBy(kind.curve, kind.protocol, n/2+1, n)
		sign := func() {
			t.Helper()
			if _, err := node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: make([]byte, 32)}); err != nil {
				t.Errorf("%s by %s: %v", kind.curve, kind.protocol, err)
			}
		}
		sign()
		if _, err := node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
			t.Errorf("refresh of %s by %s: %v", kind.curve, kind.protocol, err)
		}
		sign()
	}
}
