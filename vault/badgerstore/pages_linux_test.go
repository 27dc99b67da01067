package badgerstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
