package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/host/fault"
)

// nobody is a user who is not root.
const nobody = 65534

// asNobody runs f in a thread that has the rights of nobody, where this process is root's; else it has few already.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		var err error
		if os.Geteuid() == 0 {
			if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); no != 0 {
				err = no
			}
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// codeAndDo are what is said of an error beside its words.
func codeAndDo(err error) (fault.Code, string) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return KindOf(err)
	}
	return f.Code, f.Do
}

// Goal: no file that its user may not open is told of as damage, and none is found in the middle of the work. Method: a data directory of
// nobody's, whole; then each of its files and directories, and one of the token, without one of its rights.
func TestUnusable(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "hsm", "softhsm2.conf")
	c := Config{DataDir: filepath.Join(dir, "data")}
	c.HSM.SoftHSMConf = conf
	files := []string{"data/audit.log", "data/store/db/000001.sst", "hsm/tokens/1/token.object"}
	dirs := []string{"data", "data/store", "data/store/db", "hsm/tokens/1"}
	for _, name := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody)
		}); err != nil {
			t.Fatal(err)
		}
	}
	usable := func(c Config) (err error) {
		asNobody(t, func() { err = c.usable() })
		return err
	}
	if err := usable(c); err != nil {
		t.Fatal(err)
	}
	for mode, names := range map[os.FileMode][]string{0o400: files, 0o200: files, 0o500: dirs, 0o600: dirs} {
		for _, name := range names {
			path := filepath.Join(dir, name)
			was, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			err = usable(c)
			if code, do := codeAndDo(err); code != fault.CodeUsage || !strings.Contains(err.Error(), path+": this process") ||
				!strings.Contains(err.Error(), "may not read and write it") || !strings.Contains(do, "chown -R USER "+path) ||
				!strings.HasPrefix(do, "give it back to the user who runs the node") {
				t.Errorf("%s of mode %o: %v, do %q", name, mode, err, do)
			}
			if strings.HasPrefix(name, "hsm") {
				c := c
				c.HSM.Plugin.User = "driver" // who opens the token instead
				if err := usable(c); err != nil {
					t.Errorf("%s of mode %o, another user's: %v", name, mode, err)
				}
			}
			if err := os.Chmod(path, was.Mode().Perm()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Goal: root spoils no node that another user runs. Method: a data directory of nobody's, of root's, and one that this user has; then what
// takes it, as root.
func TestForeign(t *testing.T) {
	c := Config{DataDir: t.TempDir()}
	if err := c.foreign(os.Geteuid()); err != nil {
		t.Errorf("one's own: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(c.DataDir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		l, err := Lock(c)
		if err == nil {
			_ = l.Close()
		}
		if code, do := codeAndDo(err); code != fault.CodeUsage || !strings.Contains(err.Error(), "what root makes in it that user cannot open") ||
			!strings.HasPrefix(do, "run it as that user") || !strings.Contains(do, "sudo -u '#65534'") {
			t.Errorf("%v, do %q", err, do)
		}
		if made, err := os.ReadDir(c.DataDir); err != nil || len(made) != 0 {
			t.Errorf("it made %v, %v", made, err)
		}
		if err := os.WriteFile(filepath.Join(c.DataDir, "LOCK"), nil, 0o600); err != nil { // one that has run
			t.Fatal(err)
		}
		if _, err := Lock(c); err == nil || !strings.Contains(err.Error(), "user 65534's") {
			t.Errorf("one that has run: %v", err)
		}
		if err := c.foreign(nobody); err != nil {
			t.Errorf("its user: %v", err)
		}
	} else if err := c.foreign(0); err == nil {
		t.Error("root at another's")
	}
}
