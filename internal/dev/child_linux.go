package dev

import "syscall"

// childAttributes give a child a process group of its own, so that Ctrl-C reaches it through us only, and its death when we die.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
