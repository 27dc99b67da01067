package vault_test

import (
	"errors"
	"os"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
	"github.com/luxfi/mpcd/vault"
)

// openTPM opens a TPM; whoever can wrap in it can count in it.
func openTPM(t *testing.T, s *swtpm.TPM) (hsm.KeyWrapper, hsm.MonotonicCounter) {
	t.Helper()
	tok, err := hsm.Drivers{"tpm": tpm.Open}.Open(t.Context(), s.URI(), hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	w, ok := hsm.As[hsm.KeyWrapper](tok)
	c, can := hsm.As[hsm.MonotonicCounter](tok)
	if !ok || !can {
		t.Fatal("a TPM wraps and counts")
	}
	return w, c
}

// Goal: on a TPM a vault is moved in from SoftHSM, anchored, found out when its directory is restored to an older copy, survives the
// TPM's loss of power, is told when the TPM was cleared, and then recovered by an officer to another TPM. Method: swtpm, Badger.
func TestTPM(t *testing.T) {
	chip, err := swtpm.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chip.Stop() })
	w, count := openTPM(t, chip)
	if err := w.(hsm.KeyGenerator).GenerateKey(t.Context(), kek, hsm.KeyAESWrap); err != nil {
		t.Fatal(err)
	}
	officer, soft, dir := x25519(t), token(t), t.TempDir()
	s := badger(t, dir)
	cfg := vault.Config{Store: s, Wrapper: soft, KEK: kek, Node: "node-1"}
	v := openAs(t, cfg)
	store(t, v, "a", 1)
	activate(t, v, "a", 1)
	v.Close()
	to := vault.Wrapping{Wrapper: w, KEK: kek, Recovery: []string{officer.Recipient().String()}, Counter: count, CounterID: counterID}
	if err := vault.Rewrap(t.Context(), cfg, to, nil); err != nil {
		t.Fatal(err)
	}
	cfg.Wrapper, cfg.Counter, cfg.CounterID = w, count, counterID
	v = openAs(t, cfg)
	store(t, v, "a", 2)
	v.Close()
	s.Close()
	yesterday := t.TempDir()
	if err := os.CopyFS(yesterday+"/d", os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = badger(t, dir)
	cfg.Store = s
	v = openAs(t, cfg)
	activate(t, v, "a", 2)
	v.Close()

	if err := errors.Join(w.(hsm.Token).Close(), chip.Kill(), chip.Restart()); err != nil {
		t.Fatal(err)
	}
	w, count = openTPM(t, chip)
	cfg.Wrapper, cfg.Counter = w, count
	v = openAs(t, cfg)
	if err := errors.Join(loads(v, "a", 2), v.CheckToken(t.Context()), v.CheckRecovery(t.Context(), officer)); err != nil {
		t.Fatal(err)
	}
	v.Close()
	older := cfg
	older.Store = badger(t, yesterday+"/d")
	_, err = vault.Open(t.Context(), older)
	wantErr(t, "yesterday's directory", err, vault.ErrRollback)

	if err := errors.Join(w.(hsm.Token).Close(), chip.Clear()); err != nil {
		t.Fatal(err)
	}
	w, count = openTPM(t, chip)
	if err := w.(hsm.KeyGenerator).GenerateKey(t.Context(), kek, hsm.KeyAESWrap); err != nil {
		t.Fatal(err)
	}
	cfg.Wrapper, cfg.Counter = w, count
	_, err = vault.Open(t.Context(), cfg)
	wantErr(t, "cleared TPM", err, vault.ErrWrongKEK)
	to.Wrapper, to.Counter, to.Recovery = w, count, nil
	if err := vault.Recover(t.Context(), s, []age.Identity{officer}, to, nil); err != nil {
		t.Fatal(err)
	}
	if err := loads(openAs(t, cfg), "a", 2); err != nil {
		t.Error(err)
	}
}
