package appliance

import (
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: where a node's disk is full all freezes are in force that a peer brings at once, as to a node that was away, not the first alone;
// one that does not hold still ends the reading. Method: an envelope of a peer's with three, to a node whose store takes no writes.
func TestFreezesBroughtOnFullDisk(t *testing.T) {
	for forged, want := range map[int]int{-1: 3, 1: 1} {
		x := newInside(t)
		x.cfg.Store = unwritten{x.cfg.Store}
		key := x.key(t, "attest", x.world.Committee.Parties[1])
		b := freezeBody{Version: freezeVersion}
		for i := range 3 {
			f := attest.Freeze{Version: attest.FreezeVersion, Cluster: "test", Node: string(nodeOf(x.world.Committee.Parties[1])),
				Scope: attest.ScopeVault, Name: fmt.Sprint("vault", i), Reason: "r", Created: 1, Nonce: make([]byte, 16)}
			signed, err := f.Attest(t.Context(), x.token.hsm, key)
			if err != nil {
				t.Fatal(err)
			}
			if i == forged {
				signed.Freeze.Name = "another"
			}
			b.Records = append(b.Records, freezeRecord{Version: freezeVersion, Signed: *signed})
		}
		x.freezer.learn(t.Context(), transport.Envelope{From: nodeOf(x.world.Committee.Parties[1]), Kind: ceremony.KindFreeze,
			Body: canon.MustMarshal(b)})
		if got := x.freezer.inForce(); got != want {
			t.Errorf("%d are in force, want %d", got, want)
		}
	}
}
