package sim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Clock is the real-time clock of processes: that of the machine, and off by what the test says, while they run too. No kernel has such a
// clock for one process, and Go reads its own without a call that could be intercepted; so these run the program as it is with time.Now
// changed, of the Go installation that builds it.
type Clock struct {
	tb      testing.TB
	program string
	file    string // 8 bytes, the seconds
}

// What is changed of package time, and what is put beside it. The linker sets which file says by how much the clock is off, so that
// nothing is compiled anew for another.
const (
	clockRead  = "sec, nsec, mono := runtimeNow()\n"
	clockFile  = "sim_clock.go"
	clockAdded = `package time

import (
	"syscall"
	"unsafe"
)

var simFile string

// simOff is by how many seconds the clock is off, in a file that is mapped.
var simOff = func() *int64 {
	fd, err := syscall.Open(simFile, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}()
`
)

// NewClock builds the program with such a clock, which is right at first. Process.Clock puts it into a process.
func NewClock(tb testing.TB) *Clock {
	tb.Helper()
	dir := tb.TempDir()
	c := &Clock{tb, filepath.Join(dir, "mpcd"), filepath.Join(dir, "off")}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		tb.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time")
	was, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		tb.Fatal(err)
	}
	if n := bytes.Count(was, []byte(clockRead)); n != 1 {
		tb.Fatalf("sim: %d lines %q in %s/time.go, 1 wanted: see where this Go reads the clock, and correct clockRead", n, clockRead, source)
	}
	now := bytes.Replace(was, []byte(clockRead), []byte(clockRead+"sec += *simOff\n"), 1)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(source, "time.go"): filepath.Join(dir, "time.go"), filepath.Join(source, clockFile): filepath.Join(dir, clockFile)}})
	if err != nil {
		tb.Fatal(err)
	}
	for name, b := range map[string][]byte{"time.go": now, clockFile: []byte(clockAdded), "overlay.json": overlay, "off": make([]byte, 8)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-X time.simFile="+c.file,
		"-o", c.program, "github.com/luxfi/mpcd/cmd/mpcd").CombinedOutput(); err != nil {
		tb.Fatalf("build mpcd with a clock that is off: %v\n%s", err, out)
	}
	return c
}

// Token is one for the API as `mpcd token` makes it for whoever holds the operator's key, issued by this clock.
func (c *Clock) Token(of *Processes) string {
	c.tb.Helper()
	cmd := exec.CommandContext(c.tb.Context(), c.program, tokenArgs(of.Dir)...)
	cmd.Env = environment(nil)
	out, err := cmd.Output()
	if err != nil {
		c.tb.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Off sets the clock ahead by d, whole seconds, or behind where it is negative, of processes that run too.
func (c *Clock) Off(d time.Duration) {
	c.tb.Helper()
	f, err := os.OpenFile(c.file, os.O_WRONLY, 0)
	if err != nil {
		c.tb.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(d/time.Second))), 0); err != nil {
		c.tb.Fatal(err)
	}
}
