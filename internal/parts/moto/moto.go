package moto

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// startLimit bounds the start, which takes a second or two where the machine is idle.
const startLimit = time.Minute

// module is how our go.mod begins.
const module = "module github.com/luxfi/mpcd\n"

//go:embed serve.py
var program string

// Server is a running moto. Its keys end with it.
type Server struct {
	// URL is what to give as the endpoint, as http://127.0.0.1:port.
	URL string

	process *os.Process
	done    chan struct{}
	regions atomic.Int64
}

// Start starts moto with the Python of bin/moto in the repository around the working directory, and returns once it answers. The
// process dies with ours, however ours ends.
func Start() (*Server, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	python := filepath.Join(root, "bin", "moto", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return nil, fmt.Errorf("moto: %s is missing; run scripts/setup.sh", python)
	}
	cmd := exec.Command(python, "-c", program)
	cmd.Env = append(os.Environ(), "MOTO_ALLOW_NONEXISTENT_REGION=true", "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := new(tail)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("moto: %w", err)
	}
	s := &Server{done: make(chan struct{})}
	started := make(chan error)
	go s.run(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("moto: %w", err)
	}
	s.process = cmd.Process
	timer := time.AfterFunc(startLimit, s.Stop)
	defer timer.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	port, bad := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || bad != nil {
		s.Stop()
		return nil, fmt.Errorf("moto: it told no port, but: %s", log)
	}
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := s.ready(); err != nil {
		s.Stop()
		return nil, fmt.Errorf("moto: %w: %s", err, log)
	}
	return s, nil
}

// run holds one thread of the system for as long as the process lives: the kernel sends the death signal when the thread that
// started a process ends, not when ours does (prctl(2), PR_SET_PDEATHSIG).
func (s *Server) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	defer close(s.done)
	_ = cmd.Wait()
}

// ready loads the KMS, so that the first call does not wait for it.
func (s *Server) ready() error {
	request, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	request.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/kms/aws4_request, "+
		"SignedHeaders=host, Signature=0")
	answer, err := (&http.Client{Timeout: startLimit}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("its KMS answers %s", answer.Status)
	}
	return nil
}

// Stop ends moto, with all its keys, and waits for that. It may be called twice.
func (s *Server) Stop() {
	_ = s.process.Kill()
	<-s.done
}

// Region names a region that nobody has used: a KMS of its own, without keys.
func (s *Server) Region() string { return fmt.Sprintf("moto-test-%d", s.regions.Add(1)) }

// Environment is what a program needs in its environment to talk to moto and never to AWS: credentials that are worth nothing, and
// no search for an instance role.
func (s *Server) Environment() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", // the example of the AWS documentation
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_ENDPOINT_URL=" + s.URL,
	}
}

// Root is the repository around the working directory: where our go.mod is.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("moto: %w", err)
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(b), module) {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("moto: our go.mod is not in the working directory or above it; run inside the repository")
		}
		dir = up
	}
}
