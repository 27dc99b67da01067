package plugin_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// Goal: a driver process starts where fewer files may be open than it is given, and has as many as there are. Method: one whose hard limit
// is lower, which nobody may raise.
func TestFewFiles(t *testing.T) {
	tok := open(t, plugin.Config{Command: []string{"/proc/self/exe", "serve-few"}, Limits: quick}, "plugin:signing", hsm.Options{})
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", tok.Stats().PID))
	if err != nil || !regexp.MustCompile(`Max open files +512 +512 `).Match(limits) {
		t.Errorf("%v\n%s", err, limits)
	}
}

// Goal: the fence holds, from the inside. Method: a driver in the child that tries each thing; and that what drivers need goes on.
func TestSandbox(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mine, theirs := t.TempDir(), t.TempDir()
	secret := filepath.Join(mine, "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: quick, Sandbox: plugin.Sandbox{Write: []string{theirs}}}
	tok := open(t, conf, "plugin:signing", hsm.Options{})
	t.Log(tok.About().Sandbox)
	for _, c := range []struct {
		probe, argument string
		want            error // nil for allowed
	}{
		{"unix", "", nil},
		{"inet", "", syscall.EAFNOSUPPORT},
		{"inet6", "", syscall.EAFNOSUPPORT},
		{"netlink", "", syscall.EAFNOSUPPORT},
		{"dial", l.Addr().String(), syscall.EAFNOSUPPORT},
		{"exec", "", syscall.EPERM},
		{"ptrace", "", syscall.EPERM},
		{"vm-read", "", syscall.EPERM},
		{"mount", "", syscall.EPERM},
		{"io-uring", "", syscall.EPERM},
		{"bpf", "", syscall.EPERM},
		{"kill-node", "", syscall.EPERM},
		{"tkill-node", "", syscall.EPERM},
		{"tkill-self", "", syscall.EPERM},
		{"tgkill-node", "", syscall.EPERM},
		{"own-node", "", syscall.EPERM},
		{"own-node-64", "", syscall.EPERM},
		{"own-ex-node", "", syscall.EPERM},
		{"signal-kill", "", syscall.EPERM},
		{"ioctl-own-node", "", syscall.EPERM},
		{"ioctl-group-node", "", syscall.EPERM},
		{"fcntl", "", nil},
		{"kill-self", "", nil},
		{"mem-of-node", "", syscall.EACCES},
		{"read", secret, syscall.EACCES},
		{"read", "/etc/shadow", syscall.EACCES},
		{"read", "/etc/nsswitch.conf", nil},
		{"write", filepath.Join(mine, "new"), syscall.EACCES},
		{"write", filepath.Join(theirs, "new"), nil},
		{"write", "/etc/mpcd-test-of-the-fence", syscall.EACCES},
	} {
		err := tok.GenerateKey(t.Context(), c.probe, hsm.KeyType(c.argument))
		if c.want == nil && err != nil || c.want != nil && (err == nil || !strings.Contains(err.Error(), c.want.Error())) {
			t.Errorf("%s %s: got %v, want %v", c.probe, c.argument, err, c.want)
		}
	}

	conf.Sandbox.Network, conf.Sandbox.Exec = true, true
	conf.Sandbox.Read = []string{mine}
	tok = open(t, conf, "plugin:signing", hsm.Options{})
	for _, c := range [][2]string{{"dial", l.Addr().String()}, {"exec", ""}, {"read", secret}} {
		if err := tok.GenerateKey(t.Context(), c[0], hsm.KeyType(c[1])); err != nil {
			t.Errorf("allowed, but %s: %v", c[0], err)
		}
	}
	for _, probe := range []string{"ptrace", "mount"} {
		if err := tok.GenerateKey(t.Context(), probe, ""); err == nil {
			t.Errorf("%s goes through", probe)
		}
	}
}

// Goal: landlock alone keeps signals in, and so does seccomp alone: neither hides a hole of the other. Method: processes with one of
// them ask whether they could signal the test, themselves and their own thread; where the kernel has no such scope, that must be said.
func TestSignalScope(t *testing.T) {
	landlocked := "parent: <nil> <nil>, self: <nil>, thread: <nil>, told: false"
	if plugin.ScopesSignals() {
		landlocked = "parent: operation not permitted operation not permitted, self: <nil>, thread: <nil>, told: true"
	}
	for fence, want := range map[string]string{
		"landlock": landlocked,
		"seccomp":  "parent: operation not permitted operation not permitted, self: <nil>, thread: <nil>, told: false",
	} {
		cmd := exec.Command("/proc/self/exe", "fenced", fence)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %v, got %s\nwant %s", fence, err, got, want)
		}
	}
}

// Goal: the handshake tells what is in force, as the kernel sees it. Method: the pieces that this machine has, and /proc.
func TestSandboxReport(t *testing.T) {
	tok := openTest(t, "mute")
	about := tok.About()
	if about.Driver != "test" || about.Release != "1" || !slices.Contains(about.Schemes, "pkcs11") {
		t.Errorf("%+v", about)
	}
	for _, want := range []string{"undumpable", "no core dumps", "no new privileges", "seccomp"} {
		if !slices.Contains(about.Sandbox, want) {
			t.Errorf("%q is missing in %v", want, about.Sandbox)
		}
	}
	if os.Geteuid() == 0 && !slices.Contains(about.Sandbox, "capabilities 0x400e") { // DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, IPC_LOCK
		t.Errorf("root keeps other capabilities: %v", about.Sandbox)
	}
	if !slices.ContainsFunc(about.Sandbox, func(s string) bool { return strings.Contains(s, "landlock") }) {
		t.Errorf("nothing is said of landlock: %v", about.Sandbox)
	}
}

// Goal: the child gets the variables of the allow-list, and no other, and no file of the node. Method: ask it.
func TestEnvironmentAndFiles(t *testing.T) {
	t.Setenv("MPCD_TEST_SECRET", "s3cr3t")
	t.Setenv("MPCD_TEST_PASSED", "passed")
	t.Setenv("LD_PRELOAD_TEST", "x")
	t.Setenv("P11_KIT_STRICT", "yes")
	f, err := os.Create(filepath.Join(t.TempDir(), "inherited"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// What C code opens has no close-on-exec.
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0); e != 0 {
		t.Fatal(e)
	}
	tok := open(t, plugin.Config{Command: []string{"/proc/self/exe", "serve"}, Limits: quick,
		Env: []string{"MPCD_TEST_PASSED", "MPCD_TEST_SET=set"}}, "plugin:signing", hsm.Options{})
	said := tok.GenerateKey(t.Context(), "env", "").Error()
	for want, is := range map[string]bool{"MPCD_TEST_PASSED=passed": true, "MPCD_TEST_SET=set": true, "P11_KIT_STRICT=yes": true,
		"s3cr3t": false, "LD_PRELOAD": false} {
		if strings.Contains(said, want) != is {
			t.Errorf("%s: want %v in %s", want, is, said)
		}
	}
	if err := tok.GenerateKey(t.Context(), "files", hsm.KeyType(f.Name())); err != nil {
		t.Errorf("a file of the node: %v", err)
	}
}

// Goal: a child that runs as another user opens its token with the PIN that is handed over, and is that user. Method: a driver that
// compares the PIN, as user 65534; only root can try.
func TestOtherUser(t *testing.T) {
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := plugin.Config{Command: []string{"/proc/self/exe", "serve"}, UID: 65534, GID: 65534}
	tok, err := openErr(t.Context(), plugin.Driver(conf), "plugin:pin?pin-source=file:"+pin, hsm.Options{})
	if os.Geteuid() != 0 {
		if !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("not root, and got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if s := tok.(token).About().Sandbox; !slices.Contains(s, "uid 65534") || !slices.Contains(s, "no capabilities") {
		t.Errorf("%v", s)
	}
	st, err := os.Stat(fmt.Sprintf("/proc/%d/environ", tok.(token).Stats().PID))
	if err != nil {
		t.Fatal(err)
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; uid != 0 { // proc(5): of what is not dumpable, root owns the files
		t.Errorf("the process can be dumped: its files in /proc are of user %d", uid)
	}
}
