package host

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// GuardCrash has what the Go runtime says of a crash go to a process of its own, which prints it without words of memory, and the crash end
// by SIGABRT: the 2 that is usual says "configuration". What the program says itself goes where it went. It is called before anything
// keeps os.Stderr.
func GuardCrash() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("crash printer: %w", err)
	}
	defer r.Close()
	defer w.Close()
	cmd := exec.Command("/proc/self/exe", CrashCommand)
	cmd.Stdin, cmd.Stderr = r, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's signals are not for it: it ends with us
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("crash printer: %w", err)
	}
	own, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("crash printer: %w", err)
	}
	if err := unix.Dup3(int(w.Fd()), 2, 0); err != nil {
		return fmt.Errorf("crash printer: %w", err)
	}
	os.Stderr = os.NewFile(uintptr(own), os.Stderr.Name())
	log.SetOutput(os.Stderr)
	debug.SetTraceback("crash")
	return cmd.Process.Release()
}

// ServeCrash is the process that prints. It returns when the node has ended.
func ServeCrash() error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := Harden(); err != nil {
		return err
	}
	return PrintCrash(os.Stdin, os.Stderr)
}
