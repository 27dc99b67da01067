package vault

import (
	"context"
	"strings"
)

// tidy removes what a Rewrap that was cut short left: the wrapping it was staging, which never counted, or the one it came
// from. No share is in either that is not in the vault. It must be done before anything is erased, for an erased share must not
// live on in them.
func (v *Vault) tidy(ctx context.Context) error {
	staged, err := v.keysUnder(ctx, (v.wrapping + 1).own())
	if err != nil {
		return err
	}
	if err := v.remove(ctx, staged); err != nil {
		return err
	}
	if len(staged) > 0 {
		_ = v.Purge(ctx) // as after an erasure
	}
	if v.state.retiring == nil {
		return nil
	}
	if err := v.removeRetired(ctx); err != nil && v.state.retiring != nil {
		return v.removedOrFail(ctx, err)
	}
	return nil
}

// removedOrFail lets a vault open whose old wrapped DEKs are deleted, but could not be purged: the next opening tries again.
func (v *Vault) removedOrFail(ctx context.Context, cause error) error {
	left, err := v.keysUnder(ctx, v.retired())
	if err != nil {
		return err
	}
	if len(left) > 0 || v.failure.Err() != nil {
		return cause
	}
	return nil
}

// retired are the prefixes of all that belongs to the wrapping before, and of a canary that it shared and this one does not.
func (v *Vault) retired() []string {
	own := v.state.retiring.own()
	if v.rekeyed {
		own = append(own, sharedCanary()...)
	}
	return own
}

// removeRetired drops the wrapping before; only then does the root forget it.
func (v *Vault) removeRetired(ctx context.Context) error {
	if v.state.retiring == nil {
		return nil
	}
	if err := v.dropRetired(ctx); err != nil {
		return err
	}
	return v.group.Do(ctx, &change{amend: func(s *state) { s.retiring = nil }})
}

// dropRetired deletes the wrapping before and purges its wrapped DEKs. The keys to purge are told from the pointers, not from
// what is still there: an earlier run may have been killed between the two.
func (v *Vault) dropRetired(ctx context.Context) error {
	if v.state.retiring == nil {
		return nil
	}
	old := *v.state.retiring
	keys, err := v.keysUnder(ctx, v.retired())
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, v.store, keys); err != nil {
		return err
	}
	deks := [][]byte{old.keys(canary, 0).dek}
	refs, err := v.refs(ctx)
	if err != nil {
		return err
	}
	for _, r := range refs {
		p, _, err := v.getPointer(ctx, r)
		if err != nil {
			return err
		}
		for _, e := range p.Entries {
			if e.State != Retired {
				deks = append(deks, old.keys(r, e.Epoch).dek)
			}
		}
	}
	for len(deks) > 0 {
		n := min(len(deks), maxErased/2)
		v.noteErased(deks[:n])
		if err := v.Purge(ctx); err != nil {
			return err
		}
		deks = deks[n:]
	}
	return nil
}

// remove deletes keys and notes the wrapped DEKs among them for the next Purge.
func (v *Vault) remove(ctx context.Context, keys [][]byte) error {
	if err := deleteAll(ctx, v.store, keys); err != nil {
		return err
	}
	var deks [][]byte
	for _, k := range keys {
		if strings.Contains(string(k), "/d/") {
			deks = append(deks, k)
		}
	}
	v.noteErased(deks)
	return nil
}

func (v *Vault) keysUnder(ctx context.Context, prefixes []string) ([][]byte, error) {
	var keys [][]byte
	for _, p := range prefixes {
		err := v.store.Iterate(ctx, []byte(p), func(key, _ []byte) error {
			keys = append(keys, append([]byte(nil), key...))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// deleteAll deletes in batches, in the order given.
func deleteAll(ctx context.Context, s Store, keys [][]byte) error {
	for len(keys) > 0 {
		n := min(len(keys), MaxBatch)
		if err := s.Batch(ctx, nil, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}
