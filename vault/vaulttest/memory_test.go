package vaulttest_test

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: the store of the tests keeps the contract it stands in for. Method: the suite.
func TestMemory(t *testing.T) {
	disks := map[string]*vaulttest.Memory{}
	vaulttest.RunStore(t, func(t *testing.T, dir string) vault.Store {
		m := vaulttest.NewMemory()
		if old := disks[dir]; old != nil {
			m = old.Reopen()
		}
		disks[dir] = m
		return m
	})
}

// Goal: faults come when and as told. Method: the second write, before and after it reached the disk.
func TestFaults(t *testing.T) {
	for when, want := range map[vaulttest.When]int{vaulttest.Before: 1, vaulttest.After: 2} {
		m := vaulttest.NewMemory()
		m.FailAt(2, when)
		var got []error
		for _, k := range []string{"a", "b", "c"} {
			got = append(got, m.Batch(t.Context(), []vault.Pair{{Key: []byte(k)}}, nil))
		}
		if got[0] != nil || !errors.Is(got[1], vaulttest.ErrCrash) || !errors.Is(got[2], vault.ErrBroken) {
			t.Errorf("%v", got)
		}
		if n := len(m.Reopen().Keys()); n != want {
			t.Errorf("%d keys after the crash, want %d", n, want)
		}
	}
}
