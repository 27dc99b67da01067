package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/host/fault"
)

// Harden keeps the memory of the process out of core dumps, away from debuggers of the same user (prctl(2), PR_SET_DUMPABLE) and, where it
// may, out of swap. It is called before anything secret is read.
func Harden() error {
	// gRPC, which carries the driver process and Google's client, would write whole messages, keys in them, to a file.
	if os.Getenv("GRPC_BINARY_LOG_FILTER") != "" {
		return fault.Usage("unset it", "GRPC_BINARY_LOG_FILTER is set, which writes secrets to disk")
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	_ = lockMemory() // guarded says what came of it
	return nil
}

// lockMemory locks all memory of the process, also what it maps later, each page once it is touched (mlockall(2)): what keys sign with lies
// in the heap, of which no part can be locked for good. Under a limit it is left alone, for the kernel counts what is mapped, not what is
// touched, and would then refuse the process its memory.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("read the limit on locked memory: %w", err)
	}
	if limit.Cur != unix.RLIM_INFINITY && !capable(unix.CAP_IPC_LOCK) {
		return fmt.Errorf("at most %d KiB may be locked", limit.Cur>>10)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock the memory of the process: %w", err)
	}
	return nil
}

// capable tells whether the process has a capability (capabilities(7)) below 32.
func capable(capability uint) bool {
	var sets [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0])
	return err == nil && sets[0].Effective>>capability&1 == 1
}

// guarded says what keeps this process's memory off the disk, and whether that is enough.
func guarded() (detail string, well bool) {
	locked, core := "memory is locked", "no core dumps"
	err := lockMemory()
	if err != nil {
		locked = "memory is not locked: " + err.Error()
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 {
		core = "core dumps are on"
	}
	swap, swapping := swapOf("/proc/swaps")
	return locked + "; " + swap + "; " + core, (err == nil || !swapping) && core == "no core dumps"
}

// swapOf says whether the machine swaps; a list that cannot be read counts as if it did.
func swapOf(list string) (detail string, swapping bool) {
	b, err := os.ReadFile(list)
	switch {
	case err != nil:
		return "whether there is swap is not known", true
	case bytes.Count(b, []byte("\n")) > 1: // the first line is the heading
		return "swap is on", true
	}
	return "there is no swap", false
}

// runWithUs runs a command that ends when this process does, so that nobody finds it at work who repeats what was killed (prctl(2),
// PR_SET_PDEATHSIG, which is of the thread).
func runWithUs(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}
