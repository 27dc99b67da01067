package pkcs11_test

import (
	"os"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/internal/parts/p11kit"
	"github.com/luxfi/mpcd/softhsm"
)

// remote makes a SoftHSM token in a directory of its own, and serves it to this process through p11-kit.
func remote(t *testing.T) (string, *p11kit.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "p11kit-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p, err := softhsm.Provision(dir, "remote", "", "")
	if err != nil {
		t.Fatal(err)
	}
	module, err := softhsm.Find()
	if err != nil {
		t.Fatal(err)
	}
	s, err := p11kit.Start(dir, module, "remote", p.Env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	client, err := p11kit.Find()
	if err != nil {
		t.Fatal(err)
	}
	setEnv(t, s.Env)
	return with(t, p.URI, "module-path", client), s
}

func setEnv(t *testing.T, env []string) {
	t.Helper()
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
}

// Goal: the driver keeps the contract with a token in another process, as a network HSM is. Method: the suite, against SoftHSM behind
// p11-kit, which passes on fewer mechanisms.
func TestRemote(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { uri, _ := remote(t); return openURI(t, uri, hsm.Options{}) }, hsmtest.Name("p11-kit remote (SoftHSM)"))
}
