package badgerstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/vault"
)

// erasedMark is the user meta of an entry that stands in for a deleted one while it is purged.
const erasedMark = 1

func isErased(item *badger.Item) bool { return item.UserMeta()&erasedMark != 0 }

// purgeChunk is the number of keys Badger drops in one go.
const purgeChunk = 64

// Purge implements vault.Purger: what was written under the deleted keys leaves Badger's memtables, write-ahead logs and tables
// (files are removed, not overwritten). A value above valueThreshold stays in the value log; wrapped keys are far smaller.
// Keys that are there again, or that other keys begin with, are passed over. Readers and writers wait meanwhile.
func (s *Store) Purge(ctx context.Context, keys [][]byte) error {
	for len(keys) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(keys), purgeChunk)
		if err := s.group.Idle(func() error { return s.purge(keys[:n]) }); err != nil {
			return fmt.Errorf("badgerstore: purge: %w", err)
		}
		keys = keys[n:]
	}
	return nil
}

func (s *Store) purge(keys [][]byte) error {
	if err := s.failure.Err(); err != nil {
		return err
	}
	if err := errors.Join(s.room(), s.allocate()); err != nil {
		return err
	}
	// DropPrefix passes over what has no visible entry, as deleted keys have none; so each gets an empty one, marked.
	var drop [][]byte
	err := s.db.Update(func(txn *badger.Txn) error {
		for _, k := range keys {
			k = userKey(k)
			item, err := txn.Get(k)
			if err == nil && !isErased(item) {
				continue // written again since
			}
			if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
				return err
			}
			if !alone(txn, k) {
				continue
			}
			if err := txn.SetEntry(badger.NewEntry(k, nil).WithMeta(erasedMark)); err != nil {
				return err
			}
			drop = append(drop, k)
		}
		return nil
	})
	if err == nil && len(drop) > 0 {
		err = s.drop(drop)
	}
	if err != nil {
		s.fail(fmt.Errorf("badgerstore: %w: %w", vault.ErrBroken, err))
	}
	return err
}

// drop rewrites memtables and tables without the keys; readers wait, for Badger promises them nothing meanwhile.
func (s *Store) drop(keys [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.DropPrefix(keys...)
}

// alone tells whether no other key begins with k: Badger would drop those too.
func alone(txn *badger.Txn, k []byte) bool {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = k, false
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if len(it.Item().Key()) > len(k) {
			return false
		}
	}
	return true
}
