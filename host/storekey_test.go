package host

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
)

// Goal: the store's key opens with its token for its node only. Method: seal it, then open it as another node, with a changed,
// cut and empty file, and with another token.
func TestStoreKeyIsBound(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	open := func(c Config) error {
		return withTokens(t.Context(), c, func(tok *Tokens) error {
			k, err := tok.StoreKey(t.Context())
			k.Wipe()
			return err
		})
	}
	if err := open(c); err != nil {
		t.Fatal(err)
	}
	other := c
	other.Node = "n2"
	if err := open(other); !errors.Is(err, vault.ErrWrongKEK) || codeOf(err) != fault.CodeHSM {
		t.Errorf("another node: %v", err)
	}
	elsewhere := testNode(t, "n1")
	prepare(t, elsewhere)
	other = c
	other.HSM = elsewhere.HSM
	if err := open(other); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("another token: %v", err)
	}
	b, err := os.ReadFile(c.StoreKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	b[40] ^= 1 // in what the token wrapped
	for _, now := range [][]byte{b, b[:40], {}} {
		if err := os.WriteFile(c.StoreKeyPath(), now, 0o600); err != nil {
			t.Fatal(err)
		}
		var f *fault.Error
		if err := open(c); !errors.Is(err, vault.ErrWrongKEK) || !errors.As(err, &f) || !strings.Contains(f.Do, copyOfKey) {
			t.Errorf("changed file of %d bytes: %v", len(now), err)
		}
	}
}

// Goal: another password.provider than the one that the store was made with is a mistake in the configuration, told as one with what the
// store was made with, and changes nothing: right again, the store opens. Method: a store of each kind with a provider of the other, at a
// start and at an enrolment.
func TestSourceOfStoreKey(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, salted := testNode(t, "n1"), testNode(t, "n1")
	salted.Password.Provider, salted.Password.KeyID = "file", password
	for name, row := range map[string]struct {
		c      Config
		change func(*Config)
		says   string
	}{
		"sealed, then a file": {sealed, func(c *Config) { c.Password.Provider, c.Password.KeyID = "file", password }, "was made with hsm"},
		"sealed, then aws":    {sealed, func(c *Config) { c.Password.Provider = "aws" }, "was made with hsm"},
		"a file, then sealed": {salted, func(c *Config) { c.Password.Provider, c.Password.KeyID = "hsm", "" }, "was made with a password"},
	} {
		prepare(t, row.c)
		other := row.c
		row.change(&other)
		open := func(c Config) error {
			return withTokens(t.Context(), c, func(tok *Tokens) error {
				k, err := tok.StoreKey(t.Context())
				k.Wipe()
				return err
			})
		}
		p, err := Prepare(t.Context(), other, Options{})
		if err == nil {
			_ = p.Close()
		}
		for did, err := range map[string]error{"opened": open(other), "enrolled": err} {
			if codeOf(err) != fault.CodeUsage || !strings.Contains(err.Error(), row.says) ||
				!strings.Contains(err.Error(), "password.provider is "+other.Password.Provider) {
				t.Errorf("%s, %s: %v", name, did, err)
			}
		}
		if err := open(row.c); err != nil {
			t.Errorf("%s, and back: %v", name, err)
		}
	}
}

// Goal: a wrong token of the same kind, whose key has the same name, is told from the right one. Method: another token in its place.
func TestWrongTokenNamed(t *testing.T) {
	c, other := testNode(t, "n1"), testNode(t, "n1")
	prepare(t, c)
	prepare(t, other)
	c.HSM.URI = other.HSM.URI
	err := withTokens(t.Context(), c, func(tok *Tokens) error {
		info, err := tok.Info(t.Context())
		if err != nil {
			return err
		}
		_, err = tok.StoreKey(t.Context())
		if text := problem.Plain(err); codeOf(err) != fault.CodeHSM || !strings.Contains(text, strconv.Quote(info.Label)) ||
			!strings.Contains(text, "in another token") {
			t.Errorf("%v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
