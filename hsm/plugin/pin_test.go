package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// Goal: a PIN is in no environment, no argument and no log. Method: search those of node and child for it, with the PIN read by the
// child, and handed over.
func TestPINNowhere(t *testing.T) {
	for _, handed := range []bool{false, true} {
		s := newSoft(t)
		pin, log := s.pin(t), &memo{}
		c := s.config(log.logger())
		uri := s.uri
		if handed {
			t.Setenv("MPCD_TEST_PIN_VARIABLE", pin)
			c.Env = append(c.Env, "MPCD_TEST_*")
			uri = strings.Replace(uri, "file:"+s.pinPath(), "env:MPCD_TEST_PIN_VARIABLE", 1)
		}
		tok := open(t, c, uri, hsm.Options{})
		if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
			t.Fatal(err)
		}
		pid := tok.Stats().PID
		for _, path := range []string{"/proc/self/cmdline", "/proc/self/environ", fmt.Sprintf("/proc/%d/cmdline", pid),
			fmt.Sprintf("/proc/%d/environ", pid)} {
			b, err := os.ReadFile(path)
			if os.Geteuid() != 0 && errors.Is(err, os.ErrPermission) {
				continue // nor may anybody else but root
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), pin) {
				t.Errorf("handed over %v: the PIN is in %s", handed, path)
			}
		}
		if strings.Contains(log.String(), pin) {
			t.Error("the PIN is in the log")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := tok.Sign(t.Context(), "k", []byte("m")); err != nil {
			t.Errorf("handed over %v, after a restart: %v", handed, err)
		}
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Goal: a PIN that was handed over arrives whole and is where hsm.ReadPIN finds it. Method: a driver that compares it.
func TestPINArrives(t *testing.T) {
	log := &memo{}
	t.Setenv("MPCD_TEST_RIGHT", "right")
	open(t, plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Logger: log.logger()}, "plugin:pin?pin-source=env:MPCD_TEST_RIGHT",
		hsm.Options{})
	waitFor(t, "the driver's line", func() bool { return strings.Contains(log.String(), `level=WARN msg="pin-source is file:"`) })
}

// logins are the lines of the counter that the test's driver writes for each login that it sees.
func logins(t *testing.T, s soft) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "logins"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

// counting notes every attempt to open the token, in a file that outlives the process, and then opens it.
func counting(dir string) hsm.OpenFunc {
	return func(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
		f, err := os.OpenFile(filepath.Join(dir, "logins"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = fmt.Fprintln(f, os.Getpid())
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "die")); err == nil {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return pkcs11.Open(ctx, u, o)
	}
}

func (s soft) counting() plugin.Config {
	c := s.config(nil)
	c.Command = append(c.Command[:1:1], "serve-counting", s.dir)
	c.Sandbox.Write = []string{s.dir}
	return c
}

// Goal: a wrong PIN is tried once in the life of the node, in whatever child, by whatever name of the token. Method: real SoftHSM
// with a wrong PIN in the file; open again and again, by a new driver, by the serial number, by another file.
func TestWrongPINOnce(t *testing.T) {
	s := newSoft(t)
	right := s.pin(t)
	if err := os.WriteFile(s.pinPath(), []byte("wrong-one"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(s.dir, "other-pin")
	if err := os.WriteFile(other, []byte(right), 0o600); err != nil {
		t.Fatal(err)
	}
	f := plugin.Driver(s.counting())
	for i, uri := range []string{
		s.uri, s.uri,
		strings.Replace(s.uri, s.pinPath(), other, 1),
		s.uri[:len("pkcs11:")] + s.uri[strings.Index(s.uri, "?"):], // no label: may be the same token
		strings.Replace(s.uri, "pkcs11:", "softhsm:", 1),
	} {
		if i == 1 {
			f = plugin.Driver(s.counting())
		}
		_, err := openErr(t.Context(), f, uri, hsm.Options{})
		anothers := i == 3 && err != nil && strings.Contains(err.Error(), "so the token was not asked again") // that of a test before it
		if !errors.Is(err, hsm.ErrWrongPIN) && !anothers {
			t.Errorf("%d: got %v", i, err)
		}
	}
	if n := len(logins(t, s)); n != 1 {
		t.Errorf("the token was opened %d times", n)
	}
	// Another token is not concerned.
	another := newSoft(t)
	open(t, another.config(nil), another.uri, hsm.Options{})
}

// Goal: a first login without an outcome counts as spent, one of a PIN that was right does not, until its file changes. Method:
// children that die in Open: the first time; later; with a changed file.
func TestLoginWithoutOutcome(t *testing.T) {
	die := func(s soft) string { return filepath.Join(s.dir, "die") }
	first := newSoft(t)
	if err := os.WriteFile(die(first), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := plugin.Driver(first.counting())
	for range 3 {
		if _, err := openErr(t.Context(), f, first.uri, hsm.Options{}); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if n := len(logins(t, first)); n != 1 {
		t.Errorf("a PIN of unknown worth was tried %d times", n)
	}

	s := newSoft(t)
	tok := open(t, s.counting(), s.uri, hsm.Options{})
	if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(die(s), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "more openings", func() bool { return len(logins(t, s)) > 3 })
	if err := os.Remove(die(s)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a signature", func() bool { _, err := tok.Sign(t.Context(), "k", []byte("m")); return err == nil })

	if err := os.WriteFile(s.pinPath(), []byte("changed-since"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(logins(t, s))
	if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a refusal", func() bool { _, err := tok.Sign(t.Context(), "k", []byte("m")); return errors.Is(err, hsm.ErrWrongPIN) })
	for range 3 {
		if _, err := tok.Sign(t.Context(), "k", []byte("m")); !errors.Is(err, hsm.ErrWrongPIN) {
			t.Errorf("got %v", err)
		}
	}
	if n := len(logins(t, s)) - before; n != 1 {
		t.Errorf("the changed PIN was tried %d times", n)
	}
}

// Goal: where the PIN was changed in the token, it is tried once with the old one, and not once for each URI. Method: two URIs of one
// SoftHSM token in one child; another program changes the PIN; the child is killed.
func TestChangedInToken(t *testing.T) {
	s := newSoft(t)
	f := plugin.Driver(s.counting())
	var open []*plugin.Token
	for _, uri := range []string{s.uri, strings.Replace(s.uri, "?", ";object=k?", 1)} {
		tok, err := openErr(t.Context(), f, uri, hsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tok.Close()
		open = append(open, tok.(*plugin.Token))
	}
	if err := open[0].GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	u, err := hsm.ParseURI(s.uri)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "pkcs11-tool", "--module", u.Attr("module-path"), "--token-label", u.Attr("token"), "--login",
		"--pin", s.pin(t), "--change-pin", "--new-pin", "another-1")
	cmd.Env = append(os.Environ(), s.env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := len(logins(t, s))
	plugin.KillChild(open[0])
	for _, tok := range open {
		waitFor(t, "a refusal", func() bool { _, err := tok.Sign(t.Context(), "k", []byte("m")); return errors.Is(err, hsm.ErrWrongPIN) })
	}
	if n := len(logins(t, s)) - before; n != 1 {
		t.Errorf("the token was opened %d times with a PIN of the past", n)
	}
}

// Goal: a wrong PIN is tried once, also where many ask at the same time. Method: open at once, by two names of the token.
func TestWrongPINAtOnce(t *testing.T) {
	s := newSoft(t)
	if err := os.WriteFile(s.pinPath(), []byte("wrong-one"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := plugin.Driver(s.counting())
	var all sync.WaitGroup
	for _, uri := range []string{s.uri, s.uri, strings.Replace(s.uri, "?", ";object=k?", 1)} {
		all.Go(func() {
			if _, err := openErr(t.Context(), f, uri, hsm.Options{}); !errors.Is(err, hsm.ErrWrongPIN) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if n := len(logins(t, s)); n != 1 {
		t.Errorf("the token was opened %d times", n)
	}
}

// Goal: no child ever has the PIN of a token in its environment, in whatever order tokens are opened. Method: a pattern in the
// configuration that the variable fits; a token that is opened before and one after, in the same process and in another driver's.
func TestPINVariableLate(t *testing.T) {
	t.Setenv("MPCD_LATE_PIN", "right")
	t.Setenv("MPCD_EARLY_PIN", "right")
	c := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: quick, Env: []string{"MPCD_LATE_*", "MPCD_EARLY_*"}}
	f := plugin.Driver(c)
	open(t, c, "plugin:pin?pin-source=env:MPCD_EARLY_PIN", hsm.Options{})
	first, err := openErr(t.Context(), f, "plugin:signing", hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	said := first.(*plugin.Token).GenerateKey(t.Context(), "env", "").Error()
	if strings.Contains(said, "MPCD_EARLY_PIN") || !strings.Contains(said, "MPCD_LATE_PIN") {
		t.Errorf("the child of another driver has the wrong variables: %s", said)
	}
	for name, f := range map[string]hsm.OpenFunc{"the child that has it": f, "another child": plugin.Driver(c)} {
		if tok, err := openErr(t.Context(), f, "plugin:pin?pin-source=env:MPCD_LATE_PIN", hsm.Options{}); !errors.Is(err, hsm.ErrPINSource) ||
			!strings.Contains(err.Error(), "MPCD_LATE_PIN") {
			t.Errorf("%s: %v, %v", name, tok, err)
		}
	}
}
