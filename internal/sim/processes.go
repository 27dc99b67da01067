package sim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"github.com/luxfi/mpcd/enrol"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// Processes is a cluster of mpcd processes that `mpcd init` made, reached over HTTPS.
type Processes struct {
	TB     testing.TB
	Dir    string
	Nodes  []*Process
	Roster *attest.SignedRoster
	Token  string // for the API, all roles
	HTTP   *http.Client

	initiator *client.Initiator
}

// InitiatorKey is the key file of the cluster's initiator.
func (c *Processes) InitiatorKey() string {
	return filepath.Join(c.Dir, "cluster", enrol.InitiatorFile)
}

// Process is one node.
type Process struct {
	ID     string
	Dir    string // hsm/, data/, tls/, mpcd.yaml
	Config string
	API    string // host:port
	Log    *Buffer
	Env    []string // added to its environment
	Disk   *Disk    // under its files; nil for the machine's own
	Clock  *Clock   // by which Start has it run; nil for the machine's own
	// Program is the mpcd that it runs; "" for that of the tree.
	Program string

	c     *Processes
	flags []string
	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{}
}

// NewProcesses makes a cluster of n nodes with threshold t. Nothing is started.
func NewProcesses(tb testing.TB, n, t int) *Processes {
	tb.Helper()
	return NewProcessesOf(tb, "", n, t)
}

// NewProcessesOf is NewProcesses by an mpcd of its own, which all nodes run.
func NewProcessesOf(tb testing.TB, program string, n, t int) *Processes {
	tb.Helper()
	c := &Processes{TB: tb, Dir: filepath.Join(tb.TempDir(), "cluster")}
	r := runBy(StartChild, tb, commandOf(cmp.Or(program, Program(tb)), tb, nil, "init", "--cluster", ClusterName, "--nodes", fmt.Sprint(n),
		"--threshold", fmt.Sprint(t), "--dir", c.Dir, "--hsm", "softhsm"))
	if r.Code != 0 {
		tb.Fatalf("mpcd init: exit %d\n%s", r.Code, r.Err)
	}
	tok := Run(tb, nil, tokenArgs(c.Dir)...)
	if tok.Code != 0 {
		tb.Fatalf("mpcd token: exit %d\n%s", tok.Code, tok.Err)
	}
	c.Token = strings.TrimSpace(tok.Out)
	var key io.Closer
	var err error
	c.initiator, key, err = client.OpenInitiator("initiator@"+ClusterName, c.InitiatorKey(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = key.Close() })
	ca, err := os.ReadFile(filepath.Join(c.Dir, "cluster", "ca.crt"))
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	c.HTTP = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool,
		MinVersion: tls.VersionTLS13}}}
	tb.Cleanup(c.HTTP.CloseIdleConnections)
	ports := FreePorts(tb, 2*n)
	api, routes := ports[:n], ports[n:]
	for i := range n {
		id := fmt.Sprintf("node%d", i+1)
		p := &Process{ID: id, Dir: filepath.Join(c.Dir, id), API: api[i], Log: &Buffer{}, Program: program, c: c}
		p.Config = filepath.Join(p.Dir, "mpcd.yaml")
		others := append(append([]string(nil), routes[:i]...), routes[i+1:]...)
		p.flags = []string{"--listen", api[i], "--nats-listen", routes[i], "--nats-routes", strings.Join(others, ","), "--log-level", "debug"}
		c.Nodes = append(c.Nodes, p)
		tb.Cleanup(p.Kill)
	}
	if c.Roster, err = attest.LoadRoster(filepath.Join(c.Nodes[0].Dir, "roster.json")); err != nil {
		tb.Fatal(err)
	}
	return c
}

// tokenArgs are the arguments with which mpcd makes a token for the API of a cluster.
func tokenArgs(dir string) []string {
	return []string{"token", "--key", filepath.Join(dir, "cluster", "api-tokens.key"), "--audience", ClusterName}
}

// Enrol enrols nodes anew, with the configuration that they have now: their vaults and identities are new. Nothing may run yet.
func (c *Processes) Enrol(nodes ...*Process) {
	c.TB.Helper()
	for _, p := range nodes {
		if err := os.RemoveAll(filepath.Join(p.Dir, "data")); err != nil {
			c.TB.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(c.Dir, "cluster", "roster.json")); err != nil {
		c.TB.Fatal(err)
	}
	c.SignRoster(c.Nodes...)
}

// SignRoster has nodes tell their keys to the operator, who signs a roster with them, and hands it to all.
func (c *Processes) SignRoster(nodes ...*Process) {
	c.TB.Helper()
	operator := filepath.Join(c.Dir, "cluster")
	args := []string{"node", "roster", "sign", "--evidence", "any", "--dir", operator}
	for _, p := range nodes {
		r := p.Run("node enroll", "--endpoint", "https://"+p.API)
		if r.Code != 0 {
			c.TB.Fatalf("enrol %s: exit %d\n%s", p.ID, r.Code, r.Err)
		}
		file := filepath.Join(p.Dir, "enrolment.json")
		if err := os.WriteFile(file, []byte(r.Out), 0o600); err != nil {
			c.TB.Fatal(err)
		}
		args = append(args, file)
	}
	if r := Run(c.TB, nil, args...); r.Code != 0 {
		c.TB.Fatalf("sign the roster: exit %d\n%s", r.Code, r.Err)
	}
	b, err := os.ReadFile(filepath.Join(operator, "roster.json"))
	if err != nil {
		c.TB.Fatal(err)
	}
	for _, p := range c.Nodes {
		if err := os.WriteFile(filepath.Join(p.Dir, "roster.json"), b, 0o600); err != nil {
			c.TB.Fatal(err)
		}
	}
	if c.Roster, err = attest.LoadRoster(filepath.Join(operator, "roster.json")); err != nil {
		c.TB.Fatal(err)
	}
}

// Start starts all nodes and waits until each can serve a signature.
func (c *Processes) Start() {
	c.TB.Helper()
	for _, p := range c.Nodes {
		p.Start()
	}
	c.WaitReady()
}

// WaitReady returns when every running node sees every other.
func (c *Processes) WaitReady() {
	c.TB.Helper()
	defer func() {
		for _, p := range c.Nodes {
			if c.TB.Failed() {
				c.TB.Logf("%s said last:\n%s", p.ID, p.Tail(20))
			}
		}
	}()
	running := 0
	for _, p := range c.Nodes {
		if p.Running() {
			running++
		}
	}
	for _, p := range c.Nodes {
		if !p.Running() {
			continue
		}
		Wait(c.TB, p.ID+" is ready", func() bool {
			if !p.Running() {
				c.TB.Fatalf("%s ended:\n%s", p.ID, p.Tail(20))
			}
			nodes, err := p.Client().Nodes(c.TB.Context())
			if err != nil {
				return false
			}
			live := 0
			for _, n := range nodes {
				if n.Live {
					live++
				}
			}
			return live >= running && p.ready()
		})
	}
}

// Client asks the named nodes, all if none is named, and goes on to the next where one fails.
func (c *Processes) Client(attempts int, nodes ...*Process) *client.Client {
	if len(nodes) == 0 {
		nodes = c.Nodes
	}
	var urls []string
	for _, p := range nodes {
		urls = append(urls, "https://"+p.API)
	}
	return client.New(client.Config{Nodes: urls, Token: c.Token, HTTPClient: c.HTTP, Attempts: attempts, Initiator: c.initiator})
}

// Client asks this node alone, once.
func (p *Process) Client() *client.Client { return p.c.Client(1, p) }

// Args are the arguments of a command on this node, on its own addresses.
func (p *Process) Args(command string, more ...string) []string {
	return append(append([]string{command, "--config", p.Config}, p.flags...), more...)
}

// Start starts the process. It does not wait.
func (p *Process) Start() {
	tb := p.c.TB
	tb.Helper()
	program := cmp.Or(p.Program, Program(tb))
	if p.Clock != nil {
		program = p.Clock.program
	}
	cmd := exec.Command(program, p.Args("start")...)
	cmd.Stdout, cmd.Stderr, cmd.Env = p.Log, p.Log, environment(p.Env)
	if err := p.starter()(cmd); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.done = cmd, done
}

// Clone is a copy of the node's directory as it is now, which speaks to the same peers from addresses of its own. It is not started.
func (p *Process) Clone() *Process {
	p.c.TB.Helper()
	dir, ports := CopyDir(p.c.TB, p.Dir), FreePorts(p.c.TB, 2)
	for _, name := range []string{"mpcd.yaml", "hsm/softhsm2.conf"} { // that name the directory
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), bytes.ReplaceAll(b, []byte(p.Dir), []byte(dir)), 0o600)
		}
		if err != nil {
			p.c.TB.Fatal(err)
		}
	}
	q := &Process{ID: p.ID, Dir: dir, Config: filepath.Join(dir, "mpcd.yaml"), API: ports[0], Log: &Buffer{}, Env: p.Env,
		Program: p.Program, c: p.c, flags: append([]string(nil), p.flags...)}
	q.flags[1], q.flags[3] = ports[0], ports[1]
	p.c.TB.Cleanup(q.Kill)
	return q
}

// PID is the number of the process, as it was started last.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// starter starts processes on the node's disk.
func (p *Process) starter() func(*exec.Cmd) error {
	if p.Disk != nil {
		return p.Disk.start
	}
	return StartChild
}

// Run runs a command on the node, as "hsm rewrap", with its configuration, addresses, environment and disk.
func (p *Process) Run(command string, more ...string) Result {
	p.c.TB.Helper()
	words := strings.Fields(command)
	args := append(words[1:], p.Args("", more...)[1:]...)
	return runBy(p.starter(), p.c.TB, commandOf(cmp.Or(p.Program, Program(p.c.TB)), p.c.TB, p.Env, append(words[:1:1], args...)...))
}

// Running tells whether the process lives.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Exit waits until the process has ended, and returns the code it ended with, -1 for a signal.
func (p *Process) Exit() int {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	<-done
	return cmd.ProcessState.ExitCode()
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop ends the process with SIGTERM and waits until it is gone.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(s syscall.Signal) {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(s)
	<-done
}

func (p *Process) ready() bool {
	b, err := p.Get(context.Background(), "/readyz")
	return err == nil && b != nil
}

// Get fetches a path of the node's API with the token; nil if the answer is not 200.
func (p *Process) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+p.API+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.c.Token)
	resp, err := p.c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, err
	}
	return b, nil
}

// Tail is the end of the node's log.
func (p *Process) Tail(n int) string {
	lines := strings.Split(strings.TrimSpace(p.Log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// PIN is the PIN of the node's token.
func (p *Process) PIN() []byte {
	b, err := os.ReadFile(filepath.Join(p.Dir, "hsm", "pin"))
	if err != nil {
		p.c.TB.Fatal(err)
	}
	return b
}

// Opened is a stopped node's directory, opened with its token.
type Opened struct {
	Token    hsm.Token
	Store    vault.Store
	Vault    *vault.Vault // nil after OpenStore
	StoreKey []byte
	Close    func()

	tokens *host.Tokens
}

// Open opens a stopped node's token and vault, as somebody could who took both. One at a time: SoftHSM reads its configuration
// once while it is loaded.
func (p *Process) Open() *Opened {
	p.c.TB.Helper()
	o := p.openToken(filepath.Join(p.Dir, "data"))
	disk, err := o.tokens.OpenDisk(p.c.TB.Context(), true)
	if err != nil {
		o.Close()
		p.c.TB.Fatalf("%s: %v", p.ID, err)
	}
	o.keep(disk)
	o.Store, o.Vault = disk.Store, disk.Vault
	return o
}

// OpenStore opens a stopped node's token, and with its key the store in the data directory dir, without the vault in it.
func (p *Process) OpenStore(dir string) *Opened {
	p.c.TB.Helper()
	o := p.openToken(dir)
	key := secret.From(bytes.Clone(o.StoreKey))
	defer key.Wipe()
	store, err := badgerstore.Open(badgerstore.Config{Dir: filepath.Join(dir, "store"), Key: key})
	if err != nil {
		o.Close()
		p.c.TB.Fatalf("%s: %v", p.ID, err)
	}
	o.keep(store)
	o.Store = store
	return o
}

// openToken opens the token and the store's key of a data directory.
func (p *Process) openToken(dir string) *Opened {
	tb := p.c.TB
	tb.Helper()
	before := os.Getenv("SOFTHSM2_CONF")
	o := &Opened{Close: func() { _ = os.Setenv("SOFTHSM2_CONF", before) }}
	check := func(err error) {
		tb.Helper()
		if err != nil {
			o.Close()
			tb.Fatalf("%s: %v", p.ID, err)
		}
	}
	vs := host.Defaults()
	check(vs.File(p.Config))
	vs.Set("data_dir", dir, "test")
	c, err := host.Parse(vs)
	check(err)
	if conf := c.HSM.SoftHSMConf; conf != "" { // the program gives it to its driver process
		check(os.Setenv("SOFTHSM2_CONF", conf))
	}
	o.tokens, err = host.OpenTokens(tb.Context(), c, host.Options{Drivers: inProcess})
	check(err)
	o.keep(o.tokens)
	o.Token = o.tokens.Token
	key, err := o.tokens.StoreKey(tb.Context())
	check(err)
	defer key.Wipe()
	o.StoreKey = bytes.Clone(key.Bytes())
	return o
}

// keep has Close close c before the rest.
func (o *Opened) keep(c io.Closer) {
	rest := o.Close
	o.Close = func() {
		_ = c.Close()
		rest()
	}
}
