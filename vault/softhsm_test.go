package vault_test

import (
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
	"github.com/luxfi/mpcd/vault"
)

// token opens a fresh SoftHSM token that holds a KEK.
func token(t *testing.T) hsm.KeyWrapper { return openToken(t, softhsm.New(t)) }

// openToken opens the token and makes a KEK in it.
func openToken(t *testing.T, uri string) hsm.KeyWrapper {
	t.Helper()
	drivers := hsm.Drivers{"pkcs11": pkcs11.Open, "softhsm": softhsm.Open, "local": local.Open}
	tok, err := drivers.Open(t.Context(), uri, hsm.Options{Dev: true})
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

// Goal: a vault moves between real tokens of different makes, whose KEKs have one name, and away from a dead one with an officer's
// identity; after each move the one before does not open it and is told by name. Method: SoftHSM, local, SoftHSM, and by recovery
// local again, on Badger.
func TestRewrapRealTokens(t *testing.T) {
	soft, file := token(t), openToken(t, "local:"+t.TempDir())
	s := badger(t, t.TempDir())
	officer := x25519(t)
	cfg := vault.Config{Store: s, Wrapper: soft, KEK: kek, Node: "node-1", Recovery: []string{officer.Recipient().String()}}
	manyIDs(t, s, cfg)
	cfg.Recovery = nil
	for _, w := range []hsm.KeyWrapper{file, soft} {
		to := vault.Wrapping{Wrapper: w, KEK: kek}
		if err := vault.Rewrap(t.Context(), cfg, to, nil); err != nil {
			t.Fatal(err)
		}
		_, err := vault.Open(t.Context(), cfg)
		wantErr(t, "the token before", err, vault.ErrWrongKEK)
		if name := w.(hsm.Token).Provider(); err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
		cfg.Wrapper = w
		v := openAs(t, cfg)
		if err := errors.Join(whole(v), v.Check(t.Context()), v.CheckRecovery(t.Context(), officer)); err != nil {
			t.Error(err)
		}
		v.Close()
	}
	if err := vault.Recover(t.Context(), s, []age.Identity{officer}, vault.Wrapping{Wrapper: file, KEK: kek}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := vault.Open(t.Context(), cfg)
	wantErr(t, "the dead token", err, vault.ErrWrongKEK)
	cfg.Wrapper = file
	if err := whole(openAs(t, cfg)); err != nil {
		t.Error(err)
	}
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
