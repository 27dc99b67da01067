package vaulttest_test

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: the counter of the tests keeps the contract of hsm.MonotonicCounter, and fails as told. Method: create, count, read; then each
// fault, and what the counter says after it.
func TestCounter(t *testing.T) {
	ctx, c := t.Context(), vaulttest.NewCounter()
	_, rerr := c.Read(ctx, "c")
	_, ierr := c.Increment(ctx, "c")
	if !errors.Is(rerr, hsm.ErrNoKey) || !errors.Is(ierr, hsm.ErrNoKey) {
		t.Errorf("before it is made: %v, %v", rerr, ierr)
	}
	first, err := c.CreateCounter(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateCounter(ctx, "c"); !errors.Is(err, hsm.ErrKeyExists) {
		t.Errorf("made twice: %v", err)
	}
	want := first
	for name, f := range map[string]struct {
		cue  func(int, vaulttest.When)
		when vaulttest.When
		away bool
	}{
		"undone, away": {c.FailAt, vaulttest.Before, true}, "done, away": {c.FailAt, vaulttest.After, true},
		"undone": {c.LoseReply, vaulttest.Before, false}, "done": {c.LoseReply, vaulttest.After, false},
	} {
		f.cue(2, f.when)
		if n, err := c.Increment(ctx, "c"); err != nil || n != want+1 {
			t.Errorf("%s: one too early: %d, %v", name, n, err)
		}
		if _, err := c.Increment(ctx, "c"); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if want++; f.when == vaulttest.After {
			want++
		}
		if _, err := c.Read(ctx, "c"); (err != nil) != f.away {
			t.Errorf("%s: read: %v", name, err)
		}
		c.Heal()
		if n, err := c.Read(ctx, "c"); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", name, n, err, want)
		}
	}
}
