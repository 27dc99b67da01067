package api

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// certificateOf is a certificate that the key of a kind of issuer() signed for itself, for an hour from a time on.
func certificateOf(t *testing.T, kind string, from time.Time) *x509.Certificate {
	t.Helper()
	key := issuer()[kind]
	x := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), NotBefore: from, NotAfter: from.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pinOf is the SHA-256 of a public key, as a line of clients has it.
func pinOf(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("spki-sha256:%x", sha256.Sum256(der))
}

// by asks for who somebody is who shows a certificate, nil for none, and a token, "" for none.
func by(j *JWT, cert *x509.Certificate, token string) (Identity, error) {
	r := httptest.NewRequest("GET", "/", nil)
	if r.TLS = (&tls.ConnectionState{}); cert != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{cert}
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return j.Authenticate(r)
}

// Goal: who shows a certificate with a pinned key, whoever issued it, is who the pin says, in the certificate's time and until he is
// revoked; a token that is given beside it counts alone, good or bad; and his first request is told. Method: certificates of a pinned key
// and of another.
func TestClientCertificates(t *testing.T) {
	now := time.Now()
	auth, err := newJWT(publicPEM(t, "other"), "mpcd", nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	var seen []SeenToken
	auth.First = func(_ context.Context, s SeenToken) { seen = append(seen, s) }
	line := "alice " + pinOf(t, issuer()["ES256"].Public()) + " role:viewer role:requester vault:trading"
	if auth.Clients, err = ParseClients([]string{line}); err != nil {
		t.Fatal(err)
	}
	mine := certificateOf(t, "ES256", now)
	good := token(t, jwt.SigningMethodEdDSA, issuer()["other"], good())
	for name, c := range map[string]struct {
		cert       *x509.Certificate
		token, who string
	}{
		"pinned":                {mine, "", "cert:alice"},
		"issued anew":           {certificateOf(t, "ES256", now.Add(-time.Minute)), "", "cert:alice"},
		"another key":           {certificateOf(t, "EdDSA", now), "", ""},
		"expired":               {certificateOf(t, "ES256", now.Add(-2*time.Hour)), "", ""},
		"of a time to come":     {certificateOf(t, "ES256", now.Add(time.Minute)), "", ""},
		"none":                  {nil, "", ""},
		"pinned, and a token":   {mine, good, "alice"},
		"pinned, and a bad one": {mine, good + "x", ""},
	} {
		who, err := by(auth, c.cert, c.token)
		if who.Requester != c.who || (err == nil) != (c.who != "") {
			t.Errorf("%s: %q, %v", name, who.Requester, err)
		}
		if c.who == "cert:alice" && (fmt.Sprint(who.Roles, who.Vaults) != "[viewer requester] [trading]") {
			t.Errorf("%s: %+v", name, who)
		}
	}
	_, _ = by(auth, mine, "")
	mineSeen := func(s SeenToken) bool { return s.Requester == "cert:alice" && s.Until.Equal(mine.NotAfter) }
	if len(seen) != 3 || !slices.ContainsFunc(seen, mineSeen) {
		t.Errorf("first: %+v", seen)
	}
	taken := token(t, jwt.SigningMethodEdDSA, issuer()["other"], with(func(c jwt.MapClaims) { c["sub"] = "cert:alice" }))
	if who, err := by(auth, nil, taken); err == nil {
		t.Errorf("a token in a certificate's name: %+v", who)
	}
	for word, ends := range map[string]bool{"sub:alice": false, "before:" + now.Format(time.RFC3339): false, "sub:cert:alice": true} {
		revoked, err := ParseRevoked([]string{word})
		if err != nil {
			t.Fatal(err)
		}
		auth.Revoke(revoked)
		if _, err := by(auth, mine, ""); (err != nil) != ends {
			t.Errorf("%s is revoked: %v", word, err)
		}
	}
}

// Goal: a token that is bound to a certificate (cnf) lets in with that one alone, also when it is known already; and one that is bound to
// what this build does not check, with none. Method: table, with each token before and after it was good.
func TestBoundTokens(t *testing.T) {
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	mine, other := certificateOf(t, "ES256", time.Now()), certificateOf(t, "RS256", time.Now())
	thumb := func(c *x509.Certificate) string {
		sum := sha256.Sum256(c.Raw)
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	bound := func(cnf any) string {
		return token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], with(func(c jwt.MapClaims) { c["cnf"] = cnf }))
	}
	x := bound(map[string]any{"x5t#S256": thumb(mine)})
	for range 2 {
		for what, c := range map[string]struct {
			cert *x509.Certificate
			in   bool
		}{"its own": {mine, true}, "none": {nil, false}, "another": {other, false}} {
			if _, err := by(auth, c.cert, x); (err == nil) != c.in {
				t.Errorf("shown %s: %v", what, err)
			}
		}
	}
	plain := newRequest("GET", "/", "")
	plain.Header.Set("Authorization", "Bearer "+x)
	if _, err := auth.Authenticate(plain); err == nil {
		t.Error("without TLS")
	}
	for name, cnf := range map[string]any{"null": nil, "a text": thumb(mine), "nothing": map[string]any{},
		"a key (DPoP)": map[string]any{"jkt": thumb(mine)}, "both": map[string]any{"x5t#S256": thumb(mine), "jkt": thumb(mine)},
		"SHA-1": map[string]any{"x5t#S256": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "padded": map[string]any{"x5t#S256": thumb(mine) + "="}} {
		if who, err := by(auth, mine, bound(cnf)); err == nil {
			t.Errorf("cnf of %s: %+v", name, who)
		}
	}
}

// FuzzClients holds that what is read of a line is written as a line that is read as the same.
func FuzzClients(f *testing.F) {
	pin := "spki-sha256:" + strings.Repeat("ab", 32)
	f.Add("alice " + pin + " role:viewer vault:trading vault:")
	f.Add("b  role:requester\t" + pin + " role:key-admin spki-sha256:" + strings.Repeat("CD", 32))
	f.Fuzz(func(t *testing.T, line string) {
		clients, err := ParseClients([]string{line})
		if err != nil {
			return
		}
		for key, who := range clients {
			words := []string{strings.TrimPrefix(who.Requester, certPrefix)}
			for k, other := range clients {
				if other.Requester != who.Requester {
					t.Fatalf("%x and %x are of two", key, k)
				}
				words = append(words, fmt.Sprintf("spki-sha256:%x", k))
			}
			for _, r := range who.Roles {
				words = append(words, "role:"+string(r))
			}
			for _, v := range who.Vaults {
				words = append(words, "vault:"+v)
			}
			again, err := ParseClients([]string{strings.Join(words, " ")})
			if err != nil || !reflect.DeepEqual(again, clients) {
				t.Fatalf("%q: %v, and %v, %v", line, clients, again, err)
			}
		}
	})
}

// Goal: a line of api.clients that does not say whom it lets in, or that says it twice, is refused. Method: table.
func TestParseClients(t *testing.T) {
	pin := "spki-sha256:" + strings.Repeat("ab", 32)
	other := "spki-sha256:" + strings.Repeat("cd", 32)
	for _, c := range []struct {
		lines []string
		good  bool
	}{
		{nil, true}, {[]string{"a " + pin + " role:viewer"}, true}, {[]string{"a " + pin + " " + other + " role:viewer vault:"}, true},
		{[]string{"a " + pin + " role:viewer", "b " + other + " role:viewer"}, true},
		{[]string{""}, false}, {[]string{pin + " role:viewer"}, false}, {[]string{"a " + pin}, false}, {[]string{"a role:viewer"}, false},
		{[]string{"a " + pin + " role:root"}, false}, {[]string{"a " + pin + " role:viewer vault:*"}, false},
		{[]string{"a " + pin + "ab role:viewer"}, false}, {[]string{"a " + pin + " role:viewer x"}, false},
		{[]string{"a " + pin + " role:requester role:approver"}, false}, {[]string{"oidc:a " + pin + " role:viewer"}, false},
		{[]string{"a " + pin + " role:viewer", "b " + pin + " role:viewer"}, false},
		{[]string{"a " + pin + " role:viewer", "a " + other + " role:viewer"}, false},
		{[]string{strings.Repeat("a", 128) + " " + pin + " role:viewer"}, false},
	} {
		if _, err := ParseClients(c.lines); (err == nil) != c.good {
			t.Errorf("%q: %v", c.lines, err)
		}
	}
	if c, _ := ParseClients([]string{"a " + pin + " role:viewer vault:"}); len(c) != 1 || c[[32]byte(unhex(pin[12:]))].Vaults[0] != "" {
		t.Errorf("%+v", c)
	}
}
