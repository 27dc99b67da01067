package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// anchor is what a counter in the token must say for this vault to be the newest. The root record carries it.
type anchor struct {
	Counter string `cbor:"1,keyasint"`
	Value   uint64 `cbor:"2,keyasint"`
}

// counterTimeout bounds what a commit waits for the token to count. A hardware TPM takes tens of milliseconds, more while it
// limits writes to its memory.
const counterTimeout = time.Minute

// count has the token count to the value of an anchor that is durable already. Whatever the token says, the counter itself has
// the last word: an Increment that failed with its reply may have been done. It is never asked twice, for the first may still
// arrive.
func (v *Vault) count(want *anchor) error {
	ctx, cancel := context.WithTimeout(context.Background(), counterTimeout)
	defer cancel()
	n, err := v.counter.Increment(ctx, want.Counter)
	if err != nil {
		var rerr error
		if n, rerr = v.counter.Read(ctx, want.Counter); rerr != nil || n != want.Value {
			return fmt.Errorf("vault: the change is written, but the token did not count it; restart the node: counter %q: %w", want.Counter,
				errors.Join(err, rerr))
		}
	}
	if n != want.Value {
		return fmt.Errorf("vault: counter %q is at %d where %d follows: something else counts with it: %w", want.Counter, n,
			want.Value, ErrRollback)
	}
	return nil
}

// checkAnchor holds the root record against the token's counter.
func (v *Vault) checkAnchor(ctx context.Context, c Config) error {
	a := v.state.anchor
	switch {
	case a == nil && c.Counter == nil:
		return nil
	case a == nil && !c.Anchor:
		return fmt.Errorf("vault: counter %q is configured, but the vault is not anchored in one: it was never asked for, or this is a copy "+
			"from before; to begin, set the anchor once: %w",
			c.CounterID, ErrRollback)
	case a == nil:
		return v.begin(ctx, c)
	case c.Counter == nil:
		return fmt.Errorf("vault: it is anchored in counter %q, and no counter is configured; configure the token that has it, or re-anchor "+
			"the vault if that is gone: %w",
			a.Counter, ErrRollback)
	case c.CounterID != a.Counter:
		return fmt.Errorf("vault: it is anchored in counter %q, configured is %q; configure the former, or re-anchor the vault: %w", a.Counter,
			c.CounterID, ErrRollback)
	}
	now, err := c.Counter.Read(ctx, a.Counter)
	switch {
	case errors.Is(err, hsm.ErrNoKey):
		return fmt.Errorf("vault: the token has no counter %q, in which the vault is anchored: it was cleared, or is another; use the token "+
			"that has it, or re-anchor the vault: %w: %w",
			a.Counter, ErrRollback, err)
	case err != nil:
		return fmt.Errorf("vault: counter %q: %w", a.Counter, err)
	case now == a.Value:
		return nil
	case now+1 == a.Value: // written, not yet counted: a crash between
		return v.count(a)
	case now > a.Value:
		return fmt.Errorf("vault: counter %q is at %d, this directory at %d: it is an older copy, put back; put the newest copy back, or "+
			"remove this node and enrol it under another name, or refresh every key it holds and re-anchor the vault: %w",
			a.Counter, now, a.Value, ErrRollback)
	}
	return fmt.Errorf("vault: counter %q is at %d, this directory at %d: the token was cleared, or is another; use the one the vault is "+
		"anchored in, or re-anchor it: %w",
		a.Counter, now, a.Value, ErrRollback)
}

// begin anchors a vault that has no anchor in a counter made for it.
func (v *Vault) begin(ctx context.Context, c Config) error {
	n, err := c.Counter.CreateCounter(ctx, c.CounterID)
	if errors.Is(err, hsm.ErrKeyExists) {
		return fmt.Errorf("vault: it is not anchored, but the token has counter %q already: this may be a copy from before the vault was "+
			"anchored; if you know that it is the newest, re-anchor it: %w: %w",
			c.CounterID, ErrRollback, err)
	}
	if err != nil {
		return fmt.Errorf("vault: make counter %q: %w", c.CounterID, err)
	}
	return v.anchorAt(ctx, &anchor{c.CounterID, n})
}

// anchorAt makes a the anchor, and counts once.
func (v *Vault) anchorAt(ctx context.Context, a *anchor) error {
	return v.group.Do(ctx, &change{amend: func(s *state) { s.anchor = a }})
}

func readOrCreate(ctx context.Context, c hsm.MonotonicCounter, id string) (uint64, error) {
	n, err := c.Read(ctx, id)
	if errors.Is(err, hsm.ErrNoKey) {
		n, err = c.CreateCounter(ctx, id)
	}
	if err != nil {
		return 0, fmt.Errorf("vault: counter %q: %w", id, err)
	}
	return n, nil
}

// Advance counts once without a change, so that every copy of the directory made so far is an older one from now on: for the
// caller to do after the start and from time to time, since the vault counts its own commits only. Without an anchor it does
// nothing.
func (v *Vault) Advance(ctx context.Context) error {
	v.mu.Lock()
	anchored := v.state.anchor != nil
	v.mu.Unlock()
	if !anchored {
		return nil
	}
	return v.group.Do(ctx, new(change))
}

// Anchored tells in which counter the vault is anchored, and at which value; an empty name if in none.
func (v *Vault) Anchored() (counterID string, value uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state.anchor == nil {
		return "", 0
	}
	return v.state.anchor.Counter, v.state.anchor.Value
}

// Reanchor declares this copy of the vault the newest, whatever the counter says, and anchors it in c.Counter, or in none if
// that is nil. It is what an operator does who has made sure of it, or has refreshed every key that the node holds: an older
// copy may hold erased shares, and lacks what was promised since. The vault must be closed otherwise.
func Reanchor(ctx context.Context, c Config) error {
	v, err := openUnanchored(ctx, c)
	if err != nil {
		return err
	}
	defer v.Close()
	if c.Counter == nil {
		return v.anchorAt(ctx, nil)
	}
	n, err := readOrCreate(ctx, c.Counter, c.CounterID)
	if err != nil {
		return err
	}
	return v.anchorAt(ctx, &anchor{c.CounterID, n})
}

// openUnanchored opens an existing vault without asking its counter.
func openUnanchored(ctx context.Context, c Config) (*Vault, error) {
	v, err := newVault(c)
	if err != nil {
		return nil, err
	}
	b, err := c.Store.Get(ctx, []byte(rootKey))
	if err == nil {
		err = v.unlock(ctx, b)
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}
