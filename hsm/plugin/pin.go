package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/luxfi/mpcd/hsm"
)

// attemptsMax is how many tokens may have refused a PIN; then none is tried any more.
const attemptsMax = 256

// spent remembers, for the life of the process, the tokens for which a PIN was refused, or tried without an outcome. A child
// forgets when it ends, so the node remembers: a token locks itself after a few wrong PINs.
var spent struct {
	mu   sync.Mutex
	list []attempt
}

type attempt struct {
	uri     *hsm.URI
	changed string // identity of a token that refused a PIN which it had accepted; else ""
	err     error
}

// spend remembers that the PIN of the URI must not be tried again, and why. A token that refuses what it had accepted is named, since then
// no PIN that it had accepted is worth a try, whatever URI it belongs to.
func spend(u *hsm.URI, changed string, err error) {
	spent.mu.Lock()
	defer spent.mu.Unlock()
	if len(spent.list) < attemptsMax {
		spent.list = append(spent.list, attempt{u, changed, err})
	}
}

// spentBefore is an error where a PIN must not be tried: for any URI that may mean a token that was tried before.
func spentBefore(u *hsm.URI) error {
	if u.Attr("pin-source") == "" {
		return nil
	}
	spent.mu.Lock()
	defer spent.mu.Unlock()
	if len(spent.list) >= attemptsMax {
		return fmt.Errorf("hsm plugin: %w: %d tokens refused their PIN; correct the pin-sources and restart the process",
			hsm.ErrWrongPIN, attemptsMax)
	}
	for _, a := range spent.list {
		if mayMeanSame(a.uri, u) {
			return a.again()
		}
	}
	return nil
}

// changedSince is an error where the token refused a PIN that it had accepted.
func changedSince(identity string) error {
	spent.mu.Lock()
	defer spent.mu.Unlock()
	for _, a := range spent.list {
		if identity != "" && a.changed == identity {
			return a.again()
		}
	}
	return nil
}

func (a attempt) again() error {
	return fmt.Errorf("%w; so the token was not asked again: correct the pin-source and restart the process", a.err)
}

// selecting are the attributes that choose a token. pin-source and object do not.
var selecting = []string{"token", "serial", "manufacturer", "model", "module-path", "handle", "device"}

// mayMeanSame tells whether two URIs may choose the same token: no attribute that both have says otherwise.
func mayMeanSame(a, b *hsm.URI) bool {
	library := func(scheme string) string { return strings.Replace(scheme, "softhsm", "pkcs11", 1) }
	if library(a.Scheme) != library(b.Scheme) || a.Path != b.Path {
		return false
	}
	for _, name := range selecting {
		x, y := a.Attr(name), b.Attr(name)
		if name == "module-path" {
			x, y = resolved(x), resolved(y)
		}
		if x != "" && y != "" && x != y {
			return false
		}
	}
	return true
}

// resolved is the path without symbolic links, as far as it can be told.
func resolved(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil && path != "" { // which would become "."
		return r
	}
	return path
}

// errNoOutcome is the end of a first login that nobody can tell.
var errNoOutcome = fmt.Errorf("hsm plugin: %w: the driver process did not answer while the PIN was tried for the first time",
	hsm.ErrUnavailable)

// pinFile is the file that a pin-source names; "" if it names none.
func pinFile(source string) string {
	kind, name, _ := strings.Cut(source, ":")
	switch kind {
	case "file":
		return name
	case "cred":
		if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
			return filepath.Join(dir, filepath.Base(name))
		}
	}
	return ""
}

// pinMark tells two states of a pin-source apart, without the PIN: a PIN that was accepted counts as right for as long as the file
// that it came from is the same.
func pinMark(source string) string {
	path := pinFile(source)
	if path == "" {
		return source
	}
	st, err := os.Stat(path)
	if err != nil {
		return ""
	}
	mark := fmt.Sprintf("%s %d %d", source, st.Size(), st.ModTime().UnixNano())
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		mark += fmt.Sprintf(" %d %d", s.Dev, s.Ino)
	}
	return mark
}

// handsOver tells whether the node reads the PIN for the child: where the child cannot read it.
func (c Config) handsOver(source string, fence Sandbox) bool {
	path := pinFile(source)
	return path == "" || c.UID != 0 || !slices.Contains(fence.Read, path)
}

func isPINError(err error) bool {
	return errors.Is(err, hsm.ErrWrongPIN) || errors.Is(err, hsm.ErrPINLocked)
}
