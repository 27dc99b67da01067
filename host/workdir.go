package host

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/softhsm"
)

// workDir is a directory for what must not outlive the process: sockets of driver processes, SoftHSM's configuration. It is locked while
// we live, so that whoever comes next knows those of the killed, and takes them away; nor does systemd-tmpfiles clean what is locked.
type workDir struct {
	path string
	held *os.File
}

// workName is what such directories are called, and nothing else of anybody's.
var workName = regexp.MustCompile(`^\.mpcd-[0-9a-f]{8}$`)

// socketRoom is what the name of a driver's socket takes below a workDir, of the 107 bytes that the path of a socket may have.
const socketRoom = len("/.mpcd-01234567/plugin-dir0123456789/plugin0123456789")

// workParent is the directory that systemd made for the service, or the one for temporary files.
func workParent() string {
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	return os.TempDir()
}

// NoTemporary has the failure to make a directory for what does not stay name what says where.
func NoTemporary(err error) error {
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	return fault.Usage("set TMPDIR, or in a service RuntimeDirectory=, to a directory that this user may write",
		"there is no place for temporary files: %w", err)
}

// newWorkDir makes one, and removes those of processes that were killed.
func newWorkDir() (*workDir, error) {
	parent, err := filepath.Abs(workParent())
	if err != nil {
		return nil, err
	}
	if len(parent)+socketRoom > 107 {
		return nil, fault.Usage("set TMPDIR to a directory with a shorter name", "%s: the sockets of driver processes would have too long names",
			parent)
	}
	removeStale(parent)
	for {
		var id [4]byte
		_, _ = rand.Read(id[:])
		path := filepath.Join(parent, ".mpcd-"+hex.EncodeToString(id[:]))
		if err := os.Mkdir(path, 0o711); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return nil, NoTemporary(err)
		}
		held, err := lockDir(path, unix.LOCK_EX)
		if errors.Is(err, os.ErrNotExist) {
			continue // another process took it for that of a killed one before it was locked
		}
		if err == nil {
			err = os.Chmod(path, 0o711) // a driver that runs as another user passes through; a umask may forbid it
		}
		return &workDir{path, held}, err
	}
}

// lockDir locks a directory that is there, by us made.
func lockDir(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), how); err == nil {
		var mine, there os.FileInfo
		if mine, err = f.Stat(); err == nil {
			there, err = os.Lstat(path)
		}
		if err == nil && (!os.SameFile(mine, there) || mine.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid())) {
			err = os.ErrNotExist
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// removeStale removes what processes of this user left that were killed. What cannot be removed is left to the next.
func removeStale(parent string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if !e.IsDir() || !workName.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		if held, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			_ = os.RemoveAll(path)
			_ = held.Close()
		}
	}
}

// Close removes the directory.
func (w *workDir) Close() error {
	defer w.held.Close()
	return os.RemoveAll(w.path)
}

// softConf is the configuration file that SoftHSM is told of; where that in the configuration is one of a token that was moved since it was
// made, one for the place where the token is now.
func (w *workDir) softConf(conf string) (string, error) {
	if _, err := os.Stat(conf); err != nil {
		return "", fault.Usage("correct hsm.softhsm_conf: without that file SoftHSM finds no token", "hsm.softhsm_conf: %w", err)
	}
	text, err := softhsm.MovedConf(conf)
	if text != nil {
		conf = filepath.Join(w.path, filepath.Base(conf))
		err = os.WriteFile(conf, text, 0o644) // a driver may run as another user; there is no secret in it
	}
	return conf, err
}
