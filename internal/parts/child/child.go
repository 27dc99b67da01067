// Package child starts processes that end with this one, however it ends: the real parts that tests, benchmarks and the demo stand on.
package child

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// stopWait is how long a process may take to end when asked, before it is killed.
const stopWait = 3 * time.Second

// logMax is how much of what a process writes is kept, in bytes.
const logMax = 1 << 16

// starter starts all processes from one thread that never ends: the kernel sends a child its death signal when the thread that
// started it ends (prctl(2), PR_SET_PDEATHSIG).
var starter struct {
	once sync.Once
	jobs chan func()
}

// Process is a running child.
type Process struct {
	cmd  *exec.Cmd
	log  *log
	gone chan struct{} // closed when it is reaped
}

// Start starts cmd. What it writes is kept for Log; cmd.Stdout and cmd.Stderr are taken.
func Start(cmd *exec.Cmd) (*Process, error) {
	starter.once.Do(func() {
		starter.jobs = make(chan func())
		go func() {
			runtime.LockOSThread()
			for job := range starter.jobs {
				job()
			}
		}()
	})
	p := &Process{cmd: cmd, log: &log{}, gone: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = stopWait // what it started may hold its output open
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	starter.jobs <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait()
	}()
	return p, nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the process wrote.
func (p *Process) Log() string { return p.log.String() }

// Await asks ready every few milliseconds until it says yes. It fails when the process ends or wait is over, with what it wrote.
func (p *Process) Await(wait time.Duration, ready func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(wait)
	for !ready() {
		var err error
		select {
		case <-tick.C:
			continue
		case <-p.gone:
			err = errors.New("it ended")
		case <-late:
			err = fmt.Errorf("it is not ready after %v", wait)
		}
		return fmt.Errorf("%s: %w: %s", filepath.Base(p.cmd.Path), err, p.Log())
	}
	return nil
}

// Stop ends the process: it is asked, then killed. It is idempotent, and does nothing on nil.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(stopWait):
		p.Kill()
	}
}

// Kill ends the process at once, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// log is the beginning of what a process writes.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p[:min(len(p), max(0, logMax-l.b.Len()))])
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
