package plugin_test

import (
	"errors"
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

// Goal: what a token tells beside its keys comes through: how it wraps, sessions and tries; and a driver that does not tell how it wraps
// is not made to. Method: SoftHSM in a child; a driver of the test, which has no such method.
func TestTellings(t *testing.T) {
	s := newSoft(t)
	tok := open(t, s.config(nil), s.uri, hsm.Options{})
	if err := tok.GenerateKey(t.Context(), "kek", hsm.KeyAESWrap); err != nil {
		t.Fatal(err)
	}
	teller, ok := hsm.As[hsmtest.WrapMethod](tok)
	if !ok {
		t.Fatal("it does not tell how it wraps")
	}
	if m, err := teller.WrapMethod(t.Context(), "kek"); err != nil || m != "aes-gcm" {
		t.Errorf("got %q, %v", m, err)
	}
	if _, err := teller.WrapMethod(t.Context(), "nobody"); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("got %v", err)
	}
	mute := openTest(t, "mute")
	if _, ok := hsm.As[hsmtest.WrapMethod](mute); ok {
		t.Error("a driver tells how it wraps, and does not wrap")
	}
	if info, err := mute.Info(t.Context()); err != nil || info.PINTries != "3" || info.MaxSessions != 8 || info.OpenSessions != 2 {
		t.Errorf("tries and sessions are lost: %+v, %v", info, err)
	}
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
