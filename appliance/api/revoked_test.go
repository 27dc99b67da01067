package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Goal: a token that was revoked lets nobody in from the next request on, also one that was let in before; all others go on. Method: one
// server, tokens revoked by ID, by subject and by when they were issued, in turn, and back.
func TestRevoked(t *testing.T) {
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	auth.First = func(_ context.Context, s SeenToken) { seen = append(seen, s.Requester+" "+s.ID) }
	h := New(Config{Backend: newFake(), Auth: auth})
	now := time.Now()
	make := func(sub, id string, issued time.Time) string {
		return token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], with(func(c jwt.MapClaims) {
			c["sub"] = sub
			if id != "" {
				c["jti"], c["iat"] = id, issued.Unix()
			}
		}))
	}
	tokens := []string{make("alice", "t-1", now.Add(-time.Hour)), make("alice", "t-2", now), make("bob", "t-3", now), make("carol", "", now)}
	before := "before:" + now.Add(-time.Minute).UTC().Format(time.RFC3339)
	for _, x := range []struct {
		revoked []string
		status  [4]int
		changed bool
		inForce int
	}{
		{nil, [4]int{200, 200, 200, 200}, false, 0},
		{[]string{"jti:t-1"}, [4]int{401, 200, 200, 200}, true, 1},
		{[]string{"sub:alice", "jti:other"}, [4]int{401, 401, 200, 200}, true, 2},
		{[]string{"jti:other", "sub:alice", "jti:other"}, [4]int{401, 401, 200, 200}, false, 2},
		{[]string{before, "before:2000-01-01T00:00:00Z"}, [4]int{401, 200, 200, 401}, true, 1},
		{[]string{before, "sub:bob"}, [4]int{401, 200, 401, 401}, true, 2},
		{nil, [4]int{200, 200, 200, 200}, true, 0},
	} {
		r, err := ParseRevoked(x.revoked)
		if err != nil {
			t.Fatal(err)
		}
		if changed := auth.Revoke(r); changed != x.changed || r.Len() != x.inForce {
			t.Errorf("%q: changed: %v, %d in force", x.revoked, changed, r.Len())
		}
		for i, tok := range tokens {
			if w := send(t, h, "GET", "/api/v1/wallets", "", "Authorization", "Bearer "+tok); w.Code != x.status[i] {
				t.Errorf("%q: token %d: %d %s", x.revoked, i, w.Code, w.Body)
			}
		}
	}
	if got := fmt.Sprint(seen); got != "[alice t-1 alice t-2 bob t-3 carol ]" {
		t.Errorf("seen first: %s", got)
	}
	r, err := ParseRevoked([]string{"sub:dave"})
	if err != nil {
		t.Fatal(err)
	}
	auth.Revoke(r)
	if w := send(t, h, "GET", "/api/v1/wallets", "", "Authorization", "Bearer "+make("dave", "t-4", now)); w.Code != 401 {
		t.Errorf("one that was revoked before it was seen: %d %s", w.Code, w.Body)
	}
	for _, bad := range []string{"t-1", "jti:", "sub:", "before:yesterday", "", "sub: alice", "sub:alice ", "jti:a b",
		"sub:é", "jti:" + strings.Repeat("x", subjectMax+1)} {
		if _, err := ParseRevoked([]string{bad}); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
