package vaulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/luxfi/mpcd/vault"
)

// ErrCrash is what a Memory reports at the write it was told to fail.
var ErrCrash = errors.New("vaulttest: crash (fault injected)")

// When says whether the failing write reaches the disk before the crash.
type When int

// A Batch is atomic, so a crash in it is one of these.
const (
	Before When = iota
	After
)

// Memory is a Store in memory. Its content outlives Close, as a disk does: Reopen.
type Memory struct {
	mu     sync.Mutex
	data   map[string][]byte
	writes int
	failAt int // the write that fails, counted from 1; 0 is none
	when   When
	broken error
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{data: make(map[string][]byte)} }

// FailAt makes the n-th Batch from now fail, and all after it.
func (m *Memory) FailAt(n int, when When) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failAt, m.when = m.writes+n, when
}

// Writes is the number of Batch calls that were well-formed.
func (m *Memory) Writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

// Reopen returns a healthy store with a copy of the content, as a restart finds it.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{data: maps.Clone(m.data)}
}

// Keys lists what is stored, in order.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.data))
}

// Set changes a value behind the vault's back; nil removes it.
func (m *Memory) Set(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value == nil {
		delete(m.data, key)
		return
	}
	m.data[key] = bytes.Clone(value)
}

// Get implements vault.Store.
func (m *Memory) Get(ctx context.Context, key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	v, ok := m.data[string(key)]
	if !ok {
		return nil, fmt.Errorf("vaulttest: key %q: %w", key, vault.ErrNotFound)
	}
	return append([]byte{}, v...), nil
}

func (m *Memory) usable(ctx context.Context) error {
	if errors.Is(m.broken, vault.ErrClosed) {
		return m.broken
	}
	return ctx.Err()
}

// Batch implements vault.Store.
func (m *Memory) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	if err := vault.CheckBatch(puts, deletes); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.writes++
	if m.writes == m.failAt {
		m.broken = vault.ErrBroken
		if m.when == Before {
			return ErrCrash
		}
	}
	for _, p := range puts {
		m.data[string(p.Key)] = append([]byte{}, p.Value...)
	}
	for _, k := range deletes {
		delete(m.data, string(k))
	}
	if m.broken != nil {
		return ErrCrash
	}
	return nil
}

// Iterate implements vault.Store.
func (m *Memory) Iterate(ctx context.Context, prefix []byte, f func(key, value []byte) error) error {
	m.mu.Lock()
	if err := m.usable(ctx); err != nil {
		m.mu.Unlock()
		return err
	}
	snapshot := maps.Clone(m.data) // values are never changed in place
	m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(snapshot)) {
		if !strings.HasPrefix(k, string(prefix)) {
			continue
		}
		if err := f([]byte(k), bytes.Clone(snapshot[k])); err != nil {
			return err
		}
	}
	return nil
}

// Close implements vault.Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = vault.ErrClosed
	return nil
}
