package host

import (
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
