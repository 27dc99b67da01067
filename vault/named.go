package vault

import (
	"context"
	"fmt"

	"github.com/luxfi/mpcd/internal/secret"
)

// PutSecret keeps a small secret of the node under a name (its identity key, its HPKE key), sealed as shares are. A secret
// that was there is replaced, and erased in the same atomic write. The caller keeps the secret and wipes it.
func (v *Vault) PutSecret(ctx context.Context, name string, value []byte) error {
	if err := checkID(name); err != nil {
		return err
	}
	if len(value) < 1 || len(value) > MaxSecret {
		return fmt.Errorf("vault: secret %q: %d bytes, 1 to %d allowed: %w", name, len(value), MaxSecret, ErrInvalid)
	}
	r := ref{kindSecret, name}
	return v.update(ctx, r, func(p *pointer, c *change) error {
		next := max(p.Floor, 1)
		if a := p.active(); a != nil {
			old := a.Epoch
			v.erase(c, r, old)
			v.forget(c, r, old)
			p.remove(old)
		}
		e, err := v.newRecord(ctx, r, v.newHeader(r, Meta{Epoch: next, Created: v.clock()}), value, c)
		if err != nil {
			return err
		}
		e.State = Active
		p.add(e)
		p.Floor = next + 1
		return nil
	})
}

// GetSecret opens a secret. The caller owns and wipes it. ErrNotFound if there is none of that name.
func (v *Vault) GetSecret(ctx context.Context, name string) (*secret.Bytes, error) {
	s, _, err := v.openRecord(ctx, ref{kindSecret, name}, findActive)
	return s, err
}

// DeleteSecret erases a secret. ErrNotFound if there is none of that name.
func (v *Vault) DeleteSecret(ctx context.Context, name string) error {
	return v.delete(ctx, ref{kindSecret, name})
}
