package appliance

import (
	"context"
	"errors"
	"math"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// bootKey holds the number of the node's last boot. Peers hear the run of a node with the highest number, so each has a higher one than
// the run before, also where the clock was set back in between.
const bootKey = "node/boot"

// bootRecord is what stands there.
type bootRecord struct {
	Version uint8  `cbor:"1,keyasint"`
	Number  uint64 `cbor:"2,keyasint"` // milliseconds since 1970, or one more than before
}

const bootVersion = 1

func parseBoot(b []byte) (uint64, error) {
	var r bootRecord
	if err := canon.UnmarshalVersion(b, bootVersion, &r); err != nil {
		return 0, problem.Unreadable("the record of the node's last boot", problem.Restore, err)
	}
	return r.Number, nil
}

// nextBoot is the number of this run, kept durably before it is used.
func (n *core) nextBoot(ctx context.Context) (uint64, error) {
	b, err := n.cfg.Store.Get(ctx, []byte(bootKey))
	var last uint64
	switch {
	case err == nil:
		if last, err = parseBoot(b); err != nil {
			return 0, err
		}
	case !errors.Is(err, vault.ErrNotFound):
		return 0, err
	}
	if last == math.MaxUint64 {
		return 0, problem.New(problem.Integrity, problem.Restore, "the record of the node's last boot has the last number there is")
	}
	next := max(last+1, uint64(max(n.cfg.Clock().UnixMilli(), 0)))
	return next, n.keepBoot(ctx, next)
}

func (n *core) keepBoot(ctx context.Context, number uint64) error {
	return n.cfg.Store.Batch(ctx, []vault.Pair{{Key: []byte(bootKey), Value: canon.MustMarshal(bootRecord{bootVersion, number})}}, nil)
}
