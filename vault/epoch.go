package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/internal/secret"
)

// Store stages a share at meta.Epoch: durable on return, not yet what Load opens. The caller keeps the secret and wipes it. The
// same share and metadata stored again are fine; other content for the same epoch is ErrExists. ErrState for an epoch that is
// not above every epoch that was ever active, or if MaxStaged are staged.
func (v *Vault) Store(ctx context.Context, id string, share []byte, meta Meta) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := checkMeta(id, share, meta); err != nil {
		return err
	}
	if meta.Created.IsZero() {
		meta.Created = v.clock()
	}
	r := ref{kindShare, id}
	return v.update(ctx, r, func(p *pointer, c *change) error {
		h := v.newHeader(r, meta)
		if e := p.find(meta.Epoch); e != nil {
			return v.sameRecord(ctx, r, e, h, share)
		}
		if meta.Epoch < p.Floor {
			return fmt.Errorf("vault: %s: epoch %d has passed, the next is %d or later: %w", r, meta.Epoch, p.Floor, ErrState)
		}
		if p.staged() >= MaxStaged {
			return fmt.Errorf("vault: %s: %d epochs are staged; discard those that came to nothing: %w", r, MaxStaged, ErrState)
		}
		e, err := v.newRecord(ctx, r, h, share, c)
		if err != nil {
			return err
		}
		e.State = Staged
		p.add(e)
		return nil
	})
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("unchanged")

// update gives f the pointer of r to change, and writes it with the change; r is locked.
func (v *Vault) update(ctx context.Context, r ref, f func(p *pointer, c *change) error) error {
	unlock, err := v.locks.lock(ctx, r)
	if err != nil {
		return fmt.Errorf("vault: %s: %w", r, err)
	}
	defer unlock()
	p, old, err := v.getPointer(ctx, r)
	if err != nil {
		return err
	}
	c := new(change)
	if err := f(p, c); err == errUnchanged {
		return nil
	} else if err != nil {
		return err
	}
	if err := v.save(ctx, p, old, c); err != nil {
		return err
	}
	if len(c.erased) > 0 {
		v.noteErased(c.erased)
		_ = v.Purge(ctx) // the share is erased; what this leaves, the next Purge retries
	}
	return nil
}

// sameRecord is errUnchanged if the entry holds this share and metadata, ErrExists if it holds another.
func (v *Vault) sameRecord(ctx context.Context, r ref, e *entry, want header, share []byte) error {
	if e.State == Retired {
		return fmt.Errorf("vault: %s: epoch %d is retired: %w", r, e.Epoch, ErrState)
	}
	env, h, err := v.getRecord(ctx, r, e)
	if err != nil {
		return err
	}
	stored, err := v.sealer.open(ctx, env)
	if err != nil {
		return fmt.Errorf("vault: %s epoch %d: %w", r, e.Epoch, err)
	}
	defer stored.Wipe()
	if !sameMeta(*h, want) || !stored.Equal(share) {
		return fmt.Errorf("vault: %s: epoch %d (%s): %w", r, e.Epoch, e.State, ErrExists)
	}
	return errUnchanged
}

// Activate makes a staged epoch the active one, and in the same atomic write erases the share of the epoch that was active and
// every staged epoch below. The staged share is opened first: nothing is erased for one that does not open. Activating the
// active epoch again is fine; ErrNotFound if the epoch is not stored, ErrState if it is retired.
func (v *Vault) Activate(ctx context.Context, id string, epoch uint64) error {
	r := ref{kindShare, id}
	return v.update(ctx, r, func(p *pointer, c *change) error {
		e, err := find(p, epoch)
		if err != nil {
			return err
		}
		switch e.State {
		case Active:
			return errUnchanged
		case Retired:
			return fmt.Errorf("vault: %s: epoch %d is retired: %w", r, epoch, ErrState)
		}
		env, _, err := v.getRecord(ctx, r, e)
		if err != nil {
			return err
		}
		s, err := v.sealer.open(ctx, env)
		if err != nil {
			return fmt.Errorf("vault: %s epoch %d: not activated: %w", r, epoch, err)
		}
		s.Wipe()
		for _, o := range append([]entry(nil), p.Entries...) {
			if o.State == Staged && o.Epoch < epoch {
				v.erase(c, r, o.Epoch)
				v.forget(c, r, o.Epoch)
				p.remove(o.Epoch)
			}
		}
		v.retireActive(r, p, c)
		p.find(epoch).State = Active
		p.Floor = epoch + 1
		return nil
	})
}

// retireActive erases the active share; its metadata stay until the next is retired.
func (v *Vault) retireActive(r ref, p *pointer, c *change) {
	a := p.active()
	if a == nil {
		return
	}
	active := a.Epoch
	for _, o := range append([]entry(nil), p.Entries...) {
		if o.State == Retired {
			v.forget(c, r, o.Epoch)
			p.remove(o.Epoch)
		}
	}
	v.erase(c, r, active)
	a = p.find(active)
	a.State, a.Sealed = Retired, nil
}

// Retire erases the share of the active epoch, with nothing in its place: this node leaves the committee. Retiring again is
// fine; ErrState for a staged epoch (Discard it).
func (v *Vault) Retire(ctx context.Context, id string, epoch uint64) error {
	r := ref{kindShare, id}
	return v.update(ctx, r, func(p *pointer, c *change) error {
		e, err := find(p, epoch)
		if err != nil {
			return err
		}
		switch e.State {
		case Retired:
			return errUnchanged
		case Staged:
			return fmt.Errorf("vault: %s: epoch %d is staged, not active; discard it: %w", r, epoch, ErrState)
		}
		v.retireActive(r, p, c)
		return nil
	})
}

// Discard erases a staged epoch; it may be stored anew. ErrNotFound if there is none, ErrState if it is active or retired.
func (v *Vault) Discard(ctx context.Context, id string, epoch uint64) error {
	r := ref{kindShare, id}
	return v.update(ctx, r, func(p *pointer, c *change) error {
		e, err := find(p, epoch)
		if err != nil {
			return err
		}
		if e.State != Staged {
			return fmt.Errorf("vault: %s: epoch %d is %s, only a staged one can be discarded: %w", r, epoch, e.State, ErrState)
		}
		v.erase(c, r, epoch)
		v.forget(c, r, epoch)
		p.remove(epoch)
		return nil
	})
}

// Delete erases all epochs of an id and every trace of it. ErrNotFound if there is none.
func (v *Vault) Delete(ctx context.Context, id string) error {
	return v.delete(ctx, ref{kindShare, id})
}

func (v *Vault) delete(ctx context.Context, r ref) error {
	return v.update(ctx, r, func(p *pointer, c *change) error {
		if len(p.Entries) == 0 && p.Floor == 0 {
			return fmt.Errorf("vault: %s: %w", r, ErrNotFound)
		}
		for _, e := range p.Entries {
			if e.State != Retired {
				v.erase(c, r, e.Epoch)
			}
			v.forget(c, r, e.Epoch)
		}
		p.Entries, p.Floor = nil, 0
		return nil
	})
}

// Load opens the share of the active epoch. The caller owns and wipes it. ErrNotFound for an unknown id, ErrState if no epoch
// is active, ErrIntegrity if the record is not what Store wrote.
func (v *Vault) Load(ctx context.Context, id string) (*secret.Bytes, *Meta, error) {
	return v.load(ctx, id, func(p *pointer) (*entry, error) { return findActive(p) })
}

// LoadStaged opens the share of a staged epoch, as Load does: for the proof that it signs, before it is activated.
func (v *Vault) LoadStaged(ctx context.Context, id string, epoch uint64) (*secret.Bytes, *Meta, error) {
	return v.load(ctx, id, func(p *pointer) (*entry, error) {
		e, err := find(p, epoch)
		if err != nil {
			return nil, err
		}
		if e.State != Staged {
			return nil, fmt.Errorf("vault: %s %s: epoch %d is %s, not staged: %w", p.Kind, p.ID, epoch, e.State, ErrState)
		}
		return e, nil
	})
}

func (v *Vault) load(ctx context.Context, id string, choose func(*pointer) (*entry, error)) (*secret.Bytes, *Meta, error) {
	s, h, err := v.openRecord(ctx, ref{kindShare, id}, choose)
	if err != nil {
		return nil, nil, err
	}
	return s, h.meta(), nil
}

func find(p *pointer, epoch uint64) (*entry, error) {
	if e := p.find(epoch); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("vault: %s %s: epoch %d: %w", p.Kind, p.ID, epoch, ErrNotFound)
}

func findActive(p *pointer) (*entry, error) {
	if e := p.active(); e != nil {
		return e, nil
	}
	if len(p.Entries) == 0 && p.Floor == 0 {
		return nil, fmt.Errorf("vault: %s %s: %w", p.Kind, p.ID, ErrNotFound)
	}
	return nil, fmt.Errorf("vault: %s %s: no epoch is active: %w", p.Kind, p.ID, ErrState)
}
