package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
)

// serialKey holds the highest serial of a roster that this node has started with. It is not secret and not trusted against who
// writes the disk; it is there so that an old roster put back by mistake is noticed.
const serialKey = "main/roster-serial"

// keepSerial refuses a roster older than the one before.
func keepSerial(ctx context.Context, s vault.Store, r *attest.SignedRoster) error {
	b, err := s.Get(ctx, []byte(serialKey))
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	if err == nil && len(b) == 8 {
		if seen := binary.BigEndian.Uint64(b); r.Roster.Serial < seen {
			return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the roster has serial %d, this node has started with %d before",
				r.Roster.Serial, seen),
				Do: "fetch the newest roster from the operator"}
		} else if r.Roster.Serial == seen {
			return nil
		}
	}
	return s.Batch(ctx, []vault.Pair{{Key: []byte(serialKey), Value: binary.BigEndian.AppendUint64(nil, r.Roster.Serial)}}, nil)
}
