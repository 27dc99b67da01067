package host

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Goal: what cannot be read is told apart from what is wrong in it: a slip in a path is no damaged roster. Method: a path that is not
// there, a directory, and a file that holds no roster; then a node that has none yet.
func TestReadRosterTellsWhy(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("no roster"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, do := range map[string]string{filepath.Join(dir, "none"): "check the path", dir: "name a file, not a directory"} {
		_, err := ReadRoster(path)
		var f *fault.Error
		if code, got := KindOf(err); code != fault.CodeUsage || got != do || errors.As(errors.Unwrap(err), &f) {
			t.Errorf("%s: %v: %d, %q", path, err, code, got)
		}
	}
	_, err := ReadRoster(other)
	var f *fault.Error
	if !errors.As(errors.Unwrap(err), &f) || f.Code != fault.CodeIntegrity || !strings.Contains(f.Do, "fetch the roster") {
		t.Errorf("no roster: %v", err)
	}
	_, err = loadRoster(Config{Roster: filepath.Join(dir, "none")})
	if !errors.As(err, &f) || f.Code != fault.CodeUsage || !strings.HasPrefix(f.Do, "bring the roster") {
		t.Errorf("a node without its roster yet: %v", err)
	}
}

// Goal: of a node of which nothing is configured it is said that its file was not named, and of any other which key is missing. Method:
// the defaults, and the defaults with one value.
func TestNoConfiguration(t *testing.T) {
	vs := Defaults()
	if _, err := Parse(vs); !errors.Is(err, ErrNoConfiguration) {
		t.Errorf("nothing at all: %v", err)
	}
	vs.Set("node_id", "node1", "env NODE_ID")
	if _, err := Parse(vs); errors.Is(err, ErrNoConfiguration) || err == nil || !strings.Contains(err.Error(), "not set: cluster, ") {
		t.Errorf("one value: %v", err)
	}
}

// Goal: of an address that is taken it is said that the node runs already, where it does, and who else has it is to be found where it does
// not. Method: a listener, and a data directory that is held or not.
func TestOccupied(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := Config{Node: "node1", DataDir: t.TempDir(), Listen: l.Addr().String(), Dev: true, Roster: "r", RosterRoot: "r"}
	if _, err := Listen(c); errors.Is(err, durable.ErrLocked) || err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("not running: %v", err)
	}
	held, err := Lock(c)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := Listen(c); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), "node node1 is running") {
		t.Errorf("running: %v", err)
	}
}

// Goal: where SoftHSM's file is not there, its setting is named, and not a code of its library. Method: a path that is not there.
func TestSoftHSMConfIsNamed(t *testing.T) {
	var c Config
	c.HSM.SoftHSMConf = filepath.Join(t.TempDir(), "softhsm2.conf")
	_, err := newOpener(c, Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "hsm.softhsm_conf") {
		t.Error(err)
	}
}
