package appliance

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/vault"
)

// newStaged is a party with a key at epoch 1, and the share of a refresh staged.
func newStaged(t *testing.T) (*inside, string, threshold.KeyInfo, keys.Record) {
	t.Helper()
	x := newInside(t)
	id, ks := x.newKeyOf(t, frost.Ed25519, keys.Active)
	self := x.world.Committee.Parties[0]
	if err := x.making.stage(t.Context(), id, ks[self]); err != nil {
		t.Fatal(err)
	}
	if err := x.cfg.Vault.Activate(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	next, err := x.world.Refresh(frost.Ed25519, ks)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.making.stageRefresh(t.Context(), id, &rec, next[self]); err != nil {
		t.Fatal(err)
	}
	return x, id, next[self].KeyInfo, rec
}

// Goal: a party knows when it made its last attempt, also after a restart: the next is held against it. Method: the stored record.
func TestAttemptMade(t *testing.T) {
	x, id, _, _ := newStaged(t)
	rec, err := x.keys.Record(t.Context(), id)
	if now := x.cfg.Clock().UnixMilli(); err != nil || rec.Attempts[0].Made == 0 || rec.Attempts[0].Made > now {
		t.Errorf("made at %d, it is %d, %v", rec.Attempts[0].Made, now, err)
	}
}

// Goal: certificates that their parties issue again end what all have staged, each from its own party alone; a bad one spoils nothing for
// long, and none is kept of what is not staged, or too long. Method: the others' certificates, one by one, bent and from others first.
func TestGather(t *testing.T) {
	x, id, info, rec := newStaged(t)
	parties := x.world.Committee.Parties
	two, three := x.certified(t, parties[1], id, info, rec, nil), x.certified(t, parties[2], id, info, rec, nil)
	for _, row := range []struct {
		name  string
		from  threshold.PartyID
		epoch uint64
		cert  certificate
		want  uint64 // the epoch after it
		have  int    // certificates kept after it
	}{
		{"of an epoch that is not staged", parties[1], 3, two, 1, 0},
		{"too long", parties[1], 2, certificate{parties[1], make([]byte, maxCertificate+1)}, 1, 0},
		{"the first", parties[1], 2, two, 1, 1},
		{"in another's name", parties[1], 2, three, 1, 1},
		{"a bad one", parties[2], 2, certificate{parties[2], two.Cose}, 1, 0},
		{"the first again", parties[1], 2, two, 1, 1},
		{"the last", parties[2], 2, three, 2, 0},
	} {
		x.making.learnAnswer(t.Context(), transport.Envelope{From: nodeOf(row.from), Kind: ceremony.KindAnswer,
			Body: canon.MustMarshal(answer{KeyID: id, Epoch: row.epoch, Certs: []certificate{row.cert}})})
		now, err := x.keys.Record(t.Context(), id)
		have := 0
		for _, m := range x.making.reissues.m {
			have += len(m)
		}
		if err != nil || now.Info.Epoch != row.want || have != row.have {
			t.Errorf("%s: epoch %d, %d certificates are kept, %v", row.name, now.Info.Epoch, have, err)
		}
	}
}

// Goal: a party that missed the end of a refresh goes by nothing but the complete certificate of the epoch that it has staged, and what it
// then does is on record; also where a party was removed since: what its token said before counts, for the others went on. Method: a key
// with a staged share; answers that lack something, then the whole one.
func TestLearnAnswer(t *testing.T) {
	t.Run("members", func(t *testing.T) { testLearnAnswer(t, false) })
	t.Run("one removed", func(t *testing.T) { testLearnAnswer(t, true) })
}

func testLearnAnswer(t *testing.T, removed bool) {
	x, id, info, rec := newStaged(t)
	parties := x.world.Committee.Parties
	if removed {
		x.remove(t, parties[2])
	}
	each := func(bend func(*claim)) (certs []certificate) {
		for _, p := range parties[:2] {
			certs = append(certs, x.certified(t, p, id, info, rec, nil))
		}
		return append(certs, x.certified(t, parties[2], id, info, rec, bend))
	}
	whole := each(nil)
	answers := map[string]answer{
		"without a party":        {KeyID: id, Epoch: 2, Certs: whole[:2]},
		"with a party twice":     {KeyID: id, Epoch: 2, Certs: []certificate{whole[0], whole[1], whole[1]}},
		"in another order":       {KeyID: id, Epoch: 2, Certs: []certificate{whole[0], whole[2], whole[1]}},
		"of an epoch not staged": {KeyID: id, Epoch: 3, Certs: whole},
		"with nothing":           {KeyID: id, Epoch: 2},
	}
	for name, bend := range bentClaims {
		answers["with one "+name] = answer{KeyID: id, Epoch: 2, Certs: each(bend)}
	}
	show := func(a answer) (epoch uint64, on []string) {
		x.making.learnAnswer(t.Context(), transport.Envelope{From: nodeOf(parties[1]), Kind: ceremony.KindAnswer, Body: canon.MustMarshal(a)})
		now, err := x.keys.Record(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return now.Info.Epoch, x.events(t)
	}
	for name, a := range answers {
		if epoch, on := show(a); epoch != 1 || len(on) > 0 {
			t.Errorf("a certificate %s: epoch %d, on record: %v", name, epoch, on)
		}
	}
	if epoch, on := show(answer{KeyID: id, Epoch: 2, Certs: whole}); epoch != 2 || !slices.Equal(on, []string{"refresh.done"}) {
		t.Errorf("the whole certificate: epoch %d, on record: %v", epoch, on)
	}
}

// Goal: what stands in the store in a form of another version is not taken for what this program wrote. Method: certificates, proofs and a
// receipt of the next version, whole otherwise.
func TestStoredVersions(t *testing.T) {
	x := newInside(t)
	read := func() error { return x.making.ownAnswer(t.Context(), &answer{KeyID: "w", Epoch: 1}) }
	receipt := func() error {
		_, err := x.Receipt(t.Context(), "rc")
		return err
	}
	for name, row := range map[string]struct {
		key  []byte
		form func(more uint8) any
		read func() error
	}{
		"certificates": {certificateKey("w", 1), func(v uint8) any { return certificates{Version: certificatesVersion + v} }, read},
		"proofs":       {proofsKey("w"), func(v uint8) any { return proofs{Version: proofsVersion + v} }, read},
		"a receipt":    {receiptKey("rc"), func(v uint8) any { return attest.Receipt{Version: attest.ReceiptVersion + v} }, receipt},
	} {
		for _, more := range []uint8{0, 1} {
			pair := vault.Pair{Key: row.key, Value: canon.MustMarshal(row.form(more))}
			if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{pair}, nil); err != nil {
				t.Fatal(err)
			}
			if err := row.read(); (err == nil) != (more == 0) || err != nil && problem.As(err) == nil {
				t.Errorf("%s of a version %d above ours: %v", name, more, err)
			}
		}
		if err := x.cfg.Store.Batch(t.Context(), nil, [][]byte{row.key}); err != nil {
			t.Fatal(err)
		}
	}
}

// Goal: a token that the roster has no more certifies nothing that a party acts by, though rosters of before are kept, for who only shows a
// wallet: its thief could have parties give up an epoch that one of them never left. Method: a staged epoch that all certified, one of them
// by a token that was replaced since.
func TestReplacedTokenActivatesNothing(t *testing.T) {
	x, id, info, rec := newStaged(t)
	parties := x.world.Committee.Parties
	_, root, _ := ed25519.GenerateKey(nil)
	use := func(r attest.Roster) {
		t.Helper()
		signed, err := r.Sign(root)
		if err != nil {
			t.Fatal(err)
		}
		members, err := ceremony.NewMembers(signed, x.cfg.Node)
		if err != nil {
			t.Fatal(err)
		}
		x.members.Renew(members)
		if err := x.keepRoster(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
	}
	r := x.members.Roster().Roster
	r.Version, r.Serial, r.Nodes = attest.RosterVersion, 1, slices.Clone(r.Nodes)
	for i := range r.Nodes {
		seal, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r.Nodes[i].Seal = seal.PublicKey().Bytes()
	}
	use(r)
	var certs []certificate
	for _, p := range parties {
		certs = append(certs, x.certified(t, p, id, info, rec, nil))
	}
	r.Nodes, r.Serial = slices.Clone(r.Nodes), r.Serial+1
	i := slices.IndexFunc(r.Nodes, func(n attest.RosterNode) bool { return n.Party == parties[2] })
	r.Nodes[i].AttestKey = x.newKey(t, "another", parties[2])
	use(r)
	if err := x.verifyCertificates(t.Context(), id, info, rec, certs); err != nil {
		t.Fatalf("they are not good by the roster of before: %v", err)
	}
	x.making.learnAnswer(t.Context(), transport.Envelope{From: nodeOf(parties[1]), Kind: ceremony.KindAnswer,
		Body: canon.MustMarshal(answer{KeyID: id, Epoch: 2, Certs: certs})})
	if now, err := x.keys.Record(t.Context(), id); err != nil || now.Info.Epoch != 1 {
		t.Errorf("epoch %d, %v", now.Info.Epoch, err)
	}
}
