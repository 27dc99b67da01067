package durable

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// ErrFull: there is too little space on the disk for another write. Nothing was written; it may succeed once there is space again.
var ErrFull = errors.New("no space on the disk")

// IsFull tells whether a write failed for want of space: of the disk, or of a quota.
func IsFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Room is what must be left on a disk before anything more is written there: a disk that is full in the middle of a write is worse than
// one that is called full a little early. The zero Free asks the file system.
type Room struct {
	Dir   string // a directory on the disk
	Least int64  // bytes that must be free
	Free  func(dir string) (int64, error)
}

// Check returns ErrFull if there is less room, and names the directory.
func (r Room) Check() error {
	free := r.Free
	if free == nil {
		free = freeSpace
	}
	n, err := free(r.Dir)
	if err != nil {
		return fmt.Errorf("durable: free space: %w", err)
	}
	if n < r.Least {
		dir, err := filepath.Abs(r.Dir)
		if err != nil {
			dir = r.Dir
		}
		return fmt.Errorf("durable: free space on the disk of %s: %d MiB are left, %d needed: %w", dir, n>>20, (r.Least+1<<20-1)>>20, ErrFull)
	}
	return nil
}

// FreeSpace is what this process may still write on the disk of dir, in bytes.
func FreeSpace(dir string) (int64, error) { return freeSpace(dir) }
