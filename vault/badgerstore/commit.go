package badgerstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/vault"
)

// Batch implements vault.Store. Callers who come together share one transaction and its two fsyncs.
func (s *Store) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	if err := vault.CheckBatch(puts, deletes); err != nil {
		return err
	}
	return s.group.Do(ctx, &batch{puts, deletes})
}

// A group must fit one Badger transaction, 15 % of a memtable, in which a large value counts as a pointer. An entry weighs its
// share of the largest batch, or its bytes if they are more; a single largest batch fits.
const entryWeight = vault.MaxBatchBytes / vault.MaxBatch

func (b *batch) weight() int {
	n := entryWeight * len(b.deletes)
	for _, p := range b.puts {
		n += max(entryWeight, len(p.Key)+len(p.Value))
	}
	return n
}

// commit writes a group as one transaction, then the count of what is acknowledged. It runs one at a time.
func (s *Store) commit(group []*batch) error {
	if err := s.failure.Err(); err != nil {
		return err
	}
	if err := errors.Join(s.room(), s.allocate()); err != nil {
		return err
	}
	seq := s.seq + 1
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	if err := fill(txn, group, seq); err != nil {
		return fmt.Errorf("badgerstore: %w: %w", vault.ErrTooLarge, err)
	}
	err := txn.Commit()
	if err == nil {
		err = s.acked.Raise(seq)
	}
	if err != nil {
		s.fail(fmt.Errorf("badgerstore: %w: %w", vault.ErrBroken, err))
		return fmt.Errorf("badgerstore: commit: %w", err)
	}
	s.seq = seq
	return nil
}

// fail has nothing written any more.
func (s *Store) fail(why error) {
	why = placed{why, s}
	s.failure.Set(why)
	if s.crash != nil {
		s.crash(why)
	}
}

// background hears of what failed in a goroutine of Badger's. While the database is opened that may also be damage, of which the opening
// itself will tell.
func (s *Store) background(err error) {
	switch {
	case s.opened.Load():
		s.fail(fmt.Errorf("badgerstore: %w: %w", vault.ErrBroken, err))
	case diskFailure(err) != nil:
		s.failure.Set(told(err))
	}
}

// Failed is closed when a write or a read has failed so that what the database holds is known only when it is opened anew, and when it is
// closed; Writable tells why.
func (s *Store) Failed() <-chan struct{} { return s.failure.Done() }

// fill keeps the order of arrival: where two batches write one key, the later wins. Keys and values are copied, for Badger
// holds on to them.
func fill(txn *badger.Txn, group []*batch, seq uint64) error {
	for _, b := range group {
		for _, p := range b.puts {
			if err := txn.Set(userKey(p.Key), encodeValue(p.Value)); err != nil {
				return err
			}
		}
		for _, k := range b.deletes {
			if err := txn.Delete(userKey(k)); err != nil {
				return err
			}
		}
	}
	return txn.Set([]byte(seqKey), binary.BigEndian.AppendUint64(nil, seq))
}
