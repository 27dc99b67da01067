package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	oidclib "github.com/zitadel/oidc/v3/pkg/oidc"
)

// provider is the OpenID provider of zitadel/oidc, with what a test decides: the key that signs, the keys that are published, and what
// tokens of its service user say.
type provider struct {
	*storage.Storage
	mu        sync.Mutex
	signs     providerKey
	published []op.Key
	audience  string
	claims    map[string]any
}

// providerKey is a key of the provider, for signing and as it publishes it.
type providerKey struct {
	kid string
	key *ecdsa.PrivateKey
}

func (k providerKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k providerKey) Algorithm() jose.SignatureAlgorithm          { return jose.ES256 }
func (k providerKey) Use() string                                 { return "sig" }
func (k providerKey) ID() string                                  { return k.kid }
func (k providerKey) Key() any                                    { return k.key }

// publicProviderKey is the public half.
type publicProviderKey struct{ providerKey }

func (k publicProviderKey) Key() any { return k.key.Public() }

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signs, nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.published, nil
}

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (p *provider) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return p.claims, nil
}

// jwtClient is a client whose access tokens are JWTs.
type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (p *provider) ClientCredentials(ctx context.Context, id, password string) (op.Client, error) {
	c, err := p.Storage.ClientCredentials(ctx, id, password)
	return jwtClient{c}, err
}

func (p *provider) ClientCredentialsTokenRequest(ctx context.Context, id string, scopes []string) (op.TokenRequest, error) {
	r, err := p.Storage.ClientCredentialsTokenRequest(ctx, id, scopes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		r.(*oidclib.JWTTokenRequest).Audience = []string{p.audience}
	}
	return r, err
}

// rotate has another key sign, with those that are to be published beside it.
func (p *provider) rotate(kid string, and ...op.Key) op.Key {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signs = providerKey{kid, key}
	p.published = append([]op.Key{publicProviderKey{p.signs}}, and...)
	return p.published[0]
}

// serve runs the provider, and returns its configuration and what gets a token of it.
func (p *provider) serve(t *testing.T) (IssuerConfig, func() string) {
	t.Helper()
	var h http.Handler
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	p.Storage = storage.NewStorage(storage.NewUserStore(srv.URL))
	var err error
	config := &op.Config{CryptoKey: [32]byte{1}, CryptoKeyId: "k", AuthMethodPost: true}
	if h, err = op.NewProvider(config, p, op.StaticIssuer(srv.URL)); err != nil {
		t.Fatal(err)
	}
	return IssuerConfig{URL: srv.URL, Audience: "treasury", Roots: rootsOf(srv)}, func() string {
		t.Helper()
		r, err := srv.Client().PostForm(srv.URL+"/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"sid1"},
			"client_secret": {"verysecret"}, "scope": {"openid"}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		var answer struct {
			Token string `json:"access_token"`
		}
		if json.Unmarshal(b, &answer) != nil || strings.Count(answer.Token, ".") != 2 {
			t.Fatalf("%s %s", r.Status, b)
		}
		return answer.Token
	}
}

func rootsOf(srv *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

// startIssuer has an issuer's keys fetched as a node does, by a clock that the test sets.
func startIssuer(t *testing.T, c IssuerConfig, now func() time.Time) *Issuer {
	t.Helper()
	i, err := newIssuer(c, now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); i.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return i
}

// Goal: tokens of a real OpenID provider let in, under a name that nobody has here, with its roles; a key that it signs with from now on is
// known at once, and one that it takes back lets nobody in any more, not even with a token that was good before. Method: the provider of
// zitadel/oidc over TLS, its client-credentials grant, its keys rotated twice.
func TestIssuer(t *testing.T) {
	p := &provider{audience: "treasury", claims: map[string]any{"roles": []string{"viewer"}}}
	old := p.rotate("first")
	c, get := p.serve(t)
	now := new(atomic.Int64)
	clock := func() time.Time { return time.Now().Add(time.Duration(now.Load())) }
	i := startIssuer(t, c, clock)
	auth, err := newJWT(publicPEM(t, "EdDSA"), "mpcd", i, clock)
	if err != nil {
		t.Fatal(err)
	}
	var seen []SeenToken
	auth.First = func(_ context.Context, s SeenToken) { seen = append(seen, s) }
	h := New(Config{Backend: newFake(), Auth: auth})
	ask := func(path, token string) int {
		return send(t, h, "GET", path, "", "Authorization", "Bearer "+token).Code
	}
	first := get()
	if code := ask("/api/v1/wallets", first); code != 200 || len(seen) != 1 || seen[0].Requester != "oidc:sid1" {
		t.Fatalf("%d, seen %+v", code, seen)
	}
	if code := ask("/api/v1/audit", first); code != 403 {
		t.Errorf("beyond its roles: %d", code)
	}
	if code := ask("/api/v1/wallets", token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], good())); code != 200 {
		t.Errorf("a token of a pinned key: %d", code)
	}

	p.rotate("second", old)
	now.Add(int64(keysApart))
	second := get()
	if code := ask("/api/v1/wallets", second); code != 200 {
		t.Errorf("signed with a new key: %d", code)
	}
	if code := ask("/api/v1/wallets", first); code != 200 {
		t.Errorf("signed with the key before: %d", code)
	}
	p.rotate("third")
	now.Add(int64(keysApart))
	if code := ask("/api/v1/wallets", get()); code != 200 {
		t.Errorf("signed with the third key: %d", code)
	}
	for name, gone := range map[string]string{"first": first, "second": second} {
		if code := ask("/api/v1/wallets", gone); code != 401 {
			t.Errorf("the %s key was taken back, and its token: %d", name, code)
		}
	}
	p.mu.Lock()
	p.audience = "others"
	p.mu.Unlock()
	if code := ask("/api/v1/wallets", get()); code != 401 {
		t.Errorf("for another audience: %d", code)
	}
}

// faulty is a server that answers as an issuer, and as a test has it.
type faulty struct {
	*httptest.Server
	mu        sync.Mutex
	discovery func(url string) string
	keys      string
	handle    http.HandlerFunc // of the keys, in the place of all that
	fetches   atomic.Int64
}

func newFaulty(t *testing.T) *faulty {
	f := &faulty{keys: jwks(jwk("ec", "ES256")), discovery: func(u string) string {
		return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, u, u+"/keys")
	}}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		discovery, keys, handle := f.discovery, f.keys, f.handle
		f.mu.Unlock()
		switch {
		case r.URL.Path == "/.well-known/openid-configuration":
			f.fetches.Add(1)
			_, _ = io.WriteString(w, discovery(f.URL))
		case handle != nil:
			handle(w, r)
		default:
			_, _ = io.WriteString(w, keys)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faulty) config() IssuerConfig {
	return IssuerConfig{URL: f.URL, Audience: "treasury", Roots: rootsOf(f.Server)}
}

// jwk writes the public key of a kind of issuer() as a JWK with the kid, and changes it.
func jwk(kid, kind string, change ...string) string {
	b, err := jose.JSONWebKey{Key: issuer()[kind].Public(), KeyID: kid, Use: "sig"}.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(change...).Replace(string(b))
}

// privateJWK is a key that its owner should have kept to himself.
func privateJWK(kid string) string {
	b, err := jose.JSONWebKey{Key: issuer()["ES256"], KeyID: kid, Use: "sig"}.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return string(b)
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// Goal: whatever answers in an issuer's place changes no keys and holds up nobody: other hosts, redirects, plain HTTP, another issuer, what
// is large, late, rubbish, or says something twice; and a start waits for none of it. Method: one good fetch, then each fault; the token
// that was good is good.
func TestIssuerFaults(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, jwks(jwk("ec", "other")))
	}))
	t.Cleanup(elsewhere.Close)
	f := newFaulty(t)
	keysAt := func(at string) func(string) string {
		return func(u string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, u, at) }
	}
	answer := func(write func(http.ResponseWriter, *http.Request)) func() { return func() { f.handle = write } }
	for name, c := range map[string]struct {
		change func()
		says   string
	}{
		"another issuer":      {func() { f.discovery = slashed }, "discovery document is of"},
		"keys elsewhere":      {func() { f.discovery = keysAt(elsewhere.URL + "/keys") }, "not of https and host"},
		"keys over HTTP":      {func() { f.discovery = keysAt("http" + f.URL[5:] + "/keys") }, "not of https and host"},
		"keys in a file":      {func() { f.discovery = keysAt("file:///etc/passwd") }, "not of https and host"},
		"keys with a user":    {func() { f.discovery = keysAt("https://a:b@" + f.URL[8:] + "/keys") }, "not of https and host"},
		"no jwks_uri":         {func() { f.discovery = keysAt("") }, "not of https and host"},
		"issuer twice":        {func() { f.discovery = twice }, "twice"},
		"redirect to another": {answer(redirect(elsewhere.URL)), "redirects"},
		"redirect to itself": {answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}), "redirects"},
		"ten megabytes":         {answer(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 10<<20)) }), "more than 256 KiB"},
		"rubbish":               {func() { f.keys = "<html>" }, "not JSON"},
		"an error":              {answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", 500) }), "500"},
		"no keys":               {func() { f.keys = "{}" }, "no list of keys"},
		"none that verifies":    {func() { f.keys = jwks() }, "none of 0 keys"},
		"a kid of two":          {func() { f.keys = jwks(jwk("ec", "ES256"), jwk("ec", "EdDSA")) }, `two keys have the kid "ec"`},
		"a key twice":           {func() { f.keys = jwks(jwk("ec", "ES256"), jwk("ec", "ES256")) }, `two keys have the kid "ec"`},
		"a key that says twice": {func() { f.keys = jwks(jwk("ec", "ES256", `"kid"`, `"kid":"x","kid"`)) }, "twice"},
		"for encryption":        {func() { f.keys = jwks(jwk("ec", "ES256", `"sig"`, `"enc"`)) }, "not for signatures"},
		"of another algorithm":  {func() { f.keys = jwks(jwk("ec", "RS256", `"use"`, `"alg":"PS256","use"`)) }, "for PS256"},
		"of another curve":      {func() { f.keys = jwks(jwk("ec", "P-384")) }, "neither Ed25519 nor"},
		"RSA of 16384 bits":     {func() { f.keys = jwks(hugeRSA()) }, "modulus size"},
		"symmetric":             {func() { f.keys = jwks(`{"kty":"oct","kid":"ec","k":"AAAA","alg":"HS256"}`) }, "public key"},
		"a private key":         {func() { f.keys = jwks(privateJWK("ec")) }, "public key"},
		"without a kid":         {func() { f.keys = jwks(jwk("", "ES256")) }, "no kid"},
		"to sign with":          {func() { f.keys = jwks(jwk("ec", "ES256", `"use"`, `"key_ops":["sign"],"use"`)) }, "not for verifying"},
	} {
		t.Run(name, func(t *testing.T) {
			f.set(func() {
				f.handle, f.keys, f.discovery = nil, jwks(jwk("ec", "ES256")), func(u string) string { return keysAt(u + "/keys")(u) }
			})
			i, err := NewIssuer(f.config())
			if err != nil {
				t.Fatal(err)
			}
			if err := i.Fetch(t.Context()); err != nil || i.held("ec") == nil {
				t.Fatal(err)
			}
			f.set(c.change)
			if err := i.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if k := i.held("ec"); k == nil || k.alg != "ES256" || !k.key.(*ecdsa.PublicKey).Equal(issuer()["ES256"].Public()) {
				t.Error("the key of before is gone")
			}
		})
	}
}

// redirect sends who asks elsewhere.
func redirect(to string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
}

// hugeRSA is a key that takes long for each signature.
func hugeRSA() string {
	return fmt.Sprintf(`{"kty":"RSA","kid":"ec","e":"AQAB","n":%q}`, base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{255}, 2048)))
}

// slashed names an issuer with a slash more.
func slashed(u string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, u+"/", u+"/keys") }

// twice names two issuers.
func twice(u string) string {
	return fmt.Sprintf(`{"issuer":"https://evil.example","issuer":%q,"jwks_uri":%q}`, u, u+"/keys")
}

// Goal: an issuer that hangs, or is not there, holds up no start, and requests for two seconds at most; with who has no proxy set for it.
// Method: a server that does not answer until the end, a token of it, and one of a pinned key; a proxy in the environment that fails.
func TestIssuerHangs(t *testing.T) {
	f := newFaulty(t)
	end := make(chan struct{})
	f.handle = func(http.ResponseWriter, *http.Request) { <-end }
	t.Cleanup(func() { close(end) })
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	i := startIssuer(t, f.config(), time.Now)
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", i)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Backend: newFake(), Auth: auth})
	ask := func(token string) (int, time.Duration) {
		began := time.Now()
		return send(t, h, "GET", "/api/v1/wallets", "", "Authorization", "Bearer "+token).Code, time.Since(began)
	}
	if code, took := ask(token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], good())); code != 200 || took > time.Second {
		t.Errorf("a token of a pinned key: %d after %s", code, took)
	}
	if code, took := ask(f.token(t, "ec", "ES256", nil)); code != 401 || took < keysWait || took > keysWait+5*time.Second {
		t.Errorf("a token of who hangs: %d after %s", code, took)
	}
}

// token is one that the issuer could have made, with the kid in its header ("" for none), by a key of issuer().
func (f *faulty) token(t *testing.T, kid, kind string, change func(jwt.MapClaims)) string {
	t.Helper()
	c := with(func(c jwt.MapClaims) { c["iss"], c["aud"] = f.URL, "treasury" })
	if change != nil {
		change(c)
	}
	method := map[string]jwt.SigningMethod{"EdDSA": jwt.SigningMethodEdDSA, "other": jwt.SigningMethodEdDSA, "ES256": jwt.SigningMethodES256,
		"RS256": jwt.SigningMethodRS256}[kind]
	return f.signed(t, method, issuer()[kind], kid, c)
}

func (f *faulty) signed(t *testing.T, method jwt.SigningMethod, key any, kid string, c jwt.MapClaims) string {
	t.Helper()
	x := jwt.NewWithClaims(method, c)
	if kid != "" {
		x.Header["kid"] = kid
	}
	s, err := x.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Goal: an issuer's token is judged by the issuer's key of its kid, by that key's algorithm, and by nothing else: neither the pinned keys
// nor the token's own words decide. Method: table, beside a pinned key.
func TestIssuerTokens(t *testing.T) {
	f := newFaulty(t)
	f.keys = jwks(jwk("ec", "ES256"), jwk("ed", "EdDSA"), jwk("rs", "RS256"), jwk("enc", "P-384"))
	i := startIssuer(t, f.config(), time.Now)
	auth, err := NewJWT(publicPEM(t, "other"), "mpcd", i)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Backend: newFake(), Auth: auth})
	pem := publicPEM(t, "ES256")
	der, _ := x509.MarshalPKIXPublicKey(issuer()["ES256"].Public())
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := with(func(c jwt.MapClaims) { c["iss"], c["aud"] = f.URL, "treasury" })
		change(c)
		return c
	}
	none := func(jwt.MapClaims) {}
	for name, c := range map[string]struct {
		token string
		code  int
	}{
		"ES256":                {f.token(t, "ec", "ES256", nil), 200},
		"EdDSA":                {f.token(t, "ed", "EdDSA", nil), 200},
		"RS256":                {f.token(t, "rs", "RS256", nil), 200},
		"a pinned key's":       {token(t, jwt.SigningMethodEdDSA, issuer()["other"], good()), 200},
		"pinned, an iss of it": {token(t, jwt.SigningMethodEdDSA, issuer()["other"], with(func(c jwt.MapClaims) { c["iss"] = "us" })), 200},
		"kid of another key":   {f.token(t, "ed", "ES256", nil), 401},
		"kid of nobody":        {f.token(t, "zz", "ES256", nil), 401},
		"no kid":               {f.token(t, "", "ES256", nil), 401},
		"pinned, names issuer": {f.token(t, "ed", "other", nil), 401},
		"issuer's, no iss":     {f.token(t, "ed", "EdDSA", func(c jwt.MapClaims) { delete(c, "iss"); c["aud"] = "mpcd" }), 401},
		"issuer's, other iss":  {f.token(t, "ed", "EdDSA", func(c jwt.MapClaims) { c["iss"] = f.URL + "/"; c["aud"] = "mpcd" }), 401},
		"aud of pinned":        {f.token(t, "ec", "ES256", func(c jwt.MapClaims) { c["aud"] = "mpcd" }), 401},
		"no aud":               {f.token(t, "ec", "ES256", func(c jwt.MapClaims) { delete(c, "aud") }), 401},
		"expired":              {f.token(t, "ec", "ES256", func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), 401},
		"sub of another door":  {f.token(t, "ec", "ES256", func(c jwt.MapClaims) { c["sub"] = "oidc:x" }), 401},
		"alg none":             {f.signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ec", claims(none)), 401},
		"HS256, PEM as secret": {f.signed(t, jwt.SigningMethodHS256, pem, "ec", claims(none)), 401},
		"HS256, DER as secret": {f.signed(t, jwt.SigningMethodHS256, der, "ec", claims(none)), 401},
		"PS256":                {f.signed(t, jwt.SigningMethodPS256, issuer()["RS256"], "rs", claims(none)), 401},
		"RS384":                {f.signed(t, jwt.SigningMethodRS384, issuer()["RS256"], "rs", claims(none)), 401},
		"P-384":                {f.signed(t, jwt.SigningMethodES384, issuer()["P-384"], "enc", claims(none)), 401},
		"pinned, sub as there": {token(t, jwt.SigningMethodEdDSA, issuer()["other"], with(func(c jwt.MapClaims) { c["sub"] = "oidc:x" })), 401},
	} {
		if w := send(t, h, "GET", "/api/v1/wallets", "", "Authorization", "Bearer "+c.token); w.Code != c.code {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.code)
		}
	}
}

// Goal: who writes tokens with kids that nobody has does not make the node ask the issuer again and again, and waits for no fetch that is
// not made. Method: 200 such tokens of many addresses, and fetches counted; a key that is new is known all the same, half a minute later.
func TestStrangeKidsAreFew(t *testing.T) {
	f := newFaulty(t)
	off := new(atomic.Int64)
	clock := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	i := startIssuer(t, f.config(), clock)
	auth, err := newJWT(nil, "mpcd", i, clock)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Backend: newFake(), Auth: auth})
	ask := func(from int, token string) int {
		return send(t, h, "GET", "/api/v1/wallets", "", "RemoteAddr", fmt.Sprintf("192.0.2.%d:1", from), "Authorization", "Bearer "+token).Code
	}
	if code := ask(1, f.token(t, "ec", "ES256", nil)); code != 200 {
		t.Fatal(code)
	}
	began := time.Now()
	for n := range 200 {
		if code := ask(n, f.token(t, fmt.Sprint("stranger-", n), "ES256", nil)); code != 401 {
			t.Fatal(code)
		}
	}
	if n := f.fetches.Load(); n > 2 || time.Since(began) > keysWait {
		t.Errorf("%d fetches in %s", n, time.Since(began))
	}
	f.set(func() { f.keys = jwks(jwk("ec", "ES256"), jwk("new", "EdDSA")) })
	off.Add(int64(keysApart))
	if code := ask(1, f.token(t, "new", "EdDSA", nil)); code != 200 {
		t.Errorf("a new key: %d", code)
	}
}

// Goal: while its issuer is away a node goes by the last keys, for a day and no longer, says so once, and takes new ones up when it is
// back. Method: the server fails, and the clock passes.
func TestIssuerAway(t *testing.T) {
	f := newFaulty(t)
	off := new(atomic.Int64)
	clock := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	c, said := f.config(), new(lockedBuffer)
	c.Logger = logTo(said)
	i := startIssuer(t, c, clock)
	auth, err := newJWT(nil, "mpcd", i, clock)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Backend: newFake(), Auth: auth})
	long := func(c jwt.MapClaims) { c["exp"] = time.Now().Add(100 * time.Hour).Unix() }
	ask := func(kid string) int {
		return send(t, h, "GET", "/api/v1/wallets", "", "Authorization", "Bearer "+f.token(t, kid, "ES256", long)).Code
	}
	for i.Fetched().IsZero() { // a token that comes before has a second fetch made
		time.Sleep(time.Millisecond)
	}
	if code := ask("ec"); code != 200 {
		t.Fatal(code)
	}
	f.set(func() {
		f.handle = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) }
	})
	off.Store(int64(keysKept - time.Minute))
	if code := ask("strange"); code != 401 {
		t.Error(code)
	}
	if code := ask("ec"); code != 200 {
		t.Errorf("by the last keys: %d", code)
	}
	off.Store(int64(keysKept + time.Minute))
	if code := ask("ec"); code != 401 {
		t.Errorf("a day later: %d", code)
	}
	off.Add(int64(keysApart))
	if code := ask("ec"); code != 401 || strings.Count(said.String(), "cannot be fetched") != 1 {
		t.Errorf("%d, said %s", code, said)
	}
	f.set(func() { f.handle = nil })
	off.Add(int64(keysApart))
	if code := ask("ec"); code != 200 || !strings.Contains(said.String(), "are fetched again") {
		t.Errorf("back: %d, said %s", code, said)
	}
}

// Goal: a request that was let in is done, though its token expires meanwhile; the next with it is refused. Method: a signature that the
// node holds while the clock passes exp.
func TestExpiresInWork(t *testing.T) {
	off := new(atomic.Int64)
	clock := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	auth, err := newJWT(publicPEM(t, "EdDSA"), "mpcd", nil, clock)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	f.hold, f.entered = make(chan struct{}), make(chan struct{}, 1)
	h := New(Config{Backend: f, Auth: auth})
	bearer := "Bearer " + token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], good())
	done := make(chan int)
	go func() { done <- send(t, h, "POST", "/api/v1/sign", signOne, "Authorization", bearer).Code }()
	<-f.entered
	off.Store(int64(2 * time.Hour))
	close(f.hold)
	if code := <-done; code != 200 {
		t.Errorf("in work: %d", code)
	}
	if code := send(t, h, "POST", "/api/v1/sign", signOne, "Authorization", bearer).Code; code != 401 {
		t.Errorf("the next: %d", code)
	}
}

// Goal: what is no issuer is refused before anybody is asked. Method: table.
func TestCheckIssuer(t *testing.T) {
	for _, c := range []struct {
		url, host string
		good      bool
	}{
		{"https://login.example", "", true}, {"https://login.example/realms/a/", "", true},
		{"https://login.example:8443", "keys.example:1", true},
		{"http://login.example", "", false}, {"login.example", "", false}, {"https://", "", false}, {"https://a:b@login.example", "", false},
		{"https://login.example?x", "", false}, {"https://login.example?", "", false}, {"https://login.example#x", "", false},
		{"https://login.example", "https://keys.example", false}, {"https://login.example", "keys.example/x", false},
		{"https://login.example", "a@keys.example", false},
	} {
		if err := CheckIssuer(c.url, c.host); (err == nil) != c.good {
			t.Errorf("%s, %s: %v", c.url, c.host, err)
		}
	}
	if _, err := NewIssuer(IssuerConfig{URL: "https://login.example"}); err == nil {
		t.Error("without an audience")
	}
}

// FuzzKeySet holds that a set is read to keys that it states: each verifies the one algorithm of its kind, and writing them and reading
// that gives the same keys.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(jwks(jwk("ec", "ES256"), jwk("ed", "EdDSA"), jwk("rs", "RS256"))))
	f.Add([]byte(jwks(`{"kty":"EC","crv":"P-256","kid":"x","x":"AA","y":"AA"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"r"}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		object, err := parseStrict(raw)
		if err != nil {
			return
		}
		keys, err := parseKeySet(object)
		if err != nil {
			return
		}
		var list []string
		for kid, k := range keys {
			b, err := jose.JSONWebKey{Key: k.key, KeyID: kid, Algorithm: k.alg, Use: "sig"}.MarshalJSON()
			if err != nil || kid == "" || !strings.Contains("EdDSA ES256 RS256", k.alg) {
				t.Fatal(kid, k.alg, err)
			}
			list = append(list, string(b))
		}
		object, err = parseStrict([]byte(jwks(list...)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseKeySet(object)
		if err != nil || len(again) != len(keys) {
			t.Fatal(len(again), err)
		}
		for kid, k := range keys {
			if !k.same(again[kid]) {
				t.Fatal(kid)
			}
		}
	})
}

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Goal: of an issuer whose keys were never fetched it is not said that the last ones count. Method: one that is away from the beginning.
func TestIssuerNeverHeard(t *testing.T) {
	f, said := newFaulty(t), new(lockedBuffer)
	f.set(func() {
		f.handle = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) }
	})
	c := f.config()
	c.Logger = logTo(said)
	startIssuer(t, c, time.Now)
	for !strings.Contains(said.String(), "cannot be fetched") {
		time.Sleep(time.Millisecond)
	}
	if s := said.String(); !strings.Contains(s, `"last":"never"`) || strings.Contains(s, "last keys") || strings.Contains(s, "0001") {
		t.Error(s)
	}
}
