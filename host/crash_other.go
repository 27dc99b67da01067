//go:build !linux

package host

import (
	"os"
	"runtime/debug"
)

// GuardCrash has a crash end by SIGABRT.
func GuardCrash() error {
	debug.SetTraceback("crash")
	return nil
}

// ServeCrash prints crashes.
func ServeCrash() error { return PrintCrash(os.Stdin, os.Stderr) }
