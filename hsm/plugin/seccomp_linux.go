package plugin

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// errNoSeccomp says that the kernel, or this build, has no seccomp.
var errNoSeccomp = errors.New("the kernel has none, or this processor's calls are not known")

// forbidden are the calls that no driver has a use for: into other processes, into the kernel, around the fence.
var forbidden = []string{
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "pidfd_send_signal", "kcmp",
	"mount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "chroot",
	"unshare", "setns", "bpf", "perf_event_open", "userfaultfd", "fanotify_init", "quotactl", "quotactl_fd", "acct", "swapon", "swapoff",
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "iopl", "ioperm", "modify_ldt",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "vhangup", "syslog",
	"add_key", "request_key", "keyctl", "open_by_handle_at", "name_to_handle_at", "lookup_dcookie",
	"io_uring_setup", "io_uring_enter", "io_uring_register", // sockets and files behind the back of this filter
}

// outer is the filter that the node puts on every child before its program starts. execve must still be possible.
func outer(b Sandbox) seccomp.Policy {
	families := []uint64{unix.AF_UNIX}
	if b.Network {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK) // netlink: how getaddrinfo(3) asks for interfaces
	}
	var others seccomp.ArgumentConditions
	for _, f := range families {
		others = append(others, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: f})
	}
	sockets := []seccomp.NameWithConditions{{Name: "socket", Conditions: others}, {Name: "socketpair", Conditions: others}}
	return seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{
		{Names: known(forbidden), Action: denial(unix.EPERM)},
		{NamesWithCondtions: sockets, Action: denial(unix.EAFNOSUPPORT)},
	}}
}

// inner is what a child adds for itself once it runs: no other program, and no signals and limits for other processes.
func inner(b Sandbox, pid int) seccomp.Policy {
	p := outer(b)
	self := seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: uint64(pid)}
	toOthers := []seccomp.NameWithConditions{
		{Name: "kill", Conditions: seccomp.ArgumentConditions{self}},
		{Name: "tgkill", Conditions: seccomp.ArgumentConditions{self}},
		{Name: "rt_sigqueueinfo", Conditions: seccomp.ArgumentConditions{self}},
		{Name: "rt_tgsigqueueinfo", Conditions: seccomp.ArgumentConditions{self}},
		{Name: "prlimit64", Conditions: seccomp.ArgumentConditions{self, {Argument: 0, Operation: seccomp.NotEqual, Value: 0}}},
	}
	p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{NamesWithCondtions: toOthers, Action: denial(unix.EPERM)})
	// tkill does not say whose thread it means. Go uses tgkill; landlock's library for C threads uses tkill, and is done by now.
	p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{Names: known([]string{"tkill"}), Action: denial(unix.EPERM)})
	if !b.Exec {
		p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{Names: known([]string{"execve", "execveat"}), Action: denial(unix.EPERM)})
	}
	return p
}

// denial lets a call fail with the error (seccomp(2), SECCOMP_RET_ERRNO).
func denial(e unix.Errno) seccomp.Action {
	const returnErrno = 0x00050000
	return seccomp.Action(returnErrno | uint32(e))
}

// known are the calls that this processor has.
func known(names []string) []string {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		_, has := info.SyscallNames[n]
		return !has
	})
}

// machines are the names of processors in seccomp_data (AUDIT_ARCH_* of linux/audit.h).
var machines = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// owners are the commands by which a file sends signals to whom it is told, SIGKILL among them (fcntl(2), F_SETOWN; ioctl(2) of
// sockets, SIOCSPGRP).
var owners = []struct {
	call     uint32
	commands []uint32
}{
	{unix.SYS_FCNTL, []uint32{unix.F_SETOWN, unix.F_SETOWN_EX, unix.F_SETSIG}},
	{unix.SYS_IOCTL, []uint32{unix.SIOCSPGRP, 0x8901}}, // FIOSETOWN
}

// ownerless refuses these commands. It looks at the lower half of the argument alone, as the kernel does: a condition of the library
// compares all 64 bits, and a bit set in the upper half would pass by it. It stands behind the check of the architecture.
func ownerless() []bpf.Instruction {
	var out []bpf.Instruction
	for _, o := range owners {
		n := uint8(len(o.commands))
		out = append(out,
			bpf.LoadAbsolute{Off: 0, Size: 4}, // seccomp_data.nr
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: o.call, SkipTrue: n + 3},
			bpf.LoadAbsolute{Off: 24, Size: 4}) // seccomp_data.args[1], its lower half where the lower byte is first
		for i, c := range o.commands {
			out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: c, SkipTrue: n - uint8(i)})
		}
		out = append(out, bpf.Jump{Skip: 1}, bpf.RetConstant{Val: uint32(denial(unix.EPERM))})
	}
	return out
}

// filter puts a policy on this thread, or with the flag TSYNC on all. The library's own loader lets calls of another architecture
// pass, so that a 64-bit process could use the 32-bit door; here they end the process.
func filter(p seccomp.Policy, flags uintptr) error {
	machine, ok := machines[runtime.GOARCH]
	if !ok || !seccomp.Supported() {
		return errNoSeccomp
	}
	program, err := p.Assemble()
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	raw, err := bpf.Assemble(slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 4}, // seccomp_data.arch
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: machine, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
	}, ownerless(), program))
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if r != 0 { // the number of a thread that could not be brought in line
		return fmt.Errorf("seccomp: thread %d has another filter", r)
	}
	return nil
}
