// Package tpm2pkcs11 starts all that the PKCS#11 library of the TPM 2.0 software stack needs over an emulated TPM: swtpm, a private
// message bus and the resource manager tpm2-abrmd, for tests and benchmarks. It behaves like a slow HSM: RSA and P-256, little else,
// a few hundred signatures a second.
//
// It needs the Debian packages swtpm, dbus-daemon, tpm2-abrmd, libtss2-tcti-tabrmd0, libtpm2-pkcs11-1 and, for AddToken,
// libtpm2-pkcs11-tools. Everything lies in a directory of the caller and dies with the process.
package tpm2pkcs11

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/parts/child"
)

const (
	startWait = 15 * time.Second
	pathMax   = 100 // bytes of a socket's path that are safe everywhere
	// busName is what the resource manager is called on the bus.
	busName = "com.intel.tss2.Tabrmd"
)

// busConfig is a bus for one user that starts no services.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
`

var places = []string{
	"/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1", "/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1", "/usr/lib64/libtpm2_pkcs11.so.0",
}

// Find returns the path of the library. ErrUnavailable if there is none.
func Find() (string, error) {
	for _, path := range places {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("tpm2pkcs11: %w: no libtpm2_pkcs11.so; apt-get install libtpm2-pkcs11-1", hsm.ErrUnavailable)
}

// Stack is a TPM with its bus and its resource manager.
type Stack struct {
	// Env is what a process needs in its environment that loads the library. The library makes its tokens in dir/store.
	Env       []string
	dir       string
	processes []*child.Process
}

// Store is the directory of the tokens, which may be copied while no process has the library open; keys in a copy work with this TPM.
func (s *Stack) Store() string { return filepath.Join(s.dir, "store") }

// Start starts the stack in dir, which exists and belongs to the caller. The store is empty: make tokens with AddToken, or with
// C_InitToken.
func Start(dir string) (*Stack, error) {
	bus, tpm := filepath.Join(dir, "bus"), filepath.Join(dir, "tpm")
	if len(tpm+".ctrl") > pathMax {
		return nil, fmt.Errorf("tpm2pkcs11: the socket's path %s is longer than %d bytes", tpm, pathMax)
	}
	s := &Stack{dir: dir, Env: []string{"DBUS_SESSION_BUS_ADDRESS=unix:path=" + bus, "TPM2_PKCS11_STORE=" + filepath.Join(dir, "store"),
		"TPM2_PKCS11_TCTI=tabrmd:bus_type=session", "TPM2TOOLS_TCTI=tabrmd:bus_type=session", "TPM2_PKCS11_LOG_LEVEL=0", "TSS2_LOG=all+none"}}
	if err := s.start(dir, bus, tpm); err != nil {
		s.Stop()
		return nil, fmt.Errorf("tpm2pkcs11: %w", err)
	}
	return s, nil
}

func (s *Stack) start(dir, bus, tpm string) error {
	state, conf := filepath.Join(dir, "state"), filepath.Join(dir, "bus.conf")
	for _, d := range []string{state, filepath.Join(dir, "store")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, busConfig, bus), 0o600); err != nil {
		return err
	}
	if err := s.run(exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--config-file="+conf),
		func() bool { return answers(bus) }); err != nil {
		return err
	}
	// Its data socket takes one client, so only the control socket is asked.
	err := s.run(exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--server", "type=unixio,path="+tpm, "--ctrl",
		"type=unixio,path="+tpm+".ctrl", "--flags", "not-need-init,startup-clear"), func() bool { return answers(tpm + ".ctrl") })
	if err != nil {
		return err
	}
	return s.run(exec.Command("tpm2-abrmd", "--session", "--allow-root", "--flush-all", "--max-transients=100", "--tcti=swtpm:path="+tpm),
		func() bool {
			return s.command("dbus-send", "--session", "--print-reply", "--reply-timeout=1000", "--dest="+busName, "/com/intel/tss2/Tabrmd/Tcti",
				"org.freedesktop.DBus.Peer.Ping").Run() == nil
		})
}

func (s *Stack) run(cmd *exec.Cmd, ready func() bool) error {
	cmd.Env = append(os.Environ(), s.Env...)
	p, err := child.Start(cmd)
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	return p.Await(startWait, ready)
}

func (s *Stack) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), s.Env...)
	return cmd
}

// answers tells whether somebody listens on a unix socket.
func answers(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// AddToken makes a token with tpm2_ptool and returns its URI; the PIN is read from pinFile, which only the owner may read, and shows in
// the list of processes for a moment. C_InitToken (pkcs11.InitToken) does not show it.
func (s *Stack) AddToken(label, pinFile string) (string, error) {
	module, err := Find()
	if err != nil {
		return "", err
	}
	pin, err := hsm.ReadPIN("file:" + pinFile)
	if err != nil {
		return "", err
	}
	defer pin.Wipe()
	if out, err := s.command("tpm2_ptool", "init").CombinedOutput(); err != nil {
		return "", fmt.Errorf("tpm2pkcs11: tpm2_ptool init: %w: %s", err, out)
	}
	if err := s.command("tpm2_ptool", "addtoken", "--pid=1", "--label="+label, "--sopin="+string(pin.Bytes()), "--userpin="+
		string(pin.Bytes())).Run(); err != nil {
		return "", fmt.Errorf("tpm2pkcs11: tpm2_ptool addtoken: %w", err)
	}
	return URI(module, label, pinFile)
}

// URI names a token of the library.
func URI(module, label, pinFile string) (string, error) {
	u, err := hsm.ParseURI("pkcs11")
	for _, attr := range [][2]string{{"token", label}, {"module-path", module}, {"pin-source", "file:" + pinFile}} {
		if err == nil {
			u, err = u.With(attr[0], attr[1])
		}
	}
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// Stop ends everything, last started first.
func (s *Stack) Stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].Stop()
	}
	s.processes = nil
}
