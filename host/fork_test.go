package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/host/fault"
)

// vmFork is a record of /dev/kmsg as Linux 6.18 wrote it on a virtual machine that was resumed from a snapshot.
const vmFork = "5,396,1301632,-;random: crng reseeded due to virtual machine fork\n"

// Goal: only the kernel's own word that the machine was forked is taken for it: neither another record nor what a process wrote to the
// kernel's log. Method: a record as Linux wrote it, and others that look like it.
func TestIsFork(t *testing.T) {
	for record, want := range map[string]bool{
		vmFork: true,
		"0,1,2,-,caller=T1;random: crng reseeded due to virtual machine fork\n SUBSYSTEM=x\n": true,
		"12,396,1301632,-;random: crng reseeded due to virtual machine fork\n":                false, // of a process
		"8,396,1301632,-;random: crng reseeded due to virtual machine fork\n":                 false,
		"6,396,1301632,-;random: crng reseeded on system resumption\n":                        false,
		"6,396,1301632,-;audit: random: crng reseeded due to virtual machine fork\n":          false,
		"-1,396,1301632,-;random: crng reseeded due to virtual machine fork\n":                false,
		"random: crng reseeded due to virtual machine fork\n":                                 false,
		"4,1,2,-;a;random: crng reseeded due to virtual machine fork\n":                       false,
		"":   false,
		",;": false,
		"5;random: crng reseeded due to virtual machine fork":                                        true,
		"5,396,1301632,-;random: crng done\n random: crng reseeded due to virtual machine fork":      false,
		"36893488147419103232,3,4,-;random: crng reseeded due to virtual machine fork\n":             false,
		strings.Repeat("5", kernelRecord) + ",-;random: crng reseeded due to virtual machine fork\n": false,
	} {
		if got := isFork([]byte(record)); got != want {
			t.Errorf("%.80q: %v", record, got)
		}
	}
}

func FuzzIsFork(f *testing.F) {
	f.Add(uint64(5), vmFork)
	f.Add(uint64(13), vmFork[1:])
	f.Fuzz(func(t *testing.T, priority uint64, rest string) {
		if isFork(fmt.Appendf(nil, "%d%s", priority, rest)) && priority > 7 {
			t.Errorf("a process said so: %d%q", priority, rest)
		}
	})
}

// kernel is a machine whose kernel says what we write to the pipe.
func kernel(t *testing.T) (*machine, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	m := &machine{kmsg: func() (io.ReadCloser, error) { return r, nil }, boot: filepath.Join(t.TempDir(), "boot_id"), every: time.Millisecond,
		log: slog.New(slog.DiscardHandler)}
	if err := os.WriteFile(m.boot, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.began = m.bootID()
	return m, w
}

// Goal: a machine is another one when its kernel's boot is, or when the kernel says so; it is the same where the kernel says other things,
// said it before the node began, or does not let itself be asked. Method: a pipe and a file in the kernel's place, then this kernel itself.
func TestMachine(t *testing.T) {
	watch := func(m *machine, most time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		return m.watch(ctx)
	}
	another, _ := kernel(t)
	another.began = "another"
	if err := watch(another, time.Minute); !errors.Is(err, errForked) || !strings.Contains(err.Error(), "was another and is one") ||
		!strings.Contains(err.Error(), "this machine was resumed from a snapshot or copied while the node ran") {
		t.Errorf("another boot: %v", err)
	}
	forked, w := kernel(t)
	if _, err := w.WriteString(vmFork); err != nil {
		t.Fatal(err)
	}
	if err := watch(forked, time.Minute); !errors.Is(err, errForked) || !strings.Contains(err.Error(), "VMGENID") {
		t.Errorf("another VMGENID: %v", err)
	}
	quiet, w := kernel(t)
	if _, err := w.WriteString("6,1,2,-;usb 1-1: new device\n"); err != nil {
		t.Fatal(err)
	}
	gone, _ := kernel(t)
	gone.kmsg = func() (io.ReadCloser, error) { return nil, os.ErrPermission }
	if err := os.Remove(gone.boot); err != nil {
		t.Fatal(err)
	}
	unread, _ := kernel(t)
	unread.began = ""
	for what, m := range map[string]*machine{"quiet": quiet, "gone": gone, "unread": unread, "this one": newMachine(quiet.log)} {
		if err := watch(m, 50*time.Millisecond); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Goal: a node on another machine than it began on ends at once, with a word on what to do, and where it cannot it ends as it ends
// otherwise. Method: another boot ID under a node that runs, with and without Options.Crash.
func TestForked(t *testing.T) {
	for _, at := range []string{"once", "the end"} {
		m, _ := kernel(t)
		h := &Host{machine: m}
		crashed, over := make(chan error, 1), make(chan error, 2)
		if at == "once" {
			h.options.Crash = func(err error) { crashed <- err }
		}
		if err := os.WriteFile(m.boot, []byte("two\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.forked(t.Context(), over)
		if err := <-over; !errors.Is(err, errForked) || codeOf(err) != fault.CodeFailed || len(crashed) != map[string]int{"once": 1}[at] {
			t.Errorf("at %s: %v, code %d, %d crashes", at, err, codeOf(err), len(crashed))
		}
	}
}
