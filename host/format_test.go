package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Goal: a data directory of another format is refused before anything in it is touched, with what to do, and a new one is marked as ours.
// Method: directories without a mark, as releases before the mark left them; of the future; with a damaged mark; new ones.
func TestFormat(t *testing.T) {
	for name, x := range map[string]struct {
		holds map[string]string
		says  string // "" if it is taken
		do    string
	}{
		"empty":                   {nil, "", ""},
		"with nothing of a node":  {map[string]string{"LOCK": "", "store.key": "x"}, "", ""},
		"ours":                    {map[string]string{"FORMAT": "2\n", "store/SALT": "x", "audit.log": "x"}, "", ""},
		"a store before the mark": {map[string]string{"store/SALT": "x"}, "of format 1, this program reads format 2", "the release that made it"},
		"a log before the mark":   {map[string]string{"audit.log": ""}, "of format 1, this program reads format 2", "the release that made it"},
		"marked as of before":     {map[string]string{"FORMAT": "1\n"}, "of format 1, this program reads format 2", "the release that made it"},
		"of a later release":      {map[string]string{"FORMAT": "3\n"}, "of format 3, this program reads format 2", "newer release"},
		"empty mark":              {map[string]string{"FORMAT": ""}, "damaged", "write the line 2"},
		"mark of zero":            {map[string]string{"FORMAT": "0\n"}, "damaged", "write the line 2"},
		"mark without its end":    {map[string]string{"FORMAT": "2"}, "damaged", "write the line 2"},
		"another spelling":        {map[string]string{"FORMAT": "02\n"}, "damaged", "write the line 2"},
		"a long mark":             {map[string]string{"FORMAT": strings.Repeat("2", 1000)}, "damaged", "write the line 2"},
	} {
		c := testNode(t, "n1")
		for file, text := range x.holds {
			path := filepath.Join(c.DataDir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
			t.Fatal(err)
		}
		held, err := Lock(c)
		if x.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = held.Close()
			continue
		}
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.CodeIntegrity || !strings.Contains(err.Error(), x.says) || !strings.Contains(f.Do, x.do) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(c.DataDir, "LOCK")); err == nil {
			t.Errorf("%s: it was changed", name)
		}
		if _, err := Prepare(t.Context(), c, Options{}); !errors.As(err, &f) || f.Code != fault.CodeIntegrity {
			t.Errorf("%s: a node was made in it: %v", name, err)
		}
		_, err = (&AuditTask{Config: c}).Verify()
		if !errors.As(err, &f) || f.Code != fault.CodeIntegrity || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: its audit log was verified: %v", name, err)
		}
	}
	c := testNode(t, "n1")
	prepare(t, c)
	prepare(t, c)
	if b, err := os.ReadFile(c.formatFile()); err != nil || string(b) != "2\n" {
		t.Errorf("a new directory is marked %q, %v", b, err)
	}
	if err := os.Remove(c.formatFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(t.Context(), c, Options{}); err == nil {
		t.Error("a directory in use without a mark is marked as ours")
	}
}

// Goal: nothing makes a node's data directory but what makes a node: it may be a place where nothing is mounted. Method: every way to
// take a directory that is not there.
func TestNoDirectoryIsMade(t *testing.T) {
	c := testNode(t, "n1")
	c.DataDir = filepath.Join(t.TempDir(), "not", "mounted")
	_, open := Open(t.Context(), c, Options{})
	_, rewrap := Rewrap(t.Context(), c, Options{}, Target{Key: "vault2"}, silent)
	_, recovery := Recover(t.Context(), c, Options{}, Target{Key: "vault2"}, nil, silent)
	_, reanchor := Reanchor(t.Context(), c, Options{})
	for name, err := range map[string]error{"start": open, "rewrap": rewrap, "recover": recovery, "reanchor": reanchor,
		"doctor": found(t, &Checkup{Config: c}, "data directory")} {
		if codeOf(err) != fault.CodeUsage || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), c.DataDir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	held, err := LockTokens(c) // no node runs on it
	if err != nil {
		t.Errorf("the token alone: %v", err)
	} else if err := held.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(c.DataDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
	prepare(t, c)
	held, err = LockTokens(c)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := LockTokens(c); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("the token of a node that runs: %v", err)
	}
}

// Goal: an audit log that is not there is told from one that was tampered with. Method: a new node, which never ran.
func TestNoAuditLog(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	var f *fault.Error
	_, err := (&AuditTask{Config: c}).Verify()
	if !errors.As(err, &f) || f.Code != fault.CodeUsage || !strings.Contains(f.Do, "never ran") || f.What != "" {
		t.Errorf("%v", err)
	}
}
