package appliance

import (
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
	"github.com/luxfi/mpcd/vault"
)

// proven are the proofs of a key's threshold, at the epoch.
func (x *inside) proven(t *testing.T, id string, ks thresholdtest.Shares, epoch uint64) proofs {
	t.Helper()
	ps := proofs{Version: proofsVersion, KeyID: id, Epoch: epoch}
	for _, q := range provingQuorums(x.world.Committee) {
		sig, err := x.world.SignWith(frost.Ed25519, ks, q, proofMessage(id, epoch, q))
		if err != nil {
			t.Fatal(err)
		}
		ps.Each = append(ps.Each, proof{q, sig})
	}
	return ps
}

// Goal: a key is active on a party once the party itself has verified that every quorum signed and that fewer do not, and that is on
// record. Method: a certified key with its proofs as they should be, and bent in each way; and as they should be, with the log closed.
func TestAcceptProofs(t *testing.T) {
	x := newInside(t)
	id, ks := x.newKeyOf(t, frost.Ed25519, keys.Proving)
	whole, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	good, next := x.proven(t, id, ks, 1), x.proven(t, id, ks, 2)
	for name, bend := range map[string]func(*proofs, *keys.Record){
		"as they should be":                 func(*proofs, *keys.Record) {},
		"the first quorum did not sign":     func(ps *proofs, _ *keys.Record) { ps.Each[0].Signature[9] ^= 1 },
		"nor the last":                      func(ps *proofs, _ *keys.Record) { ps.Each[2].Signature[9] ^= 1 },
		"a quorum's is another's":           func(ps *proofs, _ *keys.Record) { ps.Each[1].Signature = ps.Each[0].Signature },
		"a quorum twice":                    func(ps *proofs, _ *keys.Record) { ps.Each[1] = ps.Each[0] },
		"a quorum is missing":               func(ps *proofs, _ *keys.Record) { ps.Each = ps.Each[:2] },
		"of another epoch":                  func(ps *proofs, _ *keys.Record) { *ps = next },
		"of another version":                func(ps *proofs, _ *keys.Record) { ps.Version++ },
		"before the key is certified":       func(_ *proofs, r *keys.Record) { r.State = keys.Staged },
		"of a sharing of another threshold": func(_ *proofs, r *keys.Record) { r.Info.PublicShares[0] = r.Info.PublicShares[1] },
	} {
		ps, rec := good, whole
		ps.Each = make([]proof, len(good.Each))
		for i, p := range good.Each {
			ps.Each[i] = proof{p.Signers, slices.Clone(p.Signature)}
		}
		rec.Info.PublicShares = slices.Clone(whole.Info.PublicShares)
		bend(&ps, &rec)
		if err := x.keys.Put(t.Context(), id, rec); err != nil {
			t.Fatal(err)
		}
		err := x.making.acceptProofs(t.Context(), ps)
		now, rerr := x.keys.Record(t.Context(), id)
		if rerr != nil {
			t.Fatal(rerr)
		}
		_, stored := x.cfg.Store.Get(t.Context(), proofsKey(id))
		ok := name == "as they should be"
		if on := x.events(t); (err == nil) != ok || (now.State == keys.Active) != ok || slices.Equal(on, []string{"key.active"}) != ok ||
			!ok && len(on) > 0 || ok && stored != nil {
			t.Errorf("%s: %v; the key is %s, on record: %v", name, err, now.State, on)
		}
	}
	if err := x.keys.Put(t.Context(), id, whole); err != nil {
		t.Fatal(err)
	}
	if err := x.cfg.Store.Batch(t.Context(), nil, [][]byte{proofsKey(id)}); err != nil {
		t.Fatal(err)
	}
	if err := x.cfg.AuditLog.Close(); err != nil {
		t.Fatal(err)
	}
	err = x.making.acceptProofs(t.Context(), good)
	now, rerr := x.keys.Record(t.Context(), id)
	if _, stored := x.cfg.Store.Get(t.Context(), proofsKey(id)); err == nil || rerr != nil || now.State != keys.Proving || stored == nil {
		t.Errorf("off the record: %v; the key is %s (%v), its proofs: %v", err, now.State, rerr, stored)
	}
}

// Goal: what a keygen, and its proofs, count against its coordinator until the key is proven, they count no more once the key is active.
// Method: a coordinator that has made as many keys as it may without a proof, and proofs; one of them is proven.
func TestProofsEndQuota(t *testing.T) {
	x := newInside(t)
	id, ks := x.newKeyOf(t, frost.Ed25519, keys.Proving)
	rec, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	rec.SessionID = "s"
	if err := x.keys.Put(t.Context(), id, rec); err != nil {
		t.Fatal(err)
	}
	now, maker := time.Unix(1_000_000, 0), nodeOf(x.world.Committee.Parties[1])
	x.cfg.Clock = func() time.Time { return now }
	use := operation.Use{Version: 1, Coordinator: string(maker), At: now.UnixMilli(), Key: id}
	if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{use.Put("s")}, nil); err != nil {
		t.Fatal(err)
	}
	key := costOf(attest.OpKeygen, make64()[:1])
	for range quotaKeys / unproven {
		if _, why := x.quotas.begin(now, maker, key); why != "" {
			t.Fatal("refused too early")
		}
		x.quotas.end(now, maker, maker, key, false, true)
	}
	x.quotas.end(now, maker, maker, cost{proofs: quotaProofs + 1}, false, false)
	if _, why := x.quotas.begin(now, maker, key); why == "" {
		t.Error("keys that nobody proves count too little")
	}
	if err := x.making.acceptProofs(t.Context(), x.proven(t, id, ks, 1)); err != nil {
		t.Fatal(err)
	}
	if _, why := x.quotas.begin(now, maker, key); why != "" {
		t.Error("a key that is proven counts as if it were not")
	}
	if _, why := x.quotas.begin(now, maker, cost{proofs: 1}); why != "" {
		t.Error("the proofs of a key that is active count as if it were not")
	}
	if left := x.quotas.m[maker].proofs; left != quotaProofs-1 { // this node is in two of the three quorums
		t.Errorf("%v proofs count, and the key had two of this node", left)
	}
}
