package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/vault"
)

// disk is one that can be filled: a tmpfs of its own where the test may mount one, and one that is only said to be full elsewhere.
type disk struct {
	dir  string
	free func(string) (int64, error)
	said atomic.Int64
}

func newDisk(t *testing.T) *disk {
	d := &disk{dir: t.TempDir()}
	d.said.Store(1 << 40)
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size=160m")
	if err != nil {
		t.Logf("no disk of its own (%v): it is only said to be full", err)
		d.free = func(string) (int64, error) { return d.said.Load(), nil }
		return d
	}
	f, err := os.Open(d.dir)
	if uerr := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil || uerr != nil {
		t.Fatal(err, uerr)
	}
	t.Cleanup(func() { f.Close() }) // the disk is nowhere but in this process, and goes with it however it ends
	d.dir = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return d
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves no byte free.
func (d *disk) fill(t *testing.T) {
	if d.free != nil {
		d.said.Store(0)
		return
	}
	f, err := os.OpenFile(d.filler(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1 << 20; n > 0; n >>= 1 {
		for b := make([]byte, n); err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}

func (d *disk) empty(t *testing.T) {
	d.said.Store(1 << 40)
	if err := os.Remove(d.filler()); err != nil && d.free == nil {
		t.Fatal(err)
	}
}

// Goal: a full disk refuses writes before anything is lost, never ends the process, and heals when there is space again, without being
// opened anew. Method: a disk is filled to the last byte while writers turn over memtables and value logs, again and again: every write is
// acknowledged or ErrFull, reads go on, and what was acknowledged is there in the end. A full disk at Open and at Close, too.
func TestFullDisk(t *testing.T) {
	d := newDisk(t)
	store := filepath.Join(d.dir, "store")
	config := Config{Dir: store, Key: testKey(1), Free: d.free}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acked, refused := map[string]int{}, 0
	write := func(rng *rand.Rand, n int) {
		for i := range n {
			k, size := fmt.Sprintf("key%d", rng.IntN(300)), []int{100, 900, 5_000, 60_000}[rng.IntN(4)]
			mu.Lock()
			err := s.Batch(t.Context(), []vault.Pair{{Key: []byte(k), Value: make([]byte, size)}}, nil)
			if err == nil {
				acked[k] = size
			} else if refused++; !errors.Is(err, vault.ErrFull) {
				t.Errorf("write %d: %v", i, err)
			}
			mu.Unlock()
		}
	}
	for round := range 4 {
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() { write(rand.New(rand.NewPCG(uint64(round), uint64(w))), 250) })
		}
		d.fill(t)
		wg.Wait()
		before := refused
		write(rand.New(rand.NewPCG(uint64(round), 9)), 5)
		if refused != before+5 || !errors.Is(s.Writable(), vault.ErrFull) {
			t.Errorf("a full disk refused %d of 5; writable: %v", refused-before, s.Writable())
		}
		if err := s.Purge(t.Context(), [][]byte{[]byte("none")}); !errors.Is(err, vault.ErrFull) {
			t.Errorf("purge: %v", err)
		}
		for k, size := range acked {
			if v, err := s.Get(t.Context(), []byte(k)); err != nil || len(v) != size {
				t.Fatalf("%s: %d bytes, %v", k, len(v), err)
			}
		}
		d.empty(t)
		before = refused
		write(rand.New(rand.NewPCG(uint64(round), 10)), 20)
		if refused != before || s.Writable() != nil {
			t.Errorf("with space again: %d refused, writable: %v", refused-before, s.Writable())
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.fill(t)
	if _, err := Open(config); !errors.Is(err, vault.ErrFull) {
		t.Errorf("opened on a full disk: %v", err)
	}
	d.empty(t)
	if s, err = Open(config); err != nil {
		t.Fatal(err)
	}
	write(rand.New(rand.NewPCG(5, 5)), 20)
	d.fill(t)
	if err := s.Close(); !errors.Is(err, vault.ErrFull) {
		t.Errorf("closed on a full disk: %v", err)
	}
	d.empty(t)
	// Badger itself is left open, as by a process that was killed; a copy of its files is what such a one leaves.
	s, err = Open(Config{Dir: copyDir(t, store), Key: testKey(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for k, size := range acked {
		if v, err := s.Get(t.Context(), []byte(k)); err != nil || len(v) != size {
			t.Errorf("%s: %d bytes, %v", k, len(v), err)
		}
	}
}

// Goal: no page that Badger writes to through its maps is without its place on the disk. Method: the blocks of its logs, after opening and
// after each turned over.
func TestLogsHaveTheirPlace(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 200 {
		put(t, s, fmt.Sprint(i), string(make([]byte, 50_000)))
	}
	put(t, s, "last", "1")
	for _, kind := range []string{aheadLog, valueLog, discardFile} {
		paths, err := filepath.Glob(filepath.Join(dir, dbDir, "*"+kind))
		if err != nil || len(paths) == 0 {
			t.Fatal(kind, err)
		}
		if kind == valueLog && len(paths) < 2 {
			t.Fatalf("no value log was turned over: %v", paths)
		}
		path := paths[len(paths)-1]
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if st.Blocks*512 < st.Size {
			t.Errorf("%s has %d bytes and %d on the disk", filepath.Base(path), st.Size, st.Blocks*512)
		}
	}
}
