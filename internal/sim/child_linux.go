package sim

import "syscall"

// childAttributes let a process end with this one.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
