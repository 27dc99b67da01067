package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// serialKey holds the highest serial of a roster that this node has started with. It is not secret and not trusted against who
// writes the disk; it is there so that an old roster put back by mistake is noticed.
const serialKey = "main/roster-serial"

// serialRecord is what stands there.
type serialRecord struct {
	Version uint8  `cbor:"1,keyasint"`
	Serial  uint64 `cbor:"2,keyasint"`
}

const serialVersion = 1

// seenSerial reads the serial, 0 if the node has started with no roster yet.
func seenSerial(ctx context.Context, s vault.Store) (uint64, error) {
	b, err := s.Get(ctx, []byte(serialKey))
	if errors.Is(err, vault.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var r serialRecord
	if err := canon.UnmarshalVersion(b, serialVersion, &r); err != nil {
		return 0, problem.Unreadable("the record of the roster's serial", problem.Restore, err)
	}
	return r.Serial, nil
}

// checkSerial refuses a roster older than the one before.
func checkSerial(ctx context.Context, s vault.Store, r *attest.SignedRoster) (seen uint64, err error) {
	seen, err = seenSerial(ctx, s)
	if err == nil && r.Roster.Serial < seen {
		err = olderRoster("the roster has serial %d, this node has started with %d before", r.Roster.Serial, seen)
	}
	return seen, err
}

// olderRoster is of a roster in the file that is none to start with any more.
func olderRoster(format string, a ...any) error {
	return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf(format, a...), Do: "fetch the newest roster from the operator"}
}

// notInUse tells why a running node's next start refuses the roster in the file, nil if it does not: it is older than the one in use, or
// another one of that serial.
func notInUse(r *attest.SignedRoster, serial uint64, fingerprint string) error {
	switch {
	case r.Roster.Serial < serial:
		return olderRoster("the roster in the file has serial %d, the node uses %d: the next start refuses it", r.Roster.Serial, serial)
	case r.Roster.Serial == serial && r.Fingerprint() != fingerprint:
		return olderRoster("the roster in the file is another one of serial %d than the node uses: the next start refuses it", serial)
	}
	return nil
}

// keepSerial refuses a roster older than the one before, and remembers this one.
func keepSerial(ctx context.Context, s vault.Store, r *attest.SignedRoster) error {
	seen, err := checkSerial(ctx, s, r)
	if err != nil || r.Roster.Serial == seen {
		return err
	}
	return s.Batch(ctx, []vault.Pair{{Key: []byte(serialKey), Value: canon.MustMarshal(serialRecord{serialVersion, r.Roster.Serial})}}, nil)
}
