package plugin_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// Goal: started by hand, the driver process says what it is and ends. Method: start it without a node.
func TestByHand(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "serve")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "not started by hand") {
		t.Errorf("%v: %s", err, out)
	}
	if err := plugin.Serve(plugin.Program{}); !errors.Is(err, plugin.ErrByHand) {
		t.Errorf("got %v", err)
	}
}

// Goal: a program that is none, ends at once or says something else is named, with its words, and in time. Method: a table.
func TestNoDriver(t *testing.T) {
	for _, c := range []struct {
		name    string
		command []string
		want    string
	}{
		{"nothing", nil, "no command"},
		{"absent", []string{"/nonexistent/mpcd"}, "no such file"},
		{"relative", []string{"mpcd"}, "not an absolute path"},
		{"ends", []string{"/proc/self/exe", "serve-nothing"}, "no driver today"},
		{"talks", []string{"/bin/echo", "hello"}, "Unrecognized remote plugin message: hello"},
		{"TCP", []string{"/bin/echo", "1|1|tcp|127.0.0.1:1|grpc"}, "not on a local socket"},
		{"other protocol", []string{"/bin/echo", "1|1|unix|/x|netrpc"}, "unsupported plugin protocol"},
		{"silent", []string{"/bin/sleep", "60"}, "it was not ready in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openErr(t.Context(), plugin.Driver(plugin.Config{Command: c.command, Limits: plugin.Limits{Start: time.Second}}),
				"plugin:mute", hsm.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if c.command != nil && !errors.Is(err, hsm.ErrUnavailable) {
				t.Errorf("%v is not ErrUnavailable", err)
			}
		})
	}
}

// Goal: a driver of another version of the protocol is refused, and said so. Method: a child that speaks version 2.
func TestOtherVersion(t *testing.T) {
	for _, child := range []string{"serve-version-2", "serve-claims-2"} {
		_, err := openErr(t.Context(), plugin.Driver(plugin.Config{Command: []string{"/proc/self/exe", child}}), "plugin:mute", hsm.Options{})
		if !errors.Is(err, plugin.ErrVersion) || !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("%s: got %v", child, err)
		}
	}
}

// Goal: a driver that ends while it opens a token is an error, not a loop. Method: one that does.
func TestEndsInOpen(t *testing.T) {
	log := &memo{}
	_, err := openErr(t.Context(), plugin.Driver(plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Logger: log.logger()}),
		"plugin:crash", hsm.Options{})
	if !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(log.String(), "driver process: started"); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// Goal: whoever opens a token is let go at the end of its context. Method: a program that never gets ready.
func TestOpenContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := openErr(ctx, plugin.Driver(plugin.Config{Command: []string{"/bin/sleep", "60"}}), "plugin:mute", hsm.Options{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// Goal: two tokens of one driver share a process, which ends with the last of them, and a later one gets a new process. Method: open
// two, close one by one, open again.
func TestShared(t *testing.T) {
	f := plugin.Driver(plugin.Config{Command: []string{"/proc/self/exe", "serve"}})
	var toks []token
	for range 2 {
		tok, err := openErr(t.Context(), f, "plugin:signing", hsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		toks = append(toks, tok.(token))
	}
	pid := toks[0].Stats().PID
	if toks[1].Stats().PID != pid {
		t.Error("two processes")
	}
	if err := toks[0].Close(); err != nil {
		t.Error(err)
	}
	if _, err := toks[0].Info(t.Context()); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	if _, err := toks[1].Info(t.Context()); err != nil {
		t.Error(err)
	}
	if err := toks[1].Close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process lives after its last token: %v", err)
	}
	tok, err := openErr(t.Context(), f, "plugin:signing", hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if st := tok.(token).Stats(); st.PID == pid || st.Restarts != 0 || st.Starts != 2 {
		t.Errorf("%+v", st)
	}
	if err := tok.Close(); err != nil {
		t.Error(err)
	}
}
