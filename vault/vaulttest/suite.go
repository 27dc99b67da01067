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
	fresh := func(t *testing.T) (vault.Store, func() vault.Store) {
		dir := t.TempDir()
		s := open(t, dir)
		t.Cleanup(func() { s.Close() })
		return s, func() vault.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			return s
		}
	}
	put := func(t *testing.T, s vault.Store, kv ...string) {
		t.Helper()
		var puts []vault.Pair
		for i := 0; i < len(kv); i += 2 {
			puts = append(puts, vault.Pair{Key: []byte(kv[i]), Value: []byte(kv[i+1])})
		}
		if err := s.Batch(t.Context(), puts, nil); err != nil {
			t.Fatal(err)
		}
	}
	all := func(t *testing.T, s vault.Store, prefix string) string {
		t.Helper()
		var out []string
		err := s.Iterate(t.Context(), []byte(prefix), func(k, v []byte) error {
			out = append(out, fmt.Sprintf("%s=%s", k, v))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(out)
	}

	t.Run("get put delete reopen", func(t *testing.T) {
		s, reopen := fresh(t)
		if _, err := s.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
			t.Fatalf("absent key: %v", err)
		}
		put(t, s, "a", "1", "b", "2", "c", "")
		if err := s.Batch(t.Context(), []vault.Pair{{Key: []byte("b"), Value: []byte("3")}}, [][]byte{[]byte("a"), []byte("absent")}); err != nil {
			t.Fatal(err)
		}
		for again := range 2 {
			if again == 1 {
				s = reopen()
			}
			if _, err := s.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("deleted key: %v", err)
			}
			if v, err := s.Get(t.Context(), []byte("b")); err != nil || string(v) != "3" {
				t.Errorf("b = %q, %v", v, err)
			}
			if v, err := s.Get(t.Context(), []byte("c")); err != nil || len(v) != 0 {
				t.Errorf("c = %q, %v", v, err)
			}
		}
	})

	t.Run("iterate in order under a prefix", func(t *testing.T) {
		s, reopen := fresh(t)
		put(t, s, "p/b", "2", "p/a", "1", "p", "0", "q/a", "4", "p/\xff", "3")
		for again := range 2 {
			if again == 1 {
				s = reopen()
			}
			if got := all(t, s, "p/"); got != "[p/a=1 p/b=2 p/\xff=3]" {
				t.Errorf("p/: %q", got)
			}
			if got := all(t, s, ""); got != "[p=0 p/a=1 p/b=2 p/\xff=3 q/a=4]" {
				t.Errorf("all: %q", got)
			}
			if got := all(t, s, "z"); got != "[]" {
				t.Errorf("z: %q", got)
			}
		}
	})

	t.Run("iteration sees one moment and stops on error", func(t *testing.T) {
		s, _ := fresh(t)
		put(t, s, "a", "1", "b", "2", "c", "3")
		stop, n := errors.New("stop"), 0
		err := s.Iterate(t.Context(), nil, func(k, v []byte) error {
			if n++; n == 1 {
				put(t, s, "b", "new", "d", "new")
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
	})

	t.Run("slices are not shared", func(t *testing.T) {
		s, _ := fresh(t)
		k, v := []byte("key"), []byte("value")
		if err := s.Batch(t.Context(), []vault.Pair{{Key: k, Value: v}}, nil); err != nil {
			t.Fatal(err)
		}
		clear(k)
		clear(v)
		got, err := s.Get(t.Context(), []byte("key"))
		if err != nil || string(got) != "value" {
			t.Fatalf("%q %v", got, err)
		}
		clear(got)
		if got, _ = s.Get(t.Context(), []byte("key")); string(got) != "value" {
			t.Errorf("Get lends its own bytes: %q", got)
		}
	})

	t.Run("limits", func(t *testing.T) {
		s, reopen := fresh(t)
		long, big := bytes.Repeat([]byte("k"), vault.MaxKey), bytes.Repeat([]byte("v"), vault.MaxValue)
		many := make([]vault.Pair, vault.MaxBatch)
		for i := range many {
			many[i] = vault.Pair{Key: fmt.Appendf(bytes.Clone(long[:vault.MaxKey-3]), "%03d", i), Value: big[:vault.MaxBatchBytes/vault.MaxBatch-vault.MaxKey]}
		}
		for name, c := range map[string]struct {
			puts []vault.Pair
			ok   bool
		}{
			"largest key":      {[]vault.Pair{{Key: long, Value: []byte("x")}}, true},
			"larger key":       {[]vault.Pair{{Key: append(long[:len(long):len(long)], 'k')}}, false},
			"empty key":        {[]vault.Pair{{Value: []byte("x")}}, false},
			"largest value":    {[]vault.Pair{{Key: []byte("v"), Value: big}}, true},
			"larger value":     {[]vault.Pair{{Key: []byte("v"), Value: append(big[:len(big):len(big)], 'v')}}, false},
			"largest batch":    {many, true},
			"one entry more":   {append(many[:len(many):len(many)], vault.Pair{Key: []byte("x")}), false},
			"too many bytes":   {[]vault.Pair{{Key: []byte("a"), Value: big}, {Key: []byte("b"), Value: big}, {Key: []byte("c"), Value: big}, {Key: []byte("d"), Value: big}}, false},
			"nothing to write": {nil, false},
		} {
			err := s.Batch(t.Context(), c.puts, nil)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, vault.ErrTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, n := range []int{1 << 10, 4 << 10, 16 << 10} {
			for i := range many {
				many[i].Value = big[:n]
			}
			if err := s.Batch(t.Context(), many, nil); err != nil {
				t.Errorf("%d values of %d bytes: %v", len(many), n, err)
			}
		}
		s = reopen()
		if got, err := s.Get(t.Context(), []byte("v")); err != nil || !bytes.Equal(got, big) {
			t.Errorf("largest value: %d bytes, %v", len(got), err)
		}
		if got, err := s.Get(t.Context(), many[63].Key); err != nil || !bytes.Equal(got, many[63].Value) {
			t.Errorf("last of a large batch: %d bytes, %v", len(got), err)
		}
	})

	t.Run("concurrent batches", func(t *testing.T) {
		s, reopen := fresh(t)
		const writers, rounds = 8, 10
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for r := range rounds {
					v := fmt.Appendf(nil, "%d", r)
					err := s.Batch(context.Background(), []vault.Pair{{Key: fmt.Appendf(nil, "x/%d", w), Value: v}, {Key: fmt.Appendf(nil, "y/%d", w), Value: v}}, nil)
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		s = reopen()
		for w := range writers {
			for _, k := range []string{"x", "y"} {
				if v, err := s.Get(t.Context(), fmt.Appendf(nil, "%s/%d", k, w)); err != nil || string(v) != fmt.Sprint(rounds-1) {
					t.Errorf("%s/%d = %q, %v", k, w, v, err)
				}
			}
		}
	})

	t.Run("cancelled context writes nothing", func(t *testing.T) {
		s, _ := fresh(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Batch(ctx, []vault.Pair{{Key: []byte("a"), Value: []byte("1")}}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("batch: %v", err)
		}
		if _, err := s.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("get: %v", err)
		}
		put(t, s, "a", "2")
	})

	t.Run("closed", func(t *testing.T) {
		s, _ := fresh(t)
		put(t, s, "a", "1")
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Get(t.Context(), []byte("a"))
		errs := []error{
			err,
			s.Batch(t.Context(), []vault.Pair{{Key: []byte("a")}}, nil),
			s.Iterate(t.Context(), nil, func(_, _ []byte) error { return nil }),
		}
		if i := slices.IndexFunc(errs, func(err error) bool { return !errors.Is(err, vault.ErrClosed) }); i >= 0 {
			t.Errorf("call %d after Close: %v", i, errs[i])
		}
	})

	t.Run("purge", func(t *testing.T) {
		s, reopen := fresh(t)
		p, ok := s.(vault.Purger)
		if !ok {
			return // an optional ability
		}
		put(t, s, "a", "1", "ab", "2", "b", "3", "c", "4")
		if err := s.Batch(t.Context(), []vault.Pair{{Key: []byte("d"), Value: []byte("5")}}, [][]byte{[]byte("a"), []byte("b")}); err != nil {
			t.Fatal(err)
		}
		put(t, s, "b", "again")
		if err := p.Purge(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("never")}); err != nil {
			t.Fatal(err)
		}
		put(t, s, "e", "6")
		for again := range 2 {
			if again == 1 {
				s = reopen()
			}
			if got := all(t, s, ""); got != "[ab=2 b=again c=4 d=5 e=6]" {
				t.Errorf("%s", got)
			}
		}
	})
}
