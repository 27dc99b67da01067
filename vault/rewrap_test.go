package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// many is a vault of enough records for several batches: ids with three epochs each, as in populated, and a secret.
const many = vault.MaxBatch / 3

func manyIDs(t testing.TB, s vault.Store, cfg vault.Config) {
	t.Helper()
	cfg.Store = s
	v, err := vault.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i := range many {
		id := fmt.Sprint("w/", i)
		for e := uint64(1); e <= 3; e++ {
			store(t, v, id, e)
			if e < 3 {
				activate(t, v, id, e)
			}
		}
	}
	if err := v.PutSecret(context.Background(), "identity", []byte("identity key")); err != nil {
		t.Fatal(err)
	}
}

// whole tells whether the vault has every secret, epoch and state of manyIDs.
func whole(v *vault.Vault) error {
	ctx := context.Background()
	for i := range many {
		id := fmt.Sprint("w/", i)
		if err := loads(v, id, 2); err != nil {
			return err
		}
		s, m, err := v.LoadStaged(ctx, id, 3)
		if err != nil {
			return err
		}
		if !s.Equal(share(id, 3)) || string(m.Info) != "info of epoch 3" {
			return fmt.Errorf("%s: another share is staged", id)
		}
		s.Wipe()
		es, err := v.Epochs(ctx, id)
		if err != nil {
			return err
		}
		if len(es) != 3 || es[0].State != vault.Retired || es[1].State != vault.Active || es[2].State != vault.Staged {
			return fmt.Errorf("%s: %v", id, es)
		}
	}
	s, err := v.GetSecret(ctx, "identity")
	if err != nil {
		return err
	}
	defer s.Wipe()
	if !s.Equal([]byte("identity key")) {
		return errors.New("another secret")
	}
	ids, err := v.IDs(ctx)
	if err == nil && len(ids) != many {
		err = fmt.Errorf("%d ids", len(ids))
	}
	return err
}

func wrapping(w hsm.KeyWrapper, kek string) vault.Wrapping {
	return vault.Wrapping{Wrapper: w, KEK: kek, Provider: "new token"}
}

// opensOnly checks that exactly one of the configurations opens the store and finds everything, and returns which.
func opensOnly(t *testing.T, what string, s vault.Store, cfgs ...vault.Config) int {
	t.Helper()
	opened := -1
	for i, cfg := range cfgs {
		cfg.Store = s
		v, err := vault.Open(context.Background(), cfg)
		if errors.Is(err, vault.ErrWrongKEK) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: configuration %d: %v", what, i, err)
		}
		if err := whole(v); err != nil {
			t.Fatalf("%s: configuration %d: %v", what, i, err)
		}
		v.Close()
		if opened >= 0 {
			t.Fatalf("%s: both open it", what)
		}
		opened = i
	}
	if opened < 0 {
		t.Fatalf("%s: neither opens it", what)
	}
	return opened
}

// under returns what is stored below a prefix.
func under(m *vaulttest.Memory, prefix string) map[string]string {
	out := map[string]string{}
	for _, k := range m.Keys() {
		if strings.HasPrefix(k, prefix) {
			v, _ := m.Get(context.Background(), []byte(k))
			out[k] = string(v)
		}
	}
	return out
}

// Goal: Rewrap moves everything and touches no share: headers and bodies stay byte by byte, but for the canary's, which is made anew in
// each wrapping; the old KEK opens nothing any more, the old wrapped DEKs and canaries are gone, and the wrong token is
// told which is the right one. Method: a vault of version 1, moved three times.
func TestRewrap(t *testing.T) {
	m, w := version1(t)
	headers, bodies, deks := under(m, "vault/h/"), under(m, "vault/b/"), under(m, "vault/d/")
	for _, part := range []map[string]string{headers, bodies} {
		for k, v := range part {
			if strings.Contains(k, "/canary/") {
				deks[k] = v // as little of it may be left
				delete(part, k)
			}
		}
	}
	from := config(m, w)
	next := vaulttest.NewWrapper("second", "third")
	for i, to := range []vault.Wrapping{wrapping(next, "second"), wrapping(next, "third"), wrapping(w, kek)} {
		if i == 0 {
			to.Provider = "pkcs11 in the rack"
		}
		var told []string
		err := vault.Rewrap(t.Context(), from, to, func(done, total int) { told = append(told, fmt.Sprintf("%d/%d", done, total)) })
		if err != nil {
			t.Fatal(err)
		}
		if want := "1/6 2/6 3/6 4/6 5/6 6/6"; strings.Join(told, " ") != want {
			t.Errorf("progress %v", told)
		}
		if fmt.Sprint(under(m, "vault/h/")) != fmt.Sprint(headers) || fmt.Sprint(under(m, "vault/b/")) != fmt.Sprint(bodies) {
			t.Error("a header or a body was touched")
		}
		for k, v := range under(m, "vault/") {
			for _, dek := range deks {
				if v == dek {
					t.Errorf("%q is an old wrapped DEK, or an old canary", k)
				}
			}
		}
		_, err = vault.Open(t.Context(), from)
		wantErr(t, "old token", err, vault.ErrWrongKEK)
		if err != nil && !strings.Contains(err.Error(), to.Provider) {
			t.Errorf("%q does not name %q", err, to.Provider)
		}
		from.Wrapper, from.KEK = to.Wrapper, to.KEK
		v := openAs(t, from)
		if err := v.Check(t.Context()); err != nil {
			t.Error(err)
		}
		v.Close()
	}
	if err := refused(t, m, w); err != nil {
		t.Error(err)
	}
	if n := len(under(m, "vault/g/")); n != 11 { // the canary's three records, five DEKs, three pointers
		t.Errorf("%d records of the wrapping: %v", n, m.Keys())
	}
	store(t, mustOpen(t, m, w), "a", 9)
}

// Goal: a Rewrap killed at any write loses nothing: afterwards exactly one of the two KEKs opens everything, and Rewrap run again,
// at once or after the vault was opened, completes. Method: fail after each write, then after the same write
// of the second run too; with recovery and with counters that fail as well.
func TestRewrapCrashes(t *testing.T) {
	officer := x25519(t)
	for _, kind := range []string{"plain", "recovery", "anchored"} {
		t.Run(kind, func(t *testing.T) {
			a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
			origin, ca := vaulttest.NewMemory(), vaulttest.NewCounter()
			from, to := config(nil, a), wrapping(b, "next")
			switch kind {
			case "recovery":
				from.Recovery, to.Recovery = []string{}, []string{officer.Recipient().String()}
			case "anchored":
				from.Counter, from.CounterID = ca, counterID
				to.CounterID = "other"
			}
			manyIDs(t, origin, from)
			base, _ := ca.Read(t.Context(), counterID)
			switches := map[int]int{}
			for _, counting := range []bool{false, kind == "anchored"} {
				for _, when := range []vaulttest.When{vaulttest.Before, vaulttest.After} {
					if when == vaulttest.Before && !counting {
						continue // the disk before a write is the disk after the one before
					}
					for n, ended := 1, false; !ended; n++ {
						for _, between := range []string{"at once", "opened", "killed again"} {
							what := fmt.Sprintf("fault %d (when %v, counting %v), %s", n, when, counting, between)
							m, from, to := origin.Reopen(), from, to
							ca.Set(counterID, int64(base))
							cb := vaulttest.NewCounter()
							if kind == "anchored" {
								to.Counter = cb
							}
							if counting {
								cb.FailAt(n, when)
							} else {
								m.FailAt(n, when)
							}
							from.Store = m
							err := vault.Rewrap(t.Context(), from, to, nil)
							ended = err == nil
							if err != nil && !errors.Is(err, vaulttest.ErrCrash) && !errors.Is(err, hsm.ErrUnavailable) {
								t.Fatalf("%s: %v", what, err)
							}
							cb.Heal()
							disk := m.Reopen()
							after := config(nil, b)
							after.KEK, after.Counter, after.CounterID = "next", to.Counter, to.CounterID
							before := from
							before.Recovery = nil
							switch between {
							case "opened":
								switches[opensOnly(t, what, disk, before, after)]++
							case "killed again":
								disk.FailAt(n, when)
								from.Store = disk
								if err := vault.Rewrap(t.Context(), from, to, nil); err != nil && !errors.Is(err, vaulttest.ErrCrash) {
									t.Fatalf("%s: %v", what, err)
								}
								disk = disk.Reopen()
							}
							from.Store = disk
							if err := vault.Rewrap(t.Context(), from, to, nil); err != nil {
								t.Fatalf("%s: run again: %v", what, err)
							}
							if opensOnly(t, what, disk, before, after) != 1 {
								t.Fatalf("%s: the old KEK opens it", what)
							}
							v, err := vault.Open(t.Context(), func() vault.Config { after.Store = disk; return after }())
							if err != nil {
								t.Fatal(err)
							}
							if err := v.Check(t.Context()); err != nil {
								t.Fatalf("%s: %v", what, err)
							}
							if kind == "recovery" {
								if err := v.CheckRecovery(t.Context(), officer); err != nil {
									t.Fatalf("%s: %v", what, err)
								}
							}
							v.Close()
							if kind == "anchored" {
								if now, _ := ca.Read(t.Context(), counterID); now == base {
									t.Fatalf("%s: the old counter did not move on", what)
								}
							}
						}
					}
					if n := switches[0]; n == 0 || switches[1] == 0 {
						t.Errorf("crashes left the old KEK %d times and the new one %d", n, switches[1])
					}
				}
			}
		})
	}
}

func x25519(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// liar is a token that gives back another key than it wrapped, once, after some calls.
type liar struct {
	*vaulttest.Wrapper
	after int
}

func (l *liar) Unwrap(ctx context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	b, err := l.Wrapper.Unwrap(ctx, id, wrapped, aad)
	if l.after--; l.after == -1 && err == nil {
		b[7] ^= 1
	}
	return b, err
}

// Goal: nothing is moved to a token that does not give back what it wrapped, nor from a vault with a damaged record, nor without what
// Rewrap needs. Method: each; afterwards the old token opens everything and no wrapping is left.
func TestRewrapRefuses(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	origin := vaulttest.NewMemory()
	manyIDs(t, origin, config(nil, a))
	damage := func(part string) func(*vaulttest.Memory, *vault.Config, *vault.Wrapping) {
		return func(m *vaulttest.Memory, _ *vault.Config, _ *vault.Wrapping) {
			for k, v := range under(m, "vault/"+part+"/share/w/7") {
				if strings.HasSuffix(k, "\x02") || part == "p" {
					b := []byte(v)
					b[len(b)-1] ^= 1
					m.Set(k, b)
				}
			}
		}
	}
	nothing := func(*vaulttest.Memory, *vault.Config, *vault.Wrapping) {}
	for name, c := range map[string]struct {
		prepare func(*vaulttest.Memory, *vault.Config, *vault.Wrapping)
		want    error
		whole   bool
	}{
		"lies at once": {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.Wrapper = &liar{b, 0} }, vault.ErrIntegrity, true},
		"lies late": {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.Wrapper = &liar{b, 40} },
			vault.ErrIntegrity, true},
		"the old lies":   {func(_ *vaulttest.Memory, c *vault.Config, _ *vault.Wrapping) { c.Wrapper = &liar{a, 5} }, vault.ErrIntegrity, true},
		"damaged body":   {damage("b"), vault.ErrIntegrity, false},
		"damaged DEK":    {damage("d"), vault.ErrIntegrity, false},
		"damaged header": {damage("h"), vault.ErrIntegrity, false},
		"no such KEK":    {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.KEK = "none" }, hsm.ErrNoKey, true},
		"no KEK":         {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.KEK = "" }, vault.ErrInvalid, true},
		"no token":       {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.Wrapper = nil }, vault.ErrInvalid, true},
		"bad recipient": {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.Recovery = []string{"age1x"} },
			vault.ErrInvalid, true},
		"another source": {func(_ *vaulttest.Memory, c *vault.Config, _ *vault.Wrapping) { c.Wrapper = b }, vault.ErrWrongKEK, true},
		"another node":   {func(_ *vaulttest.Memory, c *vault.Config, _ *vault.Wrapping) { c.Node = "node-2" }, vault.ErrWrongKEK, true},
		"other recovery": {func(_ *vaulttest.Memory, c *vault.Config, _ *vault.Wrapping) {
			c.Recovery = []string{x25519(t).Recipient().String()}
		},
			vault.ErrRecovery, true},
		"token away": {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) {
			away := vaulttest.NewWrapper("next")
			away.Down.Store(true)
			to.Wrapper = away
		}, hsm.ErrUnavailable, true},
		"provider of two lines": {func(_ *vaulttest.Memory, _ *vault.Config, to *vault.Wrapping) { to.Provider = "a\nb" },
			vault.ErrInvalid, true},
		"nothing": {nothing, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, from, to := origin.Reopen(), config(nil, a), wrapping(b, "next")
			c.prepare(m, &from, &to)
			from.Store = m
			err := vault.Rewrap(t.Context(), from, to, nil)
			wantErr(t, name, err, c.want)
			if c.want == nil {
				return
			}
			if !c.whole {
				if _, err := vault.Open(t.Context(), config(m.Reopen(), b)); !errors.Is(err, vault.ErrWrongKEK) {
					t.Errorf("moved: %v", err)
				}
				return
			}
			disk := m.Reopen()
			opensOnly(t, name, disk, config(nil, a))
			if len(under(disk, "vault/g/")) != 0 {
				t.Error("opening left what was staged")
			}
		})
	}
}

// Goal: an anchored vault is moved only with a counter or an explicit no; copies with either token are refused afterwards, also where
// both wrappings count with one counter. Method: move, then open old copies under the old configuration.
func TestRewrapAnchor(t *testing.T) {
	for name, c := range map[string]struct{ same, unanchored bool }{"other counter": {}, "same counter": {same: true},
		"no counter": {unanchored: true}} {
		t.Run(name, func(t *testing.T) {
			a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
			m, ca := vaulttest.NewMemory(), vaulttest.NewCounter()
			from, to := anchored(m, a, ca), wrapping(b, "next")
			manyIDs(t, m, from)
			old := m.Reopen()
			wantErr(t, "without a counter", vault.Rewrap(t.Context(), from, to, nil), vault.ErrUncounted)
			switch {
			case c.same:
				to.Counter, to.CounterID = ca, counterID
			case c.unanchored:
				to.Unanchored = true
			default:
				to.Counter, to.CounterID = vaulttest.NewCounter(), counterID
			}
			without := from
			without.Counter = nil
			wantErr(t, "without the old counter", vault.Rewrap(t.Context(), without, to, nil), vault.ErrRollback)
			for range 2 {
				if err := vault.Rewrap(t.Context(), from, to, nil); err != nil {
					t.Fatal(err)
				}
			}
			after := config(m, b)
			after.KEK, after.Counter, after.CounterID = "next", to.Counter, to.CounterID
			if err := whole(openAs(t, after)); err != nil {
				t.Error(err)
			}
			from.Store = old
			_, err := vault.Open(t.Context(), from)
			wantErr(t, "old copy, old token", err, vault.ErrRollback)
			wantErr(t, "old copy moved", vault.Rewrap(t.Context(), from, to, nil), vault.ErrRollback)
		})
	}
}

// recorder is a Store that can purge, and remembers what.
type recorder struct {
	*vaulttest.Memory
	purged map[string]bool
	fail   bool
}

func (r *recorder) Purge(_ context.Context, keys [][]byte) error {
	if r.fail {
		return vaulttest.ErrCrash
	}
	for _, k := range keys {
		r.purged[string(k)] = true
	}
	return nil
}

// Goal: every old wrapped DEK is purged, also if the first purge fails or the process dies before it; until then Check says so. Method:
// a store that records purges, and one that fails them.
func TestRewrapPurges(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	m := vaulttest.NewMemory()
	manyIDs(t, m, config(nil, a))
	var want []string
	for k := range under(m, "vault/d/") {
		want = append(want, k)
	}
	if len(want) != 1+2*many+1 {
		t.Fatalf("%d wrapped DEKs", len(want))
	}
	r := &recorder{Memory: m, purged: map[string]bool{}, fail: true}
	wantErr(t, "purge fails", vault.Rewrap(t.Context(), with(config(nil, a), r), wrapping(b, "next"), nil), vaulttest.ErrCrash)
	after := with(config(nil, b), r)
	after.KEK = "next"
	v := openAs(t, after)
	wantErr(t, "check before the purge", v.Check(t.Context()), vault.ErrState)
	v.Close()
	for name, finish := range map[string]func(s vault.Store) error{
		"rewrap again": func(s vault.Store) error {
			return vault.Rewrap(t.Context(), with(config(nil, a), s), wrapping(b, "next"), nil)
		},
		"open": func(s vault.Store) error {
			v, err := vault.Open(t.Context(), with(after, s))
			if err == nil {
				v.Close()
			}
			return err
		},
	} {
		r := &recorder{Memory: m.Reopen(), purged: map[string]bool{}}
		if err := finish(r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := openAs(t, with(after, r)).Check(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, k := range want {
			if !r.purged[k] {
				t.Errorf("%s: %q was not purged", name, k)
			}
		}
	}
}

func with(c vault.Config, s vault.Store) vault.Config {
	c.Store = s
	return c
}

// Goal: what a Rewrap staged is of no use once the vault moved on: an attacker who keeps it cannot have it adopted. Method: stop a
// Rewrap before the switch, keep the staged records, change the vault, put them back, rewrap to the end.
func TestStaleStaging(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	m := populated(t, a, "node-1")
	probe := m.Reopen()
	writes := probe.Writes()
	if err := vault.Rewrap(t.Context(), config(probe.Reopen(), a), wrapping(b, "next"), nil); err != nil {
		t.Fatal(err)
	}
	crash := m.Reopen()
	crash.FailAt(2, vaulttest.Before) // the switch
	wantErr(t, "stopped", vault.Rewrap(t.Context(), config(crash, a), wrapping(b, "next"), nil), vaulttest.ErrCrash)
	staged := under(crash, "vault/g/")
	if len(staged) == 0 || writes != 0 {
		t.Fatal("nothing staged")
	}
	disk := crash.Reopen()
	v := mustOpen(t, disk, a)
	if len(under(disk, "vault/g/")) != 0 {
		t.Error("opening left what was staged: an erased share would live on in it")
	}
	activate(t, v, "a", 3)
	if err := v.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	v.Close()
	for k, val := range staged {
		disk.Set(k, []byte(val))
	}
	if err := vault.Rewrap(t.Context(), config(disk, a), wrapping(b, "next"), nil); err != nil {
		t.Fatal(err)
	}
	cfg := config(disk, b)
	cfg.KEK = "next"
	v = openAs(t, cfg)
	if err := loads(v, "a", 3); err != nil {
		t.Error(err)
	}
	if got := states(t, v, "b"); got != "none" {
		t.Errorf("deleted id: %s", got)
	}
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// meddler is a Store whose disk changes what was staged, just before it is read back.
type meddler struct {
	*vaulttest.Memory
	change func(m *vaulttest.Memory)
	reads  int
}

func (s *meddler) Iterate(ctx context.Context, prefix []byte, f func(key, value []byte) error) error {
	if strings.HasPrefix(string(prefix), "vault/g/") && strings.HasSuffix(string(prefix), "/p/") {
		if s.reads++; s.reads == 1 {
			s.change(s.Memory)
		}
	}
	return s.Memory.Iterate(ctx, prefix, f)
}

// Goal: what was staged is read back before the switch, all of it. Method: damage, drop or exchange each staged record between the
// staging and the reading back; the old token must still open everything.
func TestRewrapReadsBack(t *testing.T) {
	officer := x25519(t)
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	origin := populated(t, a, "node-1")
	for _, recovery := range []bool{false, true} {
		to := wrapping(b, "next")
		kinds, want := []string{"/h/canary", "/d/canary", "/b/canary", "/d/share/a", "/d/secret", "/p/share/a", "/p/secret"}, 3+5+3
		if recovery {
			to.Recovery = []string{officer.Recipient().String()}
			kinds, want = append(kinds, "/k/", "/recovery"), want+2
		}
		crash := origin.Reopen()
		crash.FailAt(2, vaulttest.Before)
		wantErr(t, "stopped", vault.Rewrap(t.Context(), config(crash, a), to, nil), vaulttest.ErrCrash)
		if n := len(under(crash, "vault/g/")); n != want {
			t.Fatalf("%d records staged, want %d", n, want)
		}
		for _, kind := range kinds {
			for how, damage := range map[string]func(b []byte) []byte{
				"first part flipped": func(b []byte) []byte { b[min(30, len(b)-1)] ^= 1; return b },
				"last part flipped":  func(b []byte) []byte { b[len(b)-20] ^= 1; return b },
				"dropped":            func([]byte) []byte { return nil },
			} {
				m, done := origin.Reopen(), false
				s := &meddler{Memory: m, change: func(m *vaulttest.Memory) {
					for k, v := range under(m, "vault/g/") {
						if strings.Contains(k, kind) && !done {
							m.Set(k, damage([]byte(v)))
							done = true
						}
					}
				}}
				if vault.Rewrap(t.Context(), with(config(nil, a), s), to, nil) == nil || !done {
					t.Errorf("%s %s: moved", kind, how)
					continue
				}
				if err := refused(t, m.Reopen(), a); err != nil {
					t.Errorf("%s %s: the old token: %v", kind, how, err)
				}
			}
		}
	}
}

// Goal: a staged id that was valid in an earlier run is found when the staged wrapping is read back. Method: stage, keep the records
// of one id, stage another epoch of it in the vault, rewrap, and put the earlier records in the place of the new before they are read.
func TestRewrapReadsBackStale(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	m := vaulttest.NewMemory()
	v := mustOpen(t, m, a)
	store(t, v, "a", 1)
	activate(t, v, "a", 1)
	crash := m.Reopen()
	crash.FailAt(2, vaulttest.Before)
	wantErr(t, "stopped", vault.Rewrap(t.Context(), config(crash, a), wrapping(b, "next"), nil), vaulttest.ErrCrash)
	earlier := under(crash, "vault/g/")
	store(t, v, "a", 2)
	v.Close()
	disk := m.Reopen()
	s := &meddler{Memory: disk, change: func(m *vaulttest.Memory) {
		for k, v := range earlier {
			if strings.Contains(k, "share/a") {
				m.Set(k, []byte(v))
			}
		}
	}}
	wantErr(t, "earlier records", vault.Rewrap(t.Context(), with(config(nil, a), s), wrapping(b, "next"), nil), vault.ErrIntegrity)
	v = mustOpen(t, disk.Reopen(), a)
	if got := states(t, v, "a"); got != "1 active, 2 staged" {
		t.Error(got)
	}
}

// Goal: a run that goes on uses what is staged and proven, and only that. Method: stop before the switch, damage one staged DEK, count
// the calls that wrap.
func TestRewrapResumes(t *testing.T) {
	a := vaulttest.NewWrapper(kek)
	b := &wraps{Wrapper: vaulttest.NewWrapper("next")}
	m := populated(t, a, "node-1")
	m.FailAt(2, vaulttest.Before)
	wantErr(t, "stopped", vault.Rewrap(t.Context(), config(m, a), wrapping(b, "next"), nil), vaulttest.ErrCrash)
	if b.n != 6 {
		t.Fatalf("%d wrapped", b.n)
	}
	disk := m.Reopen()
	for k, v := range under(disk, "vault/g/") {
		if strings.Contains(k, "/d/secret") {
			bad := bytes.Clone([]byte(v))
			bad[0] ^= 1
			disk.Set(k, bad)
		}
	}
	disk.Set("vault/g/0000000000000001/d/share/stranger", []byte("x"))
	if err := vault.Rewrap(t.Context(), config(disk, a), wrapping(b, "next"), nil); err != nil {
		t.Fatal(err)
	}
	if b.n != 8 {
		t.Errorf("%d wrapped in both runs, want 6, the damaged one and another canary", b.n)
	}
	cfg := config(disk, nil)
	cfg.Wrapper, cfg.KEK = b, "next"
	if err := openAs(t, cfg).Check(t.Context()); err != nil {
		t.Error(err)
	}
	if slices.Contains(disk.Keys(), "vault/g/0000000000000001/d/share/stranger") {
		t.Error("a stray record was adopted")
	}
}

// wraps counts the calls that wrap.
type wraps struct {
	*vaulttest.Wrapper
	n int
}

func (w *wraps) Wrap(ctx context.Context, id string, dek, aad []byte) ([]byte, error) {
	w.n++
	return w.Wrapper.Wrap(ctx, id, dek, aad)
}

// Goal: a Rewrap that follows one that was cut short leaves nothing of either behind, wherever it goes: on the same KEK to other
// recipients, to a third token, or by recovery. Method: kill the first at each write, run the second, count wrappings.
func TestRewrapAfterCrash(t *testing.T) {
	a, b, c := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("second"), vaulttest.NewWrapper("third")
	first, second := pairs(t, false, 1)[0], pairs(t, false, 1)[0]
	origin := vaulttest.NewMemory()
	cfg := config(nil, a)
	cfg.Recovery = names(first)
	manyIDs(t, origin, cfg)
	cfg.Recovery = nil
	to := func(w hsm.KeyWrapper, kek string, list []string) vault.Wrapping {
		x := wrapping(w, kek)
		x.Recovery = list
		return x
	}
	for name, run := range map[string]struct {
		first, second func(m *vaulttest.Memory) error
		w             *vaulttest.Wrapper
		kek           string
		officer       pair
	}{
		"other recipients": {
			func(m *vaulttest.Memory) error {
				return vault.Rewrap(t.Context(), with(cfg, m), to(a, kek, names(second)), nil)
			},
			func(m *vaulttest.Memory) error {
				return vault.Rewrap(t.Context(), with(cfg, m), to(a, kek, names(second)), nil)
			},
			a, kek, second,
		},
		"moved, then other recipients": {
			func(m *vaulttest.Memory) error {
				return vault.Rewrap(t.Context(), with(cfg, m), to(b, "second", nil), nil)
			},
			func(m *vaulttest.Memory) error {
				return vault.Rewrap(t.Context(), with(cfg, m), to(b, "second", names(second)), nil)
			},
			b, "second", second,
		},
		"third token": {
			func(m *vaulttest.Memory) error {
				return vault.Rewrap(t.Context(), with(cfg, m), to(b, "second", nil), nil)
			},
			func(m *vaulttest.Memory) error {
				from := with(cfg, m)
				if v, err := vault.Open(t.Context(), with(cfg, m.Reopen())); err == nil {
					v.Close()
				} else {
					from.Wrapper, from.KEK = b, "second"
				}
				return vault.Rewrap(t.Context(), from, to(c, "third", nil), nil)
			},
			c, "third", first,
		},
		"recovery": {
			func(m *vaulttest.Memory) error {
				return vault.Rewrap(t.Context(), with(cfg, m), to(b, "second", nil), nil)
			},
			func(m *vaulttest.Memory) error {
				return vault.Recover(t.Context(), m, []age.Identity{first}, to(c, "third", nil), nil)
			},
			c, "third", first,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for n, ended := 1, false; !ended; n++ {
				m := origin.Reopen()
				m.FailAt(n, vaulttest.After)
				ended = run.first(m) == nil
				disk := m.Reopen()
				if err := run.second(disk); err != nil {
					t.Fatalf("write %d: %v", n, err)
				}
				after := config(disk, run.w)
				after.KEK = run.kek
				v := openAs(t, after)
				if err := errors.Join(whole(v), v.Check(t.Context()), v.CheckRecovery(t.Context(), run.officer)); err != nil {
					t.Fatalf("write %d: %v", n, err)
				}
				v.Close()
			}
		})
	}
}

// Goal: a run that was cut short after the switch is finished, not repeated, also on the same KEK; and a vault whose leftovers cannot be
// deleted does not open. Method: stop after the switch; count what the second run stages; fail the deletion at opening.
func TestRewrapFinishes(t *testing.T) {
	w := vaulttest.NewWrapper(kek)
	m := populated(t, w, "node-1")
	to := wrapping(w, kek)
	to.Recovery = names(pairs(t, false, 1)...)
	m.FailAt(2, vaulttest.After)
	wantErr(t, "stopped", vault.Rewrap(t.Context(), config(m, w), to, nil), vaulttest.ErrCrash)
	disk := m.Reopen()
	disk.FailAt(1, vaulttest.Before)
	_, err := vault.Open(t.Context(), config(disk, w))
	wantErr(t, "open, deletion fails", err, vaulttest.ErrCrash)
	disk = m.Reopen()
	err = vault.Rewrap(t.Context(), config(disk, w), to, func(done, total int) { t.Errorf("%d of %d staged again", done, total) })
	if err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, disk, w).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Goal: the wrapped DEKs that a Rewrap staged before it was cut short are purged too when the vault is opened. Method: a store that
// records purges.
func TestStagedPurged(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	m := populated(t, a, "node-1")
	m.FailAt(2, vaulttest.Before)
	wantErr(t, "stopped", vault.Rewrap(t.Context(), config(m, a), wrapping(b, "next"), nil), vaulttest.ErrCrash)
	r := &recorder{Memory: m.Reopen(), purged: map[string]bool{}}
	staged := under(r.Memory, "vault/g/0000000000000001/d/")
	openAs(t, with(config(nil, a), r)).Close()
	if len(staged) != 6 {
		t.Errorf("%d staged", len(staged))
	}
	for k := range staged {
		if !r.purged[k] {
			t.Errorf("%q was not purged", k)
		}
	}
}

// Goal: a vault moves from one counter to another on the same KEK, killed at any write or count, and the old counter moves on. Method:
// fail each, open in between or not, run again.
func TestRewrapOtherCounter(t *testing.T) {
	w := vaulttest.NewWrapper(kek)
	origin, ca := vaulttest.NewMemory(), vaulttest.NewCounter()
	manyIDs(t, origin, anchored(origin, w, ca))
	base, err := ca.Read(t.Context(), counterID)
	if err != nil {
		t.Fatal(err)
	}
	for _, faulty := range []string{"store", "old", "new", "store, one name", "new, one name"} {
		for _, opened := range []bool{false, true} {
			faulty, oneName := strings.CutSuffix(faulty, ", one name")
			newID := "other"
			if oneName {
				newID = counterID // in another token
			}
			for n, ended := 1, false; !ended; n++ {
				what := fmt.Sprintf("%s fails at %d, opened %v", faulty, n, opened)
				m, cb := origin.Reopen(), vaulttest.NewCounter()
				ca.Set(counterID, int64(base))
				from, to := anchored(m, w, ca), wrapping(w, kek)
				to.Counter, to.CounterID = cb, newID
				switch faulty {
				case "store":
					m.FailAt(n, vaulttest.After)
				case "old":
					ca.FailAt(n, vaulttest.After)
				case "new":
					cb.FailAt(n, vaulttest.After)
				}
				ended = vault.Rewrap(t.Context(), from, to, nil) == nil
				ca.Heal()
				cb.Heal()
				m = m.Reopen()
				before, after := anchored(m, w, ca), anchored(m, w, cb)
				after.CounterID = newID
				if opened {
					v, err := vault.Open(t.Context(), before)
					if errors.Is(err, vault.ErrRollback) {
						v, err = vault.Open(t.Context(), after)
					}
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					v.Close()
				}
				from.Store = m
				if err := vault.Rewrap(t.Context(), from, to, nil); err != nil {
					t.Fatalf("%s: again: %v", what, err)
				}
				_, err := vault.Open(t.Context(), before)
				wantErr(t, what+": the old counter", err, vault.ErrRollback)
				v := openAs(t, after)
				if err := errors.Join(whole(v), v.Check(t.Context())); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				v.Close()
				if now, _ := ca.Read(t.Context(), counterID); now == base {
					t.Errorf("%s: the old counter did not move on", what)
				}
			}
		}
	}
}
