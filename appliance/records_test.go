package appliance

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: every record that a node keeps is read by its version, an answer inside a request's record too, and none that the program does
// not keep passes. Method: one of each kind as the next version of the program would write it, one of no kind, and good ones.
func TestRecordsOfAnotherVersion(t *testing.T) {
	answered := func(op attest.Operation, answer any) vault.Pair {
		return operation.New(nil, time.Now).Answered(string(op), "s", [32]byte{}, canon.MustMarshal(answer))
	}
	at := func(key string, v any) vault.Pair { return vault.Pair{Key: []byte(key), Value: canon.MustMarshal(v)} }
	named := func(v uint8) map[int]any { return map[int]any{1: v, 2: "w_x"} }
	session := answered(attest.OpKeygen, keyAnswer{Version: keyAnswerVersion}).Key
	for name, x := range map[string]struct {
		stored  vault.Pair
		version bool // it is refused for its version
	}{
		"wallet":        {at("node/wallet/w_x", keys.Record{Version: 99}), true},
		"public key":    {at("node/public/\x01", named(99)), true},
		"waiting":       {at("node/pending/w_x", named(99)), true},
		"request":       {vault.Pair{Key: session, Value: canon.MustMarshal(named(99))}, true},
		"key's answer":  {answered(attest.OpKeygen, keyAnswer{Version: keyAnswerVersion + 1}), true},
		"refresh's":     {answered(attest.OpRefresh, keyAnswer{Version: keyAnswerVersion + 1}), true},
		"receipt":       {at("node/receipt/rc_x", attest.Receipt{Version: attest.ReceiptVersion + 1}), true},
		"roster":        {at("node/roster/x", rosterRecord{Version: rosterRecordVersion + 1}), true},
		"freeze":        {at("node/freeze/0x", freezeRecord{Version: freezeVersion + 1}), true},
		"no freeze":     {at("node/freeze/0x", freezeRecord{Version: freezeVersion}), false},
		"witness":       {at("node/witness/n", witnessRecord{Version: witnessVersion + 1}), true},
		"no witness":    {at("node/witness/n", witnessRecord{Version: witnessVersion}), false},
		"spent":         {at("node/spent/"+entryID{1}.String(), entryRecord{Version: entryVersion + 1}), true},
		"spent by none": {at("node/spent/x", entryRecord{Version: entryVersion}), false},
		"no amount": {at("node/spent/"+entryID{1}.String(), entryRecord{Version: entryVersion,
			Amounts: []entryAmount{{"", []byte{0}}}}), false},
		"notice":        {at("node/notice/x", attest.Receipt{Version: attest.ReceiptVersion + 1}), true},
		"certificate":   {at("node/certificate/w_x/1", certificates{Version: certificatesVersion + 1}), true},
		"proofs":        {at("node/proofs/w_x", proofs{Version: proofsVersion + 1}), true},
		"follower":      {at("node/follower/x", map[int]any{1: 2, 2: "x", 3: 1}), true},
		"another's":     {at("node/follower/x", map[int]any{1: 1, 2: "y", 3: 1}), false},
		"of no kind":    {at("node/else/x", named(1)), false},
		"another's key": {at("node/pending/w_y", named(1)), false},
	} {
		s := vaulttest.NewMemory()
		if err := s.Batch(t.Context(), []vault.Pair{x.stored}, nil); err != nil {
			t.Fatal(err)
		}
		_, err := CheckRecords(t.Context(), s)
		p := problem.As(err)
		if p.Code != problem.Integrity || errors.As(err, new(*canon.VersionError)) != x.version ||
			x.version != strings.Contains(p.Message, "of another version") || p.Next == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := vaulttest.NewMemory()
	good := []vault.Pair{answered(attest.OpKeygen, keyAnswer{Version: keyAnswerVersion}), at("node/pending/w_x", named(1)),
		operation.New(nil, time.Now).Answered(string(attest.OpSign), "s", [32]byte{}, []byte("rc_x")),
		operation.New(nil, time.Now).Pending(string(attest.OpRefresh), "s", [32]byte{}), at("node/proofs/w_x", proofs{Version: proofsVersion})}
	if err := s.Batch(t.Context(), good, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := CheckRecords(t.Context(), s); err != nil || n["session"] != 3 || n["pending"] != 1 || n["proofs"] != 1 {
		t.Errorf("%v, %v", n, err)
	}
}
