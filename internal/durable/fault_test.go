package durable

import (
	"errors"
	"sync"
)

// errCut is what a faulty reports once the power is gone.
var errCut = errors.New("durable: power cut (fault injected)")

// faulty cuts the power after a number of bytes: the write in progress is torn there, and every later write and sync of the
// files it watches fails.
type faulty struct {
	mu   sync.Mutex
	left int64
	cut  bool
}

// cutAfter returns a faulty that lets n bytes through.
func cutAfter(n int64) *faulty { return &faulty{left: n} }

// Hook is given to a LogConfig.
func (f *faulty) Hook(file File) File { return &faultyFile{File: file, power: f} }

// Cut tells whether the power is gone.
func (f *faulty) Cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

type faultyFile struct {
	File
	power *faulty
}

func (f *faultyFile) Write(b []byte) (int, error) {
	f.power.mu.Lock()
	defer f.power.mu.Unlock()
	if f.power.cut {
		return 0, errCut
	}
	if int64(len(b)) <= f.power.left {
		f.power.left -= int64(len(b))
		return f.File.Write(b)
	}
	n, _ := f.File.Write(b[:f.power.left])
	f.power.left, f.power.cut = 0, true
	return n, errCut
}

func (f *faultyFile) Truncate(size int64) error {
	if f.power.Cut() {
		return errCut
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if f.power.Cut() {
		return errCut
	}
	return f.File.Sync()
}
