// Package p11kit serves the tokens of a PKCS#11 library to other processes over a unix socket (Debian: p11-kit, p11-kit-modules), for
// tests and benchmarks: what a client sees behaves like a network HSM, and its far end can be killed.
//
// The server runs p11-kit-remote, one process for each client, which loads the library. A client loads Find's module and reads the
// address from its environment (Server.Env) when it initialises the module.
package p11kit

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/parts/child"
)

const (
	startWait = 10 * time.Second
	pathMax   = 100 // bytes of a socket's path that are safe everywhere
)

var places = []string{
	"/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so", "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
	"/usr/lib64/pkcs11/p11-kit-client.so",
}

// Find returns the path of the client's library. ErrUnavailable if there is none.
func Find() (string, error) {
	for _, path := range places {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("p11kit: %w: no p11-kit-client.so; apt-get install p11-kit p11-kit-modules", hsm.ErrUnavailable)
}

// Server is a running server.
type Server struct {
	// Env is what a client needs in its environment: "P11_KIT_SERVER_ADDRESS=…".
	Env  []string
	args []string
	env  []string
	p    *child.Process
}

// Start serves the token that the label names in the library module, which runs with env besides our environment. The socket is
// dir/p11; dir belongs to the caller.
func Start(dir, module, label string, env []string) (*Server, error) {
	socket := filepath.Join(dir, "p11")
	if len(socket) > pathMax {
		return nil, fmt.Errorf("p11kit: the socket's path %s is longer than %d bytes", socket, pathMax)
	}
	if strings.ContainsAny(label, ";?%&= ") {
		return nil, errors.New("p11kit: the label has characters that its URI cannot hold")
	}
	s := &Server{Env: []string{"P11_KIT_SERVER_ADDRESS=unix:path=" + socket}, env: append(os.Environ(), env...),
		args: []string{"server", "-f", "--name", socket, "--provider", module, "pkcs11:token=" + label}}
	if err := s.Restart(); err != nil {
		return nil, err
	}
	return s, nil
}

// Restart starts a server that was stopped again, at the same address.
func (s *Server) Restart() error {
	socket := s.args[3]
	_ = os.Remove(socket)
	cmd := exec.Command("p11-kit", s.args...)
	cmd.Env = s.env
	p, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("p11kit: %w", err)
	}
	s.p = p
	err = p.Await(startWait, func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	if err != nil {
		p.Stop()
		return fmt.Errorf("p11kit: %w", err)
	}
	return nil
}

// KillRemotes kills the processes behind all clients, and returns how many there were. The server goes on: a client that initialises
// its library anew gets another.
func (s *Server) KillRemotes() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || parent(pid) != s.p.PID() {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed++
		}
	}
	return killed, nil
}

// parent is the number of the process that started pid, 0 if it is gone or dead (proc(5), /proc/pid/stat).
func parent(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 || string(fields[0]) == "Z" {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[1]))
	return n
}

// Stop ends the server and what it started.
func (s *Server) Stop() {
	_, _ = s.KillRemotes()
	s.p.Stop()
}
