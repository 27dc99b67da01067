package pkcs11_test

import (
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/internal/parts/nss"
)

// freshNSS makes a database of NSS softokn for a test.
func freshNSS(t *testing.T) string {
	t.Helper()
	t.Setenv("NSS_MAX_MP_PBE_ITERATION_COUNT", "1") // of the function that makes a key of the PIN, for every use of a key
	tok, err := nss.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return tok.URI
}

// Goal: the driver keeps the contract with another implementation. Method: the suite, against NSS softokn, which has no secp256k1 and
// no Ed25519, wants an argument for C_Initialize, and lists an AES-GCM that does not work.
func TestNSS(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return openURI(t, freshNSS(t), hsm.Options{}) }, hsmtest.Name("NSS softokn"))
}
