package vault

import (
	"context"
	"errors"
	"fmt"
)

// change is what one call wants written: atomically, with the root.
type change struct {
	puts     []Pair
	deletes  [][]byte
	old, new []byte   // stored pointer before and after; nil where there is none
	erased   [][]byte // keys of wrapped DEKs among the deletes
	amend    func(*state)
}

func (c *change) put(key, value []byte) { c.puts = append(c.puts, Pair{key, value}) }

// A group of changes must fit one Batch, with the root: an entry weighs its share of the largest batch, or its bytes.
const (
	entryWeight    = MaxBatchBytes / MaxBatch
	maxGroupWeight = MaxBatchBytes - 2*entryWeight
)

func (c *change) weight() int {
	n := entryWeight * len(c.deletes)
	for _, p := range c.puts {
		n += max(entryWeight, len(p.Key)+len(p.Value))
	}
	return n
}

// Failed is closed when a write failed so that what the vault holds is known only when it is opened anew, and when it is closed; Failure
// tells why.
func (v *Vault) Failed() <-chan struct{} { return v.failure.Done() }

// Failure is why nothing is written any more, nil while something may be.
func (v *Vault) Failure() error { return v.failure.Err() }

// commit writes a group of changes with one new root, and has the token count it: the whole group is one count. Nothing is
// acknowledged before both are done. It runs one at a time.
func (v *Vault) commit(group []*change) error {
	if err := v.failure.Err(); err != nil {
		return err
	}
	s := v.state
	s.seq++
	var puts []Pair
	var deletes [][]byte
	for _, c := range group {
		if c.old != nil {
			s.set.toggle(v.keys, c.old[len(c.old)-macLen:])
			s.count--
		}
		if c.new != nil {
			s.set.toggle(v.keys, c.new[len(c.new)-macLen:])
			s.count++
		}
		if c.amend != nil {
			c.amend(&s)
		}
		puts = append(puts, c.puts...)
		deletes = append(deletes, c.deletes...)
	}
	if s.anchor != nil {
		s.anchor = &anchor{s.anchor.Counter, s.anchor.Value + 1}
	}
	puts = append(puts, Pair{[]byte(rootKey), v.encodeRoot(s)})
	// The callers' contexts end here: the outcome of a commit that has begun must be known.
	if err := v.store.Batch(context.Background(), puts, deletes); err != nil {
		if !errors.Is(err, ErrFull) && !errors.Is(err, ErrMoved) { // of which nothing was written
			v.failure.Set(fmt.Errorf("vault: %w: %w", ErrBroken, err))
		}
		return err
	}
	if s.anchor != nil {
		if err := v.count(s.anchor); err != nil {
			v.failure.Set(fmt.Errorf("vault: %w: %w", ErrBroken, err))
			return err
		}
	}
	v.mu.Lock()
	v.state = s
	v.mu.Unlock()
	return nil
}
