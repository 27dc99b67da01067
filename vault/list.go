package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Entry is one epoch of an id.
type Entry struct {
	ID    string
	Epoch uint64
	State State
	Meta  *Meta
}

// GetMeta tells of the active epoch of an id without opening it and without the token. Errors are those of Load.
func (v *Vault) GetMeta(id string) (*Meta, error) {
	ctx := context.Background()
	r := ref{kindShare, id}
	unlock, err := v.locks.lock(ctx, r)
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, _, err := v.getPointer(ctx, r)
	if err != nil {
		return nil, err
	}
	e, err := findActive(p)
	if err != nil {
		return nil, err
	}
	h, err := v.getHeader(ctx, r, e)
	if err != nil {
		return nil, err
	}
	return h.meta(), nil
}

// Epochs tells of all epochs of an id, ascending. ErrNotFound for an unknown id.
func (v *Vault) Epochs(ctx context.Context, id string) ([]Entry, error) {
	r := ref{kindShare, id}
	unlock, err := v.locks.lock(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("vault: %s: %w", r, err)
	}
	defer unlock()
	p, old, err := v.getPointer(ctx, r)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, fmt.Errorf("vault: %s: %w", r, ErrNotFound)
	}
	out := make([]Entry, 0, len(p.Entries))
	for i := range p.Entries {
		e := &p.Entries[i]
		h, err := v.getHeader(ctx, r, e)
		if err != nil {
			return nil, err
		}
		out = append(out, Entry{ID: id, Epoch: e.Epoch, State: e.State, Meta: h.meta()})
	}
	return out, nil
}

// IDs lists the ids that have at least one epoch, in the order of their bytes.
func (v *Vault) IDs(ctx context.Context) ([]string, error) {
	var ids []string
	start := v.wrapping.pointers() + kindShare + "/"
	err := v.store.Iterate(ctx, []byte(start), func(key, _ []byte) error {
		ids = append(ids, strings.TrimPrefix(string(key), start))
		return nil
	})
	return ids, err
}

// List tells of all epochs of all ids.
func (v *Vault) List(ctx context.Context) ([]Entry, error) {
	ids, err := v.IDs(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(ids))
	for _, id := range ids {
		es, err := v.Epochs(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		out = append(out, es...)
	}
	return out, nil
}
