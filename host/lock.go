package host

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Lock takes the node's data directory, and with it the token, for this process. It makes no directory, for that may be a place where
// nothing is mounted, and takes none of another format, none of another user's as root, and none that has files which this process may not
// read and write. The error wraps durable.ErrLocked where another process has it. Closing lets go.
func Lock(c Config) (io.Closer, error) {
	if _, err := os.Stat(c.DataDir); err != nil {
		return nil, fault.Usage("check data_dir and that its disk is mounted; on a new host run `mpcd node enroll` first", "%w", err)
	}
	if err := checkFormat(c); err != nil {
		return nil, err
	}
	path := filepath.Join(c.DataDir, "LOCK")
	foreign := c.foreign(os.Geteuid())
	if _, err := os.Lstat(path); err != nil && foreign != nil {
		return nil, foreign // it is not made as root, either
	}
	l, err := durable.LockFile(path)
	switch {
	case errors.Is(err, durable.ErrLocked):
		return nil, &fault.Error{Code: fault.CodeUsage, Err: fmt.Errorf("node %s is running on %s: %w", c.Node, c.DataDir, err),
			Do: "stop it first, or ask it through its API"}
	case err != nil:
		return nil, err
	}
	if err := cmp.Or(foreign, c.usable()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// foreign refuses root at a data directory of another user: root can write everything there, and what it makes that user cannot open.
func (c Config) foreign(euid int) error {
	st, err := os.Stat(c.DataDir)
	if err != nil || euid != 0 {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return fault.Usage(fmt.Sprintf("run it as that user: `sudo -u '#%d' mpcd …`, as systemd does by User=", owner.Uid),
		"%s is user %d's, and what root makes in it that user cannot open", c.DataDir, owner.Uid)
}

// usable refuses a node whose files this process may not read and write: the store would call them damaged, and another would be found in
// the middle of the work.
func (c Config) usable() error {
	look := func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			mode := uint32(unix.R_OK | unix.W_OK)
			if d.IsDir() {
				mode |= unix.X_OK
			}
			err = unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
		}
		if errors.Is(err, fs.ErrPermission) {
			return fault.Usage(fmt.Sprintf("give it back to the user who runs the node, `chown -R USER %s`, or `chmod u+rwX` it", path),
				"%s: this process, of user %d, may not read and write it", path, os.Geteuid())
		}
		return nil // what else is wrong the one who opens it says
	}
	err := filepath.WalkDir(c.DataDir, look)
	if err == nil && c.HSM.SoftHSMConf != "" && c.HSM.Plugin.User == "" {
		err = filepath.WalkDir(tokensDir(c.HSM.SoftHSMConf), look)
	}
	return err
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
