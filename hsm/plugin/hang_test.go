package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// impatient are limits that a stopped child reaches soon.
var impatient = plugin.Limits{Call: 300 * time.Millisecond, Generate: 500 * time.Millisecond, Grace: 200 * time.Millisecond,
	Backoff: time.Millisecond, BackoffMax: 20 * time.Millisecond}

// Goal: a stopped child is killed and replaced, and the call that met it succeeds. Method: SIGSTOP, then sign without a deadline.
func TestStoppedChild(t *testing.T) {
	s := newSoft(t)
	c := s.config(nil)
	c.Limits = impatient
	c.Limits.Call = time.Second // of SoftHSM on a busy machine
	tok := open(t, c, s.uri, hsm.Options{})
	if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Sign(t.Context(), "k", []byte("m")); err != nil {
		t.Fatal(err)
	}
	pid := tok.Stats().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a stopped process", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(b), ") T ")
	})
	// Short calls end in time, and do not hide the hang.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := tok.Sign(ctx, "k", []byte("m")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if sig, err := tok.Sign(t.Context(), "k", []byte("m")); err != nil || len(sig) != 64 {
		t.Errorf("got %v", err)
	}
	if st := tok.Stats(); st.Hangs != 1 || st.Restarts != 1 || st.PID == pid {
		t.Errorf("%+v", st)
	}
}

// Goal: a library that stands still in one call is a hang, if nothing else is answered either; while others are, the caller is told
// and the process lives. Method: a driver whose Sign never returns, alone and beside others.
func TestStandingLibrary(t *testing.T) {
	c := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: impatient}
	tok := open(t, c, "plugin:signing", hsm.Options{})
	if _, err := tok.Sign(t.Context(), "hang", []byte("m")); !errors.Is(err, hsm.ErrUnavailable) ||
		!strings.Contains(err.Error(), "others were answered") {
		t.Errorf("got %v", err)
	}
	if st := tok.Stats(); st.Hangs != 0 || st.Restarts != 0 {
		t.Errorf("%+v", st)
	}
	if _, err := tok.Sign(t.Context(), "stable", []byte("m")); err != nil {
		t.Error(err)
	}
}

// Goal: a key that is being made when the process ends is not made again, and the caller is told. Method: a driver that ends there.
func TestUnknownOutcome(t *testing.T) {
	c := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: impatient}
	tok := open(t, c, "plugin:signing", hsm.Options{})
	makes := map[string]func() error{
		"GenerateKey": func() error { return hsm.KeyGenerator.GenerateKey(tok, t.Context(), "crash", hsm.KeyP256) },
		"Increment":   func() error { _, err := tok.Increment(t.Context(), "crash"); return err },
	}
	n := uint64(0)
	for name, call := range makes {
		n++
		err := call()
		if !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "unknown") || !strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), "exit status 9") {
			t.Errorf("%s: got %v", name, err)
		}
		if st := tok.Stats(); st.Unknown != n || st.Retries != 0 {
			t.Errorf("%+v", st)
		}
	}
	// What may be repeated is, once.
	if _, err := tok.Sign(t.Context(), "crash", []byte("m")); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
	if st := tok.Stats(); st.Retries != 1 {
		t.Errorf("%+v", st)
	}
	if _, err := tok.Info(t.Context()); err != nil {
		t.Error(err)
	}
}

// Goal: a process that ends again and again is restarted later and later. Method: kill it five times with a backoff that shows.
func TestBackoff(t *testing.T) {
	log := &memo{}
	c := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Logger: log.logger(), Limits: plugin.Limits{Backoff: 8 * time.Millisecond,
		BackoffMax: 32 * time.Millisecond}}
	tok := open(t, c, "plugin:signing", hsm.Options{})
	for n := uint64(1); n <= 5; n++ {
		if err := syscall.Kill(tok.Stats().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "a restart", func() bool { return tok.Stats().Restarts == n && tok.Stats().PID != 0 })
	}
	var waits []time.Duration
	for _, line := range strings.Split(log.String(), "\n") {
		if _, rest, ok := strings.Cut(line, "msg=\"driver process: restart\" in="); ok {
			d, err := time.ParseDuration(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, d)
		}
	}
	bounds := [][2]time.Duration{{4, 8}, {8, 16}, {16, 32}, {16, 32}, {16, 32}}
	if len(waits) != len(bounds) {
		t.Fatalf("waits %v", waits)
	}
	for i, w := range waits {
		if w < bounds[i][0]*time.Millisecond || w > bounds[i][1]*time.Millisecond {
			t.Errorf("restart %d after %s, want %v ms", i+1, w, bounds[i])
		}
	}
	if !strings.Contains(log.String(), "signal: killed") {
		t.Errorf("the log does not tell the cause:\n%s", log)
	}
}
