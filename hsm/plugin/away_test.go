package plugin_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// absent moves the token's directory away and returns what puts it back: the same directory, or a copy, as from a backup.
func (s soft) absent(t *testing.T, copied bool) (back func()) {
	t.Helper()
	here, away := filepath.Join(s.dir, "tokens"), filepath.Join(s.dir, "away")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Rename(here, away))
	return func() {
		t.Helper()
		if !copied {
			check(os.Rename(away, here))
			return
		}
		aside := filepath.Join(s.dir, "copy") // it comes whole, as a mount does
		check(os.CopyFS(aside, os.DirFS(away)))
		check(os.Rename(aside, here))
		check(os.RemoveAll(away))
	}
}

// Goal: a token that is away when its driver begins, or goes away later, and comes back, as the same files or as others, works again by
// itself; meanwhile the error says what is away. Method: move the directory of a real SoftHSM token away, kill the child or not, wait until
// the error says it, put the directory or a copy of it back, and sign.
func TestAway(t *testing.T) {
	for name, x := range map[string]struct{ killed, copied bool }{
		"away when the driver begins":         {true, false},
		"away, and then another directory":    {true, true},
		"another directory while it is there": {false, true},
		"away while it works":                 {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSoft(t)
			log := &memo{}
			c := s.config(log.logger())
			tok := open(t, c, s.uri, hsm.Options{})
			if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
				t.Fatal(err)
			}
			sign := func() error {
				_, err := tok.Sign(t.Context(), "k", []byte("m"))
				return err
			}
			back := s.absent(t, x.copied)
			if x.killed {
				if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "the word that the token is away", func() bool {
					err := sign()
					return err != nil && strings.Contains(err.Error(), "away: "+filepath.Join(s.dir, "tokens"))
				})
				waitFor(t, "some drivers that cannot open it", func() bool { return strings.Count(log.String(), "ended unasked") > 6 })
			}
			back()
			waitFor(t, "a signature", func() bool { return sign() == nil })
			ended, tried := strings.Count(log.String(), "ended unasked"), strings.Count(log.String(), "cannot be opened again")
			if tried > ended+1 {
				t.Errorf("%d drivers ended, and the token was opened again %d times: more than one tries", ended, tried)
			}
		})
	}
}

// Goal: a TPM whose device goes away and comes back as another file of the same name, as one that is plugged in again, works again by
// itself, in the same driver process and in one that began while it was away. Method: cut the power of an emulated one and take its
// socket away; kill the child or not; start the TPM again, which makes another socket. The key is made after the token was opened, so
// that the TPM has no serial number at first.
func TestDeviceAway(t *testing.T) {
	for name, killed := range map[string]bool{"away when the driver begins": true, "away while it works": false} {
		t.Run(name, func(t *testing.T) {
			chip, err := swtpm.Start(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = chip.Stop() })
			log := &memo{}
			c := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: quick, Logger: log.logger()}
			tok := open(t, c, chip.URI(), hsm.Options{})
			if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(chip.Kill(), os.RemoveAll(chip.Path())); err != nil {
				t.Fatal(err)
			}
			sign := func() error {
				_, err := tok.Sign(t.Context(), "k", []byte("m"))
				return err
			}
			if killed {
				if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "some drivers that cannot open it", func() bool { return sign() != nil && strings.Count(log.String(), "ended unasked") > 3 })
			}
			if err := sign(); err == nil || !strings.Contains(err.Error(), chip.Path()) {
				t.Errorf("without a TPM: %v", err)
			}
			if err := chip.Restart(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "a signature", func() bool { return sign() == nil })
		})
	}
}

// Goal: what one token waits for does not end the driver of another. Method: two tokens in one process, of which one is opened again and
// cannot be, since its PIN's file is away.
func TestAwayBesideAnother(t *testing.T) {
	s := newSoft(t)
	d := driverOf(s)
	pin := s.pinPath() + "-of-one"
	if err := os.WriteFile(pin, []byte(s.pin(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	one, err := openErr(t.Context(), d, strings.Replace(s.uri, s.pinPath(), pin, 1), hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := openErr(t.Context(), d, s.uri, hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if err := two.(token).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	before := two.(token).Stats()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the other's signature", func() bool {
		_, err := two.Sign(t.Context(), "k", []byte("m"))
		return err == nil
	})
	if _, err := one.Sign(t.Context(), "k", []byte("m")); !errors.Is(err, hsm.ErrPINSource) || !strings.Contains(err.Error(), "away: "+pin) {
		t.Errorf("the one without its PIN: %v", err)
	}
	pid := two.(token).Stats().PID
	for range 20 {
		_, _ = one.Sign(t.Context(), "k", []byte("m"))
	}
	if now := two.(token).Stats().PID; now != pid {
		t.Errorf("the driver of both ended: process %d, then %d", pid, now)
	}
}

// Goal: of a token that is opened later, by another PIN's file, a key that is there already is told as that, and does not end the driver
// process, which has no leave to that file. Method: make one key twice, by two URIs.
func TestSecondTokenHasTheKey(t *testing.T) {
	s := newSoft(t)
	d := driverOf(s)
	pin := s.pinPath() + "-of-two"
	if err := os.WriteFile(pin, []byte(s.pin(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{s.uri, strings.Replace(s.uri, s.pinPath(), pin, 1)} {
		tok, err := openErr(t.Context(), d, uri, hsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tok.Close()
		if err := tok.(token).GenerateKey(t.Context(), "k", hsm.KeyP256); (uri == s.uri) != (err == nil) ||
			err != nil && !errors.Is(err, hsm.ErrKeyExists) {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
