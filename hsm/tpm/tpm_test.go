package tpm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

var drivers = hsm.Drivers{"tpm": tpm.Open}

// emulator is a fresh TPM.
func emulator(t *testing.T) *swtpm.TPM {
	t.Helper()
	s, err := swtpm.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// open opens a TPM that must open, and closes it at the end.
func open(t *testing.T, uri string, o hsm.Options) *tpm.Token {
	t.Helper()
	tok, err := drivers.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	return tok.(*tpm.Token)
}

// pinSource is a file with an authorization value.
func pinSource(t *testing.T, pin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte(pin), 0o600); err != nil {
		t.Fatal(err)
	}
	return "pin-source=file:" + path
}

// Goal: the driver keeps the contract, with and without an authorization value, and sealed to PCRs. Method: the suite on swtpm.
func TestConformance(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		hsmtest.Run(t, func(t *testing.T) hsm.Token { return open(t, emulator(t).URI(), hsm.Options{}) })
	})
	t.Run("pin and pcrs", func(t *testing.T) {
		hsmtest.Run(t, func(t *testing.T) hsm.Token {
			return open(t, emulator(t).URI()+"?"+pinSource(t, "1234")+"&pcrs=sha256:0,2,7", hsm.Options{})
		})
	})
}
