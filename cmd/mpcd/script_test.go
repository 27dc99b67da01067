package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// scriptCommands are what the scripts have beside the built-in commands:
//
//	exits CODE mpcd ARGS...       runs mpcd and expects the exit code; stdout and stderr are there for what follows
//	dev NAME ARGS...              starts `mpcd dev -o json ARGS...`, waits until it is ready; its line is in NAME.json
//	node NAME CONFIG ARGS...      starts `mpcd start`, waits until /livez answers
//	quit NAME [SIGNAL]            sends the signal (INT) to what was started as NAME and waits: it must end with 0
//	slay NAME                     kills what was started as NAME and waits
//	json FILE PATH VAR            puts the value at a.b.0.c into a variable
//	kill9 PID                     kills a process and waits until it is gone
//	gone PID...                   waits until the processes are gone
//	until 'REGEXP' mpcd ARGS...   repeats a command until its stdout matches
//	mode OCTAL FILE               checks a file's mode
//	ports N VAR                   puts the first of N consecutive free ports into VAR, the next ones into VAR1, VAR2 …
//	document FILE                 runs the commands of a document
//	fill TEMPLATE FILE @A=B ...   writes a file with words replaced
//	host URL VAR                  puts host:port of a URL into a variable
//	alter FILE                    flips a bit in the middle of a file
//	row NAME COMMAND...           provokes a failure and holds it against its row of docs/ERRORS.md
//	page BROWSER BUTTON CODE mpcd ARGS...  runs a command, presses a button of its page, and expects the exit code; its stdout is in page.out
//	swtpm VAR ROOTS               starts a TPM of its own, puts its URI into a variable, and the certificates of its maker into a file
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits": scriptExits,
	"dev":   scriptDev,
	"node":  scriptNode,
	"quit":  scriptQuit,
	"hup":   scriptHup,
	"slay":  scriptSlay,
	"json":  scriptJSON,
	"kill9": scriptKill,
	"gone":  scriptGone,
	"until": scriptUntil,
	"mode":  scriptMode,
	"ports": scriptPorts,
	"host":  scriptHost,

	"document": scriptDocument,
	"fill":     scriptFill,
	"alter":    scriptAlter,
	"swtpm":    scriptTPM,
	"row":      scriptRow,
	"page":     scriptPage,
}

// patience is how long a script waits for something that should be there in a moment.
const patience = 60 * time.Second

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("usage: exits CODE command...")
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d\n%s", got, want, ts.ReadFile("stderr"))
	}
}

// scriptProcess is a process that runs beside the script.
type scriptProcess struct {
	cmd  *exec.Cmd
	log  *processLog
	done chan error
}

// processLog is what a process says on stderr, read while it runs.
type processLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *processLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *processLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// scriptProcesses are the running processes by script and name; scripts run in parallel.
var scriptProcesses sync.Map

// begin starts mpcd beside the script; it is killed at the script's end if it is still there.
func begin(ts *testscript.TestScript, name string, args []string) (*scriptProcess, *bufio.Reader) {
	path, err := exec.LookPath("mpcd")
	ts.Check(err)
	p := &scriptProcess{cmd: exec.Command(path, args...), log: &processLog{}, done: make(chan error, 1)}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR"), "NO_COLOR=1"}
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	scriptProcesses.Store(ts.Name()+" "+name, p)
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		select {
		case <-p.done:
		case <-time.After(patience):
		}
	})
	return p, bufio.NewReaderSize(out, 1<<20)
}

func scriptDev(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	p, out := begin(ts, name, append([]string{"dev", "-o", "json", "--listen", "127.0.0.1:0"}, args[1:]...))
	line, err := out.ReadBytes('\n')
	if err != nil {
		err = p.cmd.Wait()
		p.done <- err
		ts.Fatalf("dev did not get ready: %v\n%s", err, p.log)
	}
	go func() { p.done <- p.cmd.Wait() }()
	ts.Logf("%s", p.log)
	ts.Check(os.WriteFile(ts.MkAbs(name+".json"), line, 0o600))
}

func scriptNode(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	p, out := begin(ts, name, append([]string{"start", "--log-format", "json", "--config", args[1]}, args[2:]...))
	_ = out
	go func() { p.done <- p.cmd.Wait() }()
	vs := host.Defaults()
	ts.Check(vs.File(ts.MkAbs(args[1])))
	conf, err := host.Parse(vs)
	ts.Check(err)
	r := remote{api: "https://" + conf.Listen, ca: conf.NATS.CA, timeout: time.Second}
	for end := time.Now().Add(patience); ; {
		c, _, err := r.client()
		ts.Check(err)
		if _, err := c.Health(context.Background()); err == nil {
			return
		}
		select {
		case err := <-p.done:
			p.done <- err
			ts.Fatalf("%s ended: %v\n%s", name, err, p.log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not answer\n%s", name, p.log)
		}
	}
}

// scriptHup sends SIGHUP, which ends nothing: what follows in the script tells.
func scriptHup(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(started(ts, args[0]).cmd.Process.Signal(syscall.SIGHUP))
}

// started is what a script started under a name.
func started(ts *testscript.TestScript, name string) *scriptProcess {
	v, ok := scriptProcesses.Load(ts.Name() + " " + name)
	if !ok {
		ts.Fatalf("nothing was started as %s", name)
	}
	return v.(*scriptProcess)
}

func scriptSlay(ts *testscript.TestScript, _ bool, args []string) {
	p := started(ts, args[0])
	ts.Check(p.cmd.Process.Kill())
	p.done <- <-p.done
}

func scriptQuit(ts *testscript.TestScript, _ bool, args []string) {
	signal := syscall.SIGINT
	if len(args) > 1 && args[1] == "TERM" {
		signal = syscall.SIGTERM
	}
	p := started(ts, args[0])
	ts.Check(p.cmd.Process.Signal(signal))
	select {
	case err := <-p.done:
		p.done <- err
		ts.Logf("%s", p.log)
		if err != nil {
			ts.Fatalf("%s ended with %v", args[0], err)
		}
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
}

func scriptJSON(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for _, step := range strings.Split(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("%s: no item %s", args[1], step)
			}
			v = x[i]
		default:
			v = nil
		}
	}
	if v == nil {
		ts.Fatalf("%s: nothing at %s", args[0], args[1])
	}
	text := fmt.Sprint(v)
	if n, ok := v.(float64); ok {
		text = strconv.FormatFloat(n, 'f', -1, 64)
	}
	ts.Setenv(args[2], text)
}

// alive tells whether any thread of the process is left: the first of them may be a zombie while others still hold its files.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return !strings.HasPrefix(rest, "Z") || len(threads) > 1
}

func scriptKill(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	scriptGone(ts, false, args)
}

func scriptGone(ts *testscript.TestScript, _ bool, args []string) {
	for _, arg := range args {
		pid, err := strconv.Atoi(arg)
		ts.Check(err)
		for end := time.Now().Add(patience); alive(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				ts.Fatalf("process %d is still there", pid)
			}
		}
	}
}

func scriptUntil(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...)
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("stdout never matched %s", args[0])
		}
	}
}

func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	st, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", st.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

func scriptAlter(ts *testscript.TestScript, _ bool, args []string) {
	matches, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(matches) != 1 {
		ts.Fatalf("%d files match %s", len(matches), args[0])
	}
	b, err := os.ReadFile(matches[0])
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(matches[0], b, 0o600))
}

// taken are the ports given out, so that scripts that run in parallel do not get the same.
var taken sync.Map

func scriptPorts(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range 100 {
		if first, ok := consecutive(n); ok {
			ts.Setenv(args[1], strconv.Itoa(first))
			for i := 1; i < n; i++ {
				ts.Setenv(args[1]+strconv.Itoa(i), strconv.Itoa(first+i))
			}
			return
		}
	}
	ts.Fatalf("no %d free ports in a row", n)
}

// consecutive looks for n free ports in a row, below those that the system gives out by itself.
func consecutive(n int) (int, bool) {
	first := 20000 + rand.IntN(12000)
	for port := first; port < first+n; port++ {
		if _, is := taken.LoadOrStore(port, true); is {
			return 0, false
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return 0, false
		}
		_ = l.Close()
	}
	return first, true
}

func scriptHost(ts *testscript.TestScript, _ bool, args []string) {
	u, err := url.Parse(args[0])
	ts.Check(err)
	ts.Setenv(args[1], u.Host)
}

func scriptFill(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, pair := range args[2:] {
		word, by, _ := strings.Cut(pair, "=")
		text = strings.ReplaceAll(text, word, by)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// scriptTPM starts a TPM; it is stopped at the script's end.
func scriptTPM(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := os.MkdirTemp("", "tpm") // the script's own directory is too long for a socket's path
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	tpm, err := swtpm.StartNew(dir)
	ts.Check(err)
	ts.Defer(func() { _ = tpm.Stop() })
	ts.Setenv(args[0], tpm.URI())
	cas, err := swtpm.CA()
	ts.Check(err)
	var text []byte
	for _, c := range cas {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}
