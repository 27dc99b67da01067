package sim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Disk stands between processes and their files: it sees each call with which they write, and may fail it as a disk does that is full
// or broken. It injects faults and nothing else: what it lets through, the kernel does. (seccomp_unotify(2).)
type Disk struct {
	tb    testing.TB
	fault atomic.Pointer[func(DiskCall) syscall.Errno]
	free  atomic.Int64 // what processes are told is free, in bytes; negative for the truth
	files atomic.Int64 // how many files they are told can be made; negative for the truth
}

// DiskCall is one call of a process that writes.
type DiskCall struct {
	Name string // of the system call
	Path string // of the file
}

// NewDisk returns a disk without faults. Process.Disk puts it under a process.
func NewDisk(tb testing.TB) *Disk {
	d := &Disk{tb: tb}
	d.Free(-1)
	d.Inodes(-1)
	return d
}

// Free has processes told that n bytes are free on the disk; the truth if it is negative.
func (d *Disk) Free(n int64) { d.free.Store(n) }

// Inodes has processes told that n files can still be made on the disk; the truth if it is negative.
func (d *Disk) Inodes(n int64) { d.files.Store(n) }

// Fail has fault say what comes of each call from now on: 0 lets it through. It is called by several threads. nil ends all faults.
func (d *Disk) Fail(fault func(DiskCall) syscall.Errno) {
	if fault == nil {
		d.fault.Store(nil)
		return
	}
	d.fault.Store(&fault)
}

// diskCalls are the system calls that write to files, with the place of the descriptor among their arguments; -1 where they name a
// path, which is the argument after the directory's descriptor. statfs tells what is free.
var diskCalls = map[uint32]struct {
	name string
	arg  int
}{
	unix.SYS_WRITE: {"write", 0}, unix.SYS_PWRITE64: {"pwrite", 0}, unix.SYS_WRITEV: {"writev", 0}, unix.SYS_FSYNC: {"fsync", 0},
	unix.SYS_FDATASYNC: {"fdatasync", 0}, unix.SYS_FTRUNCATE: {"ftruncate", 0}, unix.SYS_FALLOCATE: {"fallocate", 0},
	unix.SYS_OPENAT: {"create", -1}, unix.SYS_RENAMEAT: {"rename", -1}, unix.SYS_RENAMEAT2: {"rename", -1}, unix.SYS_MKDIRAT: {"mkdir", -1},
	unix.SYS_UNLINKAT: {"unlink", -1}, unix.SYS_STATFS: {"statfs", -2},
}

const (
	diskVariable = "SIM_DISK" // the program that a child of Main becomes, under a disk
	diskSocket   = 3          // the descriptor by which it hands over its listener
)

// start starts cmd on the disk.
func (d *Disk) start(cmd *exec.Cmd) error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	program := cmd.Path
	if cmd.Path, err = os.Executable(); err != nil {
		theirs.Close()
		return err
	}
	cmd.Env, cmd.ExtraFiles = append(cmd.Env, diskVariable+"="+program), []*os.File{theirs}
	err = StartChild(cmd)
	theirs.Close()
	if err != nil {
		return err
	}
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(ours.Fd()), make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("sim: the child handed over no listener: %v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	go d.serve(fds[0])
	return nil
}

// becomeProgram is the child: it puts its filter between the program and the kernel, and becomes the program.
func becomeProgram(program string) error {
	runtime.LockOSThread() // the filter is the thread's, and is kept by the program that the thread becomes
	filter, err := diskFilter()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(diskSocket, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(diskSocket)
	unix.CloseOnExec(int(listener))
	env := os.Environ()
	for i, e := range env {
		if strings.HasPrefix(e, diskVariable+"=") {
			env = append(env[:i], env[i+1:]...)
			break
		}
	}
	return syscall.Exec(program, os.Args, env)
}

// diskFilter asks the listener about the calls of diskCalls, and lets all others through.
func diskFilter() ([]unix.SockFilter, error) {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}} // seccomp_data.nr
	for nr := range diskCalls {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF})
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}))
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return filter, err
}

// notice and verdict are struct seccomp_notif and struct seccomp_notif_resp.
type notice struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type verdict struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// serve judges the calls of one process and of its children until the last of them has ended.
func (d *Disk) serve(listener int) {
	defer unix.Close(listener)
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) || poll[0].Revents&unix.POLLHUP != 0 {
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			continue
		}
		var n notice
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errno != 0 {
			continue // it has ended meanwhile
		}
		v := verdict{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if n.nr == unix.SYS_STATFS {
			if free, files := d.free.Load(), d.files.Load(); max(free, files) >= 0 && tellFree(&n, free, files) == nil {
				v.flags = 0
			}
		} else if errno := d.judge(&n); errno != 0 {
			v.flags, v.errno = 0, -int32(errno)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&v)))
	}
}

func (d *Disk) judge(n *notice) syscall.Errno {
	fault := d.fault.Load()
	if fault == nil {
		return 0
	}
	call := diskCalls[uint32(n.nr)]
	if call.name == "create" && n.args[2]&(unix.O_CREAT|unix.O_TRUNC) == 0 {
		return 0
	}
	path := ""
	if call.arg >= 0 {
		path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[call.arg]))
	} else {
		path = place(n.pid, readString(n.pid, n.args[1]))
	}
	if !filepath.IsAbs(path) { // a pipe, a socket
		return 0
	}
	return (*fault)(DiskCall{call.name, path})
}

// tellFree answers statfs: as the kernel does, but for the blocks and the inodes that are free, where they are not negative.
func tellFree(n *notice, free, files int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(readString(n.pid, n.args[0]), &s); err != nil {
		return err
	}
	if free >= 0 {
		s.Bfree, s.Bavail = uint64(free/s.Bsize), uint64(free/s.Bsize)
	}
	if files >= 0 {
		s.Files, s.Ffree = max(s.Files, uint64(files), 1), uint64(files) // none at all: a file system that counts none
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", n.pid), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s)), int64(n.args[1]))
	return err
}

// place is where a path of a process leads that begins with one of its open directories.
func place(pid uint32, path string) string {
	fd, name, ok := strings.Cut(strings.TrimPrefix(path, "/proc/self/fd/"), "/")
	if !ok || !strings.HasPrefix(path, "/proc/self/fd/") {
		return path
	}
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd))
	if err != nil {
		return path
	}
	return filepath.Join(dir, name)
}

// readString reads a C string in the memory of a process; "" if it cannot.
func readString(pid uint32, at uint64) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, unix.PathMax)
	n, _ := f.ReadAt(b, int64(at))
	s, _, _ := bytes.Cut(b[:n], []byte{0})
	return string(s)
}
