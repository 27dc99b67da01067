package durable

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// ErrFull: there is too little space on the disk for another write. Nothing was written; it may succeed once there is space again.
var ErrFull = errors.New("no space on the disk")

// ErrInodes: too few files may still be made on the disk, whatever space it has. It is ErrFull, too.
var ErrInodes = fmt.Errorf("no inodes on the disk: %w", ErrFull)

// IsFull tells whether a write failed for want of space: of the disk, or of a quota.
func IsFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Room is what must be left on a disk before anything more is written there: a disk that is full in the middle of a write is worse than
// one that is called full a little early. The zero Free and Inodes ask the file system.
type Room struct {
	Dir    string // a directory on the disk
	Least  int64  // bytes that must be free
	Files  int64  // files that it must be possible to make
	Free   func(dir string) (int64, error)
	Inodes func(dir string) (int64, error)
}

// Check returns ErrFull if there is less room, ErrInodes if it is for fewer files, and names the directory.
func (r Room) Check() error {
	free, inodes := r.Free, r.Inodes
	if free == nil {
		free = freeSpace
	}
	if inodes == nil {
		inodes = freeInodes
	}
	n, err := free(r.Dir)
	if err != nil {
		return fmt.Errorf("durable: free space: %w", err)
	}
	if n < r.Least {
		return fmt.Errorf("durable: free space on the disk of %s: %d MiB are left, %d needed: %w", r.dir(), n>>20, (r.Least+1<<20-1)>>20,
			ErrFull)
	}
	if n, err = inodes(r.Dir); err != nil {
		return fmt.Errorf("durable: free inodes: %w", err)
	}
	if n < r.Files {
		return fmt.Errorf("durable: free inodes on the disk of %s: %d are left, %d needed: %w", r.dir(), n, r.Files, ErrInodes)
	}
	return nil
}

// dir is the directory as it is told.
func (r Room) dir() string {
	if dir, err := filepath.Abs(r.Dir); err == nil {
		return dir
	}
	return r.Dir
}

// FreeSpace is what this process may still write on the disk of dir, in bytes.
func FreeSpace(dir string) (int64, error) { return freeSpace(dir) }
