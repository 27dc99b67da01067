package durable

import "sync"

// Failure is why its owner does nothing any more; the zero value is none yet. It is safe for concurrent use.
type Failure struct {
	mu   sync.Mutex
	err  error
	done chan struct{}
}

// Set gives the reason. The first stays.
func (f *Failure) Set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = err
	if f.done == nil {
		f.done = make(chan struct{})
	}
	close(f.done)
}

// Err is the reason, nil for none.
func (f *Failure) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Done is closed when there is a reason.
func (f *Failure) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
	}
	return f.done
}
