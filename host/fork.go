package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errForked is why a node ends whose memory there may be twice.
var errForked = errors.New("this machine was resumed from a snapshot or copied while the node ran")

// machine tells when the process runs on another machine than the one it began on [X]: a virtual machine that was resumed from a snapshot,
// perhaps more than once, or a process that was carried to another boot. Whatever is in memory, such as presignatures and the nonces of
// open sessions, may be there twice then; signing with it under two messages would give the key away.
//
// Linux tells no process of another VMGENID of its virtual machine, but says it in its log, which takes CAP_SYSLOG to read
// where kernel.dmesg_restrict is set, as Debian does. What the hypervisor does not tell it nobody notices here.
type machine struct {
	kmsg  func() (io.ReadCloser, error) // the kernel's log, from now on
	boot  string                        // the file of the ID of its boot
	every time.Duration                 // the ID is read again
	log   *slog.Logger
	began string // the ID when the process began; "" if it could not be read
}

func newMachine(log *slog.Logger) *machine {
	m := &machine{kmsg: kernelLog, boot: "/proc/sys/kernel/random/boot_id", every: time.Second, log: log}
	m.began = m.bootID()
	return m
}

// kernelLog opens the kernel's log at its end.
func kernelLog() (io.ReadCloser, error) {
	f, err := os.Open("/dev/kmsg")
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// bootID is "" where it cannot be read.
func (m *machine) bootID() string {
	b, _ := os.ReadFile(m.boot)
	return strings.TrimSpace(string(b))
}

// watch returns errForked when the machine is another one, nil when ctx ends. A kernel that does not let itself be asked is told once.
func (m *machine) watch(ctx context.Context) error {
	told := make(chan struct{})
	kmsg, err := m.kmsg()
	if err == nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if hearFork(kmsg) {
				close(told)
			}
		}()
		defer func() { _ = kmsg.Close(); <-done }()
	}
	if err != nil || m.began == "" {
		m.log.Info("a copy of this machine that runs on from a snapshot may go unnoticed: give the node CAP_SYSLOG to read the kernel's log",
			"error", err, "boot", m.began)
	}
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-told:
			return fmt.Errorf("%w: the hypervisor has given it another VMGENID", errForked)
		case <-tick.C:
			if id := m.bootID(); id != m.began && id != "" && m.began != "" {
				return fmt.Errorf("%w: the kernel's boot ID was %s and is %s", errForked, m.began, id)
			}
		}
	}
}

// kernelRecord is the longest record that the kernel gives of its log, in bytes.
const kernelRecord = 8 << 10

// hearFork reads the kernel's log until it tells of a fork, or until the log is closed.
func hearFork(kmsg io.Reader) bool {
	record := make([]byte, kernelRecord)
	for {
		n, err := kmsg.Read(record)
		switch {
		case err == nil && isFork(record[:n]):
			return true
		case err != nil && !errors.Is(err, syscall.EPIPE): // EPIPE: it was overwritten before we read it
			return false
		}
	}
}

// isFork tells whether a record of /dev/kmsg is the kernel's word that the virtual machine has another VMGENID
// (drivers/char/random.c, add_vmfork_randomness, since Linux 5.18). What a process writes there is never of the kernel's facility, 0, of
// which the eight levels come first (Documentation/ABI/testing/dev-kmsg).
func isFork(record []byte) bool {
	head, text, _ := bytes.Cut(record, []byte(";"))
	priority, _, _ := bytes.Cut(head, []byte(","))
	p, err := strconv.ParseUint(string(priority), 10, 32)
	return err == nil && p < 8 && bytes.HasPrefix(text, []byte("random: crng reseeded due to virtual machine fork"))
}
