package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/softhsm"
)

// TestMain makes three programs of the test: the tests, which stand for the node; the driver process; and one that makes SoftHSM
// tokens, since the node must never load the library.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			exitWith(plugin.Serve(plugin.Program{Name: "test", Release: "1", Drivers: hsm.Drivers{
				"pkcs11": pkcs11.Open, "softhsm": softhsm.Open, "plugin": openMischief, "tpm": tpm.Open,
			}}))
		case "serve-few":
			few := syscall.Rlimit{Cur: 512, Max: 512}
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
				exitWith(err)
			}
			exitWith(plugin.Serve(plugin.Program{Name: "test", Release: "1", Drivers: hsm.Drivers{"plugin": openMischief}}))
		case "serve-counting":
			exitWith(plugin.Serve(plugin.Program{Name: "test", Drivers: hsm.Drivers{"pkcs11": counting(os.Args[2]),
				"softhsm": counting(os.Args[2])}}))
		case "node-of-sleep":
			_, err := openErr(context.Background(), plugin.Driver(plugin.Config{Command: []string{"/bin/sleep", "60"},
				Limits: plugin.Limits{Start: time.Minute}}), "plugin:mute", hsm.Options{})
			exitWith(err)
		case "node":
			exitWith(node())
		case "fenced":
			exitWith(fenced(os.Args[2]))
		case "serve-nothing":
			fmt.Fprintln(os.Stderr, "no driver today")
			os.Exit(3)
		case "serve-version-2":
			serveStranger(2)
		case "serve-claims-2":
			serveStranger(1)
		case "provision":
			exitWith(provision(os.Args[2], os.Args[3]))
		}
	}
	os.Exit(m.Run())
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fenced has one fence, and tries to signal.
func fenced(by string) error {
	report, err := plugin.Fence(by)
	if err != nil {
		return err
	}
	pid, parent := os.Getpid(), os.Getppid()
	fmt.Printf("parent: %v %v, self: %v, thread: %v, told: %v\n", unix.Kill(parent, 0), unix.Tgkill(parent, parent, 0), unix.Kill(pid, 0),
		unix.Tgkill(pid, pid, 0), slices.Contains(report, "no signals to others"))
	return nil
}

func provision(dir, label string) error {
	p, err := softhsm.Provision(dir, label, "", "")
	if err == nil {
		fmt.Println(p.URI)
		fmt.Println(p.Env[0])
	}
	return err
}

// soft is a SoftHSM token of its own.
type soft struct {
	uri, env, dir string
}

var labels int

// newSoft makes a token in a process of its own.
func newSoft(t testing.TB) soft {
	t.Helper()
	labels++
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "provision", dir, fmt.Sprintf("plugin-test-%d", labels))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	return soft{uri: lines[0], env: lines[1], dir: dir}
}

func (s soft) pinPath() string { return filepath.Join(s.dir, "pin") }

func (s soft) pin(t testing.TB) string {
	b, err := os.ReadFile(s.pinPath())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// quick are limits for tests: restarts without long waits.
var quick = plugin.Limits{Backoff: time.Millisecond, BackoffMax: 20 * time.Millisecond}

func (s soft) config(log *slog.Logger) plugin.Config {
	return plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Env: []string{s.env}, Limits: quick, Logger: log}
}

// open opens a URI with a configuration, and closes it at the end.
func open(t testing.TB, c plugin.Config, uri string, o hsm.Options) *plugin.Token {
	t.Helper()
	tok, err := openErr(t.Context(), plugin.Driver(c), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	return tok.(*plugin.Token)
}

func openErr(ctx context.Context, f hsm.OpenFunc, uri string, o hsm.Options) (hsm.Token, error) {
	return hsm.Drivers{"pkcs11": f, "softhsm": f, "plugin": f, "tpm": f}.Open(ctx, uri, o)
}

// memo is a log that can be read while it is written.
type memo struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (m *memo) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buf.Write(b)
}

func (m *memo) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buf.String()
}

func (m *memo) logger() *slog.Logger { return slog.New(slog.NewTextHandler(m, nil)) }

// waitFor polls until the condition holds.
func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("never came: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

type token = *plugin.Token

func driverOf(s soft) hsm.OpenFunc { return plugin.Driver(s.config(nil)) }
