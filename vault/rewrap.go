package vault

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
)

// Wrapping is the wrapping that a vault is moved to: the token and its KEK, who can recover without it, and where it is anchored.
type Wrapping struct {
	// Wrapper, KEK and Provider are those of Config.
	Wrapper  hsm.KeyWrapper
	KEK      string
	Provider string
	// Recovery are the age recipients from now on, as in Config; nil keeps those the vault has, an empty list ends recovery.
	Recovery []string
	// Counter and CounterID are the anchor from now on; the counter is made if the token has none of that name.
	Counter   hsm.MonotonicCounter
	CounterID string
	// Unanchored accepts that a vault which was anchored no longer is, where the token cannot count.
	Unanchored bool
}

// config is how the vault will be opened.
func (w Wrapping) config(s Store, node string) Config {
	return Config{
		Store: s, Wrapper: w.Wrapper, KEK: w.KEK, Provider: w.Provider, Node: node, Counter: w.Counter, CounterID: w.CounterID, Existing: true,
	}
}

// Rewrap moves a vault from the token and KEK of c to those of to, or changes who can recover it. Shares, metadata, epochs and
// states stay as they are, byte by byte; what changes is how each DEK is wrapped. The vault must be closed otherwise.
//
// It stages the next wrapping, its DEKs and pointers, beside the old one, has the new token open each and compares, and
// opens each body; then one atomic write of the root record makes the new wrapping the vault; then the old one is removed and
// purged. A crash before that write leaves a vault that opens with c only, after it with to only; nothing is lost, and Rewrap
// called again with the same arguments goes on. progress, which may be nil, is told how many of the records are staged.
func Rewrap(ctx context.Context, c Config, to Wrapping, progress func(done, total int)) error {
	done, v, err := resume(ctx, c, to)
	if done || err != nil {
		return err
	}
	if v == nil {
		if v, err = openUnanchored(ctx, c); err != nil {
			return err
		}
		c.Anchor = false
		if err := v.checkSource(ctx, c); err != nil {
			return errors.Join(err, v.Close())
		}
	}
	defer v.Close()
	next, err := v.moveTo(ctx, c, v.sealer.unwrap, to, progress)
	if err != nil {
		return err
	}
	defer next.Close()
	return next.complete(ctx, c.Counter)
}

// checkSource holds a vault that is to be moved against its counter and its configured recipients. A vault without an anchor
// needs none.
func (v *Vault) checkSource(ctx context.Context, c Config) error {
	if err := v.recovery.assert(c.Recovery); err != nil {
		return err
	}
	if v.state.anchor == nil {
		return nil
	}
	return v.checkAnchor(ctx, c)
}

// Recover moves a vault whose token is dead to another, with the identity of a recovery officer. It does what Rewrap does, with
// the recovery copies in the place of the old token, and makes fresh ones. It cannot ask the old counter, so it cannot tell
// whether the directory is the newest copy: the operator makes sure of that. ErrRecovery for the identity of another.
func Recover(ctx context.Context, s Store, identities []age.Identity, to Wrapping, progress func(done, total int)) error {
	v, o, err := openWithOfficer(ctx, s, identities)
	if err != nil {
		return err
	}
	defer v.Close()
	defer o.wipe()
	done, moved, err := resume(ctx, Config{Store: s, Node: v.node}, to)
	if done || err != nil {
		return err
	}
	from, unwrap := v, o.unwrap
	if moved != nil { // by an earlier run, which left other recipients: v is what was before this one completed that
		defer moved.Close()
		from, unwrap = moved, moved.sealer.unwrap
	}
	next, err := from.moveTo(ctx, Config{}, unwrap, to, progress)
	if err != nil {
		return err
	}
	defer next.Close()
	return next.complete(ctx, nil)
}

// resume looks whether the vault is sealed with to already: then what an earlier run left is completed. done means that nothing
// is left to do; otherwise v, if not nil, is the vault, opened with to.
func resume(ctx context.Context, c Config, to Wrapping) (done bool, v *Vault, err error) {
	if c.Store == nil || to.Wrapper == nil || to.KEK == "" {
		return false, nil, fmt.Errorf("vault: rewrap: a store, and a token and a KEK to move to, are needed: %w", ErrInvalid)
	}
	cfg := to.config(c.Store, c.Node)
	v, err = openUnanchored(ctx, cfg)
	if errors.Is(err, ErrWrongKEK) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	if v.state.retiring == nil && c.Wrapper != nil && v.isAt(ctx, c) {
		return false, nil, v.Close() // the same KEK before and after: a pass of its own
	}
	if err := v.checkSource(ctx, cfg); err != nil {
		return false, nil, errors.Join(err, v.Close())
	}
	if err := v.complete(ctx, c.Counter); err != nil {
		return false, nil, errors.Join(err, v.Close())
	}
	if v.recovery.assert(to.Recovery) == nil {
		return true, nil, v.Close()
	}
	return false, v, nil
}

// isAt tells whether the vault is sealed with the KEK of c and not anchored elsewhere.
func (v *Vault) isAt(ctx context.Context, c Config) bool {
	old, err := openUnanchored(ctx, c)
	if err != nil {
		return false
	}
	defer old.Close()
	return !errors.Is(old.checkSource(ctx, c), ErrRollback)
}

// moveTo stages and verifies the next wrapping, and switches to it. It returns the vault as it is from then on.
func (v *Vault) moveTo(ctx context.Context, c Config, unwrap unwrapper, to Wrapping, progress func(done, total int)) (*Vault, error) {
	if v.state.anchor != nil && to.Counter == nil && !to.Unanchored {
		return nil, fmt.Errorf("vault: it is anchored in counter %q, and the token it is to move to is given without a counter: an older "+
			"copy would no longer be found; name a counter, or accept that: %w",
			v.state.anchor.Counter, ErrUncounted)
	}
	if err := v.dropRetired(ctx); err != nil {
		return nil, fmt.Errorf("vault: an earlier rewrap left wrapped keys that are not all gone; run it again: %w", err)
	}
	cfg := to.config(v.store, v.node)
	cfg.Clock, cfg.Rand = c.Clock, c.Rand
	next, err := newVault(cfg)
	if err != nil {
		return nil, err
	}
	next.id, next.wrapping, next.rekeyed = v.id, v.wrapping+1, true
	m := &mover{from: v, unwrap: unwrap, to: next, progress: progress}
	if err := m.run(ctx, to); err != nil {
		return nil, errors.Join(err, next.Close())
	}
	return next, nil
}

// complete removes what the wrapping before left, moves the counter before on, and makes sure of both.
func (v *Vault) complete(ctx context.Context, old hsm.MonotonicCounter) error {
	if err := v.abandon(ctx, old); err != nil {
		return err
	}
	if err := v.removeRetired(ctx); err != nil {
		return fmt.Errorf("vault: moved to KEK %q, but the old wrapped keys are not all gone; run it again: %w", v.kek, err)
	}
	return nil
}

// abandon moves the counter of the token before on, so that a copy of the vault sealed with that token is an older one.
func (v *Vault) abandon(ctx context.Context, old hsm.MonotonicCounter) error {
	a := v.state.abandoned
	if a == nil {
		return nil
	}
	if old != nil {
		if err := v.moveOn(ctx, old, a); err != nil && !errors.Is(err, hsm.ErrNoKey) {
			return fmt.Errorf("vault: moved to KEK %q, but the old token's counter %q did not move on; run it again: %w", v.kek, a.Counter, err)
		}
	}
	return v.group.Do(ctx, &change{amend: func(s *state) { s.abandoned = nil }})
}

// moveOn counts the abandoned counter past its anchor, unless it is the one that the vault counts with now: the configuration may
// name the new token already, whose counter may have the same name, and one count too many would lock the vault. Names and values
// do not tell the two apart; a commit does, for it counts the one only.
func (v *Vault) moveOn(ctx context.Context, old hsm.MonotonicCounter, a *anchor) error {
	before, err := old.Read(ctx, a.Counter)
	if err != nil || before > a.Value {
		return err
	}
	if now := v.state.anchor; now != nil && now.Counter == a.Counter {
		if err := v.group.Do(ctx, new(change)); err != nil {
			return err
		}
		after, err := old.Read(ctx, a.Counter)
		if err != nil || after != before {
			return err
		}
	}
	_, err = old.Increment(ctx, a.Counter)
	return err
}
