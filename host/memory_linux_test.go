package host

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// residentOf is how many pages of a map are in this process's memory, by /proc/self/pagemap.
func residentOf(t *testing.T, m []byte) (pages int) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries := make([]byte, len(m)/os.Getpagesize()*8)
	if _, err := f.ReadAt(entries, int64(uintptr(unsafe.Pointer(&m[0])))/int64(os.Getpagesize())*8); err != nil {
		t.Fatal(err)
	}
	for i := 7; i < len(entries); i += 8 {
		pages += int(entries[i] >> 7)
	}
	return pages
}

// Goal: a program gives back what booting took of its file, also where its memory is locked, and loses nothing that was written into it: a
// loader writes into what it makes read-only then (GNU_RELRO). Method: this test once more as a process of its own, hardened, which maps
// its program twice, and writes into one of the maps as a loader does.
func TestSettle(t *testing.T) {
	if os.Getenv("MPCD_TEST_SETTLE") == "" {
		for _, first := range []string{"", "harden"} {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSettle$", "-test.v")
			cmd.Env = append(os.Environ(), "MPCD_TEST_SETTLE=yes "+first)
			out, err := cmd.CombinedOutput()
			if t.Logf("%s", out); err != nil {
				t.Errorf("%s: %v", first, err)
			}
		}
		return
	}
	if os.Getenv("MPCD_TEST_SETTLE") == "yes harden" {
		if err := Harden(); err != nil {
			t.Fatal(err)
		}
		t.Log(guarded())
	}
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	page := os.Getpagesize()
	program := func(pages int) []byte {
		m, err := unix.Mmap(int(exe.Fd()), 0, pages*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(m) })
		return m
	}
	readOnly := func(m []byte) {
		if err := unix.Mprotect(m, unix.PROT_READ); err != nil {
			t.Fatal(err)
		}
	}
	const pages = 64
	clean, written := program(pages), program(pages)
	copy(written[page:], "relocated")
	readOnly(clean)
	readOnly(written)
	touched := 0
	for at := 0; at < len(clean); at += page {
		touched += int(clean[at])
	}
	if n := residentOf(t, clean); n != pages || touched == 0 {
		t.Fatalf("%d pages of %d are in memory", n, pages)
	}
	Settle()
	if n := residentOf(t, clean); n > 0 {
		t.Errorf("%d pages of %d stay in memory", n, pages)
	}
	if !bytes.HasPrefix(written[page:], []byte("relocated")) {
		t.Error("what was written into the program is lost")
	}
}
