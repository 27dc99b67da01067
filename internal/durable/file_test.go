package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// Goal: a file is replaced whole or not at all. Method: cut the power at every byte of the write.
func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	for n := range int64(3) {
		if err := writeFile(path, []byte("new"), 0o600, cutAfter(n).Hook); !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if b, err := ReadFile(path, 10); err != nil || string(b) != "old" {
			t.Fatalf("cut at %d: %q %v", n, b, err)
		}
	}
	write(t, path+".tmp", []byte("left by a crash, longer"))
	if err := WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(path, 3); err != nil || string(b) != "new" {
		t.Fatalf("%q %v", b, err)
	}
	if st, _ := os.Stat(path); st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := os.Stat(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary file stays: %v", err)
	}
}

// Goal: ReadFile keeps its limit. Method: at the edge, beyond it, and a missing file.
func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, make([]byte, 100))
	if b, err := ReadFile(path, 100); err != nil || len(b) != 100 {
		t.Error(err)
	}
	if _, err := ReadFile(path, 99); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := ReadFile(path+"x", 99); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Goal: a counter survives reopening and a torn write, and never shrinks. Method: raise, reopen, damage each slot in turn.
func TestCounter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	if err := CreateCounter(path); err != nil {
		t.Fatal(err)
	}
	if err := CreateCounter(path); !errors.Is(err, os.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
	reopen := func() (uint64, error) {
		c, err := OpenCounter(path)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.Value(), nil
	}
	c, err := OpenCounter(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{1, 2, 7, 3, 1 << 40} {
		if err := c.Raise(n); err != nil {
			t.Fatal(err)
		}
		if v, err := reopen(); err != nil || v != c.Value() || v < n {
			t.Fatalf("raised to %d, reads %d, %v", n, v, err)
		}
	}
	c.Close()
	if err := c.Raise(1 << 50); !errors.Is(err, ErrClosed) {
		t.Errorf("raise after close: %v", err)
	}
	good, _ := os.ReadFile(path)
	for i := range good {
		bad := append([]byte{}, good...)
		bad[i] ^= 1
		write(t, path, bad)
		if v, err := reopen(); err != nil || v != 1<<40 && v != 7 {
			t.Fatalf("byte %d flipped: %d %v", i, v, err)
		}
	}
	both := append([]byte{}, good...)
	both[3] ^= 1
	both[slotStride+3] ^= 1
	for i, bad := range [][]byte{both, good[:len(good)-1], {}, append(append([]byte{}, good...), 0)} {
		write(t, path, bad)
		if _, err := reopen(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("damage %d: %v", i, err)
		}
	}
}

// Goal: a heavy item goes alone and the order of arrival is kept. Method: a commit that is held until all wait.
func TestGroupWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got [][]int
		held := make(chan struct{})
		g := NewGroup(10, func(i int) int { return i }, func(items []int) error {
			<-held
			got = append(got, items)
			return nil
		})
		for _, item := range []int{1, 4, 6, 3, 50, 2} {
			go func() {
				if err := g.Do(t.Context(), item); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait() // it commits, or waits in the queue
		}
		close(held)
		synctest.Wait()
		if s := fmt.Sprint(got); s != "[[1] [4 6] [3] [50] [2]]" {
			t.Errorf("groups %s", s)
		}
	})
}
