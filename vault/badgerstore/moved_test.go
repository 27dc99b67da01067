package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// Goal: while a file is away without which the next start gives the store up, nothing is acknowledged, and why is said; put back, or
// replaced where Badger replaces it itself, the store writes on. Method: each file, and one of its owner's, moved away and back.
func TestFileIsAway(t *testing.T) {
	root := t.TempDir()
	dir, mark := filepath.Join(root, "store"), filepath.Join(root, "FORMAT")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{Dir: dir, Key: testKey(1), Needs: []string{mark, mark + ".never"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	batch := func() error { return s.Batch(t.Context(), []vault.Pair{{Key: []byte("k"), Value: []byte("1")}}, nil) }
	for _, path := range []string{filepath.Join(dir, ackedFile), filepath.Join(dir, markerFile),
		filepath.Join(dir, dbDir, badger.ManifestFilename), filepath.Join(dir, dbDir, badger.KeyRegistryFileName), mark} {
		if err := errors.Join(os.Rename(path, path+".away"), os.WriteFile(path+".copy", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if again, err := Open(Config{Dir: copyDir(t, dir), Key: testKey(1)}); err == nil && path != mark {
			t.Errorf("a start does without %s", filepath.Base(path))
			again.Close()
		}
		for _, err := range []error{batch(), s.Writable()} {
			if !errors.Is(err, durable.ErrMoved) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s is away: %v", filepath.Base(path), err)
			}
		}
		if filepath.Base(path) == ackedFile {
			if err := os.Rename(path+".copy", path); err != nil || !errors.Is(s.Writable(), durable.ErrMoved) {
				t.Errorf("%s is another: %v, %v", filepath.Base(path), err, s.Writable())
			}
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(batch(), s.Writable()); err != nil {
			t.Errorf("%s is back: %v", filepath.Base(path), err)
		}
	}
}

// Goal: a store whose files were replaced by a copy while it is open acknowledges nothing that neither place would have as a whole, and
// both open afterwards. Method: its directory, the one above it, and the one of its database alone, replaced by a copy or taken away:
// writes and erasures are refused and Writable says why; put back, it writes on; replaced again and closed, it writes nothing by name, and
// each place opens with what was acknowledged.
func TestMovedWhileOpen(t *testing.T) {
	for _, what := range []string{"data", "data/store", "data/store/" + dbDir} {
		t.Run(filepath.Base(what), func(t *testing.T) {
			root := t.TempDir()
			path, aside := filepath.Join(root, what), filepath.Join(root, "aside")
			dir := filepath.Join(root, "data/store")
			s := mustOpen(t, dir)
			for i := range 40 {
				put(t, s, fmt.Sprint(i), string(make([]byte, 50_000)))
			}
			refused := func() {
				t.Helper()
				err := s.Batch(t.Context(), []vault.Pair{{Key: []byte("lost"), Value: []byte("1")}}, nil)
				purged := s.Purge(t.Context(), [][]byte{[]byte("none")})
				for _, err := range []error{err, purged, s.Writable()} {
					if !errors.Is(err, durable.ErrMoved) {
						t.Errorf("%v", err)
					}
				}
			}
			move := func(from, to string) {
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
			replace := func() {
				move(path, aside)
				if err := os.CopyFS(path, os.DirFS(aside)); err != nil {
					t.Fatal(err)
				}
			}
			replace()
			refused()
			move(path, filepath.Join(root, "copy"))
			refused()
			move(aside, path)
			put(t, s, "back", "1")
			replace()
			refused()
			if err := s.Close(); !errors.Is(err, durable.ErrMoved) {
				t.Errorf("closed: %v", err)
			}
			for range 2 {
				s := mustOpen(t, copyDir(t, dir)) // Badger is left open, as by a process that was killed
				if _, err := s.Get(t.Context(), []byte("back")); err != nil {
					t.Error(err)
				}
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if err := os.CopyFS(path, os.DirFS(aside)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
