package pkcs11_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/internal/parts/p11kit"
	"github.com/luxfi/mpcd/softhsm"
)

// remote makes a SoftHSM token in a directory of its own, and serves it to this process through p11-kit.
func remote(t testing.TB) (string, *p11kit.Server) {
	t.Helper()
	dir := shortDir(t)
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

// shortDir is a directory for a test whose name is short enough for a socket, in memory where there is such a place.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mpcd-")
	if err != nil {
		dir, err = os.MkdirTemp("", "mpcd-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func setEnv(t testing.TB, env []string) {
	t.Helper()
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
}

// Goal: the driver keeps the contract with a token in another process, as a network HSM is. Method: the suite, against SoftHSM behind
// p11-kit, which passes on fewer mechanisms.
func TestRemote(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { uri, _ := remote(t); return openURI(t, uri, hsm.Options{}) },
		hsmtest.Name("p11-kit remote (SoftHSM)"))
}

// Goal: a far end that dies costs at most the operations it held: the driver connects anew, logs in once, and signs again. Method: kill it
// between operations; with the server gone, until it is back; and under load, where every signature that comes verifies. One session, since
// the client of p11-kit 0.24 hangs for ever when two calls wait for a far end that dies; package hsm/plugin is for libraries that do.
func TestRemoteKilled(t *testing.T) {
	faults := pkcs11.InjectFaults(t)
	uri, server := remote(t)
	tok := openURI(t, uri, hsm.Options{Sessions: 1})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		t.Helper()
		if n, err := server.KillRemotes(); err != nil || n == 0 {
			t.Fatalf("%d processes killed, %v", n, err)
		}
	}
	logins := faults.Calls("Login")
	kill()
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Errorf("the server gives another process, but: %v", err)
	}
	if n := faults.Calls("Login") - logins; n != 1 {
		t.Errorf("%d logins", n)
	}

	var wg sync.WaitGroup
	stop := make(chan struct{})
	var signed, failed atomic.Int64
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				message := fmt.Appendf(nil, "%d %d", g, i)
				sig, err := tok.Sign(t.Context(), "k", message)
				if err != nil {
					failed.Add(1)
					if !errors.Is(err, hsm.ErrUnavailable) {
						t.Errorf("another error: %v", err)
					}
					continue
				}
				signed.Add(1)
				if ok, err := tok.Verify(t.Context(), "k", message, sig); err != nil && !errors.Is(err, hsm.ErrUnavailable) || err == nil && !ok {
					t.Errorf("a wrong signature: %v", err)
				}
			}
		})
	}
	for range 10 {
		for n, before := 0, signed.Load(); signed.Load() < before+20 && n < 10_000; n++ {
			time.Sleep(time.Millisecond) // until it works again
		}
		if _, err := server.KillRemotes(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if signed.Load() < 200 {
		t.Errorf("%d signatures and %d failures", signed.Load(), failed.Load())
	}

	server.Stop()
	if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Sign(t.Context(), "k", nil); err != nil {
		t.Errorf("the server is back, but: %v", err)
	}
}

// Goal: after a death no wrong PIN is tried twice. Method: exchange the PIN, kill the far end, sign three times; SoftHSM takes any number
// of wrong PINs, so the driver alone holds back.
func TestRemoteWrongPIN(t *testing.T) {
	faults := pkcs11.InjectFaults(t)
	uri, server := remote(t)
	tok := openURI(t, uri, hsm.Options{})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(u.Attr("pin-source"), "file:"), []byte("00000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	logins := faults.Calls("Login")
	if _, err := server.KillRemotes(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := tok.Sign(t.Context(), "k", nil); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, hsm.ErrWrongPIN) {
			t.Errorf("got %v", err)
		}
	}
	if n := faults.Calls("Login") - logins; n != 1 {
		t.Errorf("%d logins, want one", n)
	}
}
