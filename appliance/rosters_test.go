package appliance

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
)

// Goal: a node keeps the newest of the rosters that it had in use, so many, each once, and judges a receipt by one of them only if the root
// of the one in use has signed it and it is older. Method: more rosters than are kept, the last in use; besides them a newer one, and an
// older one of another root.
func TestRostersKept(t *testing.T) {
	x := newInside(t)
	_, peer, err := transport.NewIdentity("node1", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	node := attest.RosterNode{ID: "node1", Party: 1, Identity: attest.Hex(peer.Identity), Seal: attest.Hex(peer.HPKE),
		CosignKey: x.newKey(t, "one", 1), AttestKey: x.newKey(t, "two", 1)}
	_, root, _ := ed25519.GenerateKey(rand.Reader)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	keep := func(serial uint64, root ed25519.PrivateKey) *attest.SignedRoster {
		t.Helper()
		r, err := attest.Roster{Version: attest.RosterVersion, Cluster: "test", Serial: serial, Nodes: []attest.RosterNode{node}}.Sign(root)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := x.keepRoster(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	all := map[uint64]*attest.SignedRoster{}
	const last = 100 + rostersKept
	for serial := uint64(100); serial <= last; serial++ {
		all[serial] = keep(serial, root)
	}
	next, err := ceremony.NewMembers(all[last], "node1")
	if err != nil {
		t.Fatal(err)
	}
	x.members.Renew(next)
	counts, err := CheckRecords(t.Context(), x.cfg.Store)
	if err != nil || counts["roster"] != rostersKept {
		t.Errorf("%d rosters are kept, %v", counts["roster"], err)
	}
	newer, other := keep(last+1, root), keep(50, stranger)
	kept, err := x.keptRosters(t.Context())
	if err != nil || len(kept) == 0 || kept[0].Roster.Serial != last-1 ||
		slices.ContainsFunc(kept, func(r *attest.SignedRoster) bool { return r.Roster.Serial >= last || r.Roster.Serial == 50 }) {
		t.Errorf("%d rosters to judge by, %v", len(kept), err)
	}
	for name, row := range map[string]struct {
		r    *attest.SignedRoster
		have bool
	}{
		"the one in use": {all[last], true}, "the one before": {all[last-1], true}, "the oldest that is kept": {all[103], true},
		"one too old": {all[100], false}, "a newer one": {newer, false}, "another root's": {other, false},
	} {
		got, err := x.rosterOf(t.Context(), row.r.Fingerprint())
		if row.have != (err == nil && got != nil && got.Fingerprint() == row.r.Fingerprint()) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
