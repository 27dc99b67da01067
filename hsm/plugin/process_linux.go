package plugin

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes of the child: a process group of its own, so that Ctrl-C does not reach it and all of it can be killed; death with
// the thread that started it; perhaps another user.
func attributes(c Config) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.UID != 0 || c.GID != 0 {
		a.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: []uint32{}}
	}
	return a
}

// awaitExit waits until the process has ended, without taking its number away.
func awaitExit(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// killGroup kills the process, and all that it started and left in its group.
func killGroup(pid int) {
	_ = unix.Kill(-pid, unix.SIGKILL)
	_ = unix.Kill(pid, unix.SIGKILL)
}
