package keys

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/canon/canontest"
	"github.com/luxfi/mpcd/threshold"
)

// FuzzRecord: no bytes make the decoder panic, and a record has one encoding.
func FuzzRecord(f *testing.F) {
	canontest.Fuzz(f, Record{Version: 1, State: Active}, ProposedPairs{Epoch: 1})
}

// Goal: a damaged wallet record is refused with its code. Method: flip every byte of one.
func TestDamagedWallet(t *testing.T) {
	r := Record{Version: recordVersion, State: Active}
	r.Info.Kind, r.Info.GroupKey = threshold.Ed25519.ID, make([]byte, 32)
	_, _ = rand.Read(r.Info.GroupKey)
	b := canon.MustMarshal(r)
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if got, err := decode("w_another", bad); err == nil {
			t.Errorf("byte %d: %+v", i, got)
		} else if problem.As(err).Code != problem.Integrity {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

// Goal: a share whose epoch ended while it was being opened is wiped, not kept. Method: hold it behind a newer record, and before one.
func TestEndedEpochIsNotHeld(t *testing.T) {
	k := NewRing(Config{Shares: 8})
	open := func() *Held {
		return &Held{id: heldID("w", 1), Share: threshold.NewKeyShare(threshold.KeyInfo{Epoch: 1}, make([]byte, 32))}
	}
	k.records["w"] = &Record{Info: threshold.KeyInfo{Epoch: 2}}
	if _, err := k.hold("w", 1, open()); err == nil || len(k.held) != 0 {
		t.Error("a share of an epoch that is over is held")
	}
	k.records["w"].Info.Epoch = 1
	if h, err := k.hold("w", 1, open()); err != nil || h.refs != 1 || len(k.held) != 1 {
		t.Errorf("%v", err)
	}
}
