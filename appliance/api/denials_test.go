package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Goal: whom the door turned away is on record, counted and summed up a minute, and no number of strangers makes more entries than are
// promised. Method: requests without a token, with a role missing and from many addresses, through the door of a node with tokens; time
// passes in a bubble.
func TestDenialsAreOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		d := &Denials{Record: func(_ context.Context, name string, facts map[string]string) {
			got = append(got, fmt.Sprintf("%s %s %s %s %s", name, facts["address"], facts["status"], facts["count"], facts["requester"]))
		}}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.Run(ctx); close(done) }()
		good, auth := viewerToken(t)
		h := newServer(Config{Backend: newFake(), Auth: auth, Denials: d})
		from := func(address, token string) {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/keygen", strings.NewReader("{}"))
			r.RemoteAddr = address
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		for range 1000 {
			from("192.0.2.1:1", "")
		}
		from("192.0.2.1:2", good)
		time.Sleep(denialsEvery + time.Second)
		synctest.Wait()
		if want := []string{"api.refuse 192.0.2.1 401 1000 ", "api.refuse 192.0.2.1 403 1 vic"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		got = nil
		for i := range 500 {
			from(fmt.Sprintf("198.51.%d.%d:1", i/250, i%250), "")
		}
		time.Sleep(denialsEvery)
		synctest.Wait()
		if len(got) > denialsMax || !slices.Contains(got, "api.refuse others 401 470 ") {
			t.Errorf("%d entries: %q", len(got), got)
		}
		stop()
		<-done
	})
}

// viewerToken is the token of vic, who may look, and what lets him in.
func viewerToken(t *testing.T) (string, *JWT) {
	t.Helper()
	auth, err := NewJWT(publicPEM(t, "EdDSA"), "mpcd", nil)
	if err != nil {
		t.Fatal(err)
	}
	return token(t, jwt.SigningMethodEdDSA, issuer()["EdDSA"], with(func(c jwt.MapClaims) {
		c["sub"], c["roles"], c["jti"], c["iat"] = "vic", []string{"viewer"}, "t-1", time.Now().Unix()
	})), auth
}

// Goal: requests are in the log, by route and not by what strangers write, with who asked; probes and strangers are not, at its usual
// level. Method: one request of each kind.
func TestRequestLog(t *testing.T) {
	var log strings.Builder
	good, auth := viewerToken(t)
	h := newServer(Config{Backend: newFake(), Auth: auth, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, x := range [][2]string{{"/api/v1/wallets/w_ed", good}, {"/api/v1/wallets", ""}, {"/livez", ""}, {"/nothing", ""}} {
		r := httptest.NewRequest(http.MethodGet, x[0], nil)
		if x[1] != "" {
			r.Header.Set("Authorization", "Bearer "+x[1])
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines: %s", len(lines), log.String())
	}
	for _, want := range []string{`level=INFO msg="http request" method=GET route="GET /api/v1/wallets/{id}" status=200 took=`,
		"requester=vic", "request_id="} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("%q lacks %q", lines[0], want)
		}
	}
	if strings.Contains(log.String(), good) {
		t.Error("the token is in the log")
	}
}
