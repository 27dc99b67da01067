package appliance

import (
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
)

// Goal: a key signs payments only when it is active, proofs only once it is certified, and a proof message never passes for a
// payment's right to be signed early. Method: every state with every operation.
func TestStates(t *testing.T) {
	scheme, err := schemes.ByID(threshold.FrostEd25519)
	if err != nil {
		t.Fatal(err)
	}
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	payment := &attest.Intent{KeyID: "w_x", Scheme: threshold.FrostEd25519, Epoch: 1, Message: []byte("pay"),
		Signers: []threshold.PartyID{1, 2}}
	proof := *payment
	proof.Message = proofMessage("w_x", 1, payment.Signers)
	for _, row := range []struct {
		state keys.State
		op    attest.Operation
		in    *attest.Intent
		ok    bool
	}{
		{keys.Active, attest.OpSign, payment, true}, {keys.Proving, attest.OpSign, payment, false}, {keys.Staged, attest.OpSign, payment, false},
		{keys.Active, opProve, &proof, true}, {keys.Proving, opProve, &proof, true}, {keys.Staged, opProve, &proof, false},
		{keys.Proving, opProve, payment, false}, {keys.Proving, attest.OpSign, &proof, false},
	} {
		rec := keys.Record{State: row.state, Info: threshold.KeyInfo{Kind: threshold.Ed25519.ID, Epoch: 1, Committee: committee}}
		if err := judgeSign(row.op, row.in, keys.Key{ID: "w_x", Record: rec, Scheme: scheme}); (err == nil) != row.ok {
			t.Errorf("%s of a %s key: %v", row.op, row.state, err)
		}
	}
}

// Goal: a threshold proof shows that the wallet's key signs, not one below it. Method: a proof, and the same with a path and with a tweak.
func TestProofIsOfTheKey(t *testing.T) {
	scheme, err := schemes.ByID(threshold.FrostEd25519)
	if err != nil {
		t.Fatal(err)
	}
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	rec := keys.Record{State: keys.Proving, Info: threshold.KeyInfo{Kind: threshold.Ed25519.ID, Epoch: 1, Committee: committee}}
	in := attest.Intent{KeyID: "w_x", Scheme: scheme.ID(), Epoch: 1, Signers: committee.Parties[:2]}
	in.Message = proofMessage("w_x", 1, in.Signers)
	path, tweak := in, in
	path.Path, tweak.Tweaks = []uint32{0}, []threshold.Tweak{{}}
	for _, in := range []*attest.Intent{&in, &path, &tweak} {
		err := judgeSign(opProve, in, keys.Key{ID: "w_x", Record: rec, Scheme: scheme})
		if ok := len(in.Path)+len(in.Tweaks) == 0; (err == nil) != ok || err != nil && problem.As(err).Code != problem.Denied {
			t.Errorf("path %v, tweaks %v: %v", in.Path, in.Tweaks, err)
		}
	}
}

// Goal: an intent is for the key as it stands, by a scheme of its kind and an exact quorum of it. Method: one that is, then each part bent.
func TestJudgeKey(t *testing.T) {
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	for name, row := range map[string]struct {
		bend func(*attest.Intent, *keys.Key)
		code problem.Code // "" if it passes
	}{
		"fits":                     {func(*attest.Intent, *keys.Key) {}, ""},
		"a key of another kind":    {func(_ *attest.Intent, k *keys.Key) { k.Record.Info.Kind = threshold.BIP340.ID }, problem.Invalid},
		"another scheme":           {func(in *attest.Intent, _ *keys.Key) { in.Scheme = threshold.FrostTaproot }, problem.Invalid},
		"the epoch before":         {func(_ *attest.Intent, k *keys.Key) { k.Record.Info.Epoch = 2 }, problem.Conflict},
		"more than the threshold":  {func(in *attest.Intent, _ *keys.Key) { in.Signers = committee.Parties }, problem.Invalid},
		"who is not of the quorum": {func(in *attest.Intent, _ *keys.Key) { in.Signers = []threshold.PartyID{1, 4} }, problem.Invalid},
	} {
		scheme, err := schemes.ByID(threshold.FrostEd25519)
		if err != nil {
			t.Fatal(err)
		}
		in := &attest.Intent{KeyID: "w_x", Scheme: scheme.ID(), Epoch: 1, Signers: []threshold.PartyID{1, 2}}
		key := keys.Key{ID: "w_x", Scheme: scheme, Record: keys.Record{State: keys.Active,
			Info: threshold.KeyInfo{Kind: threshold.Ed25519.ID, Epoch: 1, Committee: committee}}}
		row.bend(in, &key)
		err = judgeKey(attest.OpSign, in, key)
		if (err == nil) != (row.code == "") || err != nil && problem.As(err).Code != row.code {
			t.Errorf("%s: %v, want %q", name, err, row.code)
		}
	}
}

// Goal: a refresh is of the key as it stands, by its whole committee, to an epoch that is new here and not far off. Method: one that is,
// then each part bent.
func TestJudgeRefresh(t *testing.T) {
	committee := threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}, Identities: make([][]byte, 3), Threshold: 2}
	now := time.UnixMilli(1_800_000_000_000)
	four := func(last time.Time) []keys.Attempt {
		return []keys.Attempt{{Epoch: 2}, {Epoch: 3}, {Epoch: 4}, {Epoch: 5, Made: last.UnixMilli()}}
	}
	for name, row := range map[string]struct {
		bend func(*attest.Intent, *keys.Record)
		next uint64
		code problem.Code // "" if it passes
	}{
		"fits":                  {func(*attest.Intent, *keys.Record) {}, 2, ""},
		"behind three attempts": {func(_ *attest.Intent, r *keys.Record) { r.Attempts = []keys.Attempt{{Epoch: 4}} }, 5, ""},
		"an attempt again":      {func(_ *attest.Intent, r *keys.Record) { r.Attempts = []keys.Attempt{{Epoch: 4}} }, 4, problem.Attempt},
		"far off":               {func(*attest.Intent, *keys.Record) {}, 2 + 64, problem.Attempt},
		"far off, later":        {func(_ *attest.Intent, r *keys.Record) { r.Created -= time.Minute.Milliseconds() }, 2 + 64, ""},
		"the last of all":       {func(*attest.Intent, *keys.Record) {}, 1<<64 - 1, problem.Attempt},
		"not active yet":        {func(_ *attest.Intent, r *keys.Record) { r.State = keys.Proving }, 2, problem.Conflict},
		"the epoch before":      {func(in *attest.Intent, _ *keys.Record) { in.Epoch = 0 }, 2, problem.Conflict},
		"behind four at once":   {func(_ *attest.Intent, r *keys.Record) { r.Attempts = four(now) }, 6, problem.Overload},
		"behind four, later":    {func(_ *attest.Intent, r *keys.Record) { r.Attempts = four(now.Add(-3 * time.Second)) }, 6, ""},
		"another scheme":        {func(in *attest.Intent, _ *keys.Record) { in.Scheme = threshold.FrostTaproot }, 2, problem.Conflict},
		"without a party":       {func(in *attest.Intent, _ *keys.Record) { in.Signers = slices.Clone(in.Signers[:2]) }, 2, problem.Invalid},
	} {
		in := &attest.Intent{KeyID: "w_x", Scheme: threshold.FrostEd25519, Epoch: 1, Signers: committee.Parties}
		rec := keys.Record{State: keys.Active, Scheme: threshold.FrostEd25519, Created: now.UnixMilli(),
			Info: threshold.KeyInfo{Epoch: 1, Committee: committee}}
		row.bend(in, &rec)
		err := judgeRefresh(in, rec, row.next, now)
		if (err == nil) != (row.code == "") || err != nil && problem.As(err).Code != row.code {
			t.Errorf("%s: %v, want %q", name, err, row.code)
		}
	}
}

// Goal: a message is what its kind of key signs: a digest of the one length, or anything up to the limit but nothing. Method: the edges.
func TestCheckMessage(t *testing.T) {
	for _, row := range []struct {
		kind threshold.Kind
		size int
		ok   bool
	}{
		{threshold.ECDSA, 32, true}, {threshold.ECDSA, 31, false}, {threshold.ECDSA, 33, false}, {threshold.ECDSA, 0, false},
		{threshold.BIP340, 32, true}, {threshold.BIP340, 64, false},
		{threshold.Ed25519, 1, true}, {threshold.Ed25519, MaxMessage, true},
		{threshold.Ed25519, 0, false}, {threshold.Ed25519, MaxMessage + 1, false},
	} {
		if err := CheckMessage(row.kind, "", make([]byte, row.size)); (err == nil) != row.ok {
			t.Errorf("%s, %d bytes: %v", row.kind.ID, row.size, err)
		}
	}
}

// Goal: no party makes a second key under one session_id, once the first is certified; one that never will be is in nobody's way. Method: a
// keygen before the gate of a party that has a wallet of its session_id, in each state.
func TestNoSecondKey(t *testing.T) {
	for state, held := range map[keys.State]bool{keys.Staged: false, keys.Proving: true, keys.Active: true} {
		x := newInside(t)
		id, _ := x.newKeyOf(t, frost.Ed25519, state)
		in := &attest.Intent{Operation: attest.OpKeygen, RequestID: "s", Node: "node2",
			Keygen: &attest.KeygenParams{Threshold: 2, Kind: threshold.Ed25519.ID}}
		use := operation.Use{Purpose: purposeOf(in), Coordinator: "node3", At: 1, Key: id}
		if err := x.cfg.Store.Batch(t.Context(), []vault.Pair{use.Put("s")}, nil); err != nil {
			t.Fatal(err)
		}
		_, err := x.making.permitKeygen(t.Context(), frost.Ed25519, in, x.world.Committee, true)
		if e := problem.As(err); (err != nil) != held || held && e.Code != problem.Held {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// Goal: a key that another session made is no end of this one's keygen, whatever a peer says. Method: an active key of one session, taken
// up under it and under another.
func TestTakeUpIsOfTheSession(t *testing.T) {
	x := newInside(t)
	id, _ := x.newKeyOf(t, frost.Ed25519, keys.Active)
	rec, err := x.keys.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	rec.SessionID = "mine"
	if err := x.keys.Put(t.Context(), id, rec); err != nil {
		t.Fatal(err)
	}
	for session, want := range map[string]bool{"mine": true, "another": false} {
		if done, err := x.making.takeUp(t.Context(), id, session); done != want || err != nil {
			t.Errorf("%s: %v, %v", session, done, err)
		}
	}
}

// Goal: another node's key is an answer to a request only if it has all that the request says. Method: a key of all parties, and requests
// for it, with as much and as little as may be said, then each part bent.
func TestFits(t *testing.T) {
	x := newInside(t)
	all := x.members.Nodes(x.world.Committee.Parties)
	rec := keys.Record{Scheme: threshold.FrostEd25519, Label: "a", Group: "g",
		Info: threshold.KeyInfo{Kind: threshold.Ed25519.ID, Committee: x.world.Committee}}
	whole := KeygenRequest{Threshold: x.world.Committee.Threshold, Total: len(all), Parties: all, Protocol: "frost", Label: "a", Group: "g"}
	for name, row := range map[string]struct {
		bend func(*KeygenRequest, *keys.Record)
		ok   bool
	}{
		"whole":                    {func(*KeygenRequest, *keys.Record) {}, true},
		"little":                   {func(q *KeygenRequest, _ *keys.Record) { *q = KeygenRequest{Label: "a", Group: "g"} }, true},
		"another order":            {func(q *KeygenRequest, _ *keys.Record) { slices.Reverse(q.Parties) }, true},
		"another threshold":        {func(q *KeygenRequest, _ *keys.Record) { q.Threshold++ }, false},
		"another total":            {func(q *KeygenRequest, _ *keys.Record) { q.Total--; q.Parties = nil }, false},
		"fewer parties":            {func(q *KeygenRequest, _ *keys.Record) { q.Parties = all[1:] }, false},
		"other parties":            {func(q *KeygenRequest, _ *keys.Record) { q.Parties[0] = "node99" }, false},
		"another label":            {func(q *KeygenRequest, _ *keys.Record) { q.Label = "" }, false},
		"another group":            {func(q *KeygenRequest, _ *keys.Record) { q.Group = "" }, false},
		"another kind":             {func(_ *KeygenRequest, r *keys.Record) { r.Info.Kind = threshold.BIP340.ID }, false},
		"another protocol":         {func(_ *KeygenRequest, r *keys.Record) { r.Scheme = "x" }, false},
		"a protocol of the node's": {func(q *KeygenRequest, r *keys.Record) { r.Scheme, q.Protocol = "x", "" }, true},
	} {
		q, r := whole, rec
		q.Parties = slices.Clone(all)
		row.bend(&q, &r)
		if got := x.making.fits(q, frost.Ed25519, r); got != row.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}
