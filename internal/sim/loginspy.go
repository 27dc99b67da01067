package sim

import (
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/loginspy.c
var loginSpySource []byte

// LoginSpy is a PKCS #11 library in front of SoftHSM that counts logins, across processes.
type LoginSpy struct {
	Path  string   // what module-path names instead of SoftHSM
	Env   []string // what the process needs
	count string
}

// NewLoginSpy compiles the spy, with the C compiler that the PKCS #11 driver needs as well, before module.
func NewLoginSpy(tb testing.TB, module string) *LoginSpy {
	tb.Helper()
	dir := tb.TempDir()
	source := filepath.Join(dir, "loginspy.c")
	if err := os.WriteFile(source, loginSpySource, 0o600); err != nil {
		tb.Fatal(err)
	}
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		tb.Fatal(err)
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	s := &LoginSpy{Path: filepath.Join(dir, "loginspy.so"), count: filepath.Join(dir, "logins")}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", s.Path, "-I", strings.TrimSpace(string(headers)), source,
		"-ldl").CombinedOutput(); err != nil {
		tb.Fatalf("compile the spy: %v\n%s", err, out)
	}
	s.Env = []string{"LOGINSPY_MODULE=" + module, "LOGINSPY_COUNT=" + s.count,
		"MPCD_HSM_PLUGIN_ENV=LOGINSPY_*", "MPCD_HSM_PLUGIN_WRITE=" + dir} // the driver process is fenced in
	return s
}

// Logins is how often a process has logged in, or tried to, since the last call.
func (s *LoginSpy) Logins(tb testing.TB) int {
	tb.Helper()
	b, err := os.ReadFile(s.count)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatal(err)
	}
	if err := os.RemoveAll(s.count); err != nil {
		tb.Fatal(err)
	}
	return len(b)
}
