package host

import (
	"errors"
	"os"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
)

// Goal: the store's key opens with its token for its node only. Method: seal it, then open it as another node, with a changed
// file, and with another token.
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
	if err := os.WriteFile(c.StoreKeyPath(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(c); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("changed file: %v", err)
	}
}
