package enrol

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// contents are the files of a directory by name, but for the one that is locked.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if e.Name() != lockFile {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(b)
		}
	}
	return all
}

// Goal: the keys of an operator's directory are made once: who comes while they are made, or finds any of them, is refused before anything
// is written. Method: NewOperator while another command has the directory; in one with all keys; and in one with each key alone.
func TestKeysAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	held, err := durable.LockFile(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewOperator(dir, "c"); !errors.Is(err, durable.ErrLocked) || codeOf(err) != fault.CodeUsage {
		t.Errorf("beside another command: %v", err)
	}
	if left := contents(t, dir); len(left) > 0 {
		t.Errorf("it wrote %d files", len(left))
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewOperator(dir, "c"); err != nil {
		t.Fatal(err)
	}
	all := contents(t, dir)
	for _, name := range []string{rootFile, caKeyFile, TokenKeyFile} {
		one := t.TempDir()
		if err := os.WriteFile(filepath.Join(one, name), []byte(all[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewOperator(one, "c"); codeOf(err) != fault.CodeUsage {
			t.Errorf("over %s: %v", name, err)
		}
		if after := contents(t, one); len(after) != 1 || after[name] != all[name] {
			t.Errorf("over %s it wrote %d files", name, len(after))
		}
	}
}

// Goal: while a cluster is made no other command is at work in its operator's directory, which could sign another first roster. Method: as
// each node is done, make the cluster again and renew; both are refused, and what comes out is one cluster of two nodes.
func TestPlanAlone(t *testing.T) {
	p := Plan{Cluster: "c", Dir: t.TempDir(), Nodes: 2, Threshold: 2, HSM: "local", APIPort: APIPort, RoutePort: RoutePort, Dev: true,
		Plain: true}
	other := p
	other.Note = t.Logf
	p.Note = func(string, ...any) {
		if _, _, err := other.CarryOut(t.Context()); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("made twice: %v", err)
		}
		a, err := OpenOperator(filepath.Join(p.Dir, "cluster"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Renew(nil, nil, time.Time{}); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("renewed while it is made: %v", err)
		}
	}
	if _, _, err := p.CarryOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := OpenOperator(filepath.Join(p.Dir, "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := a.roster(); err != nil || len(s.Roster.Nodes) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Goal: two enrolments at once in one new directory do not take each other's token or write each other's mpcd.yaml over. Method: one while
// another is at work there, and after that.
func TestConfigureAlone(t *testing.T) {
	dir, vs := filepath.Join(t.TempDir(), "n1"), host.Defaults()
	vs.Set("cluster", "treasury", "flag")
	vs.Set("node_id", "n1", "flag")
	vs.Set("hsm.uri", "local:"+filepath.Join(dir, "soft"), "flag")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	held, err := durable.LockFile(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	at := Place{Endpoint: "https://127.0.0.1:8443"}
	if _, err := Configure(dir, vs, at, t.Logf); !errors.Is(err, durable.ErrLocked) || codeOf(err) != fault.CodeUsage {
		t.Errorf("beside another: %v", err)
	}
	if left := contents(t, dir); len(left) > 0 {
		t.Errorf("it wrote %d files", len(left))
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Configure(dir, vs, at, t.Logf); err != nil {
		t.Errorf("after it: %v", err)
	}
}
