package softhsm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/luxfi/mpcd/hsm/pkcs11"
)

// testTokens are the tokens of the running test process. They share one directory, since the library reads its configuration
// once; they are told apart by their labels.
var testTokens struct {
	mu   sync.Mutex
	dir  string // "" while there is none
	live int
	made int
}

// TB is the part of testing.TB that New needs; the program itself imports no testing.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// New makes a fresh token for a test, and returns its URI, of the scheme pkcs11, with a random PIN in a file. The token is gone
// at the end of the test; close it before, as a deferred Close or a later Cleanup does. Tests may run in parallel.
//
// A missing SoftHSM fails the test: everything here stands on it. SOFTHSM2_CONF belongs to New from the first call on.
func New(tb TB) string {
	tb.Helper()
	uri, err := newTestToken()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(dropTestToken)
	return uri
}

func newTestToken() (uri string, err error) {
	module, err := Find()
	if err != nil {
		return "", err
	}
	t := &testTokens
	t.mu.Lock()
	defer t.mu.Unlock()
	environment.Lock()
	defer environment.Unlock()
	if t.dir == "" {
		if err := enterTestDir(module); err != nil {
			return "", err
		}
	}
	t.made++
	label := fmt.Sprintf("mpcd-test-%d", t.made)
	pin, soPIN := pinOrRandom(""), pinOrRandom("")
	defer pin.Wipe()
	defer soPIN.Wipe()
	if _, err := pkcs11.InitToken(context.Background(), module, label, soPIN, pin); err != nil {
		return "", err
	}
	pinPath := filepath.Join(t.dir, label+".pin")
	if err := writePIN(pinPath, pin); err != nil {
		return "", err
	}
	t.live++
	return tokenURI(module, label, pinPath)
}

// enterTestDir makes the directory of this process and points the library at it.
func enterTestDir(module string) error {
	if pkcs11.Loaded(module) {
		return fmt.Errorf("softhsm: SoftHSM is open with another directory; an earlier test did not close its token")
	}
	dir, err := os.MkdirTemp(fastDir(), "mpcd-softhsm-")
	if err != nil {
		return err
	}
	if err := errors.Join(claim(dir), writeConf(dir)); err != nil {
		return err
	}
	testTokens.dir = dir
	return os.Setenv(confEnv, filepath.Join(dir, confFile))
}

// fastDir is a place in memory if the system has one: SoftHSM waits for the disk several times for each key, and test tokens are
// worth nothing. The default place for temporary files ("") if not.
func fastDir() string {
	const shm = "/dev/shm"
	if f, err := os.CreateTemp(shm, "mpcd-softhsm-"); err == nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return shm
	}
	return ""
}

// dropTestToken removes the directory with the last token.
func dropTestToken() {
	t := &testTokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live--; t.live == 0 {
		_ = os.RemoveAll(t.dir)
		t.dir = ""
	}
}
