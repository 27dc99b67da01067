package durable

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mappedOf is how many KiB of a mapped file are in this process's memory.
func mappedOf(t *testing.T, path string) (kib int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), " "+path+"\n")
	_, rest, _ = strings.Cut(rest, "\nRss:")
	if _, err := fmt.Sscan(rest, &kib); err != nil || !found {
		t.Fatalf("%s is not mapped: %v", path, err)
	}
	return kib
}

// Goal: what is written to mapped files leaves the memory, also of a process that locks all of its own, and is still there to be read.
// Method: this test once more as a process of its own, which locks its memory where it may, maps a file of 16 MiB and one whose name ends
// otherwise, touches them, and releases.
func TestReleaseOfLocked(t *testing.T) {
	if os.Getenv("MPCD_TEST_RELEASE") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReleaseOfLocked$", "-test.v")
		cmd.Env = append(os.Environ(), "MPCD_TEST_RELEASE=1")
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		t.Logf("with memory that is not locked: %v", err)
	}
	const size = 16 << 20
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(here, "testdata-release") // on a disk: a tmpfs is memory itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := func(name string) (path string, m []byte) {
		path = filepath.Join(dir, name)
		if err := WriteFile(path, bytes.Repeat([]byte{7}, size), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if m, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(m) })
		if bytes.Count(m, []byte{7}) != size || mappedOf(t, path) < size>>10*9/10 {
			t.Fatalf("%s: %d KiB are mapped", name, mappedOf(t, path))
		}
		return path, m
	}
	path, m := file("1.sst")
	other, _ := file("1.key")
	if err := Release(dir, ".sst"); err != nil {
		t.Fatal(err)
	}
	if kib := mappedOf(t, path); kib > size>>10/4 {
		t.Errorf("%d KiB of %d stay in memory", kib, size>>10)
	}
	if kib := mappedOf(t, other); kib < size>>10*9/10 {
		t.Errorf("of another file %d KiB stay", kib)
	}
	if bytes.Count(m, []byte{7}) != size {
		t.Error("what is mapped has changed")
	}
}
