package badgerstore

import (
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/vault"
)

// Goal: a crash in the middle of a purge brings nothing back. Method: the mark that stands in for a deleted key, before the
// drop: reads pass over it, a write replaces it.
func TestErasedMark(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	put(t, s, "b", "1")
	err := s.db.Update(func(txn *badger.Txn) error {
		return txn.SetEntry(badger.NewEntry(userKey([]byte("a")), nil).WithMeta(erasedMark))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), []byte("a")); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	n := 0
	if err := s.Iterate(t.Context(), nil, func(_, _ []byte) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("iterate: %d, %v", n, err)
	}
	put(t, s, "a", "2")
	if v, err := s.Get(t.Context(), []byte("a")); err != nil || string(v) != "2" {
		t.Errorf("written again: %q %v", v, err)
	}
}

// Goal: the options on which durability rests are set. Method: look; a power cut cannot be had here.
func TestOptions(t *testing.T) {
	o := smallOptions("", nil)
	if !o.SyncWrites || o.NumVersionsToKeep != 1 || !o.VerifyValueChecksum || o.BlockCacheSize == 0 {
		t.Errorf("%+v", o)
	}
}
