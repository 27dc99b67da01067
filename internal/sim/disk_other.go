//go:build !linux

package sim

import (
	"errors"
	"os/exec"
)

// Disk puts faults under processes, on Linux alone.
type Disk struct{}

const diskVariable = "SIM_DISK"

var errNoDisk = errors.New("sim: faults of the disk are made on Linux alone")

func (*Disk) start(*exec.Cmd) error { return errNoDisk }

func becomeProgram(string) error { return errNoDisk }
