package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: an audit log that is put back as it was a minute ago, with all that stands beside it, ends the start, though the vault's head is
// older than that, and though the token was away; the head costs one write of the store a minute, and none where nothing was added.
// Method: a log whose files are copied, and that then grows; some minutes pass; it is opened as it is, and with the copies in its place.
func TestAuditLogPutBack(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	by, err := audit.NewVerifier("c", "n", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	away := func([]byte) ([]byte, error) { return nil, errors.New("the token is away") }
	c, older := Config{DataDir: t.TempDir(), Node: "n", Cluster: "c"}, t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, records := vaulttest.NewMemory(), vaulttest.NewMemory()
		v, err := vault.Open(t.Context(), vault.Config{Store: records, Wrapper: vaulttest.NewWrapper("k"), KEK: "k", Node: "n"})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		open := func() (*record, error) {
			return openRecord(t.Context(), c, v, store, by, away, Options{Log: slog.New(slog.DiscardHandler), Clock: time.Now})
		}
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		defer end()
		r.event(ctx, "before", nil)
		if err := r.mark(ctx); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(older, os.DirFS(c.DataDir)); err != nil {
			t.Fatal(err)
		}
		go r.keepSigned(ctx, signedEvery)
		synctest.Wait()
		r.event(ctx, "after", nil)
		time.Sleep(3*signedEvery + time.Second)
		if n := store.Writes(); n != 2 {
			t.Errorf("%d writes of the store", n)
		}
		end()
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err = open(); err != nil || r.Len() != 2 {
			t.Fatal(err)
		}
		_ = r.Close()
		paths, _ := filepath.Glob(filepath.Join(c.DataDir, "audit.*"))
		for _, p := range paths {
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.CopyFS(c.DataDir, os.DirFS(older)); err != nil {
			t.Fatal(err)
		}
		if _, err := open(); !errors.Is(err, durable.ErrCorrupt) {
			t.Errorf("put back: %v", err)
		}
	})
}
