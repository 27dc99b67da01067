package plugin_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/hsm"
)

// mischief is a driver that does wrong on demand: plugin:<what>, and by the ID of the key.
type mischief struct {
	private ed25519.PrivateKey // another one in every process
	counter atomic.Uint64
	serial  string
}

func openMischief(_ context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	switch u.Path {
	case "crash":
		os.Exit(9)
	case "signing":
		_, k, err := ed25519.GenerateKey(nil)
		return signing{&mischief{private: k}}, err
	case "liar": // its answers cannot be
		return liar{&mischief{}}, nil
	case "exchanged": // another token in every process
		return mute{&mischief{serial: fmt.Sprint(os.Getpid())}}, nil
	case "mute": // tells no public keys
		return mute{&mischief{}}, nil
	case "pin": // shows that the PIN arrived
		pin, err := hsm.ReadPIN(u.Attr("pin-source"))
		if err != nil {
			return nil, err
		}
		defer pin.Wipe()
		if string(pin.Bytes()) != "right" {
			return nil, fmt.Errorf("mischief: %w", hsm.ErrWrongPIN)
		}
		o.Log().Warn("pin-source is " + u.Attr("pin-source")[:5])
	}
	return mute{&mischief{}}, nil
}

func (m *mischief) Provider() string { return "mischief" }
func (m *mischief) Close() error     { return nil }

func (m *mischief) Info(context.Context) (hsm.TokenInfo, error) {
	return hsm.TokenInfo{Provider: "mischief", Label: "bad\x1b[31m\nlabel", Serial: m.serial, SoftwareOnly: true, PINTries: "3",
		MaxSessions: 8, OpenSessions: 2}, nil
}

func (m *mischief) Verify(context.Context, string, []byte, []byte) (bool, error) { return true, nil }

func (m *mischief) Sign(_ context.Context, keyID string, message []byte) ([]byte, error) {
	private := m.key(keyID)
	switch keyID {
	case "wrong":
		sig := ed25519.Sign(private, message)
		sig[0] ^= 1
		return sig, nil
	case "crash":
		panic("a driver with a fault")
	case "hang":
		select {}
	case "long":
		return make([]byte, 1<<20), nil
	}
	return ed25519.Sign(private, message), nil
}

// key is another one in every process for "fickle", and always the same for all others.
func (m *mischief) key(keyID string) ed25519.PrivateKey {
	if keyID == "fickle" {
		return m.private
	}
	return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
}

// mute can do nothing but sign.
type mute struct{ *mischief }

// liar gives answers that cannot be.
type liar struct{ *mischief }

func (liar) Random(context.Context, int) ([]byte, error)                     { return make([]byte, 3), nil }
func (liar) Wrap(_ context.Context, _ string, dek, _ []byte) ([]byte, error) { return dek, nil }
func (liar) Unwrap(context.Context, string, []byte, []byte) ([]byte, error)  { return nil, nil }
func (liar) Keys(context.Context) ([]hsm.KeyInfo, error)                     { return make([]hsm.KeyInfo, 10_001), nil }
func (liar) PublicKey(context.Context, string) (crypto.PublicKey, error) {
	return hsm.Secp256k1PublicKey("x"), nil
}

// signing has public keys, counters, and probes of the fence in the place of making keys.
type signing struct{ *mischief }

func (m signing) PublicKey(_ context.Context, keyID string) (crypto.PublicKey, error) {
	return m.key(keyID).Public(), nil
}

func (m signing) CreateCounter(context.Context, string) (uint64, error) { return m.counter.Load(), nil }
func (m signing) Read(context.Context, string) (uint64, error)          { return m.counter.Load(), nil }
func (m signing) Increment(_ context.Context, id string) (uint64, error) {
	if id == "crash" {
		os.Exit(9)
	}
	return m.counter.Add(1), nil
}

// GenerateKey tries what the fence must refuse, and returns what came of it.
func (m signing) GenerateKey(_ context.Context, probe string, argument hsm.KeyType) error {
	syscallErr := func(n uintptr, a ...uintptr) error {
		args := [6]uintptr{}
		copy(args[:], a)
		if _, _, e := syscall.RawSyscall6(n, args[0], args[1], args[2], args[3], args[4], args[5]); e != 0 {
			return e
		}
		return nil
	}
	socket := func(family int) error {
		fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
	switch probe {
	case "crash":
		os.Exit(9)
	case "unix":
		return socket(unix.AF_UNIX)
	case "inet":
		return socket(unix.AF_INET)
	case "inet6":
		return socket(unix.AF_INET6)
	case "netlink":
		return socket(unix.AF_NETLINK)
	case "dial":
		c, err := net.Dial("tcp", string(argument))
		if err == nil {
			_ = c.Close()
		}
		return err
	case "exec":
		return exec.Command("/bin/true").Run()
	case "leave": // a program behind
		cmd := exec.Command("/bin/sleep", "60")
		if err := cmd.Start(); err != nil {
			return err
		}
		return fmt.Errorf("%d", cmd.Process.Pid)
	case "ptrace":
		return syscallErr(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(os.Getppid()))
	case "vm-read":
		return syscallErr(unix.SYS_PROCESS_VM_READV, uintptr(os.Getppid()))
	case "mount":
		return syscallErr(unix.SYS_MOUNT)
	case "io-uring":
		return syscallErr(unix.SYS_IO_URING_SETUP, 1)
	case "bpf":
		return syscallErr(unix.SYS_BPF)
	case "kill-node":
		return unix.Kill(os.Getppid(), 0)
	case "tkill-node":
		return syscallErr(unix.SYS_TKILL, uintptr(os.Getppid()), 0)
	case "tkill-self":
		return syscallErr(unix.SYS_TKILL, uintptr(unix.Gettid()), 0)
	case "tgkill-node":
		return unix.Tgkill(os.Getppid(), os.Getppid(), 0)
	case "own-node", "own-node-64": // let a file send the node signals; the second with a bit that the kernel does not look at
		command := uintptr(unix.F_SETOWN)
		if probe == "own-node-64" {
			command |= 1 << 32
		}
		return syscallErr(unix.SYS_FCNTL, 0, command, uintptr(os.Getppid()))
	case "own-ex-node":
		owner := [2]int32{1, int32(os.Getppid())} // struct f_owner_ex, F_OWNER_PID
		return syscallErr(unix.SYS_FCNTL, 0, unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner)))
	case "signal-kill":
		return syscallErr(unix.SYS_FCNTL, 0, unix.F_SETSIG, uintptr(unix.SIGKILL))
	case "ioctl-own-node", "ioctl-group-node":
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		command, pid := uintptr(0x8901), int32(os.Getppid()) // FIOSETOWN
		if probe == "ioctl-group-node" {
			command = unix.SIOCSPGRP
		}
		return syscallErr(unix.SYS_IOCTL, uintptr(fd), command, uintptr(unsafe.Pointer(&pid)))
	case "fcntl":
		return syscallErr(unix.SYS_FCNTL, 0, unix.F_GETFL)
	case "kill-self":
		return unix.Kill(os.Getpid(), 0)
	case "read":
		_, err := os.ReadFile(string(argument))
		return err
	case "write":
		return os.WriteFile(string(argument), []byte("x"), 0o600)
	case "mem-of-node":
		_, err := os.Open(fmt.Sprintf("/proc/%d/mem", os.Getppid()))
		return err
	case "files": // what came in from the node
		entries, err := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target == string(argument) {
				return fmt.Errorf("%s is open", target)
			}
		}
		return err
	case "env":
		return fmt.Errorf("environment: %s", strings.Join(os.Environ(), " "))
	case "say":
		fmt.Fprintln(os.Stderr, argument)
		return nil
	}
	return hsm.ErrUnsupported
}
