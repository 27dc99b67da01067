package vaulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/vault"
)

// RunStore holds a Store to its contract. open opens the store in dir, twice with the same dir after a Close.
func RunStore(t *testing.T, open func(t *testing.T, dir string) vault.Store) {
	for _, c := range []struct {
		name string
		run  func(*storeTest)
	}{
		{"get put delete reopen", testGetPut},
		{"iterate in order under a prefix", testIterate},
		{"iteration sees one moment and stops on error", testMoment},
		{"slices are not shared", testSlices},
		{"limits", testLimits},
		{"full batches of every size", testFullBatches},
		{"concurrent batches", testConcurrent},
		{"cancelled context writes nothing", testCancelled},
		{"closed", testClosed},
		{"purge", testPurge},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := &storeTest{T: t, open: func() vault.Store { return open(t, dir) }}
			s.store = s.open()
			t.Cleanup(func() { s.store.Close() })
			c.run(s)
		})
	}
}

// storeTest is one test of the contract with a store of its own.
type storeTest struct {
	*testing.T
	open  func() vault.Store
	store vault.Store
}

func (t *storeTest) reopen() {
	if err := t.store.Close(); err != nil {
		t.Fatal(err)
	}
	t.store = t.open()
}

// put writes keys and values, which alternate, in one batch.
func (t *storeTest) put(kv ...string) {
	t.Helper()
	var puts []vault.Pair
	for i := 0; i < len(kv); i += 2 {
		puts = append(puts, vault.Pair{Key: []byte(kv[i]), Value: []byte(kv[i+1])})
	}
	if err := t.store.Batch(t.Context(), puts, nil); err != nil {
		t.Fatal(err)
	}
}

// all prints what Iterate gives under a prefix.
func (t *storeTest) all(prefix string) string {
	t.Helper()
	var out []string
	err := t.store.Iterate(t.Context(), []byte(prefix), func(k, v []byte) error {
		out = append(out, fmt.Sprintf("%s=%s", k, v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(out)
}

func testGetPut(t *storeTest) {
	if _, err := t.store.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("absent key: %v", err)
	}
	t.put("a", "1", "b", "2", "c", "")
	err := t.store.Batch(t.Context(), []vault.Pair{{Key: []byte("b"), Value: []byte("3")}}, [][]byte{[]byte("a"), []byte("absent")})
	if err != nil {
		t.Fatal(err)
	}
	for again := range 2 {
		if again == 1 {
			t.reopen()
		}
		if _, err := t.store.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("deleted key: %v", err)
		}
		if v, err := t.store.Get(t.Context(), []byte("b")); err != nil || string(v) != "3" {
			t.Errorf("b = %q, %v", v, err)
		}
		if v, err := t.store.Get(t.Context(), []byte("c")); err != nil || len(v) != 0 {
			t.Errorf("c = %q, %v", v, err)
		}
	}
}

func testIterate(t *storeTest) {
	t.put("p/b", "2", "p/a", "1", "p", "0", "q/a", "4", "p/\xff", "3")
	for again := range 2 {
		if again == 1 {
			t.reopen()
		}
		if got := t.all("p/"); got != "[p/a=1 p/b=2 p/\xff=3]" {
			t.Errorf("p/: %q", got)
		}
		if got := t.all(""); got != "[p=0 p/a=1 p/b=2 p/\xff=3 q/a=4]" {
			t.Errorf("all: %q", got)
		}
		if got := t.all("z"); got != "[]" {
			t.Errorf("z: %q", got)
		}
	}
}

func testMoment(t *storeTest) {
	t.put("a", "1", "b", "2", "c", "3")
	stop, n := errors.New("stop"), 0
	err := t.store.Iterate(t.Context(), nil, func(k, v []byte) error {
		if n++; n == 1 {
			t.put("b", "new", "d", "new")
		} else if string(v) == "new" {
			t.Errorf("%s written during the iteration is seen", k)
		}
		if string(k) == "c" {
			return stop
		}
		return nil
	})
	if err != stop || n != 3 {
		t.Errorf("%d calls, %v", n, err)
	}
}

func testSlices(t *storeTest) {
	k, v := []byte("key"), []byte("value")
	if err := t.store.Batch(t.Context(), []vault.Pair{{Key: k, Value: v}}, nil); err != nil {
		t.Fatal(err)
	}
	clear(k)
	clear(v)
	got, err := t.store.Get(t.Context(), []byte("key"))
	if err != nil || string(got) != "value" {
		t.Fatalf("%q %v", got, err)
	}
	clear(got)
	if got, _ = t.store.Get(t.Context(), []byte("key")); string(got) != "value" {
		t.Errorf("Get lends its own bytes: %q", got)
	}
}

var (
	longest = bytes.Repeat([]byte("k"), vault.MaxKey)
	biggest = bytes.Repeat([]byte("v"), vault.MaxValue)
)

// fullBatch has as many entries as a batch may have, with the longest keys.
func fullBatch(value []byte) []vault.Pair {
	many := make([]vault.Pair, vault.MaxBatch)
	for i := range many {
		many[i] = vault.Pair{Key: fmt.Appendf(bytes.Clone(longest[:vault.MaxKey-3]), "%03d", i), Value: value}
	}
	return many
}

func testLimits(t *storeTest) {
	one := func(key, value []byte) []vault.Pair { return []vault.Pair{{Key: key, Value: value}} }
	many := fullBatch(biggest[:vault.MaxBatchBytes/vault.MaxBatch-vault.MaxKey])
	var heavy []vault.Pair
	for _, k := range []string{"a", "b", "c", "d"} {
		heavy = append(heavy, vault.Pair{Key: []byte(k), Value: biggest})
	}
	for name, c := range map[string]struct {
		puts []vault.Pair
		ok   bool
	}{
		"largest key":      {one(longest, []byte("x")), true},
		"larger key":       {one(slices.Concat(longest, []byte("k")), nil), false},
		"empty key":        {one(nil, []byte("x")), false},
		"largest value":    {one([]byte("v"), biggest), true},
		"larger value":     {one([]byte("v"), slices.Concat(biggest, []byte("v"))), false},
		"largest batch":    {many, true},
		"one entry more":   {append(slices.Clone(many), vault.Pair{Key: []byte("x")}), false},
		"too many bytes":   {heavy, false},
		"nothing to write": {nil, false},
	} {
		err := t.store.Batch(t.Context(), c.puts, nil)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, vault.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.reopen()
	if got, err := t.store.Get(t.Context(), []byte("v")); err != nil || !bytes.Equal(got, biggest) {
		t.Errorf("largest value: %d bytes, %v", len(got), err)
	}
}

func testFullBatches(t *storeTest) {
	for _, n := range []int{1 << 10, 4 << 10, 16 << 10} {
		many := fullBatch(biggest[:n])
		if err := t.store.Batch(t.Context(), many, nil); err != nil {
			t.Errorf("%d values of %d bytes: %v", len(many), n, err)
		}
		t.reopen()
		last := many[len(many)-1]
		if got, err := t.store.Get(t.Context(), last.Key); err != nil || !bytes.Equal(got, last.Value) {
			t.Errorf("last of %d values of %d bytes: %d bytes, %v", len(many), n, len(got), err)
		}
	}
}

func testConcurrent(t *storeTest) {
	const writers, rounds = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				v := fmt.Appendf(nil, "%d", r)
				both := []vault.Pair{{Key: fmt.Appendf(nil, "x/%d", w), Value: v}, {Key: fmt.Appendf(nil, "y/%d", w), Value: v}}
				if err := t.store.Batch(context.Background(), both, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.reopen()
	for w := range writers {
		for _, k := range []string{"x", "y"} {
			if v, err := t.store.Get(t.Context(), fmt.Appendf(nil, "%s/%d", k, w)); err != nil || string(v) != fmt.Sprint(rounds-1) {
				t.Errorf("%s/%d = %q, %v", k, w, v, err)
			}
		}
	}
}

func testCancelled(t *storeTest) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := t.store.Batch(ctx, []vault.Pair{{Key: []byte("a"), Value: []byte("1")}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("batch: %v", err)
	}
	if _, err := t.store.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	t.put("a", "2")
}

func testClosed(t *storeTest) {
	t.put("a", "1")
	for range 2 {
		if err := t.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := t.store.Get(t.Context(), []byte("a"))
	errs := []error{
		err,
		t.store.Batch(t.Context(), []vault.Pair{{Key: []byte("a")}}, nil),
		t.store.Iterate(t.Context(), nil, func(_, _ []byte) error { return nil }),
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return !errors.Is(err, vault.ErrClosed) }); i >= 0 {
		t.Errorf("call %d after Close: %v", i, errs[i])
	}
}

func testPurge(t *storeTest) {
	p, ok := t.store.(vault.Purger)
	if !ok {
		return // an optional ability
	}
	t.put("a", "1", "ab", "2", "b", "3", "c", "4")
	err := t.store.Batch(t.Context(), []vault.Pair{{Key: []byte("d"), Value: []byte("5")}}, [][]byte{[]byte("a"), []byte("b")})
	if err != nil {
		t.Fatal(err)
	}
	t.put("b", "again")
	if err := p.Purge(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("never")}); err != nil {
		t.Fatal(err)
	}
	t.put("e", "6")
	for again := range 2 {
		if again == 1 {
			t.reopen()
		}
		if got := t.all(""); got != "[ab=2 b=again c=4 d=5 e=6]" {
			t.Errorf("%s", got)
		}
	}
}
