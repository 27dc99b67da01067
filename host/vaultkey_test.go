package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
)

// Goal: a vault key that was lost is not made a second time beside the store that the first has sealed; where the store says that it is of
// another key, or there is none, it is made. Method: nodes whose token seals the store's key, and whose store has a password; take the
// token's keys away, and repeat what makes them.
func TestVaultKeyOnce(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("a password of 32 random characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"sealed by the token": func(*Config) {},
		"with a password":     func(c *Config) { c.Password.Provider, c.Password.KeyID = "file", password },
	} {
		t.Run(name, func(t *testing.T) {
			c := testNode(t, "n1")
			change(&c)
			prepare(t, c)
			prepare(t, c) // again, with the key there
			keys := filepath.Join(strings.TrimPrefix(c.HSM.URI, "local:"), "keys.json")
			if err := os.Remove(keys); err != nil {
				t.Fatal(err)
			}
			_, err := Prepare(t.Context(), c, Options{})
			if fix := doOf(err); codeOf(err) != fault.CodeHSM || !strings.Contains(fix, "backup") || !strings.Contains(err.Error(), `"vault"`) {
				t.Errorf("enrolled with another vault key: %v; %s", err, fix)
			}
			if _, err := os.Stat(keys); !os.IsNotExist(err) {
				t.Errorf("keys were made nevertheless: %v", err)
			}
			other := c
			other.HSM.KEK = "vault-2" // which stands in nobody's way
			makes(t, "a key of another name", other)
			makes(t, "a token alone", TokenOnly(c.HSM.URI))
			empty := testNode(t, "n1")
			change(&empty)
			if err := os.MkdirAll(empty.DataDir, 0o700); err != nil {
				t.Fatal(err)
			}
			makes(t, "a node that has no store yet", empty)
		})
	}
}

// Goal: where a node that has a store lacks a key in its token, its start and the doctor say what `mpcd hsm init` says, and not to make
// another, which that refuses. Method: take the token's keys away; a new node, and a token alone, are told to make them.
func TestLostKey(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	if err := os.Remove(filepath.Join(strings.TrimPrefix(c.HSM.URI, "local:"), "keys.json")); err != nil {
		t.Fatal(err)
	}
	prove := func(c Config) error {
		c.Dev = true
		return withTokens(t.Context(), c, func(tok *Tokens) error {
			_, err := tok.Prove(t.Context())
			return err
		})
	}
	for what, err := range map[string]error{"start": prove(c), "doctor": found(t, &Checkup{Config: c}, "token keys")} {
		if do := doOf(err); codeOf(err) != fault.CodeHSM || !strings.Contains(do, "backup") || strings.Contains(do, "hsm init") {
			t.Errorf("%s: %v; %s", what, err, do)
		}
	}
	fresh := testNode(t, "n1")
	for what, c := range map[string]Config{"a new node": fresh, "a token alone": TokenOnly(c.HSM.URI)} {
		err := prove(c)
		if code, do := KindOf(err); code != fault.CodeHSM || !strings.Contains(do, "hsm init") || errors.As(err, new(*fault.Error)) {
			t.Errorf("%s: %d, %s: %v", what, code, do, err)
		}
	}
}

func makes(t *testing.T, what string, c Config) {
	t.Helper()
	c.Dev = true
	err := withTokens(t.Context(), c, func(tok *Tokens) error {
		_, err := tok.MakeKeys(t.Context())
		return err
	})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
