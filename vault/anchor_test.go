package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

const counterID = "vault-count"

func anchored(s vault.Store, w *vaulttest.Wrapper, c hsm.MonotonicCounter) vault.Config {
	cfg := config(s, w)
	cfg.Counter, cfg.CounterID = c, counterID
	return cfg
}

func openAs(t testing.TB, cfg vault.Config) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// Goal: every disagreement of vault and counter is refused, told apart in words, and undone by Reanchor only. Method: a table of
// damages to one anchored vault.
func TestAnchor(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(m *vaulttest.Memory, old *vaulttest.Memory, c *vaulttest.Counter, cfg *vault.Config)
		want   error
		word   string
	}{
		"nothing": {func(*vaulttest.Memory, *vaulttest.Memory, *vaulttest.Counter, *vault.Config) {}, nil, ""},
		"older copy": {func(_, old *vaulttest.Memory, _ *vaulttest.Counter, cfg *vault.Config) { cfg.Store = old }, vault.ErrRollback,
			"older copy"},
		"counter gone": {func(_, _ *vaulttest.Memory, c *vaulttest.Counter, _ *vault.Config) { c.Set(counterID, -1) },
			vault.ErrRollback, "cleared"},
		"counter far low": {func(_, _ *vaulttest.Memory, c *vaulttest.Counter, _ *vault.Config) { c.Set(counterID, 3) },
			vault.ErrRollback, "cleared"},
		"counter high": {func(_, _ *vaulttest.Memory, c *vaulttest.Counter, _ *vault.Config) { c.Set(counterID, 1000) }, vault.ErrRollback,
			"older copy"},
		"no counter": {func(_, _ *vaulttest.Memory, _ *vaulttest.Counter, cfg *vault.Config) { cfg.Counter = nil }, vault.ErrRollback,
			"no counter is configured"},
		"no counter, to begin": {func(_, _ *vaulttest.Memory, _ *vaulttest.Counter, cfg *vault.Config) {
			cfg.Counter, cfg.Anchor = nil, true
		},
			vault.ErrRollback, "no counter is configured"},
		"another counter": {func(_, _ *vaulttest.Memory, c *vaulttest.Counter, cfg *vault.Config) {
			n, _ := c.Read(context.Background(), counterID)
			c.Set("other", int64(n))
			cfg.CounterID = "other"
		}, vault.ErrRollback, `configured is "other"`},
		"token away": {func(_, _ *vaulttest.Memory, c *vaulttest.Counter, _ *vault.Config) {
			c.FailAt(1, vaulttest.Before)
			_, _ = c.Increment(context.Background(), counterID)
		}, hsm.ErrUnavailable, "counter"},
	} {
		t.Run(name, func(t *testing.T) {
			m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
			v := openAs(t, anchored(m, w, count))
			store(t, v, "a", 1)
			old := m.Reopen()
			activate(t, v, "a", 1)
			v.Close()
			if err := v.Advance(t.Context()); !errors.Is(err, vault.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
			disk := m.Reopen()
			cfg := anchored(disk, w, count)
			c.damage(disk, old, count, &cfg)
			writes := old.Writes() + disk.Writes()
			_, err := vault.Open(t.Context(), cfg)
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.word) {
				t.Fatalf("%v, want %v and %q", err, c.want, c.word)
			}
			if err == nil {
				return
			}
			if old.Writes()+disk.Writes() != writes {
				t.Error("a refused opening wrote")
			}
			count.Heal()
			if c.want != vault.ErrRollback {
				return
			}
			cfg.Anchor = false
			if err := vault.Reanchor(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			v = openAs(t, cfg)
			if got := states(t, v, "a"); !strings.HasPrefix(got, "1 ") {
				t.Errorf("re-anchored: %s", got)
			}
			if id, _ := v.Anchored(); (cfg.Counter == nil) != (id == "") {
				t.Errorf("re-anchored in %q", id)
			}
			store(t, v, "b", 1)
		})
	}
}

// Goal: a vault without an anchor begins one only when told, with a counter that is new; a copy from before is refused from then
// on. Method: a vault of version 1 and a counter.
func TestAnchorBegins(t *testing.T) {
	m, w := version1(t)
	count := vaulttest.NewCounter()
	old := m.Reopen()
	_, err := vault.Open(t.Context(), anchored(m, w, count))
	wantErr(t, "counter without flag", err, vault.ErrRollback)
	cfg := anchored(m, w, count)
	cfg.Anchor = true
	for range 2 { // the flag does no harm later
		v := openAs(t, cfg)
		if id, n := v.Anchored(); id != counterID || n != 8 {
			t.Errorf("anchored in %q at %d", id, n)
		}
		v.Close()
	}
	cfg.Store = old
	_, err = vault.Open(t.Context(), cfg)
	wantErr(t, "copy from before the anchor", err, vault.ErrRollback)
	_, err = vault.Open(t.Context(), config(m.Reopen(), w))
	wantErr(t, "without counter", err, vault.ErrRollback)
	if err := vault.Reanchor(t.Context(), config(m, w)); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, m, w); err != nil {
		t.Errorf("anchor ended: %v", err)
	}
	bad := anchored(m, w, count)
	bad.CounterID = ""
	_, err = vault.Open(t.Context(), bad)
	wantErr(t, "counter without name", err, vault.ErrInvalid)
}

// Goal: Advance makes every copy so far an older one, though nothing in the vault changed. Method: copy, Advance, open the copy.
func TestAdvance(t *testing.T) {
	m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
	v := openAs(t, anchored(m, w, count))
	store(t, v, "a", 1)
	old := m.Reopen()
	if err := v.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := vault.Open(t.Context(), anchored(old, w, count))
	wantErr(t, "copy", err, vault.ErrRollback)
	openAs(t, anchored(m.Reopen(), w, count))
	plain := mustOpen(t, vaulttest.NewMemory(), w)
	before, _ := plain.Version()
	if err := plain.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, _ := plain.Version(); after != before {
		t.Error("a vault without an anchor was written")
	}
}

// Goal: an Increment whose reply is lost is acknowledged if the counter moved, and never if it did not or cannot be read; then the
// vault is broken until it is opened anew, and what it wrote is there. Method: one fault of each kind, under one change.
func TestLostReply(t *testing.T) {
	for name, c := range map[string]struct {
		cue func(*vaulttest.Counter)
		ok  bool
	}{
		"done, reply lost":      {func(c *vaulttest.Counter) { c.LoseReply(1, vaulttest.After) }, true},
		"not done, reply lost":  {func(c *vaulttest.Counter) { c.LoseReply(1, vaulttest.Before) }, false},
		"done, token away":      {func(c *vaulttest.Counter) { c.FailAt(1, vaulttest.After) }, false},
		"not done, token away":  {func(c *vaulttest.Counter) { c.FailAt(1, vaulttest.Before) }, false},
		"counted by another":    {func(c *vaulttest.Counter) { _, _ = c.Increment(context.Background(), counterID) }, false},
		"counter taken away":    {func(c *vaulttest.Counter) { c.Set(counterID, -1) }, false},
		"nothing out of common": {func(*vaulttest.Counter) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
			v := openAs(t, anchored(m, w, count))
			c.cue(count)
			calls := count.Calls()
			err := v.Store(t.Context(), "a", share("a", 1), meta(1))
			if (err == nil) != c.ok {
				t.Fatalf("store: %v", err)
			}
			if got := count.Calls() - calls; got != 1 {
				t.Errorf("asked %d times to count", got)
			}
			count.Heal()
			err = v.Activate(t.Context(), "a", 1)
			if c.ok && err != nil || !c.ok && err == nil {
				t.Errorf("next change: %v", err)
			}
			if err := v.Failure(); (err == nil) != c.ok || err != nil && !errors.Is(err, vault.ErrBroken) {
				t.Errorf("failure: %v", err)
			}
			if name == "counted by another" || name == "counter taken away" {
				_, err := vault.Open(t.Context(), anchored(m.Reopen(), w, count))
				wantErr(t, "reopened", err, vault.ErrRollback)
				return
			}
			v = openAs(t, anchored(m.Reopen(), w, count))
			want := "1 staged"
			if c.ok {
				want = "1 active"
			}
			if got := states(t, v, "a"); got != want {
				t.Errorf("reopened: %s, want %s", got, want)
			}
		})
	}
}

// Goal: with an anchor too, after a crash at any write or any count nothing acknowledged is lost and the vault opens, also if it
// crashes again while it opens. Method: fail each write and each count of one life, before and after it takes effect; then each
// of the reopening; then reopen in peace.
func TestAnchorCrashes(t *testing.T) {
	type fault struct {
		store bool
		n     int
		when  vaulttest.When
	}
	set := func(f fault, m *vaulttest.Memory, c *vaulttest.Counter) {
		if f.store {
			m.FailAt(f.n, f.when)
		} else {
			c.FailAt(f.n, f.when)
		}
	}
	after := []string{"none", "1 staged", "1 active", "1 active, 2 staged", "1 retired, 2 active", "1 retired, 2 active", "2 retired"}
	runs, second := 0, []fault{{}, {true, 1, vaulttest.Before}, {true, 1, vaulttest.After}, {false, 1, vaulttest.Before},
		{false, 1, vaulttest.After}}
	for _, kind := range []bool{true, false} {
		for _, when := range []vaulttest.When{vaulttest.Before, vaulttest.After} {
			for n, all := 1, false; !all; n++ {
				for _, again := range second {
					runs++
					f := fault{kind, n, when}
					m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
					v := openAs(t, anchored(m, w, count))
					set(f, m, count)
					done := 0
					for _, step := range []func() error{
						func() error { return v.Store(t.Context(), "a", share("a", 1), meta(1)) },
						func() error { return v.Activate(t.Context(), "a", 1) },
						func() error { return v.Store(t.Context(), "a", share("a", 2), meta(2)) },
						func() error { return v.Activate(t.Context(), "a", 2) },
						func() error { return v.Advance(t.Context()) },
						func() error { return v.Retire(t.Context(), "a", 2) },
					} {
						if step() != nil {
							break
						}
						done++
					}
					v.Close()
					count.Heal()
					disk := m.Reopen()
					if again.n > 0 {
						set(again, disk, count)
						if v, err := vault.Open(t.Context(), anchored(disk, w, count)); err == nil {
							v.Close()
						} else if errors.Is(err, vault.ErrRollback) {
							t.Fatalf("%+v, then %+v: %v", f, again, err)
						}
						count.Heal()
						disk = disk.Reopen()
					}
					v, err := vault.Open(t.Context(), anchored(disk, w, count))
					if err != nil {
						t.Fatalf("%+v, then %+v: %v", f, again, err)
					}
					at := done
					if all = done == len(after)-1; !all && (!kind || when == vaulttest.After) {
						at++ // written, not acknowledged
					}
					if got := states(t, v, "a"); got != after[at] {
						t.Errorf("%+v, then %+v: %d acknowledged: %s, want %s", f, again, done, got, after[at])
					}
					if err := v.Check(t.Context()); err != nil {
						t.Error(err)
					}
					v.Close()
				}
			}
		}
	}
	if runs < 100 {
		t.Errorf("only %d runs", runs)
	}
}

// Goal: a crash while a vault is made or gets its anchor leaves one that opens, or that says Reanchor. Method: fail each write and
// count of both.
func TestAnchorMade(t *testing.T) {
	for _, store := range []bool{true, false} {
		for _, when := range []vaulttest.When{vaulttest.Before, vaulttest.After} {
			for n := 1; n <= 2; n++ {
				for _, fresh := range []bool{true, false} {
					what := fmt.Sprintf("store %v, %d, when %v, fresh %v", store, n, when, fresh)
					m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
					if !fresh {
						mustOpen(t, m, w).Close()
					}
					m = m.Reopen()
					if store {
						m.FailAt(n, when)
					} else {
						count.FailAt(n, when)
					}
					cfg := anchored(m, w, count)
					cfg.Anchor = true
					if v, err := vault.Open(t.Context(), cfg); err == nil {
						v.Close()
					}
					count.Heal()
					cfg.Store = m.Reopen()
					v, err := vault.Open(t.Context(), cfg)
					if !fresh && errors.Is(err, vault.ErrRollback) && strings.Contains(err.Error(), "re-anchor") {
						if err = vault.Reanchor(t.Context(), cfg); err == nil {
							v, err = vault.Open(t.Context(), cfg)
						}
					}
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					if id, _ := v.Anchored(); id != counterID {
						t.Errorf("%s: not anchored", what)
					}
					v.Close()
				}
			}
		}
	}
}

// gate is a counter whose first Increment waits.
type gate struct {
	*vaulttest.Counter
	first   sync.Once
	entered chan struct{}
	open    chan struct{}
}

func (g *gate) Increment(ctx context.Context, id string) (uint64, error) {
	g.first.Do(func() {
		close(g.entered)
		<-g.open
	})
	return g.Counter.Increment(ctx, id)
}

// Goal: concurrent changes share one count, and a commit is one count. Method: hold the first count back until all the others have
// sealed their shares; then compare calls, counts and commits.
func TestAnchorShared(t *testing.T) {
	const writers = 32
	m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
	v := openAs(t, anchored(m, w, count))
	v.Close()
	m = m.Reopen()
	g := &gate{Counter: count, entered: make(chan struct{}), open: make(chan struct{})}
	v = openAs(t, anchored(m, w, g))
	seq, _ := v.Version()
	calls, sealed := count.Calls(), w.Calls.Load()
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			if err := v.Store(context.Background(), fmt.Sprint(i), []byte("x"), meta(1)); err != nil {
				t.Error(err)
			}
		})
	}
	<-g.entered
	for end := time.Now().Add(10 * time.Second); w.Calls.Load() < sealed+writers && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	close(g.open)
	wg.Wait()
	after, _ := v.Version()
	commits, counts := int(after-seq), count.Calls()-calls
	if commits != counts {
		t.Errorf("%d commits, %d counts", commits, counts)
	}
	if counts > writers/2 {
		t.Errorf("%d counts for %d concurrent changes", counts, writers)
	}
	v.Close()
	v = openAs(t, anchored(m.Reopen(), w, count))
	if _, n := v.Version(); n != writers {
		t.Errorf("%d ids of %d", n, writers)
	}
}

// Goal: a data directory that was restored to an older copy is refused, also where the copy is whole, and says what to do. Method:
// Badger: copy the directory, write more, put the copy back.
func TestRestoredDirectory(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()+"/copy"
	w, count := vaulttest.NewWrapper(kek), vaulttest.NewCounter()
	s := badger(t, dir)
	v := openAs(t, anchored(s, w, count))
	store(t, v, "a", 1)
	activate(t, v, "a", 1)
	v.Close()
	s.Close()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = badger(t, dir)
	v = openAs(t, anchored(s, w, count))
	store(t, v, "a", 2)
	activate(t, v, "a", 2)
	v.Close()
	s.Close()
	s = badger(t, copied)
	_, err := vault.Open(t.Context(), anchored(s, w, count))
	wantErr(t, "yesterday's directory", err, vault.ErrRollback)
	for _, word := range []string{"newest copy", "enrol it under another name", "re-anchor"} {
		if err != nil && !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not speak of %q", err, word)
		}
	}
	s.Close()
	s = badger(t, dir)
	if err := loads(openAs(t, anchored(s, w, count)), "a", 2); err != nil {
		t.Error(err)
	}
}
