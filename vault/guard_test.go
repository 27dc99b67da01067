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

// Goal: a record is the one that was stored last in its place: who kept the values of an epoch that was discarded and stored anew, genuine
// and sealed by the token for this very place, cannot put them back. Method: a staged epoch with another share, and one with other
// metadata.
func TestRecordIsPinned(t *testing.T) {
	for name, again := range map[string]struct {
		share, info string
		parts       []string // what is put back
	}{
		"another share":                {"another", "info", []string{"vault/d/", "vault/b/"}},
		"another share, whole":         {"another", "info", []string{"vault/d/", "vault/b/", "vault/h/"}},
		"other metadata, the header":   {"share", "other", []string{"vault/h/"}},
		"other metadata, whole record": {"share", "other", []string{"vault/d/", "vault/b/", "vault/h/"}},
	} {
		m, w := vaulttest.NewMemory(), vaulttest.NewWrapper(kek)
		v := mustOpen(t, m, w)
		put := func(share, info string) {
			md := meta(1)
			md.Info = []byte(info)
			if err := v.Store(t.Context(), "a", []byte(share), md); err != nil {
				t.Fatal(err)
			}
		}
		put("share", "info")
		old := m.Reopen()
		if err := v.Discard(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		put(again.share, again.info)
		back := 0
		for _, key := range old.Keys() {
			for _, part := range again.parts {
				if strings.HasPrefix(key, part+"share/a") {
					value, err := old.Get(t.Context(), []byte(key))
					if err != nil {
						t.Fatal(err)
					}
					m.Set(key, value)
					back++
				}
			}
		}
		if back != len(again.parts) {
			t.Fatalf("%s: %d values put back", name, back)
		}
		_, _, err := v.LoadStaged(t.Context(), "a", 1)
		wantErr(t, name+", the share", err, vault.ErrIntegrity)
		if again.info != "info" {
			_, err = v.Epochs(t.Context(), "a")
			wantErr(t, name+", without the token", err, vault.ErrIntegrity)
		}
	}
}

// Goal: what is erased is driven out of the store's files too. Method: a store that is told which keys; every way to erase a share.
func TestErasedIsPurged(t *testing.T) {
	r := &recorder{Memory: vaulttest.NewMemory()}
	v := mustOpen(t, r, vaulttest.NewWrapper(kek))
	ctx := t.Context()
	for what, erase := range map[string]func() error{
		"discarded": func() error { store(t, v, "a", 1); return v.Discard(ctx, "a", 1) },
		"retired":   func() error { store(t, v, "b", 1); activate(t, v, "b", 1); return v.Retire(ctx, "b", 1) },
		"replaced": func() error {
			store(t, v, "c", 1)
			activate(t, v, "c", 1)
			store(t, v, "c", 2)
			return v.Activate(ctx, "c", 2)
		},
		"deleted": func() error { store(t, v, "d", 1); return v.Delete(ctx, "d") },
	} {
		r.purged = map[string]bool{}
		if err := erase(); err != nil {
			t.Fatal(err)
		}
		if len(r.purged) == 0 {
			t.Errorf("%s: not driven out", what)
		}
	}
}

// hiccup is a Store that breaks its promise: it fails one write, then goes on as if nothing were.
type hiccup struct {
	*vaulttest.Memory
	fail bool
	kept error // and keeps its promise about an error after which nothing was written
}

func (h *hiccup) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	if h.fail {
		h.fail = false
		return vaulttest.ErrCrash
	}
	if h.kept != nil {
		return h.kept
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

// Goal: a disk that was full, or a directory that was away, breaks nothing: the vault writes on when that is over, and is what it was.
// Method: a store that is full, or moved, for one write; then the same write, and a look at everything.
func TestFullStore(t *testing.T) {
	for _, why := range []error{vault.ErrFull, vault.ErrMoved} {
		h := &hiccup{Memory: vaulttest.NewMemory()}
		v := mustOpen(t, h, vaulttest.NewWrapper(kek))
		store(t, v, "a", 1)
		h.kept = why
		wantErr(t, "nothing written", v.Activate(t.Context(), "a", 1), why)
		h.kept = nil
		if err := v.Activate(t.Context(), "a", 1); err != nil {
			t.Fatalf("%v is over: %v", why, err)
		}
		if err := v.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
