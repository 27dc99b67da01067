package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// ErrMoved: a path does not lead any more to what was opened there. What is written by its name would go elsewhere than what is written to
// open files, and neither place would hold the whole.
var ErrMoved = errors.New("it was moved or replaced since it was opened")

// Held is a file or directory that must stay where it is. It is kept open, so that no other gets its number.
type Held struct {
	path string
	file *os.File
}

// Hold opens what is at path, for nothing but to know it again.
func Hold(path string) (*Held, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("durable: %w", err)
	}
	return &Held{path, f}, nil
}

// Check returns ErrMoved if the path leads to something else now, or to nothing.
func (h *Held) Check() error {
	was, err := h.file.Stat()
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	is, err := stat(h.path)
	if err == nil && !os.SameFile(was, is) {
		err = fmt.Errorf("durable: %s: %w", h.path, ErrMoved)
	}
	return err
}

// Present returns ErrMoved if a file is not there, whichever it is by now: one that its owner replaces is another each time.
func Present(paths ...string) error {
	for _, path := range paths {
		if _, err := stat(path); err != nil {
			return err
		}
	}
	return nil
}

func stat(path string) (os.FileInfo, error) {
	is, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("durable: %w: %w", err, ErrMoved)
	case err != nil:
		return nil, fmt.Errorf("durable: %w", err)
	}
	return is, nil
}

// Path leads to what is held wherever it has been moved to, and never to what took its place (proc_pid_fd(5)). Where a system has no such
// paths it is the one that was held.
func (h *Held) Path() (string, error) {
	if runtime.GOOS != "linux" {
		return h.path, nil
	}
	path := fmt.Sprintf("/proc/self/fd/%d", h.file.Fd())
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("durable: hold %s: is /proc mounted? %w", h.path, err)
	}
	return path, nil
}

// Close lets go of it. A Held of nil holds nothing.
func (h *Held) Close() error {
	if h == nil {
		return nil
	}
	return h.file.Close()
}
