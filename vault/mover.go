package vault

import (
	"context"
	"fmt"

	"github.com/luxfi/mpcd/internal/secret"
)

// mover stages the next wrapping of a vault. Nothing it stages counts until the root record names the wrapping.
type mover struct {
	from     *Vault
	unwrap   unwrapper // of the wrapping before
	to       *Vault
	progress func(done, total int)

	done, total int
	left        map[string]bool // keys of an earlier run that is not ours yet
	vaultKey    *secret.Bytes   // of the next wrapping
	batch       change
	state       state
}

// run ends with the switch.
func (m *mover) run(ctx context.Context, to Wrapping) error {
	refs, err := m.from.refs(ctx)
	if err != nil {
		return err
	}
	if err := m.survey(ctx, refs); err != nil {
		return err
	}
	err = m.stageCanary(ctx, to)
	defer m.vaultKey.Wipe()
	if err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	for _, r := range refs {
		if err := m.stage(ctx, r); err != nil {
			return err
		}
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	if err := m.dropStrays(ctx); err != nil {
		return err
	}
	if err := m.verify(ctx); err != nil {
		return err
	}
	return m.switchOver(ctx, to)
}

// survey counts the records, and lists what an earlier run staged.
func (m *mover) survey(ctx context.Context, refs []ref) error {
	m.total = 1
	for _, r := range refs {
		p, _, err := m.from.getPointer(ctx, r)
		if err != nil {
			return err
		}
		for _, e := range p.Entries {
			if e.State != Retired {
				m.total++
			}
		}
	}
	m.left = map[string]bool{}
	return m.from.store.Iterate(ctx, []byte(m.to.wrapping.prefix()), func(key, _ []byte) error {
		m.left[string(key)] = true
		return nil
	})
}

// stageCanary stages a canary with a fresh vault key, and who can recover. Whoever could open the wrapping before, a recovery
// officer who is removed now, may know its vault key; he makes no record of this wrapping.
func (m *mover) stageCanary(ctx context.Context, to Wrapping) error {
	recipients := to.Recovery
	if recipients == nil {
		recipients = m.from.RecoveryRecipients()
	}
	c := new(change)
	var err error
	if m.vaultKey, err = m.to.beginWrapping(ctx, recipients, c); err != nil {
		return err
	}
	for _, p := range c.puts {
		if err := m.put(ctx, p.Key, p.Value); err != nil {
			return err
		}
	}
	m.step()
	return nil
}

// step tells of a record that is staged.
func (m *mover) step() {
	m.done++
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
}

// stage stages the DEKs and the pointer of an id.
func (m *mover) stage(ctx context.Context, r ref) error {
	p, _, err := m.from.getPointer(ctx, r)
	if err != nil {
		return err
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		if e.State == Retired {
			continue
		}
		env, _, err := m.from.getRecord(ctx, r, e)
		if err != nil {
			return err
		}
		k := m.to.wrapping.keys(r, e.Epoch).dek
		if env.dek, err = m.rewrap(ctx, env, k); err != nil {
			return fmt.Errorf("vault: %s epoch %d: %w", r, e.Epoch, err)
		}
		sum := env.sealedHash()
		e.Sealed = sum[:]
		if err := m.put(ctx, k, env.dek); err != nil {
			return err
		}
	}
	b := m.to.encodePointer(p)
	m.state.count++
	m.state.set.toggle(m.to.keys, b[len(b)-macLen:])
	return m.put(ctx, m.to.wrapping.pointerKey(r), b)
}

// rewrap returns the DEK of a record as the next wrapping stores it. The record must open, and the new token must give back
// the very DEK.
func (m *mover) rewrap(ctx context.Context, e envelope, key []byte) ([]byte, error) {
	dek, err := m.unwrap(ctx, e)
	if err != nil {
		return nil, err
	}
	defer dek.Wipe()
	plain, err := openBody(dek, e)
	if err != nil {
		return nil, err
	}
	plain.Wipe()
	wrapped, err := m.staged(ctx, key, dek, e.header)
	if err == nil && wrapped == nil {
		if wrapped, err = m.to.sealer.wrap(ctx, dek, e.header); err == nil {
			err = m.proves(ctx, wrapped, dek, e.header)
		}
	}
	if err != nil {
		return nil, err
	}
	m.step()
	return m.to.session.pair(wrapped, dek, e.header), nil
}

// staged returns the wrapping that an earlier run left under the key, if the new token proves it; nil if there is none.
func (m *mover) staged(ctx context.Context, key []byte, dek *secret.Bytes, header []byte) ([]byte, error) {
	if !m.left[string(key)] {
		return nil, nil
	}
	b, err := m.from.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if p, err := decodePairedDEK(b); err == nil { // who can recover may have changed since
		b = p.Wrapped
	}
	if m.proves(ctx, b, dek, header) != nil {
		return nil, nil // of another token, or damaged: it is made anew
	}
	return b, nil
}

// proves tells whether the new token opens the wrapping to the DEK.
func (m *mover) proves(ctx context.Context, wrapped []byte, dek *secret.Bytes, header []byte) error {
	b, err := m.to.sealer.wrapper.Unwrap(ctx, m.to.kek, wrapped, headerHash(header))
	if err != nil {
		return fmt.Errorf("the new KEK %s does not open what it wrapped: %w", m.to.kek, err)
	}
	defer secret.Wipe(b)
	if !dek.Equal(b) {
		return fmt.Errorf("the new KEK %s gives back another key than it wrapped; nothing is moved: %w", m.to.kek, ErrIntegrity)
	}
	return nil
}

// put adds a pair to the batch, and writes the batch first if it is full.
func (m *mover) put(ctx context.Context, key, value []byte) error {
	delete(m.left, string(key))
	next := change{puts: []Pair{{key, value}}}
	if m.batch.weight()+next.weight() > maxGroupWeight {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	m.batch.put(key, value)
	return nil
}

func (m *mover) flush(ctx context.Context) error {
	puts := m.batch.puts
	m.batch = change{}
	if len(puts) == 0 {
		return nil
	}
	return m.from.store.Batch(ctx, puts, nil)
}

// dropStrays removes what an earlier run staged and this one has no use for.
func (m *mover) dropStrays(ctx context.Context) error {
	var keys [][]byte
	for k := range m.left {
		keys = append(keys, []byte(k))
	}
	return deleteAll(ctx, m.from.store, keys)
}

// verify reads the staged wrapping back, every record of it.
func (m *mover) verify(ctx context.Context) error {
	s, err := m.to.readPointers(ctx)
	if err != nil {
		return err
	}
	if s.count != m.state.count || s.set != m.state.set {
		return fmt.Errorf("vault: what was staged is not what is there; nothing is moved: %w", ErrIntegrity)
	}
	_, findings, err := m.to.examine(ctx)
	if err != nil {
		return err
	}
	if len(findings) > 0 {
		return fmt.Errorf("vault: nothing is moved: %w", summary(findings))
	}
	e, err := m.verifyCanary(ctx)
	if err != nil {
		return fmt.Errorf("vault: canary: nothing is moved: %w", err)
	}
	if m.to.recovery == nil {
		return nil
	}
	back, err := m.to.readRecovery(ctx, e.dek)
	if err != nil {
		return err
	}
	have := m.to.recoveryHash()
	m.to.recovery = back
	if string(have) != string(m.to.recoveryHash()) {
		return fmt.Errorf("vault: the staged recovery record is not what was written; nothing is moved: %w", ErrIntegrity)
	}
	if err := m.to.CheckRecovery(ctx); err != nil {
		return fmt.Errorf("vault: nothing is moved: %w", err)
	}
	return nil
}

// verifyCanary reads the canary back as the next opening will, down to the vault key.
func (m *mover) verifyCanary(ctx context.Context) (envelope, error) {
	e, err := m.to.getEnvelope(ctx, m.to.canaryKeys())
	if err != nil {
		return envelope{}, err
	}
	if _, err := m.to.parseHeader(e.header, canary, m.to.canaryEpoch()); err != nil {
		return envelope{}, err
	}
	vaultKey, err := m.to.sealer.open(ctx, e)
	if err != nil {
		return envelope{}, err
	}
	defer vaultKey.Wipe()
	if !vaultKey.Equal(m.vaultKey.Bytes()) {
		return envelope{}, fmt.Errorf("it holds another vault key than was staged: %w", ErrIntegrity)
	}
	return e, nil
}

// switchOver makes the staged wrapping the vault, in one write.
func (m *mover) switchOver(ctx context.Context, to Wrapping) error {
	s, old, before := m.state, m.from.state, m.from.wrapping
	s.seq, s.abandoned, s.retiring = old.seq, old.anchor, &before
	if to.Counter != nil {
		n, err := readOrCreate(ctx, to.Counter, to.CounterID)
		if err != nil {
			return err
		}
		s.anchor = &anchor{to.CounterID, n}
	}
	m.to.state = s
	return m.to.group.Do(ctx, new(change))
}
