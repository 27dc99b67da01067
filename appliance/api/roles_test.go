package api

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
)

const rolesFile = "../../docs/ROLES.md"

// inVaults is a node with the Taproot wallet in vault other, and the others in vault own.
type inVaults struct{ *fake }

func (f inVaults) group(w *appliance.Wallet) {
	w.Group = map[string]string{"w_ed": "own", "w_ec": "own", "w_tap": "other"}[w.ID]
}

func (f inVaults) Wallet(ctx context.Context, name string) (*appliance.Wallet, error) {
	w, err := f.fake.Wallet(ctx, name)
	if err == nil {
		f.group(w)
	}
	return w, err
}

func (f inVaults) Wallets(ctx context.Context, p appliance.Page) (out []appliance.Wallet, next string, err error) {
	list, _, err := f.fake.Wallets(ctx, p)
	for _, w := range list {
		if f.group(&w); p.Vaults == nil || slices.Contains(p.Vaults, w.Group) {
			out = append(out, w)
		}
	}
	return out, "", err
}

func (f inVaults) Receipt(ctx context.Context, id string) (*attest.Receipt, error) {
	r, err := f.fake.Receipt(ctx, id)
	if err == nil {
		r.Intent.Vault = "own"
	}
	return r, err
}

func (f inVaults) Operation(ctx context.Context, session string) (*appliance.Operation, error) {
	o, err := f.fake.Operation(ctx, session)
	if err == nil {
		o.Intent.Vault = "own"
	}
	return o, err
}

func (f inVaults) Operations(ctx context.Context, state appliance.OperationState) ([]appliance.Operation, error) {
	all, err := f.fake.Operations(ctx, state)
	for i := range all {
		all[i].Intent.Vault = "own"
	}
	return all, err
}

// permission is one route of the table: who may, why these, and what a caller of another vault is told of what is in vault own.
type permission struct {
	roles    string // "" is everybody, without a token
	body     string
	why      string
	other    int
	whyOther string
}

const (
	everyRole = "viewer requester approver policy-author key-admin node-operator auditor recovery-officer"
	ofRecord  = "as what does not exist"
	ofNode    = "it has nothing of a wallet"
	makesKeys = "keys are made and kept by who does not sign with them, unless he has both roles"
	asks      = "who asks for signatures; an initiator must have signed the request besides"
	looks     = "whoever has a role may look"
	probes    = "probes have no token; it says nothing of wallets or callers"
	keyBody   = `{"curve":"ed25519"}`
	ofWallet  = `{"wallet_id":"w_ed"}`
	approves  = "who decides; the approver's signature must be good besides"
	stops     = "who keeps nodes must be able to stop everything, and can start nothing with it"
	thaws     = "who brings it; a quorum of officers must have signed it"
	freezeOf  = `{"scope":"vault","name":"own","reason":"a theft"}`
	cancels   = "who asks for signatures; the initiator that asked must have signed it besides"
)

var (
	signatureOf = `{"signature":"0x` + strings.Repeat("ab", 64) + `"}`
	thawOf      = `{"signatures":[{"by":"olga",` + signatureOf[1:] + `]}`
	wordOf      = `{"by":"ann","expires_ms":7,` + signatureOf[1:]
)

// permissions is the whole of who may do what.
var permissions = map[string]permission{
	"POST /api/v1/keygen":                       {"key-admin", keyBody, makesKeys, 403, "the wallet would be of no vault"},
	"POST /api/v1/vaults/{vaultId}/wallets":     {"key-admin", keyBody, makesKeys, 403, "whether the vault is there is not said"},
	"POST /api/v1/sign":                         {"requester", signOne, asks, 404, ofRecord},
	"POST /api/v1/generate_mpc_sig":             {"requester", signOne, asks, 404, ofRecord},
	"POST /api/v1/refresh":                      {"key-admin", ofWallet, makesKeys, 404, ofRecord},
	"POST /api/v1/wallets/{walletId}/reshare":   {"key-admin", "{}", makesKeys, 404, ofRecord},
	"POST /api/v1/wallets/{id}/prove-threshold": {"key-admin", "{}", makesKeys, 404, ofRecord},
	"GET /api/v1/wallets":                       {everyRole, "", looks, 200, "the list has none of another vault"},
	"GET /api/v1/wallets/{id}":                  {everyRole, "", looks, 404, ofRecord},
	"GET /api/v1/wallets/{id}/derive":           {everyRole, "", looks, 404, ofRecord},
	"GET /api/v1/nodes":                         {everyRole, "", looks, 200, ofNode},
	"GET /api/v1/receipts/{id}":                 {everyRole, "", looks, 404, ofRecord},
	"GET /api/v1/operations":                    {everyRole, "", looks, 200, "the list has none of another vault"},
	"GET /api/v1/operations/{id}":               {everyRole, "", looks, 404, ofRecord},
	"GET /api/v1/operations/{id}/events":        {everyRole, "", looks, 404, ofRecord},
	"POST /api/v1/operations/{id}/approvals":    {"approver", wordOf, approves, 404, ofRecord},
	"POST /api/v1/operations/{id}/cancel":       {"requester", signatureOf, cancels, 404, ofRecord},
	"GET /api/v1/freezes":                       {everyRole, "", looks, 200, "the list has none of another vault"},
	"POST /api/v1/freezes":                      {"node-operator", freezeOf, stops, 403, "whether the vault is there is not said"},
	"POST /api/v1/freezes/{id}/thaw":            {"node-operator", thawOf, thaws, 404, ofRecord},
	"GET /api/v1/audit":                         {"auditor", "", "the record has every caller", 403, "it is of all vaults"},
	"GET /api/v1/audit/checkpoints":             {"auditor", "", "who holds logs against what was witnessed", 200, ofNode},
	"GET /metrics":                              {"viewer node-operator auditor", "", "numbers of the node, for who watches it", 200, ofNode},
	"GET /livez":                                {"", "", probes, 200, ofNode},
	"GET /readyz":                               {"", "", probes, 200, ofNode},
	"GET /startupz":                             {"", "", probes, 200, ofNode},
	"GET /healthz":                              {"", "", probes, 200, ofNode},
	"GET /openapi.json":                         {"", "", "what this build can do is no secret", 200, ofNode},
	"GET /docs":                                 {"", "", "what this build can do is no secret", 200, ofNode},
}

// ask sends a good request of the route for what is in vault own.
func (p permission) ask(t *testing.T, h http.Handler, pattern, token string) int {
	t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	path = strings.NewReplacer("receipts/{id}", "receipts/r_1", "operations/{id}", "operations/s1", "{vaultId}", "own",
		"{walletId}", "w_ed", "{id}", "w_ed").Replace(path)
	path = strings.Replace(path, "freezes/w_ed", "freezes/"+frozen().Freeze.Digest().String(), 1)
	path = strings.Replace(path, "w_ed/derive", "w_ec/derive?path=m", 1)
	if token == "" {
		return send(t, h, method, path, p.body).Code
	}
	return send(t, h, method, path, p.body, "Authorization", "Bearer "+token).Code
}

// strangers are tokens that no route may take.
func strangers(t *testing.T) map[string]string {
	signed := func(change func(jwt.MapClaims)) string {
		return token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], as(everyRoleList(), change))
	}
	none := func(jwt.MapClaims) {}
	return map[string]string{
		"no token": "",
		"alg none": token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, as(everyRoleList(), none)),
		"HS256 with the public key": token(t, jwt.SigningMethodHS256, publicPEM(t, "EdDSA"),
			as(everyRoleList(), none)),
		"another key":  token(t, jwt.SigningMethodEdDSA, issuer()["other"], as(everyRoleList(), none)),
		"another aud":  signed(func(c jwt.MapClaims) { c["aud"] = "other" }),
		"expired":      signed(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }),
		"vaults: null": signed(func(c jwt.MapClaims) { c["vaults"] = nil }),
		"vaults: name": signed(func(c jwt.MapClaims) { c["vaults"] = "own" }),
		"vaults: *":    signed(func(c jwt.MapClaims) { c["vaults"] = []string{"own", "*"} }),
	}
}

func everyRoleList() []string {
	return []string{"viewer", "requester", "key-admin", "node-operator", "auditor"}
}

func as(roles []string, change func(jwt.MapClaims)) jwt.MapClaims {
	return with(func(c jwt.MapClaims) { c["roles"] = roles; change(c) })
}

// Goal: each role may do at each route exactly what docs/ROLES.md says, for what is in the caller's vaults and in others, and nobody else
// anything; a new route is in the table, or the test fails. Method: every route that the handler and the OpenAPI document have, asked with
// a good request and a signed token of each role, of no vault, its own and another, and with tokens that nobody may take; the page is
// written of the answers and compared. -rewrite writes it anew.
func TestRolesPage(t *testing.T) {
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	f.over = true // so that its events end
	s := newServer(Config{Backend: inVaults{f}, Auth: auth})
	described, _ := openAPI(t)
	for pattern := range s.rules {
		if _, ok := permissions[pattern]; !ok {
			t.Errorf("%s is in no row: say who may, and why", pattern)
		}
		if method, path, _ := strings.Cut(pattern, " "); described.Paths[path][strings.ToLower(method)].OperationID == "" {
			t.Errorf("%s is not in the OpenAPI document", pattern)
		}
	}
	page := rolesPage{forged: strangers(t)}
	for _, pattern := range slices.Sorted(maps.Keys(permissions)) {
		p := permissions[pattern]
		if _, ok := s.rules[pattern]; !ok {
			t.Fatalf("%s is no route", pattern)
		}
		page.row(t, s, pattern, p)
	}
	if *rewrite {
		if err := os.WriteFile(rolesFile, page.bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(rolesFile); err != nil || !bytes.Equal(b, page.bytes()) {
		t.Errorf("docs/ROLES.md is not what the API does (%v): if it is meant, run go test ./appliance/api -run TestRolesPage -rewrite", err)
	}
}

// rolesPage is the page as the answers make it.
type rolesPage struct {
	forged    map[string]string // tokens that nobody may take
	who, whys strings.Builder
}

func (page *rolesPage) row(t *testing.T, h http.Handler, pattern string, p permission) {
	t.Helper()
	fmt.Fprintf(&page.who, "| `%s` |", pattern)
	good := http.StatusOK
	if strings.HasSuffix(pattern, "}/wallets") {
		good = http.StatusCreated
	}
	for _, role := range Roles() {
		signed := func(vaults ...string) string {
			return token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], as([]string{string(role)}, func(c jwt.MapClaims) {
				if vaults != nil {
					c["vaults"] = vaults
				}
			}))
		}
		may := p.roles == "" || slices.Contains(strings.Fields(p.roles), string(role))
		want, own, other := 403, 403, 403
		if may {
			want, own, other = good, good, p.other
		}
		if may && (pattern == "GET /api/v1/audit" || pattern == "POST /api/v1/keygen") {
			own = 403 // of all vaults, of none
		}
		all := p.ask(t, h, pattern, signed())
		for what, c := range map[string]struct{ got, want int }{"of all vaults": {all, want},
			"of its vault": {p.ask(t, h, pattern, signed("own")), own}, "of another": {p.ask(t, h, pattern, signed("other")), other}} {
			if c.got != c.want {
				t.Errorf("%s as %s %s: %d, want %d", pattern, role, what, c.got, c.want)
			}
		}
		fmt.Fprintf(&page.who, " %d |", all)
	}
	strange := 0
	for name, bad := range page.forged {
		want := 401
		if p.roles == "" {
			want = 200
		}
		if strange = p.ask(t, h, pattern, bad); strange != want {
			t.Errorf("%s with %s: %d, want %d", pattern, name, strange, want)
		}
	}
	fmt.Fprintf(&page.who, " %d |\n", strange)
	fmt.Fprintf(&page.whys, "| `%s` | %s | %d: %s |\n", pattern, p.why, p.other, p.whyOther)
}

func (page *rolesPage) bytes() []byte {
	var b bytes.Buffer
	b.WriteString(`# Who may do what at the API

Written by ` + "`go test ./appliance/api -run TestRolesPage -rewrite`" + ` of what the API answers to a good request
with a token of each role; the test fails where this page and the API differ, and where a route has no row. A role lets in; nothing is signed, made or refreshed without an initiator
besides (THREATS).

| route |`)
	for _, r := range Roles() {
		fmt.Fprintf(&b, " %s |", r)
	}
	b.WriteString(" nobody |\n|---|" + strings.Repeat("---|", len(Roles())+1) + "\n" + page.who.String() + "\n*nobody* is who has")
	b.WriteString(": " + strings.Join(slices.Sorted(maps.Keys(page.forged)), ", "))
	b.WriteString(`. 401 is "nobody knows you", 403 "your roles do not have this".

## Why, and what a token of other vaults is told

A token with the claim ` + "`vaults`" + ` lets in for the wallets of these alone. Of the others:

| route | why these roles | of another vault |
|---|---|---|
` + page.whys.String() + `
## Duties that one identity may not have together

Refused with 403 at every route that wants a role, and by ` + "`mpcd token`" + `; ` + "`mpcd dev`" + ` has one developer do everything.

| roles | why |
|---|---|
`)
	for _, x := range apart {
		fmt.Fprintf(&b, "| %s, %s | %s |\n", x.a, x.b, x.why)
	}
	return b.Bytes()
}

// Goal: of what is in vaults of others a caller is told what it is told of what nobody has, in the same words, by id, key and receipt,
// and a list has none of them; wallets of no vault are for who is let in for "". Method: a caller of one vault, at each.
func TestVaultsOfOthers(t *testing.T) {
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	h := New(Config{Backend: inVaults{f}, Auth: auth})
	ask := func(path string, vaults ...string) (int, string) {
		c := as([]string{"viewer"}, func(c jwt.MapClaims) { c["vaults"] = append([]string{}, vaults...) })
		w := send(t, h, "GET", path, "", "Authorization", "Bearer "+token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], c))
		if w.Code == 200 {
			return 200, w.Body.String()
		}
		return w.Code, wantProblem(t, w, w.Code, "not_found").Detail
	}
	for _, x := range []struct{ there, nowhere string }{
		{"/api/v1/wallets/w_tap", "/api/v1/wallets/w_none"},
		{fmt.Sprintf("/api/v1/wallets/%x", taproot), fmt.Sprintf("/api/v1/wallets/%x", [32]byte{7})},
		{"/api/v1/wallets/w_tap/derive?path=m", "/api/v1/wallets/w_none/derive?path=m"},
	} {
		code, said := ask(x.there, "own")
		if none, like := ask(x.nowhere, "own"); code != 404 || none != 404 || said != like {
			t.Errorf("%s: %d %q, and of what is not there %d %q", x.there, code, said, none, like)
		}
	}
	code, said := ask("/api/v1/receipts/r_1", "other")
	if none, like := ask("/api/v1/receipts/r_2", "other"); code != 404 || none != 404 || said != like {
		t.Errorf("receipts: %d %q, and of what is not there %d %q", code, said, none, like)
	}
	if _, list := ask("/api/v1/wallets", "own"); !strings.Contains(list, "w_ed") || strings.Contains(list, "w_tap") {
		t.Errorf("the list of vault own: %s", list)
	}
	h = New(Config{Backend: f, Auth: auth}) // whose wallets are of no vault
	for _, vaults := range [][]string{{"own", ""}, {"own"}, nil} {
		if code, _ := ask("/api/v1/wallets/w_ec", vaults...); (code == 200) != slices.Contains(vaults, "") {
			t.Errorf("a wallet of no vault for %q: %d", vaults, code)
		}
	}
	if len(f.signs)+len(f.keygens)+len(f.renewals)+len(f.proofs)+len(f.paths) != 0 {
		t.Error("the node was asked for what its caller may not")
	}
}

// Goal: no identity has duties together that are kept apart, whatever else it may, and others lose nothing; in dev one has all. Method:
// each pair of roles at a route that every role may use.
func TestDuties(t *testing.T) {
	h := tokenServer(t, newFake())
	refused := 0
	for _, a := range Roles() {
		for _, b := range Roles() {
			roles := []string{string(a), string(b), "viewer"}
			w := send(t, h, "GET", "/api/v1/wallets", "", "Authorization",
				"Bearer "+token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], as(roles, func(jwt.MapClaims) {})))
			want := 200
			for _, x := range apart {
				if x.a == a && x.b == b || x.a == b && x.b == a {
					want, refused = 403, refused+1
				}
			}
			if w.Code != want {
				t.Errorf("%s and %s: %d, want %d", a, b, w.Code, want)
			}
			if want == 403 {
				wantProblem(t, w, 403, "denied")
			}
		}
	}
	if refused != 2*len(apart) || refused < 10 {
		t.Errorf("%d pairs were refused", refused)
	}
	if w := send(t, devServer(newFake()), "GET", "/api/v1/wallets", ""); w.Code != 200 {
		t.Errorf("dev: %d %s", w.Code, w.Body)
	}
}
