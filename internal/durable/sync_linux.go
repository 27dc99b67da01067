package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData flushes data and what is needed to read it back (the size), not the timestamps: fdatasync(2).
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
		return nil
	}
}
