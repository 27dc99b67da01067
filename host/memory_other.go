//go:build !linux

package host

import "runtime/debug"

// Settle gives back the memory that booting took.
func Settle() { debug.FreeOSMemory() }
