package plugin_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
)

// Goal: through a driver process a token keeps the contract. Method: the suite, against SoftHSM in a child.
func TestConformance(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token {
		s := newSoft(t)
		return open(t, s.config(nil), s.uri, hsm.Options{})
	}, hsmtest.Name("SoftHSM2, in a driver process"))
}

// Goal: the vendor's library is mapped by the child and never by the node. Method: /proc/PID/maps of both, after the token was used.
func TestMaps(t *testing.T) {
	s := newSoft(t)
	tok := open(t, s.config(nil), s.uri, hsm.Options{})
	if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if err := hsm.SelfTest(t.Context(), tok, hsm.KeyInfo{ID: "k", Type: hsm.KeyP256}); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 && !maps(t, tok.Stats().PID) { // others may not look into an undumpable process
		t.Error("the child does not map the library: the test looks in the wrong place")
	}
	if maps(t, os.Getpid()) {
		t.Error("the node maps the library")
	}
}

func maps(t *testing.T, pid int) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), "libsofthsm2.so")
}
