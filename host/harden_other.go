//go:build !linux

package host

import "os/exec"

// Harden has nothing to do where the system offers nothing.
func Harden() error { return nil }

// guarded says that nothing keeps this process's memory off the disk.
func guarded() (detail string, well bool) {
	return "memory is not locked, which this system does not offer", false
}

// runWithUs runs a command.
func runWithUs(cmd *exec.Cmd) error { return cmd.Run() }
