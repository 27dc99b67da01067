//go:build !linux

package sim

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
