package hsm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// write makes a file in a new directory and returns its path.
func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hsm-pin")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// Goal: each source yields the PIN without its newline. Method: a table; a credential as systemd makes it, with the bits of an ACL.
func TestReadPIN(t *testing.T) {
	cred := write(t, "1234", 0o440)
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(cred))
	t.Setenv("TEST_PIN", "1234")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(cred, link); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"cred:hsm-pin", "env:TEST_PIN", "file:" + write(t, "1234", 0o600), "file:" + write(t, "1234\n", 0o400),
		"file:" + write(t, "1234\r\n", 0o600)} {
		pin, err := ReadPIN(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if !pin.Equal([]byte("1234")) {
			t.Errorf("%s: another PIN", source)
		}
		pin.Wipe()
	}
}

// Goal: no source yields an empty PIN, and none is read that others may read. Method: a table of bad ones.
func TestReadPINRefuses(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(write(t, "1234", 0o604)))
	t.Setenv("TEST_EMPTY", "")
	for source, want := range map[string]error{
		"":                                    ErrURI,
		"1234":                                ErrURI,
		"env:":                                ErrURI,
		"cred:":                               ErrURI,
		"cred:..":                             ErrURI,
		"cred:a/b":                            ErrURI,
		"cred:/etc/passwd":                    ErrURI,
		"file:":                               ErrURI,
		"file:relative":                       ErrURI,
		"pipe:cmd":                            ErrURI,
		"|cmd":                                ErrURI,
		"env:TEST_EMPTY":                      nil,
		"env:TEST_UNSET":                      nil,
		"cred:hsm-pin":                        nil,
		"cred:absent":                         os.ErrNotExist,
		"file:/nonexistent":                   os.ErrNotExist,
		"file:" + t.TempDir():                 nil,
		"file:" + fifo:                        nil,
		"file:" + write(t, "", 0o600):         nil,
		"file:" + write(t, "\n", 0o600):       nil,
		"file:" + write(t, "\r\n", 0o600):     nil,
		"file:" + write(t, "1234\n\n", 0o600): nil,
		"file:" + write(t, "12\x0034", 0o600): nil,
		"file:" + write(t, "1234", 0o640):     nil,
		"file:" + write(t, "1234", 0o444):     nil,
		"file:" + write(t, "1234", 0o460):     nil,

		"file:" + write(t, "\ufeff1234", 0o600):   nil, // of an editor
		"file:" + write(t, "12\t34", 0o600):       nil,
		"file:" + write(t, "1234\x1b", 0o600):     nil,
		"file:" + write(t, "1234\u0085", 0o600):   nil,
		"file:" + write(t, "1234\ufeff\n", 0o600): nil,

		"file:" + write(t, "1234", 0o604):                               nil,
		"file:" + write(t, "1234", 0o620):                               nil,
		"file:" + write(t, strings.Repeat("1", maxSecretFile+1), 0o600): nil,
	} {
		pin, err := ReadPIN(source)
		if err == nil || pin != nil {
			t.Errorf("%q: accepted", source)
			continue
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", source, err, want)
		}
		if strings.Contains(err.Error(), "1234") {
			t.Errorf("%q: the error tells the PIN: %v", source, err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := ReadPIN("cred:hsm-pin"); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
		t.Errorf("no advice: %v", err)
	}
}

// Goal: passwords come from variables and files, and never empty. Method: good ones, then a table of bad ones.
func TestPasswords(t *testing.T) {
	t.Setenv("TEST_PASSWORD", "pass word")
	t.Setenv("TEST_EMPTY", "")
	get := func(kind, keyID string) (string, error) {
		p, err := NewPasswordProvider(kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.GetPassword(context.Background(), keyID)
	}
	for _, c := range [][2]string{{"env", "TEST_PASSWORD"}, {"file", write(t, "pass word", 0o600)}, {"file", write(t, "pass word\n", 0o600)}} {
		if got, err := get(c[0], c[1]); err != nil || got != "pass word" {
			t.Errorf("%s: %q, %v", c[0], got, err)
		}
	}
	if got, err := get("file", write(t, "two\nlines\n\n", 0o600)); err != nil || got != "two\nlines\n" {
		t.Errorf("only one newline may go: %q, %v", got, err)
	}
	for _, c := range [][2]string{{"env", "TEST_EMPTY"}, {"env", "TEST_UNSET"}, {"env", ""}, {"file", "relative"}, {"file", "/nonexistent"},
		{"file", ""}, {"file", write(t, "", 0o600)}, {"file", write(t, "\n", 0o600)}, {"file", write(t, "secret", 0o640)},
		{"file", write(t, "secret", 0o644)}, {"file", write(t, "se\x00cret", 0o600)}, {"file", t.TempDir()}} {
		got, err := get(c[0], c[1])
		if err == nil || got != "" {
			t.Errorf("%q accepted", c)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password", c)
		}
	}
	for _, kind := range []string{"aws", "gcp", "", "rot13"} {
		if _, err := NewPasswordProvider(kind, nil); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "cred, env, file") {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	if _, err := NewPasswordProvider("env", map[string]string{"region": "x"}); err == nil {
		t.Error("an unknown setting is ignored")
	}
}

// Goal: a PIN file as Kubernetes mounts it for a pod with fsGroup is taken: root's, or ours, mode 0440, its group one of ours; of another's
// file or group it is not. Method: such a file, and owners and groups as they are told of an open file.
func TestGroupReadablePIN(t *testing.T) {
	pin, err := ReadPIN("file:" + write(t, "1234", 0o440))
	if err != nil {
		t.Fatal(err)
	}
	pin.Wipe()
	us, ours := uint32(os.Geteuid()), uint32(os.Getegid())
	for _, x := range []struct {
		owner, group uint32
		want         bool
	}{{us, ours, true}, {0, ours, true}, {us + 4242, ours, false}, {us, ours + 4242, false}, {0, ours + 4242, false}} {
		if got := sharedWithUs(owned{sys: &syscall.Stat_t{Uid: x.owner, Gid: x.group}}); got != x.want {
			t.Errorf("owner %d, group %d: %v", x.owner, x.group, got)
		}
	}
}

type owned struct {
	os.FileInfo
	sys any
}

func (o owned) Sys() any { return o.sys }
