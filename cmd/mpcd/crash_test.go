package main

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Goal: a node that crashes is told by its exit status from one whose configuration is wrong, and says where each goroutine was, without a
// word of its memory, which may be part of a secret. Method: a running node crashes in the Go runtime, which SIGQUIT asks for; the status
// its parent sees, and what it printed.
func TestCrashHasAStatusOfItsOwn(t *testing.T) {
	c := startCluster(t, "--nodes", "2", "--threshold", "2", "--hsm", "local")
	n := c.Nodes[1]
	if err := syscall.Kill(c.pids[n.ID], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for alive(c.pids[n.ID]) {
		time.Sleep(time.Millisecond)
	}
	cmd, printed := exec.Command(n.Command[0], n.Command[1:]...), &bytes.Buffer{}
	cmd.Stderr = printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var err error
	go func() { err = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	if err := c.waitReady(n, done); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-done
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if s := exit.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGABRT || s.CoreDump() {
		t.Errorf("the crash ended with %v", err)
	}
	if s := printed.String(); !strings.Contains(s, "goroutine 1 ") || !strings.Contains(s, ".start(") {
		t.Errorf("the crash is told as %.2000s", s)
	}
	if leaks := regexp.MustCompile(`(^|[^+])0x[0-9a-f]+`).FindAllString(printed.String(), 5); leaks != nil {
		t.Errorf("words of its memory: %q", leaks)
	}
}
