//go:build !linux

package dev

import "syscall"

// childAttributes give a child a process group of its own, so that Ctrl-C reaches it through us only.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
