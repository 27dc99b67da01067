package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/softhsm"
)

// The commands that this program starts itself as: a vendor's library is loaded by nobody else.
const (
	driverCommand    = "hsm-plugin"
	provisionCommand = "hsm-provision"
)

// pluginCommand is the driver process.
func pluginCommand() *cobra.Command {
	return &cobra.Command{
		Use:    driverCommand,
		Short:  "The process that PKCS#11 libraries are loaded in; mpcd starts it itself",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			err := plugin.Serve(plugin.Program{Name: "mpcd", Release: release(), Drivers: moduleDrivers})
			if errors.Is(err, plugin.ErrByHand) {
				return fault.Usage("use `mpcd hsm list` to look into a token", "%w", err)
			}
			return err
		},
	}
}

// softToken is a new SoftHSM token.
type softToken struct {
	URI  string `json:"uri"`
	Conf string `json:"conf"`
}

// provisionProcess makes a SoftHSM token, which loads its library, and prints it.
func provisionProcess(o *output) *cobra.Command {
	return &cobra.Command{
		Use:    provisionCommand + " DIR LABEL",
		Short:  "The process that makes a SoftHSM token; mpcd starts it itself",
		Args:   cobra.ExactArgs(2),
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := softhsm.Provision(args[0], args[1], "", "")
			if err != nil {
				return err
			}
			return json.NewEncoder(o.out).Encode(softToken{p.URI, filepath.Join(args[0], "softhsm2.conf")})
		},
	}
}

// provisionSoftHSM makes a SoftHSM token in dir, in a process of its own.
func provisionSoftHSM(dir, label string) (softToken, error) {
	var t softToken
	dir, err := filepath.Abs(dir)
	if err != nil {
		return t, err
	}
	var out, fail bytes.Buffer
	cmd := exec.Command("/proc/self/exe", provisionCommand, dir, label, "-o", "json")
	cmd.Env, cmd.Stdout, cmd.Stderr = os.Environ(), &out, &fail
	if err := cmd.Run(); err != nil {
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
