package pkcs11_test

import (
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

var drivers = hsm.Drivers{"pkcs11": pkcs11.Open, "softhsm": softhsm.Open}

// openURI opens a token for a test, and closes it at the end.
func openURI(t testing.TB, uri string, o hsm.Options) hsm.Token {
	t.Helper()
	tok, err := drivers.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	return tok
}

// Goal: the driver keeps the contract. Method: the suite, against SoftHSM.
func TestConformance(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return openURI(t, softhsm.New(t), hsm.Options{}) }, hsmtest.Name("SoftHSM2"))
}
