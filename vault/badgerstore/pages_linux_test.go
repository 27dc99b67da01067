package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/vault"
)

// resident is how much memory maps of files below dir take in this process, in bytes.
func resident(t *testing.T, dir string) (n int) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for line := range strings.Lines(string(maps)) {
		var k int
		if first, _, _ := strings.Cut(line, " "); strings.Contains(first, "-") {
			ours = strings.Contains(line, dir+"/")
		} else if _, err := fmt.Sscanf(line, "Rss: %d kB", &k); err == nil && ours {
			n += k << 10
		}
	}
	return n
}

// Goal: what a store wrote does not stay in the memory of its process, however much it is, and can be read. Method: 40 MiB of values as
// large as receipts; what of the store's files is in memory after, and the first value.
func TestWrittenLeavesMemory(t *testing.T) {
	dir, err := os.MkdirTemp(".", "testdata-pages") // on a disk: a tmpfs is memory itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := open(Config{Dir: dir}, smallOptions(filepath.Join(dir, dbDir), nil).WithEncryptionKey(bytes.Repeat([]byte{1}, KeyLen)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const each, values = 64, 20 << 10
	value := bytes.Repeat([]byte("r"), 2<<10)
	for i := range values / each {
		var puts []vault.Pair
		for j := range each {
			puts = append(puts, vault.Pair{Key: fmt.Append(nil, "receipt/", i*each+j), Value: value})
		}
		if err := s.Batch(t.Context(), puts, nil); err != nil {
			t.Fatal(err)
		}
	}
	const most = 20 << 20 // the newest value log, the memtables' logs, and what came since
	if n := resident(t, dir); n > most {
		t.Errorf("%d MiB of the store's files are in memory, at most %d", n>>20, most>>20)
	}
	if got, err := s.Get(t.Context(), []byte("receipt/0")); err != nil || !bytes.Equal(got, value) {
		t.Errorf("the first value: %d bytes, %v", len(got), err)
	}
}

// Goal: a page of a store's file that its disk does not give is told as the disk's failure, and not as damage; and so is a read that the
// system refuses. Method: the pages of the value log are taken from the process, while the file is as it was; errors in words.
func TestFailingPage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	put(t, s, "a", string(make([]byte, 2*valueThreshold)))
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if !strings.Contains(line, dir) || !strings.HasSuffix(strings.TrimSpace(line), valueLog) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		if _, _, e := unix.Syscall(unix.SYS_MPROTECT, from, to-from, unix.PROT_NONE); e != 0 {
			t.Fatal(e)
		}
		taken++
	}
	_, get := s.Get(t.Context(), []byte("a"))
	iterate := s.Iterate(t.Context(), nil, func(_, _ []byte) error { return nil })
	for what, err := range map[string]error{"get": get, "iterate": iterate, "words": unread(errors.New("read x: input/output error"))} {
		if taken == 0 || !errors.Is(err, vault.ErrUnread) || errors.Is(err, vault.ErrCorrupt) ||
			!strings.Contains(err.Error(), "the disk cannot be read") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := unread(errors.New("a checksum does not fit")); !errors.Is(err, vault.ErrCorrupt) || errors.Is(err, vault.ErrUnread) {
		t.Errorf("damage: %v", err)
	}
}
