package vault

import (
	"bytes"
	"context"

	"filippo.io/age"
)

// Forgery is what a recovery officer writes with the MAC keys he learnt from a copy of the disk.
type Forgery struct {
	Recovery bool // a record that names the thief
	Pointers bool // MACs of his own
	Root     bool // likewise
	Canary   bool // the copy's, in the place of today's
	Back     bool // the copy's wrapping in the place of today's, with today's records
}

// Forge has the officer with identity id, who has a copy of the disk, write to the live one.
func (f Forgery) Forge(ctx context.Context, copied, live Store, id age.Identity, thief string) error {
	v, o, err := openWithOfficer(ctx, copied, []age.Identity{id})
	if err != nil {
		return err
	}
	defer v.Close()
	defer o.wipe()
	b, err := live.Get(ctx, []byte(rootKey))
	if err != nil {
		return err
	}
	r, err := decodeRoot(b)
	if err != nil {
		return err
	}
	now := &Vault{store: live, node: r.Node, kek: r.KEK, provider: r.Provider, id: v.id,
		wrapping: r.Wrapping, rekeyed: r.Version == rootVersion}
	w := &Vault{store: live, node: r.Node, kek: r.KEK, provider: r.Provider, id: v.id,
		wrapping: now.wrapping, rekeyed: now.rekeyed, keys: v.keys}
	if f.Back {
		w.wrapping, w.rekeyed = v.wrapping, v.rekeyed
	}
	c := new(change)
	e, err := now.getEnvelope(ctx, now.canaryKeys())
	if err != nil {
		return err
	}
	if w.recovery, err = now.readRecovery(ctx, e.dek); err != nil {
		return err
	}
	if f.Recovery {
		if w.recovery, err = w.newRecovery([]string{thief}); err != nil {
			return err
		}
	}
	if f.Canary {
		if e, err = v.getEnvelope(ctx, v.canaryKeys()); err != nil {
			return err
		}
		k := w.canaryKeys()
		c.put(k.header, e.header)
		c.put(k.dek, e.dek)
		c.put(k.body, e.body)
	}
	w.recovery.canary = e.dek
	if f.Recovery {
		c.put(w.wrapping.recoveryKey(), w.recovery.record)
	}
	s := state{seq: r.Seq, anchor: r.Anchor}
	err = live.Iterate(ctx, []byte(now.wrapping.pointers()), func(key, b []byte) error {
		stored := bytes.Clone(b)
		if f.Pointers {
			key = append([]byte(w.wrapping.pointers()), key[len(now.wrapping.pointers()):]...)
			body := stored[:len(stored)-macLen]
			stored = append(body, w.keys.pointerMAC(key, body)...)
			c.put(key, stored)
		}
		s.count++
		s.set.toggle(w.keys, stored[len(stored)-macLen:])
		return nil
	})
	if err != nil {
		return err
	}
	if f.Back {
		deks := now.wrapping.prefix() + "d/"
		err = live.Iterate(ctx, []byte(deks), func(key, b []byte) error {
			if !bytes.HasPrefix(key, []byte(deks+kindCanary)) {
				c.put(append([]byte(w.wrapping.prefix()+"d/"), key[len(deks):]...), bytes.Clone(b))
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	if f.Root {
		c.put([]byte(rootKey), w.encodeRoot(s))
	}
	return live.Batch(ctx, c.puts, nil)
}

// SeqOf is the number of commits in a stored root record; 0 if it is none.
func SeqOf(stored []byte) uint64 {
	r, err := decodeRoot(stored)
	if err != nil {
		return 0
	}
	return r.Seq
}

// Unfinish has the root record say that the wrapping before is still to be removed, as after a rewrap that was cut short.
func (v *Vault) Unfinish(ctx context.Context) error {
	before := v.wrapping - 1
	return v.group.Do(ctx, &change{amend: func(s *state) { s.retiring = &before }})
}
