package plugin_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
)

func openTest(t *testing.T, what string) *plugin.Token {
	t.Helper()
	return open(t, plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: quick}, "plugin:"+what, hsm.Options{})
}

// Goal: a wrong signature never leaves the package, and a driver that makes one is replaced. Method: a driver that always does.
func TestWrongSignature(t *testing.T) {
	tok := openTest(t, "signing")
	for _, key := range []string{"wrong", "long"} {
		before := tok.Stats()
		if sig, err := tok.Sign(t.Context(), key, []byte("m")); !errors.Is(err, hsm.ErrUnavailable) || sig != nil ||
			!strings.Contains(err.Error(), "does not verify") {
			t.Errorf("%s: got %d bytes, %v", key, len(sig), err)
		}
		if st := tok.Stats(); st.Wrong != before.Wrong+2 || st.Restarts == before.Restarts {
			t.Errorf("%s: %+v", key, st)
		}
	}
	if _, err := tok.Sign(t.Context(), "stable", []byte("m")); err != nil {
		t.Error(err)
	}
}

// Goal: a driver cannot say that a wrong signature is right. Method: one whose Verify always says so.
func TestVerifyHere(t *testing.T) {
	tok := openTest(t, "signing")
	if ok, err := tok.Verify(t.Context(), "stable", []byte("m"), make([]byte, 64)); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	mute := openTest(t, "mute")
	if _, err := mute.Sign(t.Context(), "stable", []byte("m")); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("a signature that nobody can check: %v", err)
	}
}

// Goal: another public key for the same key is refused, in PublicKey and in Sign, and other keys still serve. Method: a driver with
// another key in every process, killed.
func TestKeyChanged(t *testing.T) {
	tok := openTest(t, "signing")
	first, err := tok.PublicKey(t.Context(), "fickle")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Sign(t.Context(), "fickle", []byte("m")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a restart", func() bool { return tok.Stats().Restarts == 1 })
	if sig, err := tok.Sign(t.Context(), "fickle", []byte("m")); !errors.Is(err, plugin.ErrKeyChanged) || sig != nil {
		t.Errorf("Sign: %v", err)
	}
	if pub, err := tok.PublicKey(t.Context(), "fickle"); !errors.Is(err, plugin.ErrKeyChanged) || pub != nil {
		t.Errorf("PublicKey: %v", err)
	}
	if _, err := tok.Sign(t.Context(), "stable", []byte("m")); err != nil {
		t.Error(err)
	}
	_ = first
}

// Goal: a counter that is lower after a restart is refused. Method: a driver whose counters live in its memory.
func TestCounterBack(t *testing.T) {
	tok := openTest(t, "signing")
	if v, err := tok.CreateCounter(t.Context(), "c"); err != nil || v != 0 {
		t.Fatal(v, err)
	}
	for want := uint64(1); want < 4; want++ {
		if v, err := tok.Increment(t.Context(), "c"); err != nil || v != want {
			t.Fatal(v, err)
		}
	}
	if v, err := tok.Read(t.Context(), "c"); err != nil || v != 3 {
		t.Fatal(v, err)
	}
	if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a restart", func() bool { return tok.Stats().Restarts == 1 })
	if v, err := tok.Read(t.Context(), "c"); !errors.Is(err, plugin.ErrCounterBack) {
		t.Errorf("Read: %d, %v", v, err)
	}
	if v, err := tok.Increment(t.Context(), "c"); !errors.Is(err, plugin.ErrCounterBack) {
		t.Errorf("Increment: %d, %v", v, err)
	}
}

// Goal: a token has the abilities that its driver has, and no others. Method: a driver with few, one with many.
func TestAbilities(t *testing.T) {
	if got := strings.Join(hsm.Abilities(openTest(t, "mute")), " "); got != "" {
		t.Errorf("mute: %s", got)
	}
	if got := strings.Join(hsm.Abilities(openTest(t, "signing")), " "); got != "public-key generate counter" {
		t.Errorf("signing: %s", got)
	}
	tok := openTest(t, "mute")
	if _, err := tok.Random(t.Context(), 1); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("an ability that is not there: %v", err)
	}
}

// Goal: the words of a driver are fit for a log. Method: a label with an escape sequence and a line break.
func TestCleanWords(t *testing.T) {
	info, err := openTest(t, "mute").Info(t.Context())
	if err != nil || info.Label != "bad?[31m label" {
		t.Errorf("%q, %v", info.Label, err)
	}
}

// Goal: answers that cannot be are refused. Method: a driver that gives them.
func TestImpossibleAnswers(t *testing.T) {
	tok := openTest(t, "liar")
	for name, call := range map[string]func() error{
		"Random":    func() error { _, err := tok.Random(t.Context(), 32); return err },
		"Wrap":      func() error { _, err := tok.Wrap(t.Context(), "k", make([]byte, 32), nil); return err },
		"Unwrap":    func() error { _, err := tok.Unwrap(t.Context(), "k", make([]byte, 64), nil); return err },
		"Keys":      func() error { _, err := tok.Keys(t.Context()); return err },
		"PublicKey": func() error { _, err := tok.PublicKey(t.Context(), "k"); return err },
		"Sign":      func() error { _, err := tok.Sign(t.Context(), "k", nil); return err },
	} {
		if call() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, n := range []int{0, hsm.MaxWrap + 1} {
		if _, err := tok.Wrap(t.Context(), "k", make([]byte, n), nil); err == nil || errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("a secret of %d bytes: %v", n, err)
		}
	}
	if _, err := tok.Unwrap(t.Context(), "k", make([]byte, 64<<10+1), nil); !errors.Is(err, hsm.ErrIntegrity) {
		t.Errorf("got %v", err)
	}
	if _, err := tok.Verify(t.Context(), "k", make([]byte, 5<<20), nil); err == nil {
		t.Error("5 MB pass")
	}
}

// Goal: another token in the place of the first is refused after a restart. Method: a driver with another serial number in every process.
func TestTokenExchanged(t *testing.T) {
	tok := openTest(t, "exchanged")
	if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a restart", func() bool { return tok.Stats().Restarts == 1 })
	if _, err := tok.Info(t.Context()); !errors.Is(err, hsm.ErrNoToken) || !strings.Contains(err.Error(), "another token answers") {
		t.Errorf("got %v", err)
	}
}
