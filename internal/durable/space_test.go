package durable

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fullDisk is a disk with room for a number of bytes, and one that cannot sync while it is stuck.
type fullDisk struct {
	File
	left  *int
	stuck *bool
}

func (f fullDisk) Write(b []byte) (int, error) {
	if len(b) <= *f.left {
		*f.left -= len(b)
		return f.File.Write(b)
	}
	n, _ := f.File.Write(b[:*f.left])
	*f.left = 0
	return n, syscall.ENOSPC
}

func (f fullDisk) Sync() error {
	if *f.stuck {
		return syscall.EIO
	}
	return f.File.Sync()
}

// Goal: a log heals when a full disk has space again, without being opened anew, and holds exactly what was acknowledged. Method: a disk
// that has room for each number of bytes of a frame, one that fails to sync what it wrote, and one that fails to sync what was taken back;
// then space; what is read at once and after reopening.
func TestLogHeals(t *testing.T) {
	for room := range 60 {
		left, stuck := 1<<20, false
		path := filepath.Join(t.TempDir(), "log")
		l := open(t, path, LogConfig{Hook: func(f File) File { return fullDisk{f, &left, &stuck} }})
		add := func(s string) error { _, err := l.Append(t.Context(), []byte(s)); return err }
		if err := add("first"); err != nil {
			t.Fatal(err)
		}
		left = room
		if err := add("a record that does not fit on the disk"); !IsFull(err) {
			if room > 36 && err == nil {
				continue // it did fit
			}
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		stuck = true
		if err := add("x"); !errors.Is(err, ErrBroken) || l.Writable() == nil {
			t.Fatalf("nothing could be taken back: %v", err)
		}
		stuck, left = false, 1<<20
		if err := l.Writable(); err != nil {
			t.Fatalf("space again: %v", err)
		}
		stuck = true
		if err := add("written, not synced"); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		stuck = false
		if err := add("second"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := fmt.Sprint(contents(t, l)); got != "[first second]" {
				t.Fatalf("room for %d bytes: %s", room, got)
			}
			l.Close()
			l = open(t, path, LogConfig{})
		}
	}
}

// Goal: a disk is called full while there is still room for what is under way, and who reads it learns which disk. Method: a little less
// than is needed, and just as much.
func TestRoom(t *testing.T) {
	r := Room{Dir: t.TempDir(), Least: 5 << 20, Free: func(string) (int64, error) { return 5<<20 - 1, nil }}
	if err := r.Check(); !errors.Is(err, ErrFull) || !IsFull(err) || !strings.Contains(err.Error(), r.Dir) ||
		!strings.Contains(err.Error(), "4 MiB are left, 5 needed") {
		t.Errorf("%v", err)
	}
	r.Free = func(string) (int64, error) { return 5 << 20, nil }
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	r.Free = nil
	if err := (Room{Dir: r.Dir, Least: 1}).Check(); err != nil {
		t.Error(err)
	}
	if err := (Room{Dir: r.Dir, Least: 1 << 62}).Check(); !errors.Is(err, ErrFull) || errors.Is(err, ErrInodes) {
		t.Errorf("%v", err)
	}
	r = Room{Dir: r.Dir, Files: 9, Inodes: func(string) (int64, error) { return 8, nil }}
	if err := r.Check(); !errors.Is(err, ErrInodes) || !IsFull(err) || !strings.Contains(err.Error(), "free inodes on the disk of "+
		r.Dir+": 8 are left, 9 needed") {
		t.Errorf("%v", err)
	}
	if err := (Room{Dir: r.Dir, Files: 1}).Check(); err != nil {
		t.Errorf("%v", err)
	}
}
