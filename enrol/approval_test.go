package enrol

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/threshold"
)

// doOf is the next step that an error names.
func doOf(err error) string {
	if f := new(fault.Error); errors.As(err, &f) {
		return f.Do
	}
	return ""
}

// Goal: an approver signs no word that no node takes for its times, and reads no request of times that none has. Method: words for each
// time on a request that runs and on one that is over; operations with one time changed.
func TestTimesOfApprovals(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	week := attest.MaxInitiation
	in := attest.Intent{Created: now.Add(-time.Hour).UnixMilli(), Initiation: &attest.Initiation{Expires: now.Add(time.Hour).UnixMilli()}}
	over := in
	over.Initiation = &attest.Initiation{Expires: now.Add(-time.Minute).UnixMilli()}
	for name, x := range map[string]struct {
		d    Decision
		in   attest.Intent
		want string
	}{
		"a day":                    {Decision{TTL: 24 * time.Hour}, in, ""},
		"a week":                   {Decision{TTL: week}, in, ""},
		"more":                     {Decision{TTL: week + 1}, in, "--approver-ttl"},
		"no time":                  {Decision{}, in, "--approver-ttl"},
		"the past":                 {Decision{TTL: -time.Hour}, in, "--approver-ttl"},
		"of what is over":          {Decision{TTL: time.Hour}, over, "ask again"},
		"rejected though it is so": {Decision{TTL: time.Hour, Reject: true}, over, ""},
	} {
		if err := x.d.inTime(x.in, now); (err == nil) != (x.want == "") || err != nil && (codeOf(err) != fault.CodeUsage ||
			!strings.Contains(doOf(err), x.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := until(in, now, time.Hour); !got.Equal(now.Add(time.Hour)) {
		t.Error(got)
	}
	if got := until(in, now, week); !got.Equal(now.Add(week - time.Hour)) {
		t.Errorf("%v, which no signer takes", got)
	}
	for name, times := range map[string][2]int64{"longer than a week": {1, 2 + week.Milliseconds()}, "over before it began": {5, 4},
		"before all time": {-1 << 63, 1 << 62}, "good": {1, 2}} {
		x := attest.Intent{Operation: attest.OpSign, RequestID: "a", Created: times[0], Signers: []threshold.PartyID{1, 2},
			Initiation: &attest.Initiation{Expires: times[1]}}
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := json.Marshal(attest.KeyRecord{Parties: []threshold.PartyID{1, 2}, PublicShares: []attest.Hex{}})
		_, err = ParseOperation(&wire.Operation{ID: "a", Intent: b, Key: key})
		if err == nil || strings.Contains(err.Error(), "that no request has") != (name != "good") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: who decides is told of the flags that he has. Method: a key file that is not there, of an officer and of an approver.
func TestUseKeyNamesItsFlags(t *testing.T) {
	for role, want := range map[string]string{"": "correct --key and --passphrase",
		"approver-": "correct --approver-key and --approver-passphrase"} {
		if err := UseKey(role, filepath.Join(t.TempDir(), "none"), nil, nil); codeOf(err) != fault.CodeUsage || doOf(err) != want {
			t.Errorf("%q: %v, %s", role, err, fmt.Sprint(doOf(err)))
		}
	}
}
