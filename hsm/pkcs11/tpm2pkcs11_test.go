package pkcs11_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/internal/parts/tpm2pkcs11"
)

// startTPM starts an emulated TPM with all that its PKCS#11 library needs, and makes a token in its store. open gives this process a
// copy of the store, with the token as it was made.
func startTPM(t testing.TB) (open func(t testing.TB) string) {
	t.Helper()
	dir := shortDir(t)
	s, err := tpm2pkcs11.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte("12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri, err := s.AddToken("tpm", pin)
	if err != nil {
		t.Fatal(err)
	}
	setEnv(t, s.Env)
	return func(t testing.TB) string {
		t.Helper()
		store := shortDir(t)
		if err := os.CopyFS(store, os.DirFS(s.Store())); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TPM2_PKCS11_STORE", store)
		return uri
	}
}

// Goal: the driver keeps the contract with a slow token that has no symmetric keys and lets no right of a key be chosen. Method: the
// suite, against the TPM 2.0 stack's library over swtpm.
func TestTPM2(t *testing.T) {
	fresh := startTPM(t)
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return openURI(t, fresh(t), hsm.Options{}) }, hsmtest.Slow,
		hsmtest.Name("tpm2-pkcs11 (swtpm)"))
}
