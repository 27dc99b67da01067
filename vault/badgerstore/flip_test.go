package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/vault"
)

// flips per file beside the first, the middle and the last byte. 200 were tried once (3331 told, 1541 without effect).
const flips = 8

// Goal: one flipped byte in any file of a store is told as damage, or changes nothing that was stored; it is never a panic, not even in a
// goroutine of Badger, and never taken for a wrong key. Method: first, middle, last and random bytes of each file of a store that crashed,
// of one that was closed, and of one whose tables were compacted, with a fixed seed; each is opened, read whole, and written to once more.
func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	want := map[string]string{}
	for i := range 40 {
		for _, size := range []int{10, 900, valueThreshold + 100} {
			k, v := fmt.Sprint("key", i, "/", size), string(bytes.Repeat([]byte{byte(i + 1)}, size))
			want[k] = v
			put(t, s, k, v)
		}
	}
	crashed := copyDir(t, dir)
	s.Close()
	closed := copyDir(t, dir)
	s = mustOpen(t, dir)
	if err := s.db.Flatten(1); err != nil {
		t.Fatal(err)
	}
	put(t, s, "later", "1")
	s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	told, harmless := 0, 0
	for state, from := range map[string]string{"crashed": crashed, "closed": closed, "compacted": dir} {
		for name, content := range files(t, from) {
			used := len(bytes.TrimRight([]byte(content), "\x00"))
			if used == 0 {
				continue
			}
			at := []int{0, used / 2, used - 1}
			for range flips {
				at = append(at, rng.IntN(used))
			}
			for _, i := range at {
				err := flipped(t, from, name, i, 1<<rng.IntN(8), want)
				switch {
				case err == nil:
					harmless++
				case errors.Is(err, vault.ErrCorrupt):
					told++
				default:
					t.Errorf("%s: %s byte %d of %d: %v", state, name, i, used, err)
				}
			}
		}
	}
	t.Logf("%d flips told, %d without effect", told, harmless)
}

// flipped opens a copy of the store with some bits of a byte flipped, reads all of it, and writes to it.
func flipped(t *testing.T, from, name string, at, bits int, want map[string]string) error {
	c := copyDir(t, from)
	defer os.RemoveAll(c)
	path := filepath.Join(c, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= byte(bits)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{Dir: c, Key: testKey(1)})
	if err != nil {
		return err
	}
	defer s.Close()
	for k, v := range want {
		got, err := s.Get(t.Context(), []byte(k))
		if err != nil {
			return err
		}
		if string(got) != v {
			return fmt.Errorf("%s: %d bytes that were never stored", k, len(got))
		}
	}
	if err := s.Iterate(t.Context(), nil, func(_, _ []byte) error { return nil }); err != nil {
		return err
	}
	return s.Batch(t.Context(), []vault.Pair{{Key: []byte("after"), Value: []byte("1")}}, nil)
}

// Goal: where a key does not open a store, damage is told from a wrong key as far as the store can know; and what tells them apart is
// in nobody's way where it is lost. Method: another key with the store's salt and with a changed one; then the file that tells, cut
// and removed.
func TestKeyCheck(t *testing.T) {
	dir := t.TempDir()
	salt, err := Salt(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir).Close()
	if _, err := Open(Config{Dir: dir, Key: testKey(2)}); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
	salt[3] ^= 4
	if err := os.WriteFile(filepath.Join(dir, saltFile), salt, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir, Key: testKey(2)}); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("another key, of a changed salt: %v", err)
	}
	path := filepath.Join(dir, keyCheckFile)
	for _, damage := range []func() error{func() error { return os.Truncate(path, 40) }, func() error { return os.Remove(path) }} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, dir).Close()
		if b, err := os.ReadFile(path); err != nil || len(b) != 64 {
			t.Errorf("not written anew: %d bytes, %v", len(b), err)
		}
	}
}

// Goal: a table that cannot be read while the store is open ends a read, not the process. Method: cut the table's file under its map.
func TestUnreadableTable(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	large := string(make([]byte, 2*valueThreshold))
	put(t, s, "a", large)
	logs, err := filepath.Glob(filepath.Join(dir, dbDir, "*"+valueLog))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	if err := os.Truncate(logs[0], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("get: %v", err)
	}
	if err := s.Iterate(t.Context(), nil, func(_, _ []byte) error { return nil }); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("iterate: %v", err)
	}
	if err := s.Batch(t.Context(), []vault.Pair{{Key: []byte("b"), Value: []byte("1")}}, nil); !errors.Is(err, vault.ErrBroken) {
		t.Errorf("batch: %v", err)
	}
}

// Goal: a value that its log does not have any more is told as damage, and by its key in words, also in the log of the node. Method: zeros
// in the value log of an open store.
func TestLostValue(t *testing.T) {
	dir, said := t.TempDir(), new(bytes.Buffer)
	s, err := Open(Config{Dir: dir, Key: testKey(1), Logger: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, "pair-state", string(make([]byte, 2*valueThreshold)))
	logs, err := filepath.Glob(filepath.Join(dir, dbDir, "*"+valueLog))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	f, err := os.OpenFile(logs[0], os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(make([]byte, valueThreshold), valueThreshold)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), []byte("pair-state"))
	if !errors.Is(err, vault.ErrCorrupt) || !strings.Contains(err.Error(), `"pair-state"`) {
		t.Errorf("get: %v", err)
	}
	if text := said.String(); !strings.Contains(text, "upair-state") || strings.Contains(text, "[117 112") {
		t.Errorf("in the log: %s", text)
	}
}

// Goal: the checks before Badger opens anything tell what Badger would allocate gigabytes for, or end the process at. Method: each
// damage by itself, in a copy of a crashed store; what the check says of it.
func TestTableDamage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	put(t, s, "a", string(make([]byte, 2*valueThreshold)))
	crashed := copyDir(t, dir)
	last := func(pattern string) string {
		paths, err := filepath.Glob(filepath.Join(crashed, dbDir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		return paths[len(paths)-1]
	}
	again := filepath.Join(copyDir(t, dir), dbDir, "KEYREGISTRY")
	for what, at := range map[string]struct {
		path  string
		check func() error
		off   int64
		bytes []byte
		cut   int64
	}{
		"key registry": {path: last("KEYREGISTRY"), off: 28, bytes: []byte{0x7f},
			check: func() error { return checkRegistry(last("KEYREGISTRY")) }},
		"key in the registry": {path: again, off: 48, bytes: []byte("\xff\xff\xff\xff"),
			check: func() error { return checkRegistry(again) }},
		"write-ahead log": {path: last("*" + aheadLog), off: logHeaderLen + 2, bytes: []byte{0xff, 0xff, 0xff, 0xff, 0x0f},
			check: func() error { return checkLogs(filepath.Join(crashed, dbDir), aheadLog) }},
		"value log": {path: last("*" + valueLog), off: logHeaderLen + 3, bytes: []byte{0xff, 0xff, 0xff, 0xff, 0x0f},
			check: func() error { return checkLogs(filepath.Join(crashed, dbDir), valueLog) }},
		"discard": {path: last("DISCARD"), cut: 16, check: func() error { return checkDiscard(filepath.Join(crashed, dbDir)) }},
	} {
		if err := at.check(); err != nil {
			t.Errorf("%s, sound: %v", what, err)
		}
		f, err := os.OpenFile(at.path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if at.cut > 0 {
			err = f.Truncate(at.cut)
		} else {
			_, err = f.WriteAt(at.bytes, at.off)
		}
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := at.check(); err == nil {
			t.Errorf("%s: not told", what)
		}
	}
	if err := checkSum([]byte("x"), []byte{0x08, 0x07}); err == nil {
		t.Error("a checksum of an unknown kind passed")
	}
}
