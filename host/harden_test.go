package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kernelSays sums a field of /proc/self/smaps, in KiB.
func kernelSays(t *testing.T, field string) (sum int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// Goal: the memory of a process that holds secrets is locked, the heap that it maps later too, and what it says of that is so; also where
// it may not lock any. Method: this test once more as a process of its own, which hardens itself, fills 256 MiB and asks the kernel what it
// holds locked; with the capability, if we have it, and without, under a limit.
func TestHardened(t *testing.T) {
	if os.Getenv("MPCD_TEST_HARDENED") != "" {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if err := Harden(); err != nil {
			t.Fatal(err)
		}
		later := bytes.Repeat([]byte{1}, 256<<20)
		locked := kernelSays(t, "Locked") > kernelSays(t, "Pss")*9/10
		detail, _ := guarded()
		fmt.Printf("%v %v %s\n", capable(unix.CAP_IPC_LOCK), locked, detail)
		later[len(later)-1]++
		return
	}
	commands := [][]string{{os.Args[0], "-test.run=^TestHardened$"}}
	if capable(unix.CAP_IPC_LOCK) {
		commands = append(commands, append([]string{"setpriv", "--inh-caps=-ipc_lock", "--bounding-set=-ipc_lock"}, commands[0]...))
	}
	for _, command := range commands {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "MPCD_TEST_HARDENED=1")
		out, err := cmd.CombinedOutput()
		said, _, _ := strings.Cut(string(out), "\n")
		may, rest, _ := strings.Cut(said, " ")
		locked, detail, _ := strings.Cut(rest, " ")
		if err != nil || locked != may || strings.HasPrefix(detail, "memory is locked; ") != (may == "true") ||
			!strings.HasSuffix(detail, "; no core dumps") {
			t.Errorf("%v: %v: %s", command[0], err, out)
		}
	}
}

// Goal: swap is found where there is some, and where nobody can tell. Method: lists as proc(5) gives them.
func TestSwapOf(t *testing.T) {
	const heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	dir := t.TempDir()
	for name, c := range map[string]struct {
		list     string
		swapping bool
	}{
		"none": {heading, false},
		"one":  {heading + "/dev/sda2                               partition\t999420\t\t0\t\t-2\n", true},
		"zram": {heading + "/dev/zram0\tpartition\t1\t0\t100\n/swap\tfile\t1\t0\t-2\n", true},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(c.list), 0o600); err != nil {
			t.Fatal(err)
		}
		if detail, swapping := swapOf(file); swapping != c.swapping || strings.Contains(detail, "no swap") == swapping {
			t.Errorf("%s: %q, %v", name, detail, swapping)
		}
	}
	if detail, swapping := swapOf(filepath.Join(dir, "gone")); !swapping || !strings.Contains(detail, "not known") {
		t.Errorf("no list: %q, %v", detail, swapping)
	}
}

// Goal: a process that we have at work ends with us, however we end. Method: this test once more as a process of its own, which is killed
// while it runs one that would go on; its end closes what it writes to.
func TestRunWithUs(t *testing.T) {
	if os.Getenv("MPCD_TEST_WITH_US") != "" {
		cmd := exec.Command("sh", "-c", "echo begun; exec sleep 1000")
		cmd.Stdout = os.Stdout
		t.Fatal(runWithUs(cmd))
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRunWithUs$")
	cmd.Env = append(os.Environ(), "MPCD_TEST_WITH_US=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("it goes on: %v", err)
	}
}
