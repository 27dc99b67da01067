package plugin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"

	"github.com/luxfi/mpcd/hsm"
)

// prefix begins the names of drivers of others.
const prefix = "mpcd-hsm-"

// pluginName is what may follow the prefix.
var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// External is the driver of plugin:<name>: the executable mpcd-hsm-<name> in the directory, in a process of its own, one for each
// name. Command of the configuration is not read.
//
// The directory and all above it, and the executable, must belong to root or to us, and be writable by nobody else; the executable
// must be a file, not a symbolic link, and a program, not a script. The very file that was checked is started. ErrUnavailable says
// what is wrong; ErrURI for a name that cannot be one.
func External(dir string, c Config) hsm.OpenFunc {
	var mu sync.Mutex
	hosts := map[string]*host{}
	return func(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
		if !pluginName.MatchString(u.Path) {
			return nil, fmt.Errorf("hsm plugin: %w: plugin:%s: a name has small letters, digits and dashes", hsm.ErrURI, clean(u.Path, 64))
		}
		cmd := executable(dir, u.Path)
		if _, release, err := cmd(); err != nil { // before anything is started, and for a name that is none
			return nil, unavailable("%w", err)
		} else {
			release()
		}
		mu.Lock()
		h := hosts[u.Path]
		if h == nil {
			h = newHost(c, cmd)
			hosts[u.Path] = h
		}
		mu.Unlock()
		return h.open(ctx, u, o)
	}
}

// executable checks the program at every start, and starts what it has checked: by its open file, not by its name.
func executable(dir, name string) command {
	return func() (*exec.Cmd, func(), error) {
		path := filepath.Join(dir, prefix+name)
		if err := checkDirectory(dir); err != nil {
			return nil, nil, err
		}
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("driver %s: %w (a symbolic link is refused)", name, err)
		}
		if err := checkProgram(f, path); err != nil {
			_ = f.Close()
			return nil, nil, err
		}
		cmd := exec.Command(openPath(f))
		cmd.Args = []string{path}
		return cmd, func() { _ = f.Close() }, nil
	}
}

// checkDirectory refuses a directory in which, or above which, others could exchange things.
func checkDirectory(dir string) error {
	if !filepath.IsAbs(dir) || dir != filepath.Clean(dir) {
		return fmt.Errorf("the directory of drivers %q is not an absolute, plain path", dir)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if real != dir {
		return fmt.Errorf("the directory of drivers %s leads over a symbolic link; write %s", dir, real)
	}
	for at := dir; ; at = filepath.Dir(at) {
		st, err := os.Lstat(at)
		if err != nil {
			return err
		}
		sticky := at != dir && st.Mode()&os.ModeSticky != 0 // such as /tmp: others cannot exchange what is ours
		if err := checkOwner(st, at, sticky); err != nil {
			return err
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func checkProgram(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o100 == 0 {
		return fmt.Errorf("%s is not an executable file", path)
	}
	if err := checkOwner(st, path, false); err != nil {
		return err
	}
	head := make([]byte, 2)
	if _, err := f.ReadAt(head, 0); err != nil || string(head) == "#!" {
		return fmt.Errorf("%s is a script or empty; a driver is a program", path)
	}
	return nil
}

// checkOwner refuses what belongs to another user, or what others may write.
func checkOwner(st os.FileInfo, path string, sticky bool) error {
	if s, ok := st.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d; chown root %s", path, s.Uid, path)
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 && !sticky {
		return fmt.Errorf("%s has mode %04o, others may change it; chmod go-w %s", path, perm, path)
	}
	return nil
}
