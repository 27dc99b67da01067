package api

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
)

// Goal: what is frozen is said exactly, with who asked; what says nothing exactly is refused. Method: bodies, and what reaches the node.
func TestFreezeBodies(t *testing.T) {
	f := newFake()
	s := devServer(f)
	for body, want := range map[string]int{
		`{"scope":"cluster","reason":"r"}`:                                          200,
		`{"scope":"vault","name":"cold","reason":"r"}`:                              200,
		`{"scope":"wallet","name":"w_ed","reason":"r"}`:                             200,
		`{"scope":"cluster","name":"cold","reason":"r"}`:                            422,
		`{"scope":"vault","reason":"r"}`:                                            422,
		`{"scope":"vault","name":"a b","reason":"r"}`:                               422,
		`{"scope":"wallet","reason":"r"}`:                                           422,
		`{"scope":"all","reason":"r"}`:                                              422,
		`{"scope":"cluster"}`:                                                       422,
		`{"scope":"cluster","reason":"\u0007"}`:                                     422,
		`{"scope":"cluster","reason":"` + strings.Repeat("ä", 65) + `"}`:            422,
		`{"scope":"cluster","reason":"` + strings.Repeat("ä", 64) + `"}`:            200,
		`{"scope":"cluster","reason":"r","until":"tomorrow"}`:                       422,
		`{"scope":"wallet","name":"` + strings.Repeat("w", 257) + `","reason":"r"}`: 422,
	} {
		before := len(f.freezes)
		w := send(t, s, "POST", "/api/v1/freezes", body)
		if w.Code != want || len(f.freezes)-before != map[bool]int{true: 1}[want == 200] {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, r := range f.freezes {
		if r.Requester != "dev" || r.Reason == "" {
			t.Errorf("%+v", r)
		}
	}
	for vault, noted := range map[string]bool{"cold": false, "nobodys": true} { // misspelled, as it may be
		x := decode[wire.Freeze](t, send(t, s, "POST", "/api/v1/freezes", `{"scope":"vault","name":"`+vault+`","reason":"r"}`))
		if strings.Contains(x.Note, "no wallet of vault nobodys is known here") != noted {
			t.Errorf("%s: %q", vault, x.Note)
		}
	}
	list := decode[wire.FreezeList](t, send(t, s, "GET", "/api/v1/freezes", ""))
	if len(list.Freezes) != 1 || !list.Freezes[0].InForce || list.Freezes[0].Frozen != "vault own" {
		t.Fatalf("%+v", list)
	}
	x, err := attest.ParseFreeze(list.Freezes[0].Statement)
	if err != nil || x.Digest().String() != list.Freezes[0].ID {
		t.Errorf("%+v, %v", x, err)
	}
	over := decode[wire.Freeze](t, send(t, s, "POST", "/api/v1/freezes/"+list.Freezes[0].ID+"/thaw", thawOf))
	if over.InForce || len(over.ThawedBy) != 1 || over.ThawedBy[0] != "olga" {
		t.Errorf("%+v", over)
	}
}

// Goal: of a freeze that is in force and could not be stored a program hears not to repeat it, which would be another to thaw; what a full
// disk kept from being done may be repeated. Method: what the node answers then.
func TestUnstoredFreeze(t *testing.T) {
	full := errors.New("the disk is full")
	for want, err := range map[bool]error{false: problem.Unkept("it is in force", full), true: problem.Unwritten(full)} {
		f := newFake()
		f.err = err
		w := send(t, devServer(f), "POST", "/api/v1/freezes", `{"scope":"cluster","reason":"r"}`)
		p := decode[wire.Problem](t, w)
		if w.Code != 503 || p.Code != "storage" || p.Retryable != want || (w.Header().Get("Retry-After") != "") != want ||
			strings.Contains(p.Next, "do not repeat it") == want {
			t.Errorf("%d %v %+v", w.Code, w.Header(), p)
		}
	}
}

// Goal: who is let in for some vaults freezes these and their wallets, and brings no thaw of more. Method: each scope and name.
func TestFreezeWithinVaults(t *testing.T) {
	f := newFake()
	w, ctx := within{inVaults{f}, []string{"own"}}, context.Background()
	for _, row := range []struct {
		scope attest.Scope
		name  string
		want  problem.Code
	}{
		{attest.ScopeVault, "own", ""}, {attest.ScopeWallet, "w_ed", ""}, {attest.ScopeVault, "other", problem.Denied},
		{attest.ScopeWallet, "w_tap", problem.NotFound}, {attest.ScopeWallet, "w_none", problem.NotFound},
		{attest.ScopeCluster, "", problem.Denied},
	} {
		before := len(f.freezes)
		_, err := w.Freeze(ctx, appliance.FreezeRequest{Scope: row.scope, Name: row.name, Reason: "r"})
		if (err == nil) != (row.want == "") || err != nil && problem.As(err).Code != row.want || (len(f.freezes) > before) != (row.want == "") {
			t.Errorf("%s %s: %v", row.scope, row.name, err)
		}
	}
	other, id := within{inVaults{f}, []string{"other"}}, frozen().Freeze.Digest()
	if all, err := other.Freezes(ctx); err != nil || len(all) != 0 {
		t.Errorf("of another vault: %v, %v", all, err)
	}
	if _, err := other.Thaw(ctx, id, nil); problem.As(err) == nil || problem.As(err).Code != problem.NotFound {
		t.Errorf("of another vault: %v", err)
	}
	if all, err := w.Freezes(ctx); err != nil || len(all) != 1 {
		t.Errorf("of the vault: %v, %v", all, err)
	}
	if _, err := w.Thaw(ctx, id, nil); err != nil {
		t.Error(err)
	}
}
