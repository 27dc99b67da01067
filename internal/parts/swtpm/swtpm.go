package swtpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	pathMax   = 100 // bytes of a socket's path that are safe everywhere
	startWait = 10 * time.Second
	stopWait  = 3 * time.Second
)

// TPM is an emulator in a process of its own. It is not safe for concurrent use.
type TPM struct {
	dir  string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	gone chan struct{} // closed when the process is reaped
}

// Start makes a TPM in dir, which the caller owns, and starts it. Its storage seed is its own; its endorsement key is shared by all
// TPMs that Start makes in this process, since one takes a second to make. Where that matters use StartNew.
func Start(dir string) (*TPM, error) {
	f, err := factory()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), f.state, 0o600); err != nil {
		return nil, err
	}
	t := &TPM{dir: dir}
	if err := t.start(); err != nil {
		return nil, err
	}
	if err := t.Clear(); err != nil { // a new storage seed
		return nil, errors.Join(err, t.Kill())
	}
	return t, nil
}

// StartNew is Start with an endorsement key and certificate of its own, of the same authority. It takes a second.
func StartNew(dir string) (*TPM, error) {
	f, err := factory()
	if err != nil {
		return nil, err
	}
	ca := filepath.Join(dir, caDir)
	if err := os.MkdirAll(ca, 0o700); err != nil {
		return nil, err
	}
	for name, b := range f.ca {
		if err := os.WriteFile(filepath.Join(ca, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	if err := manufacture(dir); err != nil {
		return nil, err
	}
	t := &TPM{dir: dir}
	if err := t.start(); err != nil {
		return nil, err
	}
	return t, nil
}

// Path is the unix socket that speaks TPM commands.
func (t *TPM) Path() string { return filepath.Join(t.dir, "s") }

// URI names the TPM for package hsm/tpm.
func (t *TPM) URI() string { return "tpm:device=" + url.PathEscape(t.Path()) }

// TCTI names the TPM for tpm2-tools (TPM2TOOLS_TCTI).
func (t *TPM) TCTI() string { return "swtpm:path=" + t.Path() }

func (t *TPM) start() error {
	control := t.Path() + ".ctrl"
	if len(control) > pathMax {
		return fmt.Errorf("swtpm: socket path %s is longer than %d bytes; use a shorter directory", control, pathMax)
	}
	_, _ = os.Remove(t.Path()), os.Remove(control)
	t.log = new(bytes.Buffer)
	t.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+t.dir, "--server", "type=unixio,path="+t.Path(),
		"--ctrl", "type=unixio,path="+control, "--flags", "not-need-init,startup-clear")
	t.cmd.Stdout, t.cmd.Stderr = t.log, t.log
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := t.cmd.Start(); err != nil {
		return fmt.Errorf("swtpm: %w; apt-get install swtpm", err)
	}
	t.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) { _ = cmd.Wait(); close(gone) }(t.cmd, t.gone)
	for deadline := time.Now().Add(startWait); ; {
		if c, err := net.Dial("unix", t.Path()); err == nil {
			return c.Close()
		}
		select {
		case <-t.gone:
			return fmt.Errorf("swtpm: it ended at once: %s", bytes.TrimSpace(t.log.Bytes()))
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("swtpm: no socket after %v", startWait), t.Kill())
		}
	}
}

// Stop shuts the TPM down in order, as a machine that is switched off does; the state stays. It is idempotent.
func (t *TPM) Stop() error {
	if t.cmd == nil {
		return nil
	}
	// Without TPM2_Shutdown the TPM counts a failed authorization (TPM 2.0 part 1, 19.8.6). Someone may hold the connection: then so be it.
	_ = t.try(300*time.Millisecond, func(c Conn) error {
		_, err := tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(c)
		return err
	})
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-t.gone:
		t.cmd = nil
		return nil
	case <-time.After(stopWait):
		return t.Kill()
	}
}

// Kill cuts the power.
func (t *TPM) Kill() error {
	if t.cmd == nil {
		return nil
	}
	err := t.cmd.Process.Kill()
	<-t.gone
	t.cmd = nil
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Restart is a reboot: PCRs, sessions and loaded objects are gone, what is persistent stays.
func (t *TPM) Restart() error {
	if err := t.Stop(); err != nil {
		return err
	}
	return t.start()
}

// Pause lets the TPM hang until Resume.
func (t *TPM) Pause() error { return t.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (t *TPM) Resume() error { return t.cmd.Process.Signal(syscall.SIGCONT) }

// Clear is TPM2_Clear by the platform: a new storage seed; all keys and indices of the owner are gone, the lockout is reset.
func (t *TPM) Clear() error {
	return t.Do(func(c Conn) error {
		_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}}.Execute(c)
		return err
	})
}

// Extend changes a PCR of the SHA-256 bank.
func (t *TPM) Extend(pcr uint) error {
	return t.Do(func(c Conn) error { return Extend(c, pcr) })
}

// Do gives f a connection. It fails after three seconds in which another client holds the TPM.
func (t *TPM) Do(f func(Conn) error) error { return t.try(stopWait, f) }

func (t *TPM) try(wait time.Duration, f func(Conn) error) error {
	c, err := net.Dial("unix", t.Path())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	return f(Conn{c})
}

// Conn sends commands to a TPM; it is a transport.TPM of go-tpm.
type Conn struct{ io.ReadWriter }

// responseMax is more than any TPM answers, in bytes.
const responseMax = 1 << 16

// Send is transport.TPM.
func (c Conn) Send(command []byte) ([]byte, error) {
	if _, err := c.Write(command); err != nil {
		return nil, err
	}
	response := make([]byte, 10) // tag, size, code (TPM 2.0 part 1, 18.7)
	if _, err := io.ReadFull(c, response); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(response[2:6])
	if size < 10 || size > responseMax {
		return nil, fmt.Errorf("swtpm: response of %d bytes", size)
	}
	response = append(response, make([]byte, size-10)...)
	_, err := io.ReadFull(c, response[10:])
	return response, err
}

// Extend changes a PCR of the SHA-256 bank through any connection.
func Extend(c interface {
	Send([]byte) ([]byte, error)
}, pcr uint) error {
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
	}.Execute(c)
	return err
}
