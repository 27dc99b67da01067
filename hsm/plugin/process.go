package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is a running child. It is the runner.Runner of go-plugin, which talks with it over stdout until the handshake.
type process struct {
	cmd                    *exec.Cmd
	config                 Config
	life                   *os.File // the child reads its end as stdin; it closes when we end, however we do
	stdout, stderr         *os.File
	childIn, childOut, err *os.File // the child's ends, until it runs

	gone chan struct{} // closed once it is dead and waited for
	died string        // how, in words; after gone

	mu    sync.Mutex
	pid   int  // 0 before it runs
	ended bool // its number may be another's by now
	ours  bool // we ended it
	cause string
}

func newProcess(cmd *exec.Cmd, c Config) (p *process, err error) {
	p = &process{cmd: cmd, config: c, gone: make(chan struct{})}
	for _, pipe := range [][2]**os.File{{&p.childIn, &p.life}, {&p.stdout, &p.childOut}, {&p.stderr, &p.err}} {
		if *pipe[0], *pipe[1], err = os.Pipe(); err != nil {
			p.closePipes()
			return nil, err
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.childIn, p.childOut, p.err
	return p, nil
}

func (p *process) closePipes() {
	for _, f := range []*os.File{p.childIn, p.childOut, p.err, p.life, p.stdout, p.stderr} {
		_ = f.Close() // nil is fine
	}
}

// Start starts the child from a thread that lives as long as the child, and dies with it: the kernel sends a child its death
// signal when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG), and the fence that prepare puts up is the thread's.
func (p *process) Start(context.Context) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := prepare(p.config)
		if err == nil {
			err = p.cmd.Start()
		}
		for _, f := range []*os.File{p.childIn, p.childOut, p.err} {
			_ = f.Close()
		}
		if err != nil {
			p.died = "it did not start"
			close(p.gone)
			p.closePipes()
			started <- err
			return
		}
		p.mu.Lock()
		p.pid = p.cmd.Process.Pid
		p.mu.Unlock()
		started <- nil
		awaitExit(p.pid)
		p.signal() // what it started itself must not outlive it, and hold the token
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		err = p.cmd.Wait()
		p.died = exitWords(p.cmd.ProcessState, err)
		_ = p.life.Close()
		// What it wrote is in the pipes already; the deadline is for a pipe that someone else holds open.
		_ = p.stdout.SetReadDeadline(time.Now().Add(time.Second))
		_ = p.stderr.SetReadDeadline(time.Now().Add(time.Second))
		close(p.gone)
	}()
	return <-started
}

// exitWords are how a process ended.
func exitWords(s *os.ProcessState, err error) string {
	var exit *exec.ExitError
	switch {
	case s != nil && (err == nil || errors.As(err, &exit)):
		return s.String()
	case err != nil:
		return err.Error()
	}
	return "unknown"
}

// signal kills all of the child's process group. A process that has ended but not been waited for keeps its number.
func (p *process) signal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 && !p.ended {
		killGroup(p.pid)
	}
}

// blame keeps the first cause of an end of our making.
func (p *process) blame(cause string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ours && !p.ended {
		p.ours, p.cause = true, cause
	}
}

// kill ends the child at once. It does not wait.
func (p *process) kill(cause string) {
	p.blame(cause)
	p.signal()
}

// end closes the child's stdin, which asks it to close its tokens and go, and kills it where it does not.
func (p *process) end(patience time.Duration) {
	p.blame("")
	_ = p.life.Close()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		p.signal()
		<-p.gone
	}
}

// why says how it came to its end; after gone.
func (p *process) why() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause != "" {
		return p.cause
	}
	return p.died
}

// asked tells that it ended since we wanted it to, for no fault of its own; after gone.
func (p *process) asked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ours && p.cause == ""
}

func (p *process) dead() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// Wait waits for the end of the child.
func (p *process) Wait(context.Context) error {
	<-p.gone
	return nil
}

// Kill ends the child.
func (p *process) Kill(context.Context) error {
	p.kill("")
	return nil
}

// Stdout is where go-plugin reads the handshake.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr is nothing: we read the child's stderr ourselves (relay).
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the path of the program.
func (p *process) Name() string { return p.cmd.Path }

// ID is the number of the process.
func (p *process) ID() string { return strconv.Itoa(p.number()) }

func (p *process) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Diagnose adds nothing to an error.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost lets through the address of a local socket, and no other.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("the driver listens on %s, not on a local socket", clean(network, nameMax))
	}
	return network, address, nil
}

// HostToPlugin changes nothing.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
