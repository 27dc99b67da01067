package secret

import (
	"os"

	"golang.org/x/sys/unix"
)

// alloc maps whole pages, so that a lock and an exclusion from core dumps touch nothing else.
func alloc(n int) ([]byte, bool) {
	if n < 0 {
		panic("secret: negative length")
	}
	page := os.Getpagesize()
	size := (max(n, 1) + page - 1) / page * page
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic("secret: no memory: " + err.Error())
	}
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	_ = unix.Madvise(b, unix.MADV_WIPEONFORK)
	return b, unix.Mlock(b) == nil
}

func release(b []byte, locked bool) {
	if locked {
		_ = unix.Munlock(b)
	}
	_ = unix.Munmap(b)
}
