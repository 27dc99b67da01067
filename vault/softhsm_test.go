package vault_test

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
	"github.com/luxfi/mpcd/vault"
)

// token opens a fresh SoftHSM token that holds a KEK.
func token(t *testing.T) hsm.KeyWrapper {
	t.Helper()
	drivers := hsm.Drivers{"pkcs11": pkcs11.Open, "softhsm": softhsm.Open}
	tok, err := drivers.Open(t.Context(), softhsm.New(t), hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	gen, ok := hsm.As[hsm.KeyGenerator](tok)
	if !ok {
		t.Fatal("the token generates no keys")
	}
	if err := gen.GenerateKey(t.Context(), kek, hsm.KeyAESWrap); err != nil {
		t.Fatal(err)
	}
	w, ok := hsm.As[hsm.KeyWrapper](tok)
	if !ok {
		t.Fatal("the token wraps no keys")
	}
	return w
}

// Goal: the vault works on a real PKCS#11 token and a real disk, and another token does not open it. Method: SoftHSM and
// Badger, through a refresh and a restart.
func TestSoftHSM(t *testing.T) {
	w, dir := token(t), t.TempDir()
	cfg := vault.Config{Wrapper: w, KEK: kek, Node: "node-1"}
	for e := uint64(1); e <= 3; e++ {
		s := badger(t, dir)
		cfg.Store = s
		v, err := vault.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		store(t, v, "a", e)
		activate(t, v, "a", e)
		if err := loads(v, "a", e); err != nil {
			t.Fatal(err)
		}
		v.Close()
		s.Close()
	}
	cfg.Store, cfg.Wrapper = badger(t, dir), token(t)
	if _, err := vault.Open(t.Context(), cfg); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("another token: %v", err)
	}
}
