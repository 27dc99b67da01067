package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
)

// Goal: a node with an OpenID provider, and no other keys of tokens, starts without it, lets in who has its tokens as soon as it is there,
// says when it is away, in the log and by the doctor, and puts the token on record under the issuer's prefix. Method: a real
// node, and a server of discovery document and keys that is away at first.
func TestIssuerOfTokens(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	away, refused := new(atomic.Bool), new(atomic.Int64)
	away.Store(true)
	var srv *httptest.Server
	srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public, _ := jose.JSONWebKey{Key: key.Public(), KeyID: "k", Use: "sig"}.MarshalJSON()
		switch {
		case away.Load():
			http.Error(w, "", http.StatusServiceUnavailable)
			refused.Add(1)
		case r.URL.Path == "/keys":
			fmt.Fprintf(w, `{"keys":[%s]}`, public)
		default:
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, srv.URL, srv.URL+"/keys")
		}
	}))
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	vs := host.Defaults()
	for k, v := range map[string]string{"api.oidc.issuer": srv.URL, "api.oidc.ca": ca, "api.oidc.audience": "treasury"} {
		vs.Set(k, v, "test")
	}
	part, _ := host.Parse(vs) // the rest of a node is not in it
	c := planned(t)
	c.API.Issuer, c.API.IssuerCA, c.Listen = part.API.Issuer, part.API.IssuerCA, freeAddress(t)
	if f := issuerFinding(t, c); f.Err != nil || f.Warn == "" || !strings.Contains(f.Detail, "503") {
		t.Errorf("the doctor, of an issuer that is away: %+v", f)
	}

	x := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": srv.URL, "aud": "treasury", "sub": "alice", "jti": "j",
		"exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"viewer"}})
	x.Header["kid"] = "k"
	token, err := x.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	door, err := host.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	h, err := host.Open(t.Context(), c, host.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) (int, string) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+c.Listen+path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer a.Body.Close()
		b, _ := io.ReadAll(a.Body)
		return a.StatusCode, string(b)
	}
	ctx, end := context.WithTimeout(t.Context(), 2*time.Minute)
	if err := errors.Join(h.Run(ctx, door, func() {
		go func() {
			defer end()
			for refused.Load() < 2 && ctx.Err() == nil { // by the doctor's question, and the node's first
				time.Sleep(time.Millisecond)
			}
			away.Store(false)
			if code, said := ask("/api/v1/wallets"); code != 200 {
				t.Errorf("the issuer is back: %d %s", code, said)
			}
			if _, m := ask("/metrics"); !strings.Contains(m, "mpcd_api_issuer_keys_seconds 1.") {
				t.Error("no metric of the issuer's keys")
			}
			if f := issuerFinding(t, c); f.Err != nil || f.Warn != "" {
				t.Errorf("the doctor: %+v", f)
			}
		}()
	}), h.Close()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the keys of the issuer of tokens cannot be fetched", "503", "are fetched again"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	var out strings.Builder
	if _, err := (&host.AuditTask{Config: c, From: 1, Out: &out}).Export(); err != nil || !strings.Contains(out.String(), `"oidc:alice"`) {
		t.Errorf("not on record: %v", err)
	}
}

// issuerFinding is what the doctor finds of the issuer.
func issuerFinding(t *testing.T, c host.Config) host.Finding {
	t.Helper()
	nobody := func(context.Context) (*wire.Health, error) { return nil, errors.New("not asked") }
	for _, f := range (&host.Checkup{Config: c, Ask: nobody}).Run(t.Context()) {
		if f.Check == "issuer of tokens" {
			return f
		}
	}
	t.Error("the doctor says nothing of the issuer")
	return host.Finding{}
}

// Goal: an issuer that cannot be one is refused with the setting, and so is a file of CAs that holds none. Method: table.
func TestIssuerSettings(t *testing.T) {
	for setting, value := range map[string]string{"api.oidc.issuer": "http://login.example", "api.oidc.keys_host": "https://keys.example"} {
		vs := host.Defaults()
		vs.Set("api.oidc.issuer", "https://login.example", "test")
		vs.Set(setting, value, "test")
		if err := host.CheckGiven(vs); err == nil || !strings.Contains(err.Error(), "api.oidc.issuer") {
			t.Errorf("%s: %s: %v", setting, value, err)
		}
	}
	c := planned(t)
	c.API.Issuer.URL, c.API.Issuer.Audience = "https://login.example", "treasury"
	c.API.IssuerCA = filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(c.API.IssuerCA, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Listen(c); err == nil || !strings.Contains(err.Error(), "api.oidc.ca holds no certificate") {
		t.Error(err)
	}
}
