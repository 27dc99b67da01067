package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// killDir and killAt tell the child process of TestRewrapKilled where to work, and at which step to die.
const (
	killDir = "MPCD_TEST_REWRAP_DIR"
	killAt  = "MPCD_TEST_REWRAP_STEP"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		os.Exit(rewrapAndDie(dir, os.Getenv(killAt)))
	}
	os.Exit(m.Run())
}

// fuse kills the process, as kill -9 does, at a step: before a write, a purge or a count. After one is before the next.
type fuse struct{ left int }

func (f *fuse) burn() {
	if f.left--; f.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// fused is a Badger store with a fuse.
type fused struct {
	*badgerstore.Store
	*fuse
}

func (s fused) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	s.burn()
	return s.Store.Batch(ctx, puts, deletes)
}

func (s fused) Purge(ctx context.Context, keys [][]byte) error {
	s.burn()
	return s.Store.Purge(ctx, keys)
}

// fileCounter counts in a file, as a token would in its own memory.
type fileCounter struct {
	dir string
	*fuse
}

func (c fileCounter) path(id string) string { return filepath.Join(c.dir, "counter-"+id) }

func (c fileCounter) CreateCounter(ctx context.Context, id string) (uint64, error) {
	if err := durable.CreateCounter(c.path(id)); err != nil {
		return 0, err
	}
	return 0, nil
}

func (c fileCounter) Increment(ctx context.Context, id string) (uint64, error) {
	c.burn()
	f, err := durable.OpenCounter(c.path(id))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := f.Value() + 1
	return n, f.Raise(n)
}

func (c fileCounter) Read(ctx context.Context, id string) (uint64, error) {
	f, err := durable.OpenCounter(c.path(id))
	if errors.Is(err, os.ErrNotExist) {
		return 0, hsm.ErrNoKey
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Value(), nil
}

// killedConfig is the vault of TestRewrapKilled before, and the wrapping it is moved to.
func killedConfig(dir string, f *fuse) (vault.Config, vault.Wrapping) {
	key := func(b byte) *vaulttest.Wrapper {
		return vaulttest.NewWrapperOf(map[string][]byte{fmt.Sprint("kek", b): append(make([]byte, 31), b)})
	}
	c := vault.Config{Wrapper: key(1), KEK: "kek1", Node: "node-1", Counter: fileCounter{dir, f}, CounterID: "old"}
	return c, vault.Wrapping{Wrapper: key(2), KEK: "kek2", Provider: "next", Counter: fileCounter{dir, f}, CounterID: "new"}
}

// rewrapAndDie is the child.
func rewrapAndDie(dir, step string) int {
	n, err := strconv.Atoi(step)
	if err != nil {
		return 2
	}
	f := &fuse{n}
	s, err := badgerstore.Open(badgerstore.Config{Dir: filepath.Join(dir, "store"), Key: secret.From(append(make([]byte, 31), 9))})
	if err == nil {
		c, to := killedConfig(dir, f)
		c.Store = fused{s, f}
		if err = vault.Rewrap(context.Background(), c, to, nil); err == nil {
			err = s.Close()
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// Goal: a real process on a real disk, killed with SIGKILL between any two writes, purges and counts of a Rewrap, leaves a vault that
// exactly one of the two KEKs opens, whole; and Rewrap run again completes. Method: a child process with a fuse, for every step until
// one run gets through.
func TestRewrapKilled(t *testing.T) {
	origin := t.TempDir()
	open := func(dir string) *badgerstore.Store {
		t.Helper()
		s, err := badgerstore.Open(badgerstore.Config{Dir: filepath.Join(dir, "store"), Key: secret.From(append(make([]byte, 31), 9))})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	m := vaulttest.NewMemory()
	c, _ := killedConfig(origin, new(fuse))
	manyIDs(t, m, c)
	found := map[int]int{}
	for step := 1; ; step++ {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(origin)); err != nil { // the counter
			t.Fatal(err)
		}
		s := open(dir)
		pour(t, m, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDir+"="+dir, killAt+"="+strconv.Itoa(step))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.Output()
		if cmd.ProcessState.Exited() && err != nil {
			t.Fatalf("step %d: %s", step, out)
		}
		ended := err == nil
		before, to := killedConfig(dir, new(fuse))
		after := movedConfig(to)
		s = open(dir)
		found[opensOnly(t, fmt.Sprint("killed at step ", step), s, before, after)]++
		before.Store = s
		if err := vault.Rewrap(t.Context(), before, to, nil); err != nil {
			t.Fatalf("killed at step %d, run again: %v", step, err)
		}
		if opensOnly(t, fmt.Sprint("finished after step ", step), s, before, after) != 1 {
			t.Fatalf("step %d: the old KEK still opens it", step)
		}
		if err := openAs(t, with(after, s)).Check(t.Context()); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if ended {
			break
		}
	}
	if found[0] < 3 || found[1] < 5 {
		t.Errorf("the old KEK opened it %d times, the new one %d times: too few steps were tried", found[0], found[1])
	}
}

// pour copies a store.
func pour(t *testing.T, from *vaulttest.Memory, to vault.Store) {
	t.Helper()
	var pairs []vault.Pair
	for k, v := range under(from, "") {
		pairs = append(pairs, vault.Pair{Key: []byte(k), Value: []byte(v)})
	}
	for chunk := range slices.Chunk(pairs, vault.MaxBatch) {
		if err := to.Batch(t.Context(), chunk, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func movedConfig(to vault.Wrapping) vault.Config {
	return vault.Config{Wrapper: to.Wrapper, KEK: to.KEK, Node: "node-1", Counter: to.Counter, CounterID: to.CounterID}
}
