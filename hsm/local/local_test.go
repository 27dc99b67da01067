package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
)

var drivers = hsm.Drivers{"local": Open}

func open(t *testing.T, dir string) *token {
	t.Helper()
	tok, err := drivers.Open(t.Context(), "local:"+dir, hsm.Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	return tok.(*token)
}

// Goal: the driver keeps the contract. Method: the suite.
func TestConformance(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return open(t, t.TempDir()) }, hsmtest.Name("local"))
}

// Goal: outside dev nothing opens, and nothing is made. Method: open without it.
func TestDevOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "token")
	if _, err := drivers.Open(t.Context(), "local:"+dir, hsm.Options{}); !errors.Is(err, hsm.ErrDevOnly) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	for _, uri := range []string{"local", "local:", "local:relative"} {
		if _, err := drivers.Open(t.Context(), uri, hsm.Options{Dev: true}); !errors.Is(err, hsm.ErrURI) {
			t.Errorf("%s: got %v", uri, err)
		}
	}
}

// Goal: keys outlive the token, in a file for the owner alone. Method: sign, close, reopen, verify; look at the modes.
func TestPersistence(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "token")
	tok := open(t, dir)
	for id, kind := range map[string]hsm.KeyType{"e": hsm.KeyEd25519, "p": hsm.KeyP256, "w": hsm.KeyAESWrap} {
		if err := tok.GenerateKey(t.Context(), id, kind); err != nil {
			t.Fatal(err)
		}
	}
	sigs := map[string][]byte{}
	for _, id := range []string{"e", "p"} {
		sig, err := tok.Sign(t.Context(), id, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		sigs[id] = sig
	}
	wrapped, err := tok.Wrap(t.Context(), "w", []byte("dek"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	for id, sig := range sigs {
		if ok, err := again.Verify(t.Context(), id, []byte("m"), sig); err != nil || !ok {
			t.Errorf("%s: %v, %v", id, ok, err)
		}
	}
	if dek, err := again.Unwrap(t.Context(), "w", wrapped, []byte("aad")); err != nil || string(dek) != "dek" {
		t.Errorf("%q, %v", dek, err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, keysFile): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v: %v", path, st.Mode().Perm(), want, err)
		}
	}
}

// Goal: a directory has one user. Method: open it twice, then after Close.
func TestExclusive(t *testing.T) {
	dir := t.TempDir()
	tok := open(t, dir)
	if _, err := drivers.Open(context.Background(), "local:"+dir, hsm.Options{Dev: true}); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := tok.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// Goal: a damaged or exposed file is refused, never replaced. Method: write bad files, open, look at them again.
func TestBadFile(t *testing.T) {
	good := `{"version":1,"keys":[{"id":"a","type":"ed25519","secret":"` + strings.Repeat("A", 42) + `A="}]}`
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"empty":           {"", 0o600},
		"truncated":       {good[:len(good)-2], 0o600},
		"another version": {strings.Replace(good, `"version":1`, `"version":2`, 1), 0o600},
		"unknown type":    {strings.Replace(good, "ed25519", "rot13", 1), 0o600},
		"zero scalar":     {strings.Replace(good, "ed25519", "p256", 1), 0o600},
		"short secret":    {strings.Replace(good, "AAAA", "", 1), 0o600},
		"no ID":           {strings.Replace(good, `"id":"a"`, `"id":""`, 1), 0o600},
		"twice":           {strings.Replace(good, `[{`, `[{"id":"a","type":"ed25519","secret":"`+strings.Repeat("A", 42)+`A="},{`, 1), 0o600},
		"readable by all": {good, 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, keysFile)
			if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := drivers.Open(t.Context(), "local:"+dir, hsm.Options{Dev: true}); !errors.Is(err, hsm.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != c.content {
				t.Errorf("the file changed: %v", err)
			}
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, keysFile), []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// Goal: a key that cannot be stored does not exist. Method: a directory in the place of the file.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	tok := open(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, keysFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("got %v", err)
	}
}

// Goal: no file makes the parser panic, and what it accepts it can write. Method: fuzz.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"id":"a","type":"ed25519","secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`))
	f.Add([]byte(`{"version":1,"keys":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		defer wipeAll(keys)
		for id, k := range keys {
			if id == "" || k.secret.Len() != secretLen {
				t.Errorf("accepted key %q of %d bytes", id, k.secret.Len())
			}
		}
	})
}
