package api

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer has a key of each kind, made once: RSA keys are slow.
var issuer = sync.OnceValue(func() map[string]crypto.Signer {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"EdDSA": ed, "ES256": ec, "RS256": rs, "P-384": p384, "other": other}
})

func publicPEM(t testing.TB, names ...string) []byte {
	t.Helper()
	var out []byte
	for _, name := range names {
		der, err := x509.MarshalPKIXPublicKey(issuer()[name].Public())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return out
}

func token(t testing.TB, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func good() jwt.MapClaims {
	return jwt.MapClaims{"sub": "alice", "aud": "mpcd", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"viewer", "requester"}}
}

func with(change func(jwt.MapClaims)) jwt.MapClaims {
	c := good()
	change(c)
	return c
}

func tokenServer(t testing.TB, f *fake) http.Handler {
	auth, err := NewJWT(publicPEM(t, "EdDSA", "ES256", "RS256"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Backend: f, Auth: auth})
}

const signOne = `{"wallet_id":"w_ed","message":"0x01"}`

// Goal: a token of each kind of key lets its subject in, under its name. Method: sign with each.
func TestTokens(t *testing.T) {
	for alg, method := range map[string]jwt.SigningMethod{"EdDSA": jwt.SigningMethodEdDSA, "ES256": jwt.SigningMethodES256,
		"RS256": jwt.SigningMethodRS256} {
		f := newFake()
		w := send(t, tokenServer(t, f), "POST", "/api/v1/sign", signOne, "Authorization", "Bearer "+token(t, method, issuer()[alg], good()))
		if w.Code != 200 || f.signs[0].Requester != "alice" {
			t.Errorf("%s: %d %s", alg, w.Code, w.Body)
		}
	}
}

// Goal: no token but a good one lets anybody in. Method: every forgery of RFC 8725 that these keys could fall for, and every claim
// missing or wrong; none reaches the node.
func TestBadTokens(t *testing.T) {
	ed := issuer()["EdDSA"]
	hs := func(key []byte) string { return "Bearer " + token(t, jwt.SigningMethodHS256, key, good()) }
	edSigned := func(c jwt.MapClaims) string { return "Bearer " + token(t, jwt.SigningMethodEdDSA, ed, c) }
	rest := fmt.Sprintf(`"sub":"alice","exp":%d,"roles":["requester"]}`, time.Now().Add(time.Hour).Unix())
	rawEd := []byte(ed.Public().(ed25519.PublicKey))
	valid := edSigned(good())
	for name, c := range map[string]struct {
		header string
		status int
	}{
		"none given":             {"", 401},
		"basic":                  {"Basic " + valid[7:], 401},
		"empty":                  {"Bearer ", 401},
		"garbage":                {"Bearer abc", 401},
		"too long":               {edSigned(with(func(c jwt.MapClaims) { c["pad"] = strings.Repeat("a", tokenMax) })), 401},
		"alg none":               {"Bearer " + token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good()), 401},
		"HS256 with the PEM":     {hs(publicPEM(t, "EdDSA", "ES256", "RS256")), 401},
		"HS256 with RSA PEM":     {hs(publicPEM(t, "RS256")), 401},
		"HS256 with the raw key": {hs(rawEd), 401},
		"RS512":                  {"Bearer " + token(t, jwt.SigningMethodRS512, issuer()["RS256"], good()), 401},
		"PS256":                  {"Bearer " + token(t, jwt.SigningMethodPS256, issuer()["RS256"], good()), 401},
		"ES384":                  {"Bearer " + token(t, jwt.SigningMethodES384, issuer()["P-384"], good()), 401},
		"a stranger's key":       {"Bearer " + token(t, jwt.SigningMethodEdDSA, issuer()["other"], good()), 401},
		"signature cut":          {valid[:len(valid)-4], 401},
		"claims changed":         {swapClaims(t, valid, edSigned(with(func(c jwt.MapClaims) { c["sub"] = "mallory" }))), 401},
		"wrong aud":              {edSigned(with(func(c jwt.MapClaims) { c["aud"] = "other" })), 401},
		"no aud":                 {edSigned(with(func(c jwt.MapClaims) { delete(c, "aud") })), 401},
		"expired":                {edSigned(with(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() })), 401},
		"no exp":                 {edSigned(with(func(c jwt.MapClaims) { delete(c, "exp") })), 401},
		"not yet":                {edSigned(with(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })), 401},
		"issued tomorrow":        {edSigned(with(func(c jwt.MapClaims) { c["iat"] = time.Now().Add(24 * time.Hour).Unix() })), 401},
		"no sub":                 {edSigned(with(func(c jwt.MapClaims) { delete(c, "sub") })), 401},
		"sub with a newline":     {edSigned(with(func(c jwt.MapClaims) { c["sub"] = "a\nb" })), 401},
		"long sub":               {edSigned(with(func(c jwt.MapClaims) { c["sub"] = strings.Repeat("a", 129) })), 401},
		"roles, a number":        {edSigned(with(func(c jwt.MapClaims) { c["roles"] = 5 })), 401},
		"no roles":               {edSigned(with(func(c jwt.MapClaims) { delete(c, "roles") })), 403},
		"other role":             {edSigned(with(func(c jwt.MapClaims) { c["roles"] = []string{"auditor", "viewer"} })), 403},
		"unknown role":           {edSigned(with(func(c jwt.MapClaims) { c["roles"] = []string{"root", "Requester"} })), 403},
		"one string of roles":    {edSigned(with(func(c jwt.MapClaims) { c["roles"] = "viewer requester" })), 401},
		"a number among roles":   {edSigned(with(func(c jwt.MapClaims) { c["roles"] = []any{"requester", 5} })), 401},
		"exp in a string":        {edSigned(with(func(c jwt.MapClaims) { c["exp"] = fmt.Sprint(c["exp"]) })), 401},
		"AUD":                    {edSigned(with(func(c jwt.MapClaims) { c["AUD"] = c["aud"]; delete(c, "aud") })), 401},
		"Exp":                    {edSigned(with(func(c jwt.MapClaims) { c["Exp"] = c["exp"]; delete(c, "exp") })), 401},
		"SUB":                    {edSigned(with(func(c jwt.MapClaims) { c["SUB"] = c["sub"]; delete(c, "sub") })), 401},
		"NBF is no nbf":          {edSigned(with(func(c jwt.MapClaims) { c["NBF"] = time.Now().Add(time.Hour).Unix() })), 200},
		"Roles":                  {edSigned(with(func(c jwt.MapClaims) { c["Roles"] = c["roles"]; delete(c, "roles") })), 403},
		"aud twice":              {"Bearer " + signedJSON(t, `{"alg":"EdDSA"}`, `{"aud":"other","aud":"mpcd",`+rest), 401},
		"roles twice":            {"Bearer " + signedJSON(t, `{"alg":"EdDSA"}`, `{"aud":"mpcd","roles":["viewer"],`+rest), 401},
		"twice, inside":          {"Bearer " + signedJSON(t, `{"alg":"EdDSA"}`, `{"aud":"mpcd","x":{"a":1,"a":2},`+rest), 401},
		"alg twice":              {"Bearer " + signedJSON(t, `{"alg":"none","alg":"EdDSA"}`, `{"aud":"mpcd",`+rest), 401},
		"crit":                   {"Bearer " + signedJSON(t, `{"alg":"EdDSA","crit":["x"],"x":1}`, `{"aud":"mpcd",`+rest), 401},
		"crit of nothing":        {"Bearer " + signedJSON(t, `{"alg":"EdDSA","crit":[]}`, `{"aud":"mpcd",`+rest), 401},
		"claims of others":       {"Bearer " + signedJSON(t, `{"alg":"EdDSA"}`, `{"aud":"mpcd","https://x.example/Team":{"a":[1]},`+rest), 200},
	} {
		f := newFake()
		var header []string
		if c.header != "" {
			header = []string{"Authorization", c.header}
		}
		w := send(t, tokenServer(t, f), "POST", "/api/v1/sign", signOne, header...)
		if c.status == 200 {
			if w.Code != 200 {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			continue
		}
		code := map[int]string{401: "unauthorized", 403: "denied"}[c.status]
		wantProblem(t, w, c.status, code)
		if said := w.Body.String(); name == "too long" && !strings.Contains(said, "at most 8192 are read") {
			t.Errorf("%s: %s", name, said)
		}
		if (c.status == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", name, w.Header().Get("WWW-Authenticate"))
		}
		if t.Failed() || len(f.signs) != 0 {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	f := newFake()
	wantProblem(t, send(t, tokenServer(t, f), "POST", "/api/v1/sign", signOne, "Authorization", valid, "Authorization", valid), 401,
		"unauthorized")
}

// signedJSON signs a header and claims as they are written.
func signedJSON(t *testing.T, header, claims string) string {
	t.Helper()
	content := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	sig, err := issuer()["EdDSA"].Sign(nil, []byte(content), crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	return content + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// Goal: a token that is known is as good as a new one, and no longer; what is known of one says nothing about another. Method: the same
// token before and after its end, and one that differs in its last character.
func TestKnownTokens(t *testing.T) {
	now := time.Now()
	auth, err := newJWT(publicPEM(t, "EdDSA"), "mpcd", nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) (Identity, error) {
		r := newRequest("GET", "/", "")
		r.Header.Set("Authorization", "Bearer "+token)
		return auth.Authenticate(r)
	}
	good := token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], good())
	for range 3 {
		if who, err := ask(good); err != nil || who.Requester != "alice" || len(who.Roles) != 2 {
			t.Fatalf("%+v, %v", who, err)
		}
	}
	if auth.known.Len() != 1 {
		t.Errorf("%d tokens are known", auth.known.Len())
	}
	forged := token(t, jwt.SigningMethodEdDSA, issuer()["other"], with(func(c jwt.MapClaims) { c["sub"] = "x" }))
	if who, err := ask(swapClaims(t, good, forged)); err == nil {
		t.Errorf("other claims: %+v", who)
	}
	now = now.Add(time.Hour + clockSkew + time.Second)
	if who, err := ask(good); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its end: %+v, %v", who, err)
	}
}

// Goal: guessing tokens costs a node little: of an address that sent too many bad ones new ones are not judged for a while, while known
// ones of it pass, and those of others, and all of this machine. Method: bad tokens at once, then time.
func TestBadTokensAreLimited(t *testing.T) {
	now := time.Now()
	auth, err := newJWT(publicPEM(t, "EdDSA"), "mpcd", nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Backend: newFake(), Auth: auth})
	ask := func(from, token string) int {
		return send(t, h, "GET", "/api/v1/wallets", "", "RemoteAddr", from, "Authorization", "Bearer "+token).Code
	}
	signed := func(sub string) string {
		return token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], with(func(c jwt.MapClaims) { c["sub"] = sub }))
	}
	known, bad := signed("alice"), token(t, jwt.SigningMethodEdDSA, issuer()["other"], good())
	if code := ask("192.0.2.1:1", known); code != 200 {
		t.Fatal(code)
	}
	for i := range badTokensBurst + 1 {
		if code := ask("192.0.2.1:1", bad); code != 401 && i < badTokensBurst || i == badTokensBurst && code != 429 {
			t.Fatalf("bad token %d: %d", i+1, code)
		}
		if code := ask("127.0.0.1:1", bad); code != 401 {
			t.Fatalf("bad token %d of this machine: %d", i+1, code)
		}
	}
	for _, c := range []struct {
		from, token string
		code        int
	}{{"192.0.2.1:1", known, 200}, {"192.0.2.1:1", signed("bob"), 429}, {"192.0.2.2:1", signed("bob"), 200}} {
		if code := ask(c.from, c.token); code != c.code {
			t.Errorf("%s: %d, want %d", c.from, code, c.code)
		}
	}
	if code := ask("192.0.2.1:1", signed("carol")); code != 429 {
		t.Errorf("a new token of the address: %d", code)
	}
	now = now.Add(time.Second)
	if code := ask("192.0.2.1:1", signed("carol")); code != 200 {
		t.Errorf("a second later: %d", code)
	}
}

// swapClaims puts the claims of b under the signature of a.
func swapClaims(t *testing.T, a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	if len(x) != 3 || len(y) != 3 {
		t.Fatal("not tokens")
	}
	return x[0] + "." + y[1] + "." + x[2]
}

// rsa1024 is an RSA key of 1024 bits, from openssl genrsa.
const rsa1024 = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDuLRH2LJ8jek9spgf2GGZ9yEDm
QZqzYlbEtNJ1U7d0yiIAcAN89j9z/NAuThYvrFjdALt3vU954DLKDUUyuJogGNCZ
+IoaZ38aTe3Kll2g2dGr0gZHEr7rfO0FyLh77EDjJn1iaJryk3gyia3pK9oytIgA
U0HDBUMZxPT67dNUKwIDAQAB
-----END PUBLIC KEY-----
`

// Goal: a key file that would weaken every token is refused. Method: table.
func TestBadKeyFiles(t *testing.T) {
	private, _ := x509.MarshalPKCS8PrivateKey(issuer()["EdDSA"])
	ed := func(y byte) []byte { // of y alone: on no point of the curve for 2, of small order for 1
		der, _ := x509.MarshalPKIXPublicKey(append(ed25519.PublicKey{y}, make([]byte, 31)...))
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	for name, file := range map[string][]byte{
		"empty":       nil,
		"not PEM":     []byte("hello"),
		"tail":        append(publicPEM(t, "EdDSA"), "hello"...),
		"private key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"other type":  bytes.ReplaceAll(publicPEM(t, "EdDSA"), []byte("PUBLIC KEY"), []byte("TRUSTED KEY")),
		"P-384":       publicPEM(t, "P-384"),
		"small RSA":   []byte(rsa1024),
		"not DER":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1, 2}}),
		"no point":    ed(2),
		"small order": ed(1),
		"good, bad":   append(publicPEM(t, "EdDSA"), publicPEM(t, "P-384")...),
	} {
		if _, err := NewJWT(file, "mpcd", nil); err == nil {
			t.Errorf("%s accepted", name)
		} else if bytes.Contains([]byte(err.Error()), private[16:]) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
	if _, err := NewJWT(publicPEM(t, "EdDSA"), "", nil); err == nil {
		t.Error("empty audience accepted")
	}
}

// Goal: every route has a rule, and each role may do exactly what is written here. Method: all roles against all routes.
func TestRoles(t *testing.T) {
	all := "viewer requester approver policy-author key-admin node-operator auditor recovery-officer"
	allowed := map[string]string{
		"POST /api/v1/keygen":                       "key-admin",
		"POST /api/v1/vaults/{vaultId}/wallets":     "key-admin",
		"POST /api/v1/sign":                         "requester",
		"POST /api/v1/generate_mpc_sig":             "requester",
		"POST /api/v1/refresh":                      "key-admin",
		"POST /api/v1/wallets/{walletId}/reshare":   "key-admin",
		"POST /api/v1/wallets/{id}/prove-threshold": "key-admin",
		"GET /api/v1/wallets":                       all,
		"GET /api/v1/wallets/{id}":                  all,
		"GET /api/v1/wallets/{id}/derive":           all,
		"GET /api/v1/nodes":                         all,
		"GET /api/v1/receipts/{id}":                 all,
		"GET /api/v1/operations":                    all,
		"GET /api/v1/operations/{id}":               all,
		"GET /api/v1/operations/{id}/events":        all,
		"POST /api/v1/operations/{id}/approvals":    "approver",
		"POST /api/v1/operations/{id}/cancel":       "requester",
		"GET /api/v1/freezes":                       all,
		"POST /api/v1/freezes":                      "node-operator",
		"POST /api/v1/freezes/{id}/thaw":            "node-operator",
		"GET /api/v1/audit":                         "auditor",
		"GET /api/v1/audit/checkpoints":             "auditor",
		"GET /metrics":                              "viewer node-operator auditor",
	}
	open := []string{"GET /livez", "GET /readyz", "GET /startupz", "GET /healthz", "GET /openapi.json", "GET /docs"}
	s := newServer(Config{Backend: newFake(), Auth: roleAuth{}})
	if len(s.rules) != len(allowed)+len(open) {
		t.Errorf("%d routes have rules, this table has %d", len(s.rules), len(allowed)+len(open))
	}
	ask := func(pattern, role string) int {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{vaultId}", "v", "{walletId}", "w_ed", "{id}", "w_ed").Replace(path)
		return send(t, s, method, path, "", "X-Role", role).Code
	}
	for pattern, roles := range allowed {
		for _, role := range Roles() {
			denied := ask(pattern, string(role)) == 403
			if denied == strings.Contains(" "+roles+" ", " "+string(role)+" ") {
				t.Errorf("%s: %s denied: %v", pattern, role, denied)
			}
		}
		if code := ask(pattern, "nobody"); code != 401 {
			t.Errorf("%s without a token: %d", pattern, code)
		}
	}
	for _, pattern := range open {
		if code := ask(pattern, "nobody"); code != 200 {
			t.Errorf("%s: %d", pattern, code)
		}
	}
}

// roleAuth believes a header.
type roleAuth struct{}

func (roleAuth) Authenticate(r *http.Request) (Identity, error) {
	role := r.Header.Get("X-Role")
	if role == "nobody" {
		return Identity{}, errors.New("nobody")
	}
	return Identity{Requester: or(r.Header.Get("X-Name"), role), Roles: []Role{Role(role)}}, nil
}

// Goal: what is not said to be allowed is not. Method: a server without Auth, and a route without a rule.
func TestDefaultDeny(t *testing.T) {
	h := New(Config{Backend: newFake()})
	wantProblem(t, send(t, h, "GET", "/api/v1/wallets", ""), 401, "unauthorized")
	s := newServer(Config{Backend: newFake(), Dev: true})
	s.mux.HandleFunc("GET /forgotten", func(http.ResponseWriter, *http.Request) { t.Error("served") })
	wantProblem(t, send(t, s, "GET", "/forgotten", ""), 403, "denied")
	if w := send(t, New(Config{Backend: newFake(), OpenMetrics: true}), "GET", "/metrics", ""); w.Code != 200 {
		t.Errorf("open metrics: %d", w.Code)
	}
}

// Goal: in dev nobody but this machine gets in, and no browser on it that a foreign page drives. Method: table of headers.
func TestDevGuard(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		status int
	}{
		"curl":                   {nil, 200},
		"localhost":              {[]string{"Host", "localhost"}, 200},
		"127.0.0.2":              {[]string{"Host", "127.0.0.2:8080"}, 200},
		"IPv6":                   {[]string{"Host", "[::1]:8080"}, 200},
		"same origin":            {[]string{"Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"}, 200},
		"typed by the user":      {[]string{"Sec-Fetch-Site", "none"}, 200},
		"rebound name":           {[]string{"Host", "evil.example:8080"}, 403},
		"looks like localhost":   {[]string{"Host", "localhost.evil.example"}, 403},
		"no host":                {[]string{"Host", ""}, 403},
		"LAN address":            {[]string{"Host", "192.168.0.5:8080"}, 403},
		"foreign origin":         {[]string{"Origin", "https://evil.example"}, 403},
		"other port":             {[]string{"Origin", "http://localhost:3000"}, 403},
		"other scheme":           {[]string{"Origin", "https://localhost:8080"}, 403},
		"null origin":            {[]string{"Origin", "null"}, 403},
		"empty origin":           {[]string{"Origin", ""}, 403},
		"two origins":            {[]string{"Origin", "http://localhost:8080", "Origin", "http://evil"}, 403},
		"cross-site fetch":       {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"same-site fetch":        {[]string{"Sec-Fetch-Site", "same-site"}, 403},
		"another machine":        {[]string{"RemoteAddr", "192.168.0.9:4000"}, 401},
		"no address":             {[]string{"RemoteAddr", "@"}, 401},
		"forwarded for loopback": {[]string{"RemoteAddr", "10.0.0.1:1", "X-Forwarded-For", "127.0.0.1"}, 401},
	} {
		f := newFake()
		w := send(t, devServer(f), "POST", "/api/v1/keygen", `{"curve":"ed25519"}`, c.header...)
		if w.Code != c.status || (w.Code == 200) != (len(f.keygens) == 1) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
