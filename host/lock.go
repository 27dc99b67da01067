package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Lock takes the node's data directory, and with it the token, for this process. It makes no directory, for that may be a place where
// nothing is mounted, and takes none of another format. The error wraps durable.ErrLocked where another process has it. Closing lets go.
func Lock(c Config) (io.Closer, error) {
	if _, err := os.Stat(c.DataDir); err != nil {
		return nil, fault.Usage("check data_dir and that its disk is mounted; on a new host run `mpcd node enroll` first", "%w", err)
	}
	if err := checkFormat(c); err != nil {
		return nil, err
	}
	l, err := durable.LockFile(filepath.Join(c.DataDir, "LOCK"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, &fault.Error{Code: fault.CodeUsage, Err: fmt.Errorf("node %s is running on %s: %w", c.Node, c.DataDir, err),
			Do: "stop it first, or ask it through its API"}
	}
	return l, err
}

// LockTokens is Lock for who wants the token alone: where there is no data directory yet, no node can be running on it.
func LockTokens(c Config) (io.Closer, error) {
	if _, err := os.Stat(c.DataDir); errors.Is(err, os.ErrNotExist) {
		return &closers{}, nil
	}
	return Lock(c)
}

// afterPredecessor tries again, for a second, what a process that was just killed may still hold: its address, its lock.
func afterPredecessor(try func() error, held func(error) bool) error {
	err := try()
	for end := time.Now().Add(time.Second); err != nil && held(err) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		err = try()
	}
	return err
}

// closers are what was opened; Close closes them, the last first.
type closers []io.Closer

// keep adds c, if it was opened.
func (cs *closers) keep(c io.Closer, err error) error {
	if err == nil {
		*cs = append(*cs, c)
	}
	return err
}

// Close closes all, whatever fails.
func (cs *closers) Close() error {
	var errs []error
	for i := len(*cs) - 1; i >= 0; i-- {
		errs = append(errs, (*cs)[i].Close())
	}
	*cs = nil
	return errors.Join(errs...)
}
