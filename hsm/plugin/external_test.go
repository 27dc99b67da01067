package plugin_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// built is the driver of somebody else, built once.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "mpcd-driver-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "driver")
	if out, err := exec.Command("go", "build", "-p", "1", "-o", path, "./testdata/external").CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(out)))
	}
	return os.ReadFile(path)
})

// place puts the driver into a directory as mpcd-hsm-test.
func place(t *testing.T) (dir, path string) {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "drivers")
	path = filepath.Join(dir, "mpcd-hsm-test")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(path, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// Goal: a driver of somebody else keeps the contract like ours. Method: the suite, through an executable of its own.
func TestExternal(t *testing.T) {
	dir, _ := place(t)
	hsmtest.Run(t, func(t *testing.T) hsm.Token {
		keys := t.TempDir()
		f := plugin.External(dir, plugin.Config{Env: []string{"MPCD_TEST_KEYS=" + keys}, Sandbox: plugin.Sandbox{Write: []string{keys}},
			Limits: quick})
		tok, err := openErr(t.Context(), f, "plugin:test", hsm.Options{Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tok.Close() })
		if a := tok.(token).About(); a.Driver != "mpcd-hsm-test" || a.Release != "7" {
			t.Errorf("%+v", a)
		}
		return tok
	}, hsmtest.Name("third party's driver (local)"))
}

// Goal: a program that others could have put there, or could exchange, is not started. Method: a table of ways to do so.
func TestExternalRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(dir, path string) error
	}{
		{"group may write", "others may change it", func(_, path string) error { return os.Chmod(path, 0o775) }},
		{"all may write", "others may change it", func(_, path string) error { return os.Chmod(path, 0o757) }},
		{"directory of the group", "others may change it", func(dir, _ string) error { return os.Chmod(dir, 0o775) }},
		{"directory of all, sticky", "others may change it", func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }},
		{"directory above", "others may change it", func(dir, _ string) error { return os.Chmod(filepath.Dir(dir), 0o777) }},
		{"no execute bit", "not an executable", func(_, path string) error { return os.Chmod(path, 0o644) }},
		{"script", "is a script", func(_, path string) error { return os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755) }},
		{"empty", "is a script or empty", func(_, path string) error { return os.Truncate(path, 0) }},
		{"link", "a symbolic link is refused", func(_, path string) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		}},
		{"directory is a link", "leads over a symbolic link", func(dir, _ string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}},
		{"pipe", "not an executable", func(_, path string) error {
			return errors.Join(os.Remove(path), exec.Command("mkfifo", "-m", "755", path).Run())
		}},
		{"absent", "no such file", func(_, path string) error { return os.Remove(path) }},
		{"of another user", "belongs to user 65534", func(_, path string) error { return os.Chown(path, 65534, 65534) }},
		{"directory of another user", "belongs to user 65534", func(dir, _ string) error { return os.Chown(dir, 65534, 65534) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := place(t)
			if err := c.spoil(dir, path); err != nil {
				if os.Geteuid() != 0 && errors.Is(err, os.ErrPermission) {
					return // only root gives files away
				}
				t.Fatal(err)
			}
			_, err := openErr(t.Context(), plugin.External(dir, plugin.Config{}), "plugin:test", hsm.Options{})
			if !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	dir, _ := place(t)
	for _, name := range []string{"", "../test", "a/b", ".", "Test", "te st", "-test", strings.Repeat("a", 65)} {
		u, err := hsm.ParseURI("plugin:" + strings.ReplaceAll(name, " ", "%20"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plugin.External(dir, plugin.Config{})(t.Context(), u, hsm.Options{}); !errors.Is(err, hsm.ErrURI) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	for _, dir := range []string{"", "drivers", "/usr/../usr/lib"} {
		_, err := openErr(t.Context(), plugin.External(dir, plugin.Config{}), "plugin:test", hsm.Options{})
		if err == nil || !strings.Contains(err.Error(), "not an absolute, plain path") {
			t.Errorf("%q: got %v", dir, err)
		}
	}
}

// Goal: what was checked is what is started, even if the name means something else by then. Method: exchange the file in between.
func TestExternalSwap(t *testing.T) {
	dir, path := place(t)
	cmd, release, err := plugin.Executable(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	evil, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, evil, 0o755)); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not started by hand") {
		t.Errorf("another program ran: %v, %q", err, out)
	}
}
