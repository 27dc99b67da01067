package child_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/parts/child"
)

// TestMain starts a child and hangs where a test runs this binary for it.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST") == "" {
		os.Exit(m.Run())
	}
	p, err := child.Start(exec.Command("sleep", "600"))
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(p.PID()) + "\n")
	select {}
}

// Goal: a child ends with its parent, also when that is killed. Method: a parent of our own that tells its child's number; kill it.
func TestDiesWithParent(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_TEST=1")
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !alive(pid) {
		t.Fatalf("child %q, %v", line, err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for range 1000 {
		if !alive(pid) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the child lives on")
}

// alive tells whether a process runs; one that is dead and waits for its parent does not.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil || syscall.Kill(pid, 0) != nil {
		return false
	}
	return !strings.Contains(string(b), ") Z ")
}

// Goal: a process that ends, or is never ready, is told with what it said; one that will not end is killed. Method: three shells.
func TestAwaitAndStop(t *testing.T) {
	p, err := child.Start(exec.Command("sh", "-c", "echo out of memory; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Await(10*time.Second, func() bool { return false }); err == nil || !strings.Contains(err.Error(), "it ended") ||
		!strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v", err)
	}
	p.Stop()
	p, err = child.Start(exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Await(10*time.Millisecond, func() bool { return false }); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("got %v", err)
	}
	p.Stop()
	p.Stop()
	if _, err := child.Start(exec.Command("/nonexistent")); err == nil {
		t.Error("nothing was started")
	}
	(*child.Process)(nil).Stop()
}
