package plugin

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
)

// readable is what every driver may read: libraries, programs, what describes the machine, and the configuration of what drivers
// stand on. The rest of /etc may hold keys of the node.
var readable = []string{
	"/usr", "/lib", "/lib64", "/lib32", "/bin", "/opt", "/sys", "/proc/self", "/proc/sys", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime", "/etc/machine-id",
	"/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/passwd", "/etc/group",
	"/etc/ssl", "/etc/pki", "/etc/softhsm", "/etc/pkcs11", "/etc/opensc", "/etc/tpm2-tss", "/etc/dbus-1", "/etc/crypto-policies",
	"/run/p11-kit", "/run/dbus", "/run/pcscd",
}

// writable is what every driver may write.
var writable = []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}

// tpms are the devices that tpm2-pkcs11 works with, for a child whose environment configures it and for no other: they may hold keys
// that are not its own.
var tpms = []string{"/dev/tpm0", "/dev/tpmrm0"}

// needs are the environment and the fence of the next child, by the configuration and by what the URIs of the open tokens name.
func (h *host) needs() ([]string, Sandbox) {
	env, fence := h.wants()
	fence.Read, fence.Write = slices.Concat(readable, fence.Read), slices.Concat(writable, fence.Write)
	return env, fence
}

// wants are needs without what every driver is given.
func (h *host) wants() ([]string, Sandbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fence := h.config.Sandbox
	fence.Read, fence.Write = slices.Clone(fence.Read), slices.Clone(fence.Write)
	for t := range h.tokens {
		fence.Read = append(fence.Read, pathsOf(t.uri)...)
	}
	env := grantEnviron(h.config.Env)
	for _, name := range []string{"SOFTHSM2_CONF", "SOFTHSM2_MODULE"} {
		if path := lookUp(env, name); path != "" {
			fence.Read = append(fence.Read, path, resolved(path))
		}
	}
	fence.Write = append(fence.Write, tokenDirectories(env)...)
	if slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, "TPM2_PKCS11_") }) {
		fence.Write = append(fence.Write, tpms...)
	}
	return env, fence
}

// file tells a file from another in its place; the zero value is of none.
type file struct{ device, inode uint64 }

// state is which files are there of those that the tokens want. A child is given leave to files, not to names: to those that are there
// when it begins.
func (h *host) state() map[string]file {
	_, fence := h.wants()
	out := map[string]file{}
	for _, path := range slices.Concat(fence.Read, fence.Write) {
		out[path] = file{}
		if st, err := os.Stat(path); err == nil {
			if s, ok := st.Sys().(*syscall.Stat_t); ok {
				out[path] = file{uint64(s.Dev), s.Ino}
			}
		}
	}
	return out
}

// outdated tells that the child has no leave to all that is there now.
func (h *host) outdated(c *child) bool { return !maps.Equal(c.given, h.state()) }

// away adds to the error of a token what it wants and is not there.
func (h *host) away(err error) error {
	var missing []string
	for path, f := range h.state() {
		if f == (file{}) {
			missing = append(missing, path)
		}
	}
	if missing == nil || isPINError(err) {
		return err
	}
	slices.Sort(missing)
	return fmt.Errorf("%w; away: %s", err, strings.Join(missing, ", "))
}

// What must be left on the disks of a child: SoftHSM writes its token anew at each login, without a copy, so that a disk that is full then
// leaves no token; and the child has its socket in Dir.
const (
	roomLeast  = 4 << 20 // bytes
	filesLeast = 16
)

// room returns durable.ErrFull where less is left on the disk of one of the directories; "" is none, and nor is one that is away.
func (h *host) room(dirs []string) error {
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			continue // what needs it says so
		}
		if err := (durable.Room{Dir: dir, Least: roomLeast, Files: filesLeast, Free: h.config.Free}).Check(); err != nil {
			return err
		}
	}
	return nil
}

// lookUp finds a variable in an environment.
func lookUp(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// pathsOf are the module and the PIN file of a URI, under the names by which they are asked for and by which they are found.
func pathsOf(u *hsm.URI) []string {
	var out []string
	for _, path := range []string{u.Attr("module-path"), pinFile(u.Attr("pin-source"))} {
		if path != "" {
			out = append(out, path, resolved(path))
		}
	}
	if strings.HasPrefix(u.Path, "/") { // local:/path
		out = append(out, u.Path)
	}
	return out
}

// tokenDirectories are where SoftHSM and tpm2-pkcs11 keep their tokens, by their own configuration.
func tokenDirectories(env []string) []string {
	var out []string
	if store := lookUp(env, "TPM2_PKCS11_STORE"); store != "" {
		out = append(out, store)
	}
	conf := lookUp(env, "SOFTHSM2_CONF")
	if conf == "" {
		return out
	}
	b, err := os.ReadFile(conf)
	if err != nil {
		return out // the library will say so better
	}
	for _, line := range strings.Split(string(b), "\n") {
		name, value, ok := strings.Cut(line, "=")
		if dir := strings.TrimSpace(value); ok && strings.TrimSpace(name) == "directories.tokendir" && filepath.IsAbs(dir) {
			out = append(out, dir)
		}
	}
	return out
}
