package gcpkms

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

// brisk is the pace of tests: as patient as steady, with shorter waits.
var brisk = pace{first: time.Millisecond, max: 10 * time.Millisecond, attempt: 10 * time.Second, total: 20 * time.Second,
	creation: 20 * time.Second, damaged: 3}

// start starts a server on loopback that ends with the test.
func start(t testing.TB) *parts.Server {
	t.Helper()
	s, err := parts.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// openAt opens the key ring of a server.
func openAt(t testing.TB, s *parts.Server, p pace) *Token {
	t.Helper()
	return openURI(t, s.URI(), p)
}

func openURI(t testing.TB, uri string, p pace) *Token {
	t.Helper()
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := open(t.Context(), u, hsm.Options{}, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	return tok
}

// Goal: the driver keeps the contract. Method: the suite, over loopback and over a unix socket.
func TestConformance(t *testing.T) {
	t.Run("loopback", func(t *testing.T) {
		hsmtest.Run(t, func(t *testing.T) hsm.Token { return openAt(t, start(t), brisk) }, hsmtest.Name("Google Cloud KMS (own server)"))
	})
	t.Run("unix socket", func(t *testing.T) {
		hsmtest.Run(t, func(t *testing.T) hsm.Token {
			s, err := parts.Start("unix:" + filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			return openAt(t, s, brisk)
		}, hsmtest.Name("Google Cloud KMS (own server)"))
	})
}

// Goal: production's Open works as an hsm.OpenFunc, and hsm.SelfTest passes an RSA key too, which the suite does not make. Method:
// through hsm.Drivers.
func TestOpenFunc(t *testing.T) {
	tok, err := hsm.Drivers{"gcpkms": Open}.Open(t.Context(), start(t).URI(), hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	if err := tok.(hsm.KeyGenerator).GenerateKey(context.Background(), "rsa", hsm.KeyRSA3072); err != nil {
		t.Fatal(err)
	}
	if err := hsm.SelfTest(t.Context(), tok, hsm.KeyInfo{ID: "rsa", Type: hsm.KeyRSA3072}); err != nil {
		t.Error(err)
	}
	info, err := tok.Info(t.Context())
	if err != nil || !info.SoftwareOnly {
		t.Errorf("%+v, %v: a server on this machine is no hardware", info, err)
	}
}
