package appliance

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// newBoth is newWitnessing of nodes whose witness keys the roster has.
func newBoth(t *testing.T) (*witnessing, map[threshold.PartyID]transport.Identity) {
	t.Helper()
	x, ids := newWitnessing(t), map[threshold.PartyID]transport.Identity{}
	x.pin(func(n *attest.RosterNode) {
		id, peer, err := transport.NewIdentity(transport.NodeID(n.ID), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ids[n.Party], n.Identity, n.WitnessKey = id, attest.Hex(peer.Identity), peer.WitnessKey
	})
	x.cfg.Self = ids[x.party(1)]
	return x, ids
}

// witnessOf checks the cosignatures of a party, by both keys or by Ed25519 alone.
func (x *witnessing) witnessOf(p int, both bool) audit.Witness {
	x.t.Helper()
	_, _, w, err := x.witness.of(x.node(p))
	if err != nil {
		x.t.Fatal(err)
	}
	if !both {
		w.MLDSA = nil
	}
	return w
}

// Goal: a node cosigns by both of its keys where its roster has them, and by Ed25519 alone where it has not; whoever of the others knows
// less takes what he knows. Method: a peer's checkpoint, witnessed under a roster with and one without the node's key.
func TestCosignsByBoth(t *testing.T) {
	for _, pinned := range []bool{true, false} {
		x, _ := newBoth(t)
		both := x.witnessOf(1, true)
		if !pinned {
			x.pin(func(n *attest.RosterNode) { n.WitnessKey = nil })
		}
		a := x.log(2, 7, 99)
		signed := x.checkpoint(2, "attest", a)
		out := x.tell(2, witnessBody{Checkpoint: signed})
		v, _, _, err := x.witness.of(x.node(2))
		if err != nil || len(out) != 1 {
			t.Fatalf("%d answers, %v", len(out), err)
		}
		by, err := audit.WitnessedBy(out[0].Cosigned, v, both)
		if err != nil || len(by) != 1 || by[0].MLDSA != pinned || by[0].At.Unix() != x.now.Unix() {
			t.Errorf("pinned %v: %v, %v", pinned, by, err)
		}
		if by, err = audit.WitnessedBy(out[0].Cosigned, v, x.witnessOf(1, false)); err != nil || len(by) != 1 || by[0].MLDSA {
			t.Errorf("pinned %v, to who has no such key: %v, %v", pinned, by, err)
		}
		if len(out[0].Cosigned) > 4<<10 || pinned != (len(out[0].Cosigned) > 3<<10) {
			t.Errorf("pinned %v: %d bytes", pinned, len(out[0].Cosigned))
		}
		all, err := x.witness.Checkpoints(t.Context())
		i := slices.IndexFunc(all, func(c Checkpoint) bool { return c.Node == x.node(2) })
		if err != nil || i < 0 || len(all[i].By) != 1 || all[i].By[0].Node != string(x.cfg.Node) || all[i].By[0].MLDSA != pinned {
			t.Errorf("pinned %v: shown is %+v, %v", pinned, all, err)
		}
	}
}

// Goal: a node takes a peer's cosignatures by both keys, and one by Ed25519 alone of a peer that knows of no other; one by ML-DSA-44 that
// does not hold counts for nothing, whatever stands beside it. Method: answers of a peer, some of which hold.
func TestCosignedByBothOfUs(t *testing.T) {
	type answer func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte
	by := func(x *witnessing, b []byte, w audit.Witness, sign, signMLDSA func([]byte) []byte) []byte {
		x.t.Helper()
		v, _, _, err := x.witness.of(x.cfg.Node)
		if err == nil {
			b, err = audit.Cosign(b, v, w, x.now, sign, signMLDSA)
		}
		if err != nil {
			x.t.Fatal(err)
		}
		return b
	}
	for name, row := range map[string]struct {
		answer
		taken, both bool
	}{
		"both": {func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte {
			return by(x, b, x.witnessOf(2, true), ids[x.party(2)].Sign, ids[x.party(2)].SignWitness)
		}, true, true},
		"by a release before": {func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte {
			return by(x, b, x.witnessOf(2, false), ids[x.party(2)].Sign, nil)
		}, true, false},
		"with another's key": {func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte {
			return by(x, b, x.witnessOf(2, true), ids[x.party(2)].Sign, ids[x.party(3)].SignWitness)
		}, false, false},
		"forged": {func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte {
			return by(x, b, x.witnessOf(2, true), ids[x.party(2)].Sign, func([]byte) []byte { return make([]byte, 2420) })
		}, false, false},
		"of something else": {func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte {
			return by(x, b, x.witnessOf(2, true), ids[x.party(2)].Sign, func(m []byte) []byte {
				return ids[x.party(2)].SignWitness(append(bytes.Clone(m), 0))
			})
		}, false, false},
		"by ML-DSA-44 alone": {func(x *witnessing, ids map[threshold.PartyID]transport.Identity, b []byte) []byte {
			both := string(by(x, b, x.witnessOf(2, true), ids[x.party(2)].Sign, ids[x.party(2)].SignWitness))
			weak := string(by(x, b, x.witnessOf(2, false), ids[x.party(2)].Sign, nil))
			return []byte(string(b) + strings.TrimPrefix(both, weak))
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			x, ids := newBoth(t)
			x.grow(x.cfg.AuditLog, 5, 99)
			signed := x.checkpoint(1, "attest", x.cfg.AuditLog)
			if err := x.cfg.AuditLog.KeepCheckpoint(signed); err != nil {
				t.Fatal(err)
			}
			x.beat()
			x.tell(2, witnessBody{Cosigned: row.answer(x, ids, signed)})
			kept := string(x.cfg.AuditLog.Checkpoint())
			all, _ := x.witness.Checkpoints(t.Context())
			if len(all) != 1 || len(all[0].By) > 1 || (len(all[0].By) == 1) != row.taken || row.taken && all[0].By[0].MLDSA != row.both ||
				!row.taken && kept != string(signed) {
				t.Errorf("%+v", all)
			}
			x.now = x.now.Add(witnessAge - time.Second)
			if why, _ := x.witness.own(); why != "" || x.witness.last.IsZero() == row.taken {
				t.Errorf("%q, last at %v", why, x.witness.last)
			}
			one := map[bool]int{true: 1}
			if strings.Count(kept, "— ") != 1+one[row.taken]+one[row.both] {
				t.Errorf("kept is %s", kept)
			}
		})
	}
}
