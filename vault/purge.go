package vault

import (
	"context"
	"fmt"
)

// maxErased bounds the list of erased keys; beyond it Purge leaves the oldest to the store's own housekeeping.
const maxErased = 1 << 16

func (v *Vault) noteErased(keys [][]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erased = append(v.erased, keys...)
	if n := len(v.erased); n > maxErased {
		v.erased = append([][]byte(nil), v.erased[n-maxErased:]...)
	}
}

// Purge makes the store rewrite its files without the wrapped DEKs erased since the last Purge, where the store can (Purger).
// The erased shares are unreachable through the vault before; after it their sealed keys are gone from the live files too.
// Every erasure tries it at once, and those that come together share one; a caller needs it only to retry, and to learn why.
func (v *Vault) Purge(ctx context.Context) error {
	p, ok := v.store.(Purger)
	if !ok {
		return nil
	}
	return v.purges.Do(ctx, p)
}

// purge drives out what is erased by now. It runs one at a time.
func (v *Vault) purge(group []Purger) error {
	v.mu.Lock()
	keys := v.erased
	v.erased = nil
	v.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	if err := group[0].Purge(context.Background(), keys); err != nil {
		v.noteErased(keys)
		return fmt.Errorf("vault: purge: %w", err)
	}
	return nil
}
