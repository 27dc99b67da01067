package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/internal/durable"
)

// Goal: a flush or a compaction that is under way when the data directory is replaced by a copy writes nothing into the copy, and both
// open with all that was acknowledged. Method: past the check of the place, as what is under way is, Badger is made to fill a write-ahead
// log, to flush and to compact, while a copy stands where the directory was; the copy has the files that it had, byte for byte.
func TestMovedWhileFlushing(t *testing.T) {
	root := t.TempDir()
	path, aside := filepath.Join(root, "data"), filepath.Join(root, "aside")
	s := mustOpen(t, filepath.Join(path, "store"))
	for i := range 40 {
		put(t, s, fmt.Sprint(i), string(make([]byte, 1000)))
	}
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(path, os.DirFS(aside)); err != nil {
		t.Fatal(err)
	}
	before, first := contentsOf(t, path), s.allocated[0]
	for i := range 8000 {
		err := s.db.Update(func(txn *badger.Txn) error {
			return txn.Set(userKey(fmt.Append(nil, i)), encodeValue(make([]byte, 1000)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.db.Flatten(1), s.db.DropPrefix(userKey([]byte("7"))), s.allocate()); err != nil {
		t.Fatal(err)
	}
	if after := contentsOf(t, path); !maps.Equal(before, after) {
		t.Errorf("the copy had %d files, and has %d now, or others", len(before), len(after))
	}
	if made, _ := filepath.Glob(filepath.Join(aside, "store", dbDir, "*.sst")); len(made) == 0 {
		t.Error("no table was made: the test tests nothing")
	}
	if _, err := os.Stat(filepath.Join(aside, "store", dbDir, filepath.Base(s.allocated[0]))); err != nil || s.allocated[0] == first {
		t.Errorf("the log that has its place: %s after %s, %v", s.allocated[0], first, err)
	}
	if err := s.Close(); !errors.Is(err, durable.ErrMoved) {
		t.Errorf("closed: %v", err)
	}
	for dir, kept := range map[string]string{path: "7", aside: "39"} {
		s := mustOpen(t, copyDir(t, filepath.Join(dir, "store"))) // Badger is left open, as by a process that was killed
		if _, err := s.Get(t.Context(), []byte(kept)); err != nil {
			t.Error(err)
		}
	}
}

// contentsOf are the files below a directory, and what is in them.
func contentsOf(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Goal: what Badger says of a file names it as the operator knows it. Method: errors and words with the path that the store has.
func TestNamed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	path := filepath.Join(dir, dbDir, "00001.mem")
	err := error(placed{&fs.PathError{Op: "write", Path: s.files + "/00001.mem", Err: syscall.ENOSPC}, s})
	if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), s.files+"/") || !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	var out bytes.Buffer
	l := badgerLogger{to: slog.New(slog.NewTextHandler(&out, nil)), named: s.named}
	l.Warningf("flush of %s", s.files+"/00001.mem")
	l.Errorf("flush of %s", s.files+"/00001.mem")
	if strings.Count(out.String(), path) != 2 {
		t.Error(out.String())
	}
	s.fail(errors.New("flush of " + s.files + "/00001.mem"))
	if got := s.Writable(); !strings.Contains(got.Error(), path) {
		t.Error(got)
	}
}
