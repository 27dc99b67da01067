package vault

import (
	"context"
	"fmt"
)

// Limits of a Store, in bytes and entries.
const (
	MaxKey   = 512
	MaxValue = 2 << 20
	MaxBatch = 256 // puts and deletes together
	// MaxBatchBytes bounds the keys and values of a batch.
	MaxBatchBytes = 8 << 20
)

// Pair is a key with its value.
type Pair struct{ Key, Value []byte }

// Store is an ordered map of bytes that survives power loss. The vault trusts it for durability and atomicity, not for
// secrecy and not for integrity. Implementations are safe for concurrent use and pass vaulttest.RunStore.
type Store interface {
	// Get returns the value, owned by the caller, or ErrNotFound.
	Get(ctx context.Context, key []byte) ([]byte, error)

	// Batch writes and deletes all or nothing, durable on return. A key stands in a batch once; deleting an absent key is
	// fine. The slices are not kept. ErrTooLarge, ErrFull, ErrMoved or the context's error means nothing was written. Any other
	// error means the outcome is unknown: from then on every Batch fails with ErrBroken until the store is opened anew.
	Batch(ctx context.Context, puts []Pair, deletes [][]byte) error

	// Iterate calls f for the pairs whose key begins with prefix, in the order of keys, as of one moment. The slices are
	// valid during the call only, and f must not read from the Store. It ends with f's first error and returns it.
	Iterate(ctx context.Context, prefix []byte, f func(key, value []byte) error) error

	// Close waits for writes in progress; later calls fail with ErrClosed. It is idempotent.
	Close() error
}

// Purger is a Store that can rewrite its files without what was deleted.
type Purger interface {
	// Purge makes the bytes of the deleted keys leave the files, as far as the store decides that. It may take long.
	Purge(ctx context.Context, keys [][]byte) error
}

// CheckBatch holds a batch against the limits; every Store calls it first.
func CheckBatch(puts []Pair, deletes [][]byte) error {
	if n := len(puts) + len(deletes); n == 0 || n > MaxBatch {
		return fmt.Errorf("vault: batch of %d entries, 1 to %d allowed: %w", n, MaxBatch, ErrTooLarge)
	}
	size := 0
	for _, p := range puts {
		if len(p.Value) > MaxValue {
			return fmt.Errorf("vault: value of %d bytes, at most %d: %w", len(p.Value), MaxValue, ErrTooLarge)
		}
		if err := checkKey(p.Key); err != nil {
			return err
		}
		size += len(p.Key) + len(p.Value)
	}
	for _, k := range deletes {
		if err := checkKey(k); err != nil {
			return err
		}
		size += len(k)
	}
	if size > MaxBatchBytes {
		return fmt.Errorf("vault: batch of %d bytes, at most %d: %w", size, MaxBatchBytes, ErrTooLarge)
	}
	return nil
}

func checkKey(k []byte) error {
	if len(k) < 1 || len(k) > MaxKey {
		return fmt.Errorf("vault: key of %d bytes, 1 to %d allowed: %w", len(k), MaxKey, ErrTooLarge)
	}
	return nil
}
