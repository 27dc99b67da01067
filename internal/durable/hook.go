package durable

import "os"

// File is what this package needs of a file it writes.
type File interface {
	Write(b []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Hook stands between this package and the files it writes. Nil changes nothing; crash tests cut the power here.
type Hook func(File) File

func (h Hook) wrap(f *os.File) File {
	if h == nil {
		return osFile{f}
	}
	return h(osFile{f})
}

// osFile syncs data and size, not timestamps.
type osFile struct{ *os.File }

func (f osFile) Sync() error { return syncData(f.File) }
