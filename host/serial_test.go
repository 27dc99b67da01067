package host

import (
	"context"
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: a node never goes back to an older roster.
func TestRosterSerial(t *testing.T) {
	ctx := context.Background()
	s := vaulttest.NewMemory()
	at := func(serial uint64) error {
		return keepSerial(ctx, s, &attest.SignedRoster{Roster: attest.Roster{Serial: serial}})
	}
	for _, serial := range []uint64{1, 1, 3} {
		if err := at(serial); err != nil {
			t.Fatal(serial, err)
		}
	}
	if err := at(2); err == nil || codeOf(err) != fault.CodeIntegrity {
		t.Errorf("an older roster: %v", err)
	}
}
