package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
)

// Goal: who used which token, who was turned away at the door, and what an operator did to a node that does not run is in its audit log;
// and a token that is revoked while the node runs lets nobody in. Method: a node with tokens is asked without one, with one, beyond its
// roles, and with one that is revoked by a reload; stopped, its vault is wrapped anew; then the log is read.
func TestOnRecord(t *testing.T) {
	c := planned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // an address that is free
	if err != nil {
		t.Fatal(err)
	}
	c.Listen = l.Addr().String()
	l.Close()
	operator := filepath.Join(c.DataDir, "..", "..", "cluster")
	c.API.JWTKeys = []string{filepath.Join(operator, "api-tokens.pub")}
	viewer := enrol.Token{Audience: c.Cluster, Subject: "eve", Roles: []string{"viewer"}, TTL: time.Hour}
	token, _, err := viewer.Sign(filepath.Join(operator, enrol.TokenKeyFile), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	door, err := host.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	hangups := make(chan os.Signal, 1)
	again := func() (host.Config, error) {
		c := c
		c.API.Revoked, err = api.ParseRevoked([]string{"jti:" + viewer.ID})
		return c, err
	}
	said := new(bytes.Buffer)
	h, err := host.Open(t.Context(), c, host.Options{Hangups: hangups, Again: again, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, token string) int {
		r, _ := http.NewRequestWithContext(t.Context(), method, "http://"+c.Listen+path, strings.NewReader("{}"))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return 0
		}
		a.Body.Close()
		return a.StatusCode
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	if err := errors.Join(h.Run(ctx, door, func() {
		go func() {
			defer end()
			got := fmt.Sprint(ask("GET", "/api/v1/wallets", ""), ask("GET", "/api/v1/wallets", "bad"), ask("GET", "/api/v1/wallets", token),
				ask("GET", "/api/v1/wallets", token), ask("POST", "/api/v1/keygen", token))
			if got != "401 401 200 200 403" {
				t.Errorf("answers %s", got)
			}
			hangups <- syscall.SIGHUP
			for ask("GET", "/api/v1/wallets", token) == 200 && ctx.Err() == nil { // until the reload is done
				time.Sleep(time.Millisecond)
			}
		}()
	}), h.Close()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), `"the tokens that are revoked have changed" entries=1`) {
		t.Errorf("how many are revoked is not said: %s", said)
	}
	if _, err := host.Rewrap(t.Context(), c, host.Options{}, host.Target{Key: "vault-2"}, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := (&host.AuditTask{Config: c, From: 1, Out: &out}).Export(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		f := e.Facts
		said := strings.Join([]string{e.Event, f["requester"], f["address"], f["status"], f["count"], f["reason"], f["key"]}, " ")
		got = append(got, strings.Join(strings.Fields(said), " "))
		if e.Event == "api.token" && (f["jti"] != viewer.ID || f["roles"] != "[viewer]") {
			t.Errorf("%v", f)
		}
	}
	want := []string{"node.start", "authority.taken", "api.token eve", "node.stop", "api.refuse 127.0.0.1 401 3 the token was revoked",
		"api.refuse eve 127.0.0.1 403 1 eve has none of the roles [key-admin]", "vault.rewrap vault-2"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("on record:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Goal: what cannot be put on record is said. Method: a node that never ran, so that it has no log.
func TestNotOnRecordIsSaid(t *testing.T) {
	c := planned(t)
	var log strings.Builder
	if _, err := host.Rewrap(t.Context(), c, host.Options{Log: host.NewLogger(&log, host.ParseLevel("error"), "text")},
		host.Target{Key: "vault-2"}, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "not on record") || !strings.Contains(log.String(), "no audit log yet") {
		t.Errorf("said %q", log.String())
	}
	if _, err := os.Stat(c.AuditPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log was begun: %v", err)
	}
}
