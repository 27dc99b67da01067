package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

const kek = "kek"

var created = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func config(s vault.Store, w *vaulttest.Wrapper) vault.Config {
	return vault.Config{Store: s, Wrapper: w, KEK: kek, Node: "node-1", Clock: func() time.Time { return created }}
}

func mustOpen(t testing.TB, s vault.Store, w *vaulttest.Wrapper) *vault.Vault {
	t.Helper()
	v, err := vault.Open(context.Background(), config(s, w))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func meta(epoch uint64) vault.Meta {
	return vault.Meta{
		KeyKind: "frost-ed25519", Index: 3, Threshold: 2, TotalParties: 5, Epoch: epoch,
		PublicShare: []byte("public share"), GroupKey: []byte("group key"), Info: fmt.Appendf(nil, "info of epoch %d", epoch),
	}
}

func share(id string, epoch uint64) []byte {
	return fmt.Appendf(nil, "secret share of %s at %d", id, epoch)
}

func store(t testing.TB, v *vault.Vault, id string, epoch uint64) {
	t.Helper()
	if err := v.Store(t.Context(), id, share(id, epoch), meta(epoch)); err != nil {
		t.Fatal(err)
	}
}

func activate(t testing.TB, v *vault.Vault, id string, epoch uint64) {
	t.Helper()
	if err := v.Activate(t.Context(), id, epoch); err != nil {
		t.Fatal(err)
	}
}

// loads checks that the active epoch of id is that one and opens.
func loads(v *vault.Vault, id string, epoch uint64) error {
	s, m, err := v.Load(context.Background(), id)
	if err != nil {
		return err
	}
	defer s.Wipe()
	if m.Epoch != epoch || !s.Equal(share(id, m.Epoch)) {
		return fmt.Errorf("%s: epoch %d where %d should be active, or another share", id, m.Epoch, epoch)
	}
	return nil
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func states(t *testing.T, v *vault.Vault, id string) string {
	t.Helper()
	es, err := v.Epochs(t.Context(), id)
	if err != nil {
		return "none"
	}
	var out []string
	for _, e := range es {
		out = append(out, fmt.Sprintf("%d %s", e.Epoch, e.State))
	}
	return strings.Join(out, ", ")
}

// Goal: the life of a share, on Badger, across reopening: stage, activate, refresh, retire, delete; metadata without the token.
// Method: walk through it.
func TestLife(t *testing.T) {
	dir, w := t.TempDir(), vaulttest.NewWrapper(kek)
	s := badger(t, dir)
	v := mustOpen(t, s, w)
	store(t, v, "w/1", 1)
	_, _, err := v.Load(t.Context(), "w/1")
	wantErr(t, "load before activation", err, vault.ErrState)
	b, m, err := v.LoadStaged(t.Context(), "w/1", 1)
	if err != nil || !b.Equal(share("w/1", 1)) || m.Epoch != 1 {
		t.Fatalf("staged: %v", err)
	}
	b.Wipe()
	activate(t, v, "w/1", 1)
	if err := loads(v, "w/1", 1); err != nil {
		t.Fatal(err)
	}
	store(t, v, "w/1", 2)
	if err := loads(v, "w/1", 1); err != nil {
		t.Fatal(err)
	}
	activate(t, v, "w/1", 2)
	store(t, v, "w/2", 1)
	if err := v.PutSecret(t.Context(), "identity", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := v.PutSecret(t.Context(), "identity", []byte("second")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := loads(v, "w/1", 2); err != nil {
			t.Fatal(err)
		}
		calls := w.Calls.Load()
		m, err := v.GetMeta("w/1")
		if err != nil {
			t.Fatal(err)
		}
		want := meta(2)
		want.KeyID, want.Created = "w/1", created
		if fmt.Sprint(*m) != fmt.Sprint(want) {
			t.Errorf("meta %v, want %v", *m, want)
		}
		list, err := v.List(t.Context())
		if err != nil || len(list) != 3 || list[0].State != vault.Retired || list[1].State != vault.Active || list[2].State != vault.Staged {
			t.Errorf("list %v, %v", list, err)
		}
		if w.Calls.Load() != calls {
			t.Error("metadata needed the token")
		}
		id, err := v.GetSecret(t.Context(), "identity")
		if err != nil || !id.Equal([]byte("second")) {
			t.Errorf("secret: %v", err)
		}
		id.Wipe()
		if err := v.Check(t.Context()); err != nil {
			t.Error(err)
		}
		v.Close()
		s.Close()
		s = badger(t, dir)
		v = mustOpen(t, s, w)
	}
	if err := v.Retire(t.Context(), "w/1", 2); err != nil {
		t.Fatal(err)
	}
	_, _, err = v.Load(t.Context(), "w/1")
	wantErr(t, "load after retirement", err, vault.ErrState)
	for _, id := range []string{"w/1", "w/2"} {
		if err := v.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, _, err = v.Load(t.Context(), id)
		wantErr(t, "load after deletion", err, vault.ErrNotFound)
	}
	if err := v.DeleteSecret(t.Context(), "identity"); err != nil {
		t.Fatal(err)
	}
	if _, n := v.Version(); n != 0 {
		t.Errorf("%d ids left", n)
	}
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func badger(t testing.TB, dir string) *badgerstore.Store {
	t.Helper()
	s, err := badgerstore.Open(badgerstore.Config{Dir: dir, Key: secret.From(bytes.Repeat([]byte{1}, badgerstore.KeyLen))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Goal: every call refuses what is not in the state for it, and a repeated call is fine where it says so. Method: a table of
// calls on one vault, in order, with the states after each.
func TestStates(t *testing.T) {
	ctx := t.Context()
	v := mustOpen(t, vaulttest.NewMemory(), vaulttest.NewWrapper(kek))
	put := func(epoch uint64, s string) func() error {
		return func() error { return v.Store(ctx, "a", []byte(s), meta(epoch)) }
	}
	act := func(epoch uint64) func() error { return func() error { return v.Activate(ctx, "a", epoch) } }
	ret := func(epoch uint64) func() error { return func() error { return v.Retire(ctx, "a", epoch) } }
	dis := func(epoch uint64) func() error { return func() error { return v.Discard(ctx, "a", epoch) } }
	other := meta(5)
	other.Threshold = 3
	for i, c := range []struct {
		call func() error
		err  error
		want string
	}{
		{act(1), vault.ErrNotFound, "none"},
		{ret(1), vault.ErrNotFound, "none"},
		{dis(1), vault.ErrNotFound, "none"},
		{func() error { return v.Delete(ctx, "a") }, vault.ErrNotFound, "none"},
		{put(5, "x"), nil, "5 staged"},
		{put(5, "x"), nil, "5 staged"},
		{put(5, "y"), vault.ErrExists, "5 staged"},
		{func() error { return v.Store(ctx, "a", []byte("x"), other) }, vault.ErrExists, "5 staged"},
		{ret(5), vault.ErrState, "5 staged"},
		{dis(5), nil, "none"},
		{put(5, "y"), nil, "5 staged"},
		{act(5), nil, "5 active"},
		{act(5), nil, "5 active"},
		{put(5, "y"), nil, "5 active"},
		{put(5, "z"), vault.ErrExists, "5 active"},
		{dis(5), vault.ErrState, "5 active"},
		{put(4, "x"), vault.ErrState, "5 active"},
		{put(6, "x"), nil, "5 active, 6 staged"},
		{put(7, "x"), nil, "5 active, 6 staged, 7 staged"},
		{put(8, "x"), nil, "5 active, 6 staged, 7 staged, 8 staged"},
		{put(9, "x"), nil, "5 active, 6 staged, 7 staged, 8 staged, 9 staged"},
		{act(8), nil, "5 retired, 8 active, 9 staged"},
		{put(5, "y"), vault.ErrState, "5 retired, 8 active, 9 staged"},
		{put(6, "x"), vault.ErrState, "5 retired, 8 active, 9 staged"},
		{act(5), vault.ErrState, "5 retired, 8 active, 9 staged"},
		{act(6), vault.ErrNotFound, "5 retired, 8 active, 9 staged"},
		{dis(5), vault.ErrState, "5 retired, 8 active, 9 staged"},
		{ret(5), nil, "5 retired, 8 active, 9 staged"},
		{ret(8), nil, "8 retired, 9 staged"},
		{ret(8), nil, "8 retired, 9 staged"},
		{act(9), nil, "8 retired, 9 active"},
		{func() error { return v.Delete(ctx, "a") }, nil, "none"},
		{put(1, "x"), nil, "1 staged"},
	} {
		if err := c.call(); !errors.Is(err, c.err) {
			t.Fatalf("call %d: %v, want %v", i, err, c.err)
		}
		if got := states(t, v, "a"); got != c.want {
			t.Fatalf("after call %d: %s, want %s", i, got, c.want)
		}
		if err := v.Check(ctx); err != nil {
			t.Fatalf("after call %d: %v", i, err)
		}
	}
}

// Goal: limits hold at their edge. Method: a table.
func TestLimits(t *testing.T) {
	v := mustOpen(t, vaulttest.NewMemory(), vaulttest.NewWrapper(kek))
	with := func(f func(*vault.Meta)) vault.Meta { m := meta(1); f(&m); return m }
	for name, c := range map[string]struct {
		id     string
		secret []byte
		meta   vault.Meta
		ok     bool
	}{
		"longest id":       {strings.Repeat("i", vault.MaxID), []byte("s"), meta(1), true},
		"longer id":        {strings.Repeat("i", vault.MaxID+1), []byte("s"), meta(1), false},
		"empty id":         {"", []byte("s"), meta(1), false},
		"id with zero":     {"a\x00b", []byte("s"), meta(1), false},
		"id with newline":  {"a\nb", []byte("s"), meta(1), false},
		"id not UTF-8":     {"a\xff", []byte("s"), meta(1), false},
		"largest secret":   {"a", make([]byte, vault.MaxSecret), meta(1), true},
		"larger secret":    {"b", make([]byte, vault.MaxSecret+1), meta(1), false},
		"empty secret":     {"b", nil, meta(1), false},
		"threshold 0":      {"b", []byte("s"), with(func(m *vault.Meta) { m.Threshold = 0 }), false},
		"threshold n":      {"c", []byte("s"), with(func(m *vault.Meta) { m.Threshold = 5 }), true},
		"threshold n+1":    {"b", []byte("s"), with(func(m *vault.Meta) { m.Threshold = 6 }), false},
		"no kind":          {"b", []byte("s"), with(func(m *vault.Meta) { m.KeyKind = "" }), false},
		"other key":        {"b", []byte("s"), with(func(m *vault.Meta) { m.KeyID = "c" }), false},
		"largest epoch":    {"d", []byte("s"), meta(vault.MaxEpoch), true},
		"larger epoch":     {"b", []byte("s"), meta(vault.MaxEpoch + 1), false},
		"largest metadata": {"e", []byte("s"), with(func(m *vault.Meta) { m.Info = make([]byte, vault.MaxMeta/2-21) }), true},
		"larger metadata":  {"b", []byte("s"), with(func(m *vault.Meta) { m.Info = make([]byte, vault.MaxMeta/2-20) }), false},
	} {
		err := v.Store(t.Context(), c.id, c.secret, c.meta)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && err == nil {
			activate(t, v, c.id, c.meta.Epoch)
			if s, _, err := v.Load(t.Context(), c.id); err != nil || !s.Equal(c.secret) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, value := range map[string][]byte{"": {1}, "big": make([]byte, vault.MaxSecret+1), "none": nil} {
		wantErr(t, "secret "+name, v.PutSecret(t.Context(), name, value), vault.ErrInvalid)
	}
}

// Goal: after a crash at any write exactly one epoch is active and its share loads; nothing acknowledged is undone. Method:
// fail each write of the same life, before and after it reaches the disk; reopen; compare with what was acknowledged.
func TestCrashes(t *testing.T) {
	for _, when := range []vaulttest.When{vaulttest.Before, vaulttest.After} {
		for n := 1; ; n++ {
			w, m := vaulttest.NewWrapper(kek), vaulttest.NewMemory()
			ctx := t.Context()
			v := mustOpen(t, m, w)
			store(t, v, "bystander", 1)
			activate(t, v, "bystander", 1)
			m.FailAt(n, when)
			steps := []func() error{
				func() error { return v.Store(ctx, "a", share("a", 1), meta(1)) },
				func() error { return v.Activate(ctx, "a", 1) },
				func() error { return v.Store(ctx, "a", share("a", 2), meta(2)) },
				func() error { return v.Discard(ctx, "a", 2) },
				func() error { return v.Store(ctx, "a", share("a", 2), meta(2)) },
				func() error { return v.Store(ctx, "a", share("a", 3), meta(3)) },
				func() error { return v.Activate(ctx, "a", 3) },
				func() error { return v.PutSecret(ctx, "s", []byte("old")) },
				func() error { return v.PutSecret(ctx, "s", []byte("new")) },
				func() error { return v.Retire(ctx, "a", 3) },
				func() error { return v.Delete(ctx, "a") },
			}
			after := []string{
				"none", "1 staged", "1 active", "1 active, 2 staged", "1 active", "1 active, 2 staged", "1 active, 2 staged, 3 staged",
				"1 retired, 3 active", "1 retired, 3 active", "1 retired, 3 active", "3 retired", "none",
			}
			secrets := []string{"", "", "", "", "", "", "", "", "old", "new", "new", "new"}
			done := 0
			for _, step := range steps {
				err := step()
				if err != nil {
					wantErr(t, "the failing step", err, vaulttest.ErrCrash)
					wantErr(t, "a later write", v.Store(ctx, "z", []byte("z"), meta(1)), vault.ErrBroken)
					break
				}
				done++
			}
			disk := m.Reopen()
			v = mustOpen(t, disk, w)
			at := done
			if done < len(steps) && when == vaulttest.After {
				at++
			}
			if got := states(t, v, "a"); got != after[at] {
				t.Fatalf("crash at write %d (%v), %d steps acknowledged: %s, want %s", n, when, done, got, after[at])
			}
			for _, epoch := range []uint64{1, 2, 3} {
				if strings.Contains(after[at], fmt.Sprint(epoch, " active")) {
					if err := loads(v, "a", epoch); err != nil {
						t.Fatalf("crash at write %d: %v", n, err)
					}
				}
			}
			if s, err := v.GetSecret(ctx, "s"); (err == nil) != (secrets[at] != "") || err == nil && !s.Equal([]byte(secrets[at])) {
				t.Fatalf("crash at write %d: secret: %v", n, err)
			}
			if err := loads(v, "bystander", 1); err != nil {
				t.Fatal(err)
			}
			if err := v.Check(ctx); err != nil {
				t.Fatal(err)
			}
			if done == len(steps) {
				break
			}
		}
	}
}

// Goal: a wrong KEK, another token, another node, a token without the key, and an unreachable token are told at boot, apart,
// and nothing is written. Method: open a vault under each.
func TestWrongKEK(t *testing.T) {
	m, w := vaulttest.NewMemory(), vaulttest.NewWrapper(kek, "other")
	v := mustOpen(t, m, w)
	store(t, v, "a", 1)
	v.Close()
	writes := m.Writes()
	for name, c := range map[string]struct {
		change func(*vault.Config)
		want   error
	}{
		"another token":         {func(c *vault.Config) { c.Wrapper = vaulttest.NewWrapper(kek) }, vault.ErrWrongKEK},
		"another KEK":           {func(c *vault.Config) { c.KEK = "other" }, vault.ErrWrongKEK},
		"a token without it":    {func(c *vault.Config) { c.Wrapper = vaulttest.NewWrapper() }, vault.ErrWrongKEK},
		"another node":          {func(c *vault.Config) { c.Node = "node-2" }, vault.ErrWrongKEK},
		"no KEK":                {func(c *vault.Config) { c.KEK = "" }, vault.ErrInvalid},
		"no token":              {func(c *vault.Config) { c.Wrapper = nil }, vault.ErrInvalid},
		"no store":              {func(c *vault.Config) { c.Store = nil }, vault.ErrInvalid},
		"no node":               {func(c *vault.Config) { c.Node = "" }, vault.ErrInvalid},
		"new where one must be": {func(c *vault.Config) { c.Store = vaulttest.NewMemory(); c.Existing = true }, vault.ErrNotFound},
	} {
		cfg := config(m, w)
		c.change(&cfg)
		_, err := vault.Open(t.Context(), cfg)
		wantErr(t, name, err, c.want)
	}
	w.Down.Store(true)
	_, err := vault.Open(t.Context(), config(m, w))
	if err == nil || errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("token away: %v", err)
	}
	if m.Writes() != writes {
		t.Error("a failed opening wrote")
	}
}

// refused opens the vault over the disk and uses it in every way; it returns the first error. Every read that succeeds must
// give what was stored.
func refused(t *testing.T, disk *vaulttest.Memory, w *vaulttest.Wrapper) error {
	v, err := vault.Open(context.Background(), config(disk, w))
	if err != nil {
		return err
	}
	defer v.Close()
	var errs []error
	for _, id := range []string{"a", "b"} {
		errs = append(errs, loads(v, id, 2))
		m, err := v.GetMeta(id)
		errs = append(errs, err)
		want := meta(2)
		want.KeyID, want.Created = id, created
		if err == nil && fmt.Sprint(*m) != fmt.Sprint(want) {
			t.Errorf("changed metadata was given out: %v", *m)
		}
		s, _, err := v.LoadStaged(context.Background(), id, 3)
		errs = append(errs, err)
		if err == nil && !s.Equal(share(id, 3)) {
			t.Error("another share was given out")
		}
	}
	_, err = v.List(context.Background())
	errs = append(errs, err)
	if s, err := v.GetSecret(context.Background(), "identity"); err != nil || !s.Equal([]byte("identity key")) {
		errs = append(errs, err)
	}
	joined := errors.Join(errs...)
	if c := v.Check(context.Background()); (joined != nil) != (c != nil) {
		t.Errorf("uses say %v, Check says %v", joined, c)
	}
	return joined
}

// populated is a vault with two ids, each at epoch 2 with 1 retired and 3 staged, and a secret.
func populated(t testing.TB, w *vaulttest.Wrapper, node string) *vaulttest.Memory {
	m := vaulttest.NewMemory()
	cfg := config(m, w)
	cfg.Node = node
	v, err := vault.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, id := range []string{"a", "b"} {
		for e := uint64(1); e <= 3; e++ {
			store(t, v, id, e)
			if e < 3 {
				activate(t, v, id, e)
			}
		}
	}
	if err := v.PutSecret(t.Context(), "identity", []byte("identity key")); err != nil {
		t.Fatal(err)
	}
	return m
}

// Goal: every flipped byte, every cut and every missing record is found. Method: each byte of each record in turn.
func TestFlippedBytes(t *testing.T) {
	w := vaulttest.NewWrapper(kek)
	m := populated(t, w, "node-1")
	if err := refused(t, m.Reopen(), w); err != nil {
		t.Fatal(err)
	}
	for _, key := range m.Keys() {
		good, _ := m.Get(t.Context(), []byte(key))
		check := func(what string, value []byte) {
			disk := m.Reopen()
			disk.Set(key, value)
			err := refused(t, disk, w)
			if !errors.Is(err, vault.ErrIntegrity) && !errors.Is(err, vault.ErrWrongKEK) {
				t.Errorf("%q %s: %v", key, what, err)
			}
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			check(fmt.Sprintf("byte %d flipped", i), bad)
		}
		check("cut", good[:len(good)-1])
		check("longer", append(bytes.Clone(good), 0))
		check("empty", []byte{})
		check("missing", nil)
	}
}

// Goal: a record serves only where it was written. Method: put each record in the place of each other of its kind: other id,
// other epoch, other node, another vault of the same node, under the same KEK; and whole records, header, DEK and body together.
func TestSwappedRecords(t *testing.T) {
	w := vaulttest.NewWrapper(kek)
	m := populated(t, w, "node-1")
	sources := map[string]*vaulttest.Memory{"itself": m, "another node": populated(t, w, "node-2"), "another vault": populated(t, w, "node-1")}
	tried := 0
	for name, from := range sources {
		for _, src := range from.Keys() {
			for _, dst := range m.Keys() {
				if src[:7] != dst[:7] || from == m && src == dst {
					continue
				}
				value, _ := from.Get(t.Context(), []byte(src))
				disk := m.Reopen()
				disk.Set(dst, value)
				tried++
				if err := refused(t, disk, w); !errors.Is(err, vault.ErrIntegrity) && !errors.Is(err, vault.ErrWrongKEK) {
					t.Errorf("%q of %s as %q: %v", src, name, dst, err)
				}
			}
		}
		for _, r := range [][2]string{{"share/a\x00", "share/b\x00"}, {"share/b\x00", "share/a\x00"}} {
			disk := m.Reopen()
			for _, key := range from.Keys() {
				if value, _ := from.Get(t.Context(), []byte(key)); strings.Contains(key, r[0]) {
					disk.Set(strings.Replace(key, r[0], r[1], 1), value)
				}
			}
			wantErr(t, "all records of "+r[0]+" of "+name, refused(t, disk, w), vault.ErrIntegrity)
		}
	}
	if tried < 100 {
		t.Errorf("only %d swaps tried", tried)
	}
}

// Goal: nothing erased comes back: an attacker who kept earlier files cannot make a retired epoch active again, nor bring back
// a deleted id, nor drop one, by putting back records; short of root and pointers all together, which is the whole vault as it was. Method:
// put back every other subset of the records that changed.
func TestPutBack(t *testing.T) {
	w := vaulttest.NewWrapper(kek)
	m := vaulttest.NewMemory()
	v := mustOpen(t, m, w)
	store(t, v, "a", 1)
	activate(t, v, "a", 1)
	store(t, v, "b", 1)
	activate(t, v, "b", 1)
	old := m.Reopen()
	store(t, v, "a", 2)
	activate(t, v, "a", 2)
	if err := v.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, k := range slices.Compact(slices.Sorted(slices.Values(append(old.Keys(), m.Keys()...)))) {
		before, _ := old.Get(t.Context(), []byte(k))
		now, _ := m.Get(t.Context(), []byte(k))
		if !bytes.Equal(before, now) {
			changed = append(changed, k)
		}
	}
	tried := 0
	for set := 1; set < 1<<len(changed)-1; set++ {
		disk, whole := m.Reopen(), true
		for i, k := range changed {
			if set&(1<<i) == 0 && (k == "vault/root" || strings.HasPrefix(k, "vault/p/")) {
				whole = false
			}
			if set&(1<<i) != 0 {
				value, err := old.Get(t.Context(), []byte(k))
				if err != nil {
					value = nil
				}
				disk.Set(k, value)
			}
		}
		if whole {
			continue
		}
		tried++
		v, err := vault.Open(t.Context(), config(disk, w))
		if err != nil {
			if !errors.Is(err, vault.ErrIntegrity) {
				t.Fatal(err)
			}
			continue
		}
		if err := loads(v, "a", 2); err != nil && !errors.Is(err, vault.ErrIntegrity) {
			t.Errorf("subset %b: %v", set, err)
		}
		if _, _, err := v.Load(t.Context(), "b"); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("subset %b: deleted id: %v", set, err)
		}
		v.Close()
	}
	if tried < 1000 {
		t.Errorf("only %d subsets tried", tried)
	}
}

// Goal: no plaintext share and no plaintext metadata reach the disk, and an erased share does not open even with the token.
// Method: scan the files of a Badger store during and after the life of a share; then try the records that are left.
func TestNothingInTheClear(t *testing.T) {
	dir, w := t.TempDir(), vaulttest.NewWrapper(kek)
	s := badger(t, dir)
	v := mustOpen(t, s, w)
	plain := bytes.Repeat([]byte("KNOWN SHARE BYTES"), 500) // as a large value too
	m := meta(1)
	m.Info = []byte("KNOWN METADATA BYTES")
	scan := func(when string) {
		t.Helper()
		err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(os.DirFS(dir), p)
			for _, known := range []string{"KNOWN SHARE", "KNOWN META", "share/a"} {
				if bytes.Contains(b, []byte(known)) {
					t.Errorf("%s: %s holds %q", when, p, known)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for e := uint64(1); e <= 3; e++ {
		m.Epoch = e
		if err := v.Store(t.Context(), "a", append(bytes.Clone(plain), byte(e)), m); err != nil {
			t.Fatal(err)
		}
		if err := v.PutSecret(t.Context(), "identity", plain[:32]); err != nil {
			t.Fatal(err)
		}
		scan("staged")
		activate(t, v, "a", e)
		scan("activated")
	}
	left := 0
	err := s.Iterate(t.Context(), nil, func(key, value []byte) error {
		if bytes.Contains(value, []byte("KNOWN SHARE")) {
			t.Errorf("record %q is in the clear", key)
		}
		if bytes.HasPrefix(key, []byte("vault/d/share/a")) || bytes.HasPrefix(key, []byte("vault/b/share/a")) {
			left++
		}
		return nil
	})
	if err != nil || left != 2 {
		t.Errorf("%d sealed records are left of three epochs, want DEK and body of one; %v", left, err)
	}
	v.Close()
	s.Close()
	scan("closed")
}

// Goal: concurrent calls keep the vault whole, on ids of their own and on one in common. Method: many goroutines, then reopen
// and check.
func TestConcurrent(t *testing.T) {
	m, w := vaulttest.NewMemory(), vaulttest.NewWrapper(kek)
	v := mustOpen(t, m, w)
	store(t, v, "common", 1)
	activate(t, v, "common", 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			id := fmt.Sprint("own ", i)
			for e := uint64(1); e <= 5; e++ {
				store(t, v, id, e)
				activate(t, v, id, e)
				if err := loads(v, id, e); err != nil {
					t.Error(err)
				}
				err := v.Store(t.Context(), "common", share("common", e+1), meta(e+1))
				if err == nil && rng.IntN(2) == 0 {
					err = v.Activate(t.Context(), "common", e+1)
				}
				if err != nil && !errors.Is(err, vault.ErrState) && !errors.Is(err, vault.ErrNotFound) {
					t.Error(err)
				}
				if _, _, err := v.Load(t.Context(), "common"); err != nil {
					t.Error(err)
				}
				if _, err := v.List(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	v.Close()
	v = mustOpen(t, m.Reopen(), w)
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if seq, n := v.Version(); n != 9 || seq == 0 {
		t.Errorf("version %d, %d ids", seq, n)
	}
}

// Goal: an epoch whose share does not open is not activated, and the active one stays. Method: take the token away; damage the
// staged record.
func TestActivateProves(t *testing.T) {
	m, w := vaulttest.NewMemory(), vaulttest.NewWrapper(kek)
	v := mustOpen(t, m, w)
	store(t, v, "a", 1)
	activate(t, v, "a", 1)
	store(t, v, "a", 2)
	w.Down.Store(true)
	if err := v.Activate(t.Context(), "a", 2); err == nil {
		t.Error("activated without the token")
	}
	w.Down.Store(false)
	for _, k := range m.Keys() {
		if strings.HasPrefix(k, "vault/b/share/a") && strings.HasSuffix(k, "\x02") {
			m.Set(k, []byte("damage, long enough to be a body"))
		}
	}
	wantErr(t, "damaged", v.Activate(t.Context(), "a", 2), vault.ErrIntegrity)
	if err := loads(v, "a", 1); err != nil {
		t.Error(err)
	}
}

// BenchmarkWallets: opening a vault of 10,000 wallets, and looking one up without and with the token (in software).
func BenchmarkWallets(b *testing.B) {
	const wallets = 10_000
	dir, w := b.TempDir(), vaulttest.NewWrapper(kek)
	s := badger(b, dir)
	v := mustOpen(b, s, w)
	var wg sync.WaitGroup
	start := time.Now()
	for g := range 32 {
		wg.Go(func() {
			for i := g; i < wallets; i += 32 {
				id := fmt.Sprint("wallet ", i)
				store(b, v, id, 1)
				activate(b, v, id, 1)
			}
		})
	}
	wg.Wait()
	b.Logf("stored and activated %d wallets in %v", wallets, time.Since(start))
	v.Close()
	s.Close()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s := badger(b, dir)
			mustOpen(b, s, w).Close()
			s.Close()
		}
	})
	s = badger(b, dir)
	v = mustOpen(b, s, w)
	b.Run("meta", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := v.GetMeta(fmt.Sprint("wallet ", i*7919%wallets)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s, _, err := v.Load(b.Context(), fmt.Sprint("wallet ", i*7919%wallets))
			if err != nil {
				b.Fatal(err)
			}
			s.Wipe()
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if l, err := v.List(b.Context()); err != nil || len(l) != wallets {
				b.Fatal(err)
			}
		}
	})
}

// Goal: staged epochs are bounded, and activating one makes room. Method: fill to the edge, one more, activate the highest.
func TestMaxStaged(t *testing.T) {
	ctx := t.Context()
	v := mustOpen(t, vaulttest.NewMemory(), vaulttest.NewWrapper(kek))
	for epoch := uint64(1); epoch <= vault.MaxStaged; epoch++ {
		if err := v.Store(ctx, "a", []byte("x"), meta(epoch)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Store(ctx, "a", []byte("x"), meta(vault.MaxStaged+1)); !errors.Is(err, vault.ErrState) {
		t.Fatalf("one more than %d staged: %v", vault.MaxStaged, err)
	}
	if err := v.Activate(ctx, "a", vault.MaxStaged); err != nil {
		t.Fatal(err)
	}
	if err := v.Store(ctx, "a", []byte("x"), meta(vault.MaxStaged+1)); err != nil {
		t.Fatal(err)
	}
}
