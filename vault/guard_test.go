package vault_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: each guard of the pointers holds by itself. Method: the damage that only it sees: while open, the MAC on every read;
// at opening, the MAC over the content, the binding of content to id, and a record no pointer knows.
func TestPointerGuards(t *testing.T) {
	w := vaulttest.NewWrapper(kek)
	m := populated(t, w, "node-1")
	get := func(key string) []byte {
		b, err := m.Get(t.Context(), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := get("vault/p/share/a"), get("vault/p/share/b")
	flipped := bytes.Clone(a)
	flipped[len(flipped)-40] ^= 1

	disk := m.Reopen()
	v := mustOpen(t, disk, w)
	disk.Set("vault/p/share/a", flipped)
	_, err := v.GetMeta("a")
	wantErr(t, "changed while open", err, vault.ErrIntegrity)
	if err == nil || !strings.Contains(err.Error(), "MAC") {
		t.Errorf("found by something else: %v", err)
	}

	disk = m.Reopen()
	disk.Set("vault/p/share/a", flipped)
	_, err = vault.Open(t.Context(), config(disk, w))
	wantErr(t, "changed before opening", err, vault.ErrIntegrity)

	disk = m.Reopen()
	disk.Set("vault/p/share/a", b)
	disk.Set("vault/p/share/b", a)
	_, err = vault.Open(t.Context(), config(disk, w))
	wantErr(t, "exchanged before opening", err, vault.ErrIntegrity)

	disk = m.Reopen()
	disk.Set("vault/root", nil)
	_, err = vault.Open(t.Context(), config(disk, w))
	wantErr(t, "no root", err, vault.ErrIntegrity)
	if disk.Writes() != 0 {
		t.Error("a new vault was made over records of an old one")
	}

	disk = m.Reopen()
	v = mustOpen(t, disk, w)
	disk.Set("vault/h/share/stranger", []byte("x"))
	wantErr(t, "record of no id", v.Check(t.Context()), vault.ErrIntegrity)
}

// hiccup is a Store that breaks its promise: it fails one write, then goes on as if nothing were.
type hiccup struct {
	*vaulttest.Memory
	fail bool
}

func (h *hiccup) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	if h.fail {
		h.fail = false
		return vaulttest.ErrCrash
	}
	return h.Memory.Batch(ctx, puts, deletes)
}

// Goal: after a write with an unknown outcome the vault writes no more, whatever the store does. Method: one failing write.
func TestBroken(t *testing.T) {
	h := &hiccup{Memory: vaulttest.NewMemory()}
	v := mustOpen(t, h, vaulttest.NewWrapper(kek))
	store(t, v, "a", 1)
	h.fail = true
	wantErr(t, "failing write", v.Activate(t.Context(), "a", 1), vaulttest.ErrCrash)
	if err := v.Activate(t.Context(), "a", 1); !errors.Is(err, vault.ErrBroken) {
		t.Errorf("next write: %v", err)
	}
}
