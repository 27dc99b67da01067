package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/internal/secret"
)

// getPointer returns the pointer of r and its stored form; an empty one and nil if there is none.
func (v *Vault) getPointer(ctx context.Context, r ref) (*pointer, []byte, error) {
	b, err := v.store.Get(ctx, v.wrapping.pointerKey(r))
	if errors.Is(err, ErrNotFound) {
		return &pointer{Version: recordVersion, Vault: v.id[:], Node: v.node, Kind: r.kind, ID: r.id}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := v.decodePointer(r, b)
	return p, b, err
}

// save writes a changed pointer with whatever else the change holds.
func (v *Vault) save(ctx context.Context, p *pointer, old []byte, c *change) error {
	r := ref{p.Kind, p.ID}
	c.old = old
	if len(p.Entries) > 0 || p.Floor > 0 {
		c.new = v.encodePointer(p)
		c.put(v.wrapping.pointerKey(r), c.new)
	} else {
		c.deletes = append(c.deletes, v.wrapping.pointerKey(r))
	}
	if err := v.group.Do(ctx, c); err != nil {
		return fmt.Errorf("vault: %s: %w", r, err)
	}
	return nil
}

// getEnvelope reads the three values of a record; one that is missing is ErrIntegrity, for the pointer says it is there.
func (v *Vault) getEnvelope(ctx context.Context, k recordKeys) (e envelope, err error) {
	for _, part := range []struct {
		key []byte
		to  *[]byte
	}{{k.header, &e.header}, {k.dek, &e.dek}, {k.body, &e.body}} {
		if *part.to, err = v.store.Get(ctx, part.key); err != nil {
			return envelope{}, missing(part.key, err)
		}
	}
	return e, nil
}

func missing(key []byte, err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("record %q is missing: %w", key, ErrIntegrity)
	}
	return err
}

// getRecord reads the record of an entry and holds it against the pointer. No call to the token.
func (v *Vault) getRecord(ctx context.Context, r ref, e *entry) (envelope, *header, error) {
	env, err := v.getEnvelope(ctx, v.wrapping.keys(r, e.Epoch))
	if err != nil {
		return envelope{}, nil, fmt.Errorf("vault: %s epoch %d: %w", r, e.Epoch, err)
	}
	h, err := v.checkHeader(env.header, r, e)
	if err != nil {
		return envelope{}, nil, err
	}
	if sum := env.sealedHash(); !bytes.Equal(sum[:], e.Sealed) {
		return envelope{}, nil, fmt.Errorf("vault: %s epoch %d: sealed share was changed: %w", r, e.Epoch,
			ErrIntegrity)
	}
	return env, h, nil
}

func (v *Vault) getHeader(ctx context.Context, r ref, e *entry) (*header, error) {
	k := v.wrapping.keys(r, e.Epoch).header
	b, err := v.store.Get(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("vault: %s epoch %d: %w", r, e.Epoch, missing(k, err))
	}
	return v.checkHeader(b, r, e)
}

func (v *Vault) checkHeader(b []byte, r ref, e *entry) (*header, error) {
	if !bytes.Equal(headerHash(b), e.Header) {
		return nil, fmt.Errorf("vault: %s epoch %d: metadata was changed: %w", r, e.Epoch, ErrIntegrity)
	}
	h, err := v.parseHeader(b, r, e.Epoch)
	if err != nil {
		return nil, fmt.Errorf("vault: %s epoch %d: %w", r, e.Epoch, err)
	}
	return h, nil
}

// openRecord opens the record of the entry that choose picks. The id is locked while the record is read, not while the token
// works.
func (v *Vault) openRecord(ctx context.Context, r ref, choose func(*pointer) (*entry, error)) (*secret.Bytes, *header, error) {
	unlock, err := v.locks.lock(ctx, r)
	if err != nil {
		return nil, nil, fmt.Errorf("vault: %s: %w", r, err)
	}
	env, h, err := func() (envelope, *header, error) {
		defer unlock()
		p, _, err := v.getPointer(ctx, r)
		if err != nil {
			return envelope{}, nil, err
		}
		e, err := choose(p)
		if err != nil {
			return envelope{}, nil, err
		}
		return v.getRecord(ctx, r, e)
	}()
	if err != nil {
		return nil, nil, err
	}
	s, err := v.sealer.open(ctx, env)
	if err != nil {
		return nil, nil, fmt.Errorf("vault: %s epoch %d: %w", r, h.Epoch, err)
	}
	return s, h, nil
}

// newRecord seals a secret and adds its three values to the change; it returns the pointer's entry for it.
func (v *Vault) newRecord(ctx context.Context, r ref, h header, plain []byte, c *change) (entry, error) {
	ses, err := v.currentSession(ctx)
	if err != nil {
		return entry{}, fmt.Errorf("vault: %s epoch %d: %w", r, h.Epoch, err)
	}
	env, err := v.sealer.seal(ctx, h, plain, ses)
	if err != nil {
		return entry{}, fmt.Errorf("vault: %s epoch %d: %w", r, h.Epoch, err)
	}
	k := v.wrapping.keys(r, h.Epoch)
	c.put(k.header, env.header)
	c.put(k.dek, env.dek)
	c.put(k.body, env.body)
	sum := env.sealedHash()
	return entry{Epoch: h.Epoch, Header: headerHash(env.header), Sealed: sum[:]}, nil
}

// erase deletes the wrapped DEK and the body of an epoch, and so the share for good.
func (v *Vault) erase(c *change, r ref, epoch uint64) {
	k := v.wrapping.keys(r, epoch)
	c.deletes = append(c.deletes, k.dek, k.body)
	c.erased = append(c.erased, k.dek)
}

// forget deletes the header of an epoch.
func (v *Vault) forget(c *change, r ref, epoch uint64) {
	c.deletes = append(c.deletes, v.wrapping.keys(r, epoch).header)
}
