package hsm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/luxfi/mpcd/internal/secret"
)

// maxSecretFile is the longest PIN or password that is read, in bytes.
const maxSecretFile = 4096

// ReadPIN reads what the pin-source attribute points at, into memory that the caller wipes:
//
//	file:/path   a regular file that only its owner may read, or, if that is root or the node's user, a group of the process's too
//	cred:name    a file in $CREDENTIALS_DIRECTORY (systemd, LoadCredential=)
//	env:NAME     an environment variable
//
// One newline at the end is dropped. A source that is absent, unreadable, empty or of several lines is ErrPINSource (ErrURI
// where the form is wrong): there is no login with an empty PIN.
func ReadPIN(source string) (*secret.Bytes, error) {
	kind, name, _ := strings.Cut(source, ":")
	var b []byte
	var err error
	switch {
	case source == "":
		return nil, fmt.Errorf("hsm: %w: no pin-source; add ?pin-source=file:/path, cred:name or env:NAME", ErrURI)
	case kind == "file" && filepath.IsAbs(name):
		b, err = readSecretFile(name, 0o077)
	case kind == "cred":
		b, err = readCredential(name)
	case kind == "env" && name != "":
		v, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("hsm: %w: env:%s: the variable is not set", ErrPINSource, name)
		}
		b = []byte(v)
	default:
		return nil, fmt.Errorf("hsm: %w: pin-source must be file:/absolute/path, cred:name or env:NAME", ErrURI)
	}
	if err != nil {
		return nil, fmt.Errorf("hsm: pin-source: %w: %w", ErrPINSource, err)
	}
	line := oneLine(b)
	if len(line) == 0 || bytes.ContainsFunc(line, noPIN) {
		secret.Wipe(b)
		return nil, fmt.Errorf("hsm: %w: %s is empty, has several lines, or a byte order mark or control characters; it must hold the PIN alone",
			ErrPINSource, source)
	}
	pin := secret.From(line)
	secret.Wipe(b)
	return pin, nil
}

// noPIN tells what an editor may leave in a file and nobody types: it is refused before a try at the PIN is burnt for it.
func noPIN(r rune) bool { return unicode.IsControl(r) || r == '\ufeff' }

// readCredential reads a credential that systemd gave the service (systemd.exec(5), CREDENTIALS).
func readCredential(name string) ([]byte, error) {
	if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
		return nil, fmt.Errorf("%w: cred:%s: the name of a credential is not a path", ErrURI, clip(name))
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, fmt.Errorf("cred:%s: $CREDENTIALS_DIRECTORY is not set; start the node as a systemd unit with LoadCredential=%s:/path", name,
			name)
	}
	// systemd grants the service its credentials by an ACL, whose mask shows up as group bits.
	return readSecretFile(filepath.Join(dir, name), 0o007)
}

func oneLine(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// readSecretFile reads a regular file none of whose forbidden mode bits is set; mode 0440 is as good as 0400 where owner and group are such
// as Kubernetes makes them (sharedWithUs). The mode is asked of the open file, so that it cannot be exchanged between the check and the
// reading.
func readSecretFile(path string, forbidden os.FileMode) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not to hang on a pipe
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if perm := st.Mode().Perm(); perm&forbidden != 0 && !(perm == 0o440 && sharedWithUs(st)) {
		return nil, fmt.Errorf("%s has mode %04o, others may read or change it; chmod 600 %s", path, perm, path)
	}
	b := make([]byte, maxSecretFile+1) // at once, since growing would leave copies
	n, err := io.ReadFull(f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return b[:n], nil
	}
	secret.Wipe(b)
	if err == nil {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxSecretFile)
	}
	return nil, err
}

// sharedWithUs tells whether a file is its owner's, who is root or who we are, and a group's that this process is in: the secret of a pod
// with fsGroup, which root mounts with mode 0440. Whoever else is in that group is let in by who set it.
func sharedWithUs(st os.FileInfo) bool {
	owner, ok := st.Sys().(*syscall.Stat_t)
	groups, err := os.Getgroups()
	return ok && err == nil && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid()) &&
		(int(owner.Gid) == os.Getegid() || slices.Contains(groups, int(owner.Gid)))
}
