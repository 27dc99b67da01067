package durable

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace is what this process may still write on the disk of dir, in bytes.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// freeInodes is how many files may still be made on the disk of dir. File systems that make inodes as they need them say that they
// have none.
func freeInodes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if s.Files == 0 || s.Ffree > math.MaxInt64 {
		return math.MaxInt64, nil
	}
	return int64(s.Ffree), nil
}

// Allocate gives the whole of a file its place on the disk, so that who has mapped it can write to every byte: a page that finds no place
// then ends the process (SIGBUS). A file system that cannot is passed over.
func Allocate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	for {
		err = unix.Fallocate(int(f.Fd()), 0, 0, st.Size())
		if err != unix.EINTR {
			break
		}
	}
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return &os.PathError{Op: "fallocate", Path: path, Err: err}
}
