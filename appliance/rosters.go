package appliance

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// A receipt is verified by the roster that it names, which may be over, and the certificates of a key by that of when it was certified: a
// node keeps those that it had in use.

const (
	rosterPrefix = "node/roster/"
	rostersKept  = 32 // the newest; one of 256 nodes has some 600 KiB at most
)

// rosterRecord is one of them as it is stored.
type rosterRecord struct {
	Version uint8               `cbor:"1,keyasint"`
	Roster  attest.SignedRoster `cbor:"2,keyasint"`
}

const rosterRecordVersion = 1

// rosterKey orders them by their serials.
func rosterKey(serial uint64, fingerprint string) []byte {
	return fmt.Appendf(nil, rosterPrefix+"%016x/%s", serial, fingerprint)
}

func parseRosterRecord(name string, b []byte) (*attest.SignedRoster, error) {
	var rec rosterRecord
	if err := canon.UnmarshalVersion(b, rosterRecordVersion, &rec); err != nil {
		return nil, problem.Unreadable("the kept roster "+name, problem.Restore, err)
	}
	return &rec.Roster, nil
}

// otherRoster is the refusal of a roster of which there is another with the same serial.
func otherRoster(serial uint64, ours, theirs string) error {
	return &problem.Error{Code: problem.Conflict, Err: attest.ErrRoster,
		Message: fmt.Sprintf("the operator has signed two rosters of serial %d: this node has used %s, the other is %s", serial, ours, theirs),
		Next:    "find out which is right, have the operator sign one of a higher serial from it, and bring that to all nodes"}
}

// keepRoster stores a roster that is taken into use, and forgets the oldest above rostersKept. It refuses one in whose place another of the
// same serial was in use.
func (n *core) keepRoster(ctx context.Context, r *attest.SignedRoster) error {
	key, same := rosterKey(r.Roster.Serial, r.Fingerprint()), rosterKey(r.Roster.Serial, "")
	var kept [][]byte
	have := false
	err := n.cfg.Store.Iterate(ctx, []byte(rosterPrefix), func(k, _ []byte) error {
		if other, ok := bytes.CutPrefix(k, same); ok && !bytes.Equal(k, key) {
			return otherRoster(r.Roster.Serial, string(other), r.Fingerprint())
		}
		kept, have = append(kept, slices.Clone(k)), have || bytes.Equal(k, key)
		return nil
	})
	if err != nil || have {
		return err
	}
	put := vault.Pair{Key: key, Value: canon.MustMarshal(rosterRecord{rosterRecordVersion, *r})}
	return n.cfg.Store.Batch(ctx, []vault.Pair{put}, kept[:max(0, len(kept)+1-rostersKept)])
}

// rosterOf finds the roster with a fingerprint: the one in use, or one that was, if the same root has signed it; nil where there is none.
func (n *core) rosterOf(ctx context.Context, fingerprint string) (*attest.SignedRoster, error) {
	now := n.members.Roster()
	if now.Fingerprint() == fingerprint {
		return now, nil
	}
	var found *attest.SignedRoster
	err := n.cfg.Store.Iterate(ctx, []byte(rosterPrefix), func(key, value []byte) (err error) {
		if name := string(key[len(rosterPrefix):]); strings.HasSuffix(name, "/"+fingerprint) {
			found, err = parseRosterRecord(name, value)
		}
		return err
	})
	if err != nil || found == nil || found.Roster.Serial >= now.Roster.Serial {
		return nil, err
	}
	return found, found.Verify(ed25519.PublicKey(now.Root))
}

// keptRosters are those that were in use before the one that is, the newest first, as far as the same root has signed them.
func (n *core) keptRosters(ctx context.Context) (kept []*attest.SignedRoster, err error) {
	now := n.members.Roster()
	err = n.cfg.Store.Iterate(ctx, []byte(rosterPrefix), func(key, value []byte) error {
		r, err := parseRosterRecord(string(key[len(rosterPrefix):]), value)
		if err == nil && r.Roster.Serial < now.Roster.Serial && r.Verify(ed25519.PublicKey(now.Root)) == nil {
			kept = append(kept, r)
		}
		return err
	})
	slices.Reverse(kept)
	return kept, err
}
