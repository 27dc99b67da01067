package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/softhsm"

	"github.com/luxfi/mpcd/host/fault"
)

// The commands that a program which opens tokens starts itself as: a vendor's library is loaded by nobody else.
const (
	DriverCommand    = "hsm-plugin"    // calls ServeDrivers
	ProvisionCommand = "hsm-provision" // DIR LABEL; calls MakeSoftToken, and prints what it returns, or the fault, as JSON
)

// ServeDrivers is the driver process. It returns when its parent is done with it.
func ServeDrivers(release string) error {
	signal.Ignore(syscall.SIGHUP) // a terminal sends it to all, and the node reloads
	err := plugin.Serve(plugin.Program{Name: "mpcd", Release: release, Drivers: moduleDrivers})
	if errors.Is(err, plugin.ErrByHand) {
		return fault.Usage("use `mpcd hsm list` to look into a token", "%w", err)
	}
	return err
}

// SoftToken is a new SoftHSM token.
type SoftToken struct {
	URI  string `json:"uri"`
	Conf string `json:"conf"`
}

// Beside is the URI for an mpcd.yaml in dir, with the path of the PIN relative to it.
func (t SoftToken) Beside(dir string) (string, error) {
	u, err := hsm.ParseURI(t.URI)
	if err != nil {
		return "", err
	}
	pin, err := filepath.Rel(dir, strings.TrimPrefix(u.Attr("pin-source"), filePrefix))
	if err != nil {
		return "", err
	}
	u, err = u.With("pin-source", filePrefix+pin)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// HasSoftHSM tells whether SoftHSM is installed.
func HasSoftHSM() bool {
	_, err := softhsm.Find()
	return err == nil
}

// MakeSoftToken makes a SoftHSM token in dir, for which it loads the library into this process.
func MakeSoftToken(dir, label string) (SoftToken, error) {
	p, err := softhsm.Provision(dir, label, "", "")
	return SoftToken{p.URI, filepath.Join(dir, "softhsm2.conf")}, err
}

// ProvisionSoftHSM makes a SoftHSM token in dir, in a process of its own.
func ProvisionSoftHSM(dir, label string) (SoftToken, error) {
	var t SoftToken
	dir, err := filepath.Abs(dir)
	if err != nil {
		return t, err
	}
	var out, fail bytes.Buffer
	cmd := exec.Command("/proc/self/exe", ProvisionCommand, dir, label, "-o", "json")
	cmd.Env, cmd.Stdout, cmd.Stderr = os.Environ(), &out, &fail
	if err := runWithUs(cmd); err != nil {
		var f struct {
			Error struct {
				Why, What, Do string
				Code          fault.Code `json:"exit_code"`
			} `json:"error"`
		}
		if json.Unmarshal(fail.Bytes(), &f) != nil || f.Error.Code == 0 {
			return t, fmt.Errorf("%w: %w: %s", hsm.ErrUnavailable, err, strings.TrimSpace(fail.String()))
		}
		return t, &fault.Error{Code: f.Error.Code, Err: errors.New(strings.TrimPrefix(f.Error.What+": "+f.Error.Why, ": ")), Do: f.Error.Do}
	}
	return t, json.Unmarshal(out.Bytes(), &t)
}
