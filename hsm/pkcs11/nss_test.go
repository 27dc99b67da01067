package pkcs11_test

import (
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/internal/parts/nss"
)

// freshNSS makes a database of NSS softokn for a test.
func freshNSS(t testing.TB) string {
	t.Helper()
	t.Setenv("NSS_MAX_MP_PBE_ITERATION_COUNT", "1") // of the function that makes a key of the PIN, for every use of a key
	tok, err := nss.Start(shortDir(t))
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

// Goal: an argument of C_Initialize reaches the library, and two of them cannot. Method: without it, with another while it is open.
func TestInitArgs(t *testing.T) {
	one, two := freshNSS(t), freshNSS(t)
	bare, _, _ := strings.Cut(one, "&init-args")
	refuse(t, bare+"&pin-source=env:X", hsm.Options{}, nil)
	openURI(t, one, hsm.Options{})
	said := refuse(t, two, hsm.Options{}, hsm.ErrUnavailable)
	if !strings.Contains(said, "init-args") {
		t.Errorf("the error does not say why: %s", said)
	}
	openURI(t, one, hsm.Options{})
}
