package host

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
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

// Goal: what is stored of the roster's serial is refused where it is damaged or of another version, and not written over. Method: the
// eight bytes of before it had a version, damage, and a version to come.
func TestSerialOfAnotherVersion(t *testing.T) {
	ctx := t.Context()
	good := canon.MustMarshal(serialRecord{serialVersion, 7})
	for name, x := range map[string]struct {
		stored  []byte
		version bool
	}{
		"eight bytes":     {make([]byte, 8), false},
		"nothing":         {[]byte{}, false},
		"cut off":         {good[:len(good)-1], false},
		"another version": {canon.MustMarshal(serialRecord{serialVersion + 1, 7}), true},
	} {
		s := vaulttest.NewMemory()
		if err := s.Batch(ctx, []vault.Pair{{Key: []byte(serialKey), Value: x.stored}}, nil); err != nil {
			t.Fatal(err)
		}
		err := keepSerial(ctx, s, &attest.SignedRoster{Roster: attest.Roster{Serial: 9}})
		if p := problem.As(err); p.Code != problem.Integrity || errors.As(err, new(*canon.VersionError)) != x.version {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := s.Get(ctx, []byte(serialKey)); err != nil || !bytes.Equal(b, x.stored) {
			t.Errorf("%s: it was written over: %x, %v", name, b, err)
		}
	}
}
