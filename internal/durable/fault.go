package durable

import (
	"errors"
	"os"
	"sync"
)

// File is what this package needs of a file it writes.
type File interface {
	Write(b []byte) (int, error)
	Sync() error
	Close() error
}

// Hook stands between this package and the files it writes. Nil changes nothing; crash tests give Faulty.Hook.
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

// ErrCut is what a Faulty reports once the power is gone.
var ErrCut = errors.New("durable: power cut (fault injected)")

// Faulty cuts the power after a number of bytes: the write in progress is torn there, and every later write and sync of the
// files it watches fails. For crash tests only.
type Faulty struct {
	mu   sync.Mutex
	left int64
	cut  bool
}

// CutAfter returns a Faulty that lets n bytes through.
func CutAfter(n int64) *Faulty { return &Faulty{left: n} }

// Hook is given to a LogConfig.
func (f *Faulty) Hook(file File) File { return &faultyFile{File: file, power: f} }

// Cut tells whether the power is gone.
func (f *Faulty) Cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

type faultyFile struct {
	File
	power *Faulty
}

func (f *faultyFile) Write(b []byte) (int, error) {
	f.power.mu.Lock()
	defer f.power.mu.Unlock()
	if f.power.cut {
		return 0, ErrCut
	}
	if int64(len(b)) <= f.power.left {
		f.power.left -= int64(len(b))
		return f.File.Write(b)
	}
	n, _ := f.File.Write(b[:f.power.left])
	f.power.left, f.power.cut = 0, true
	return n, ErrCut
}

func (f *faultyFile) Sync() error {
	if f.power.Cut() {
		return ErrCut
	}
	return f.File.Sync()
}
