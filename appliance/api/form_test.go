package api

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
)

// asked is what auth says of a token.
func asked(auth *JWT, token string) error {
	r := newRequest("GET", "/", "")
	r.Header.Set("Authorization", "Bearer "+token)
	_, err := auth.Authenticate(r)
	return err
}

// Goal: a token holds from its times to its times, and ten seconds more on either side, by which clocks may differ; of one
// that begins later it is said that a clock is off. Method: a second within the bound of each claim, and one beyond it.
func TestClaimTimes(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		claim string
		off   time.Duration
		ok    bool
	}{
		{"exp", -9 * time.Second, true}, {"exp", -11 * time.Second, false},
		{"nbf", 9 * time.Second, true}, {"nbf", 11 * time.Second, false},
		{"iat", 9 * time.Second, true}, {"iat", 11 * time.Second, false},
	} {
		auth, err := newJWT(publicPEM(t, "EdDSA"), "mpcd", nil, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		claims := with(func(m jwt.MapClaims) { m["exp"] = now.Add(time.Hour).Unix(); m[c.claim] = now.Add(c.off).Unix() })
		err = asked(auth, token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], claims))
		if (err == nil) != c.ok {
			t.Errorf("%s %v from now: %v", c.claim, c.off, err)
		}
		if early := c.off > 0 && !c.ok; early != (err != nil && strings.Contains(err.Error(), "compare this node's clock")) {
			t.Errorf("%s %v from now: %v", c.claim, c.off, err)
		}
	}
}

// Goal: a token has one form: what differs in a bit that no decoder reads, or in padding, is another text, and none. Method: the last
// character of a signature of 64 bytes has four such bits; padding that the form of RFC 7515 leaves out.
func TestTokenForm(t *testing.T) {
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	good := token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], good())
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(good) - 1
	at := strings.IndexByte(alphabet, good[last])
	if at%16 != 0 {
		t.Fatalf("a signature that ends in %q", good[last])
	}
	for name, other := range map[string]string{
		"other bits": good[:last] + alphabet[at+1:at+2], "padded": good + "==", "a fourth part": good + ".",
		"a space before": " " + good} {
		if err := asked(auth, other); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := asked(auth, good); err != nil {
		t.Error(err)
	}
}

// unread is a body that tells whether anybody read of it.
type unread struct{ read bool }

func (u *unread) Read([]byte) (int, error) { u.read = true; return 0, io.EOF }

// Goal: nobody reads what somebody sends who is not known, or may not ask: that could be much. Method: bodies that tell.
func TestStrangersBodiesAreNotRead(t *testing.T) {
	h := New(Config{Backend: newFake(), Auth: roleAuth{}})
	for role, want := range map[string]struct {
		status int
		read   bool
	}{"nobody": {401, false}, "viewer": {403, false}, "requester": {422, true}} {
		body := &unread{}
		r := newRequest("POST", "/api/v1/sign", "")
		r.Body, r.ContentLength = io.NopCloser(body), 5
		r.Header.Set("X-Role", role)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want.status || body.read != want.read {
			t.Errorf("%s: %d, read %v", role, w.Code, body.read)
		}
	}
}

// Goal: an idempotency key that no record can hold goes no further than the door, wherever it stands; the door knows the others. Method:
// keys of each form in the header and in the body, in front of no route.
func TestSessionForm(t *testing.T) {
	for key, ok := range map[string]bool{
		"a": true, "0b5c1f6e-9d0e-4b52-8d8a-0f6c4c9c2d11": true, strings.Repeat("s", operation.MaxSessionID): true, "!~": true,
		"": false, strings.Repeat("s", operation.MaxSessionID+1): false, "a b": false, " ": false, "a\tb": false, "a\x7f": false, "ä": false,
		".": false, "..": false, "...": true, ".a": true,
	} {
		header := newRequest("POST", "/", "{}")
		header.Header["Idempotency-Key"] = []string{key}
		body := newRequest("POST", "/", `{"session_id":"`+strings.ReplaceAll(key, "\t", `\t`)+`"}`)
		for where, r := range map[string]*http.Request{"header": header, "body": body} {
			c := &call{}
			_, err := prepareBody(httptest.NewRecorder(), r, c)
			var p *problem.Error
			switch {
			case ok && (err != nil || c.session != key):
				t.Errorf("%.20q in the %s: %q, %v", key, where, c.session, err)
			case !ok && (!errors.As(err, &p) || p.Field != "session_id" || c.session != ""):
				t.Errorf("%.20q in the %s is taken: %q, %v", key, where, c.session, err)
			}
		}
	}
}
