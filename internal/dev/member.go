package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// member is a node process of a dev cluster.
type member struct {
	id   string
	api  string // host:port
	dir  string
	args []string
	logs bool

	mu      sync.Mutex
	cmd     *exec.Cmd
	done    chan struct{}
	killed  bool // we ended it
	lastPID int
	lastErr error
}

func (m *member) url() string { return "http://" + m.api }

func (m *member) logPath() string { return filepath.Join(m.dir, "mpcd.log") }

func (m *member) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastPID
}

// family starts processes that do not outlive this one. The kernel sends a child its death signal when the thread that started it
// ends (prctl(2), PR_SET_PDEATHSIG), so one goroutine, on a thread of its own, starts them all.
type family struct {
	program string
	jobs    chan func()
	ended   chan *member // processes that ended unasked
}

func newFamily() (*family, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &family{program: program, jobs: make(chan func()), ended: make(chan *member, 64)}
	go func() {
		runtime.LockOSThread()
		for job := range f.jobs {
			job()
		}
	}()
	return f, nil
}

// start starts the member's process.
func (f *family) start(m *member) error {
	log, err := os.OpenFile(m.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(f.program, m.args...)
	cmd.Stdout, cmd.Stderr = log, log
	if m.logs {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	cmd.Env = nodeEnvironment()
	cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	f.jobs <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", m.id, err)
	}
	done := make(chan struct{})
	m.mu.Lock()
	m.cmd, m.done, m.killed, m.lastPID = cmd, done, false, cmd.Process.Pid
	m.mu.Unlock()
	go func() {
		err := cmd.Wait()
		m.mu.Lock()
		m.lastErr = err
		unasked := !m.killed
		m.mu.Unlock()
		close(done)
		if unasked {
			f.ended <- m
		}
	}()
	return nil
}

// nodeEnvironment is ours without what configures nodes: a dev node's configuration is its file and flags alone.
func nodeEnvironment() []string {
	var out []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		foreign := strings.HasPrefix(name, "MPCD_") || name == "NOTIFY_SOCKET"
		for _, s := range host.Settings {
			for _, n := range s.Env {
				foreign = foreign || n == name
			}
		}
		if !foreign {
			out = append(out, e)
		}
	}
	return out
}

// stop sends a signal to the member and waits until it is gone; after the patience, SIGKILL.
func (m *member) stop(signal syscall.Signal, patience time.Duration) {
	m.mu.Lock()
	cmd, done := m.cmd, m.done
	m.killed = true
	m.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(signal)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		_ = cmd.Process.Kill()
		<-done
	}
}

// end stops all, together.
func (f *family) end(members []*member) {
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() { m.stop(syscall.SIGTERM, 5*time.Second) })
	}
	wg.Wait()
	close(f.jobs)
}

// waitReady polls the member until it can serve a signature. It fails when the process ends, with the end of its log.
func (m *member) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, host.BootTimeout)
	defer cancel()
	m.mu.Lock()
	done := m.done
	m.mu.Unlock()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !m.answers(ctx) {
		select {
		case <-done:
			return m.failed()
		case <-ctx.Done():
			return fmt.Errorf("%s does not get ready: %w\n%s", m.id, ctx.Err(), m.tail())
		case <-tick.C:
		}
	}
	return nil
}

// failed is the error of a process that ended during its boot: its exit code is ours.
func (m *member) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	code := fault.CodeFailed
	var e *exec.ExitError
	if errors.As(m.lastErr, &e) && e.ExitCode() > 0 {
		code = fault.Code(e.ExitCode())
	}
	return &fault.Error{Code: code, Err: fmt.Errorf("%s did not start: %s", m.id, m.tail()), Do: "see " + m.logPath()}
}

func (m *member) answers(ctx context.Context) bool {
	h, err := client.New(client.Config{Nodes: []string{m.url()}, Attempts: 1}).Health(ctx)
	return err == nil && h.Ready
}

// tail is the end of the member's log.
func (m *member) tail() string {
	b, err := os.ReadFile(m.logPath())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], "\n")
}
