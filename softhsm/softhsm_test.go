package softhsm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

var drivers = hsm.Drivers{"pkcs11": pkcs11.Open, "softhsm": softhsm.Open}

// use opens the token and does with it what a node does.
func use(t *testing.T, uri string) {
	t.Helper()
	tok, err := drivers.Open(t.Context(), uri, hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	if err := hsm.SelfTest(t.Context(), tok, hsm.KeyInfo{ID: "k", Type: hsm.KeyP256}); err != nil {
		t.Error(err)
	}
}

// Goal: tests of one process have tokens of their own, at the same time and one after the other, and leave nothing. Method: parallel
// tests, twice; look for the directory.
func TestNew(t *testing.T) {
	for round := range 2 {
		dirs := make(chan string, 4)
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			for i := range 4 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					uri := softhsm.New(t)
					dirs <- pinPath(t, uri)
					use(t, uri)
				})
			}
		})
		close(dirs)
		for path := range dirs {
			if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", filepath.Dir(path), err)
			}
		}
	}
}

func pinPath(t *testing.T, uri string) string {
	t.Helper()
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Attr("pin-source"), "file:")
}

// failing is a test that records its failure instead of ending.
type failing struct{ said string }

func (f *failing) Helper()           {}
func (f *failing) Cleanup(func())    {}
func (f *failing) Fatal(args ...any) { f.said = fmt.Sprint(args...); panic(f) }

// Goal: without SoftHSM a test fails with advice, it is not skipped. Method: point at a library that is not there.
func TestMissing(t *testing.T) {
	t.Setenv("SOFTHSM2_MODULE", "/nonexistent/libsofthsm2.so")
	if _, err := softhsm.Find(); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	f := &failing{}
	func() {
		defer func() { _ = recover() }()
		softhsm.New(f)
	}()
	if !strings.Contains(f.said, "apt-get install softhsm2") {
		t.Errorf("the test ends with %q", f.said)
	}
	if _, err := drivers.Open(t.Context(), "softhsm", hsm.Options{}); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// enter sets the environment that a provisioned token wants.
func enter(t *testing.T, env []string) {
	t.Helper()
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
}

// Goal: directories provisioned one after the other hold a token each, readable by the owner alone, and none is made twice or
// over. Method: three of them, opened in turn; modes; a second call.
func TestProvision(t *testing.T) {
	t.Setenv("SOFTHSM2_CONF", "/before")
	var made []softhsm.Provisioned
	dirs := []string{t.TempDir(), filepath.Join(t.TempDir(), "new"), t.TempDir()}
	for i, dir := range dirs {
		pin := ""
		if i == 0 {
			pin = "123456"
		}
		p, err := softhsm.Provision(dir, "node", pin, "")
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, p)
	}
	if os.Getenv("SOFTHSM2_CONF") != "/before" {
		t.Error("the environment was changed")
	}
	serials := map[string]bool{}
	for i, p := range made {
		enter(t, p.Env)
		use(t, p.URI)
		tok, err := drivers.Open(t.Context(), p.URI, hsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		info, err := tok.Info(t.Context())
		if err != nil || serials[info.Serial] {
			t.Errorf("serial %s again, %v", info.Serial, err)
		}
		serials[info.Serial] = true
		if _, err := softhsm.Provision(t.TempDir(), "other", "", ""); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("provisioned while a token is open: %v", err)
		}
		if err := tok.Close(); err != nil {
			t.Fatal(err)
		}
		walkModes(t, dirs[i])
		if _, err := softhsm.Provision(dirs[i], "node", "", ""); !errors.Is(err, hsm.ErrKeyExists) {
			t.Errorf("provisioned over a token: %v", err)
		}
	}
	pin, err := os.ReadFile(pinPath(t, made[0].URI))
	if err != nil || string(pin) != "123456" {
		t.Errorf("PIN %q, %v", pin, err)
	}
}

// walkModes looks for anything that others may read.
func walkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && path != dir && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Goal: a provisioning that fails leaves nothing, so that it can be repeated. Method: a PIN that is too short, a label too long.
func TestProvisionFails(t *testing.T) {
	dir := t.TempDir()
	for _, c := range [][2]string{{"node", "1"}, {strings.Repeat("x", 33), ""}, {"", ""}} {
		if _, err := softhsm.Provision(dir, c[0], c[1], ""); err == nil {
			t.Errorf("label %q, PIN %q accepted", c[0], c[1])
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	if _, err := softhsm.Provision(dir, "node", "", ""); err != nil {
		t.Error(err)
	}
}

// Goal: of those who make a token in one directory at once, one does, and what the others are refused for is left as it is. Method: a
// directory with what each file of a token is there of; ten times eight at once, and the token that was made opened with the PIN that is
// there.
func TestTokenIsMadeOnce(t *testing.T) {
	for _, name := range []string{"tokens", "softhsm2.conf"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := softhsm.Provision(dir, "node", "", ""); !errors.Is(err, hsm.ErrKeyExists) {
			t.Errorf("where there is %s: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != name {
			t.Errorf("of %s is left: %v, %v", name, left, err)
		}
	}
	for range 10 {
		p := atOnce(t, t.TempDir())
		enter(t, p.Env)
		use(t, p.URI)
	}
}

// atOnce has eight make a token in dir, and returns the one that was made.
func atOnce(t *testing.T, dir string) (made softhsm.Provisioned) {
	t.Helper()
	begin, ends := make(chan struct{}), make(chan error)
	for range 8 {
		go func() {
			<-begin
			p, err := softhsm.Provision(dir, "node", "", "")
			if err == nil {
				made = p // one alone: it is counted below
			}
			ends <- err
		}()
	}
	close(begin)
	refused := 0
	for range 8 {
		if err := <-ends; errors.Is(err, hsm.ErrKeyExists) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 7 {
		t.Fatalf("%d of 8 are refused", refused)
	}
	return made
}

// Goal: provision.sh makes the same, and keeps its PINs to itself. Method: run it, eval what it prints, use the token; the
// security officer's PIN must not be the name of a variable; run it again; bad arguments.
func TestProvisionScript(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "token")
	out, err := exec.CommandContext(t.Context(), "./provision.sh", dir, "lab").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr(err))
	}
	env, err := exec.CommandContext(context.Background(), "bash", "-c", string(out)+
		`printf '%s\n%s' "$SOFTHSM2_CONF" "$MPC_HSM_SIGNER"`).Output()
	if err != nil {
		t.Fatal(err)
	}
	conf, uri, _ := strings.Cut(string(env), "\n")
	t.Setenv("SOFTHSM2_CONF", conf)
	use(t, uri)
	walkModes(t, dir)
	for _, guess := range []string{"env:SO_PIN", "env:PIN"} {
		if err := officerLogin(t, uri, guess); !errors.Is(err, p11.Error(p11.CKR_PIN_INCORRECT)) {
			t.Errorf("login as security officer with %q: %v", guess, err)
		}
	}
	for name, args := range map[string][]string{"again": {dir, "lab"}, "no directory": {}, "bad label": {t.TempDir(), "a;b"}} {
		if err := exec.CommandContext(t.Context(), "./provision.sh", args...).Run(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	use2, err := drivers.Open(t.Context(), uri, hsm.Options{})
	if err != nil {
		t.Fatalf("the second run broke the token: %v", err)
	}
	_ = use2.Close()
}

func stderr(err error) string {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return string(e.Stderr)
	}
	return ""
}

// officerLogin tries a PIN of the security officer below the driver.
func officerLogin(t *testing.T, uri, pin string) error {
	t.Helper()
	u, err := hsm.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	lib := p11.New(u.Attr("module-path"))
	defer lib.Destroy()
	if err := lib.Initialize(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lib.Finalize() }()
	slots, err := lib.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := lib.GetTokenInfo(slot); err != nil || info.Label != u.Attr("token") {
			continue
		}
		s, err := lib.OpenSession(slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
		if err != nil {
			t.Fatal(err)
		}
		return lib.Login(s, p11.CKU_SO, pin)
	}
	t.Fatal("the token is not there")
	return nil
}
