package plugin

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	lockcall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// filesMax is the most files that a driver process may have open.
const filesMax = 1024

// capabilities are what a child of root keeps: to use files of tokens that belong to others, and to lock memory.
var capabilities = []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_IPC_LOCK}

// prepare runs in the node, on the thread that is about to start a child and has no other use: what it gives up, the child never
// has, whatever program it is. Credentials are changed after this and before the program starts, so set-ID calls stay possible.
func prepare(c Config) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if !keeps(capability) {
			// Refused where we are not root: then the child gets none either.
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		}
	}
	err := filter(outer(c.Sandbox), 0)
	if errors.Is(err, errNoSeccomp) {
		return nil // the child tells
	}
	return err
}

func keeps(capability uintptr) bool {
	for _, k := range capabilities {
		if k == capability {
			return true
		}
	}
	return false
}

// harden is what a driver process does to itself before anything else. It returns what is in force.
func harden() ([]string, error) {
	if err := closeInherited(); err != nil {
		return nil, err
	}
	unix.Umask(0o077)
	for _, l := range []struct {
		which int
		value uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, filesMax}} {
		var has unix.Rlimit
		err := unix.Getrlimit(l.which, &has)
		if most := min(l.value, has.Max); err == nil { // more than it has nobody may take
			err = unix.Setrlimit(l.which, &unix.Rlimit{Cur: most, Max: most})
		}
		if err != nil {
			return nil, fmt.Errorf("hsm plugin: limit resources: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("hsm plugin: make the process undumpable: %w", err)
	}
	return []string{"undumpable", "no core dumps"}, nil
}

// closeInherited closes files that came through execve: those without the flag close-on-exec. All of Go's own have it.
func closeInherited() error {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("hsm plugin: list open files: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("hsm plugin: list open files: %w", err)
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// fenceIn puts up the fence for all threads, and returns what is in force and what is missing. It fails only where a piece that the
// kernel has cannot be put up.
func fenceIn(b Sandbox) ([]string, error) {
	var report []string
	told, missing, err := landlocked(b)
	if err != nil {
		return nil, fmt.Errorf("hsm plugin: landlock: %w", err)
	}
	report = append(report, told...)
	err = filter(inner(b, os.Getpid()), unix.SECCOMP_FILTER_FLAG_TSYNC)
	if err != nil && !errors.Is(err, errNoSeccomp) {
		return nil, fmt.Errorf("hsm plugin: %w", err)
	}
	report = append(report, inForce()...)
	for _, m := range []string{missing, words(err)} {
		if m != "" {
			report = append(report, m)
		}
	}
	return report, nil
}

// landlocked puts up what landlock has: a fence in the file system, and one that no signal leaves, in whatever way it is sent.
func landlocked(b Sandbox) (report []string, missing string, err error) {
	abi := landlockABI()
	if abi == 0 {
		return nil, "no landlock: the kernel has none, or it is switched off", nil
	}
	report = []string{fmt.Sprintf("landlock (ABI %d)", abi)}
	var scope landlock.ScopedSet
	if scopesSignals(abi) {
		scope = lockcall.ScopeSignal
		report = append(report, "no signals to others")
	}
	c := landlock.MustConfig(landlock.V7.HandledAccessFS, scope)
	return report, "", c.BestEffort().Restrict(rules(b)...)
}

// scopesSignals tells whether the kernel can keep signals in (ABI 6), and was cured of taking the threads of one process for
// strangers, who then could not interrupt each other as the Go runtime does (erratum 2 of landlock, LANDLOCK_CREATE_RULESET_ERRATA).
func scopesSignals(abi int) bool {
	const threads = 1 << (2 - 1)
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	return abi >= 6 && errno == 0 && v&threads != 0
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return "no seccomp: " + err.Error()
}

func rules(b Sandbox) []landlock.Rule {
	var out []landlock.Rule
	for _, list := range []struct {
		paths       []string
		dirs, files func(...string) landlock.FSRule
	}{{b.Read, landlock.RODirs, landlock.ROFiles}, {b.Write, landlock.RWDirs, landlock.RWFiles}} {
		for _, path := range list.paths {
			st, err := os.Stat(path)
			switch {
			case err != nil: // what is not there needs no leave
			case st.IsDir():
				out = append(out, list.dirs(path).WithResolveUnix())
			default:
				out = append(out, list.files(path))
			}
		}
	}
	return out
}

// landlockABI asks the kernel for its version of landlock, 0 for none (landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION).
func landlockABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// inForce reads what is in force from the kernel, not from what was asked for (proc_pid_status(5)).
func inForce() []string {
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return []string{"unknown: " + err.Error()}
	}
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "NoNewPrivs" && value == "1":
			out = append(out, "no new privileges")
		case name == "Seccomp" && value == "2":
			out = append(out, "seccomp")
		case name == "CapPrm" && strings.Trim(value, "0") == "":
			out = append(out, "no capabilities")
		case name == "CapPrm":
			out = append(out, "capabilities 0x"+strings.TrimLeft(value, "0"))
		case name == "Uid":
			out = append(out, "uid "+strings.Fields(value)[0])
		}
	}
	return out
}
