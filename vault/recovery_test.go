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

// pair is an age identity with its recipient.
type pair struct {
	age.Identity
	name string
}

func pairs(t testing.TB, hybrid bool, n int) []pair {
	t.Helper()
	var out []pair
	for range n {
		if hybrid {
			id, err := age.GenerateHybridIdentity()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pair{id, id.Recipient().String()})
			continue
		}
		id := x25519(t)
		out = append(out, pair{id, id.Recipient().String()})
	}
	return out
}

func names(ps ...pair) []string {
	out := []string{}
	for _, p := range ps {
		out = append(out, p.name)
	}
	return out
}

// Goal: each officer alone brings a vault to another token when its own is dead, with all that was written in several sessions; a
// stranger does not; X25519 and post-quantum. Method: write, reopen, write, check, recover with each.
func TestRecover(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		t.Run(fmt.Sprintf("hybrid %v", hybrid), func(t *testing.T) {
			officers := pairs(t, hybrid, 3)
			stranger := officers[2]
			m, w, count := vaulttest.NewMemory(), vaulttest.NewWrapper(kek), vaulttest.NewCounter()
			cfg := anchored(m, w, count)
			cfg.Recovery = names(officers[0], officers[1])
			for e := uint64(1); e <= 2; e++ {
				v := openAs(t, cfg)
				for i := range many {
					store(t, v, fmt.Sprint("w/", i), e)
					activate(t, v, fmt.Sprint("w/", i), e)
				}
				v.Close()
			}
			v := openAs(t, cfg)
			for i := range many {
				store(t, v, fmt.Sprint("w/", i), 3)
			}
			if err := v.PutSecret(t.Context(), "identity", []byte("identity key")); err != nil {
				t.Fatal(err)
			}
			if n := len(under(m, "vault/k/")); n != 3 {
				t.Errorf("%d sessions after three openings", n)
			}
			calls := w.Calls.Load()
			for what, err := range map[string]error{
				"no identity": v.CheckRecovery(t.Context()), "first": v.CheckRecovery(t.Context(), officers[0]),
				"second": v.CheckRecovery(t.Context(), officers[1]),
				"both":   v.CheckRecovery(t.Context(), stranger, officers[1]), "check": v.Check(t.Context()),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if w.Calls.Load() != calls {
				t.Error("the token was asked")
			}
			wantErr(t, "stranger's drill", v.CheckRecovery(t.Context(), stranger), vault.ErrRecovery)
			if got := v.RecoveryRecipients(); len(got) != 2 {
				t.Errorf("recipients %v", got)
			}
			v.Close()
			for _, officer := range officers[:2] {
				disk, next := m.Reopen(), vaulttest.NewWrapper("next")
				to := wrapping(next, "next")
				wantErr(t, "no counter", vault.Recover(t.Context(), disk, []age.Identity{officer}, to, nil), vault.ErrUncounted)
				to.Counter, to.CounterID = vaulttest.NewCounter(), "new"
				wantErr(t, "stranger", vault.Recover(t.Context(), disk, []age.Identity{stranger}, to, nil), vault.ErrRecovery)
				for range 2 {
					if err := vault.Recover(t.Context(), disk, []age.Identity{officer}, to, nil); err != nil {
						t.Fatal(err)
					}
				}
				after := config(disk, next)
				after.KEK, after.Counter, after.CounterID, after.Recovery = "next", to.Counter, to.CounterID, cfg.Recovery
				v := openAs(t, after)
				if err := whole(v); err != nil {
					t.Error(err)
				}
				if err := errors.Join(v.Check(t.Context()), v.CheckRecovery(t.Context(), officers[0]),
					v.CheckRecovery(t.Context(), officers[1])); err != nil {
					t.Error(err)
				}
				old := cfg
				old.Store = disk
				_, err := vault.Open(t.Context(), old)
				wantErr(t, "old token", err, vault.ErrWrongKEK)
			}
		})
	}
}

// Goal: recovery is begun, changed and ended by Rewrap on the same token, and by nothing else; who was removed opens nothing written
// or rewrapped since. Method: a vault of version 1 through four lists of recipients.
func TestRecoveryChanges(t *testing.T) {
	m, w := version1(t)
	a, b := pairs(t, false, 1)[0], pairs(t, false, 1)[0]
	wantErr(t, "none yet", mustOpen(t, m, w).CheckRecovery(t.Context()), vault.ErrRecovery)
	wantErr(t, "recover without", vault.Recover(t.Context(), m, []age.Identity{a}, wrapping(w, kek), nil), vault.ErrRecovery)
	for what, flip := range map[string]string{"": "", "body": "vault/b/share/a\x00\x00\x00\x00\x00\x00\x00\x00\x02",
		"canary": "vault/b/canary/canary\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		v := mustOpen(t, m, w)
		if flip != "" {
			good, err := m.Get(t.Context(), []byte(flip))
			if err != nil {
				t.Fatal(err)
			}
			bad := bytes.Clone(good)
			bad[len(bad)-1] ^= 1
			m.Set(flip, bad)
			wantErr(t, what, v.CheckToken(t.Context()), vault.ErrIntegrity)
			m.Set(flip, good)
		} else if err := v.CheckToken(t.Context()); err != nil {
			t.Error(err)
		}
		w.Down.Store(true)
		wantErr(t, "token away", v.CheckToken(t.Context()), hsm.ErrUnavailable)
		w.Down.Store(false)
		v.Close()
	}
	asserts := func(list []string) error {
		cfg := config(m, w)
		cfg.Recovery = list
		v, err := vault.Open(t.Context(), cfg)
		if err == nil {
			v.Close()
		}
		return err
	}
	wantErr(t, "configured, not done", asserts(names(a)), vault.ErrRecovery)
	for _, step := range []struct {
		to, want  []string
		opens     []pair
		opensNot  []pair
		otherwise []string
	}{
		{names(b, a), names(a, b), []pair{a, b}, nil, names(a)},
		{nil, names(a, b), []pair{a, b}, nil, []string{}},
		{names(b), names(b), []pair{b}, []pair{a}, names(a, b)},
		{[]string{}, []string{}, nil, []pair{a, b}, names(b)},
	} {
		to := wrapping(w, kek)
		to.Recovery = step.to
		if err := vault.Rewrap(t.Context(), config(m, w), to, nil); err != nil {
			t.Fatal(err)
		}
		v := mustOpen(t, m, w)
		if err := v.PutSecret(t.Context(), "identity", []byte("identity key")); err != nil { // of a later session
			t.Fatal(err)
		}
		for _, p := range step.opens {
			if err := v.CheckRecovery(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		for _, p := range step.opensNot {
			wantErr(t, "removed officer", v.CheckRecovery(t.Context(), p), vault.ErrRecovery)
			wantErr(t, "removed officer recovers", vault.Recover(t.Context(), m, []age.Identity{p}, wrapping(w, kek), nil), vault.ErrRecovery)
		}
		v.Close()
		if err := asserts(step.want); err != nil {
			t.Error(err)
		}
		wantErr(t, "another list configured", asserts(step.otherwise), vault.ErrRecovery)
		if err := refused(t, m, w); err != nil {
			t.Error(err)
		}
	}
}

// Goal: recipients are of one kind, well-formed, distinct and few. Method: a table of lists for a new vault.
func TestRecipients(t *testing.T) {
	x, pq := names(pairs(t, false, vault.MaxRecipients+1)...), names(pairs(t, true, 2)...)
	for name, c := range map[string]struct {
		list []string
		ok   bool
	}{
		"none":               {[]string{}, true},
		"one":                {x[:1], true},
		"the most":           {x[:vault.MaxRecipients], true},
		"one more":           {x, false},
		"post-quantum":       {pq, true},
		"mixed":              {append(x[:1:1], pq...), false},
		"twice":              {append(x[:1:1], x[0]), false},
		"not a key":          {[]string{"age1"}, false},
		"in large letters":   {[]string{strings.ToUpper(x[0])}, false},
		"an identity":        {[]string{x25519(t).String()}, false},
		"an identity, small": {[]string{strings.ToLower(x25519(t).String())}, false},
		"two identities":     {slices.Repeat([]string{x25519(t).String()}, 2), false},
		"an SSH key":         {[]string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmPBRnnbcHHPXSsUjj0Jl3v6lrGfhxvUhMcTGaCOhSk"}, false},
		"damaged":            {[]string{x[0][:20] + "q" + x[0][21:] + "q"}, false},
		"empty":              {[]string{""}, false},
		"with a line's end":  {[]string{x[0] + "\n"}, false},
		"hybrid, cut":        {[]string{pq[0][:100]}, false},
		"hybrid, and spaces": {[]string{" " + pq[0]}, false},
	} {
		m := vaulttest.NewMemory()
		cfg := config(m, vaulttest.NewWrapper(kek))
		cfg.Recovery = c.list
		v, err := vault.Open(t.Context(), cfg)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(strings.ToUpper(err.Error()), "SECRET-KEY") {
			t.Errorf("%s: the officer's secret stands in the error", name)
		}
		if err != nil && m.Writes() != 0 {
			t.Errorf("%s: refused, but written", name)
		}
		if v != nil {
			store(t, v, "a", 1)
			v.Close()
		}
	}
}

// recoverable is populated, with recovery, in two sessions.
func recoverable(t testing.TB, w *vaulttest.Wrapper, list []string) *vaulttest.Memory {
	return withRecovery(t, populated(t, w, "node-1"), w, list)
}

// withRecovery begins recovery in a copy of a vault.
func withRecovery(t testing.TB, from *vaulttest.Memory, w *vaulttest.Wrapper, list []string) *vaulttest.Memory {
	m := from.Reopen()
	to := wrapping(w, kek)
	to.Recovery = list
	if err := vault.Rewrap(context.Background(), config(m, w), to, nil); err != nil {
		t.Fatal(err)
	}
	v := mustOpen(t, m, w)
	if err := v.PutSecret(context.Background(), "identity", []byte("identity key")); err != nil {
		t.Fatal(err)
	}
	v.Close()
	return m
}

// Goal: every flipped byte, every missing record and every record in the place of another of its kind is found, by Open, Check or the
// officer's drill, in a vault with recovery. Method: each byte of each record; the records of other vaults of the same node.
func TestRecoveryDamage(t *testing.T) {
	w, officer := vaulttest.NewWrapper(kek), pairs(t, false, 1)[0]
	base := populated(t, w, "node-1")
	m := withRecovery(t, base, w, names(officer))
	found := func(disk *vaulttest.Memory) error {
		v, err := vault.Open(context.Background(), config(disk, w))
		if err != nil {
			return err
		}
		defer v.Close()
		if err := v.Check(context.Background()); err != nil {
			return err
		}
		return v.CheckRecovery(context.Background(), officer)
	}
	if err := found(m.Reopen()); err != nil {
		t.Fatal(err)
	}
	try := func(what, key string, value []byte) {
		disk := m.Reopen()
		disk.Set(key, value)
		if err := found(disk); !errors.Is(err, vault.ErrIntegrity) && !errors.Is(err, vault.ErrWrongKEK) {
			t.Errorf("%q %s: %v", key, what, err)
		}
	}
	for key, value := range under(m, "vault/") {
		good := []byte(value)
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			try(fmt.Sprintf("byte %d flipped", i), key, bad)
		}
		try("cut", key, good[:len(good)-1])
		try("longer", key, append(bytes.Clone(good), 0))
		try("missing", key, nil)
	}
	disk := m.Reopen()
	disk.Set("vault/g/0000000000000001/k/"+strings.Repeat("0", 64), []byte("no session"))
	wantErr(t, "a session that is none", mustOpen(t, disk, w).Check(t.Context()), vault.ErrIntegrity)
	disk = m.Reopen()
	v := mustOpen(t, disk, w)
	for k, dek := range under(disk, "vault/g/0000000000000001/d/canary") {
		b := []byte(dek)
		b[len(b)-1] ^= 1
		disk.Set(k, b)
	}
	wantErr(t, "canary changed while open", v.CheckRecovery(t.Context()), vault.ErrIntegrity)
	other := recoverable(t, w, names(officer))
	thief := withRecovery(t, base, w, names(pairs(t, false, 1)...))
	for _, from := range []*vaulttest.Memory{m, other, thief} {
		for src, value := range under(from, "vault/g/") {
			for dst := range under(m, "vault/g/") {
				same, _ := m.Get(t.Context(), []byte(dst))
				if src[:27] == dst[:27] && value != string(same) {
					try("replaced by "+src, dst, []byte(value))
				}
			}
		}
	}
}

// Goal: a thief with the disk and his own age key cannot make the vault seal to it: neither by adding himself to the record, nor with a
// session of his own, nor through the staging of a Rewrap. Method: put his records in; open, write, rewrap; his identity opens nothing.
func TestThiefIsNoRecipient(t *testing.T) {
	w, officer, thief := vaulttest.NewWrapper(kek), pairs(t, false, 1)[0], pairs(t, false, 1)[0]
	base := populated(t, w, "node-1")
	m, planted := withRecovery(t, base, w, names(officer)), withRecovery(t, base, w, names(thief))
	for _, target := range []string{"vault/g/0000000000000001/", "vault/g/0000000000000002/"} {
		disk := m.Reopen()
		for k, v := range under(planted, "vault/g/0000000000000001/") {
			if strings.Contains(k, "/k/") || strings.Contains(k, "/recovery") || strings.HasSuffix(target, "2/") {
				disk.Set(strings.Replace(k, "vault/g/0000000000000001/", target, 1), []byte(v))
			}
		}
		v, err := vault.Open(t.Context(), config(disk, w))
		if strings.HasSuffix(target, "1/") {
			wantErr(t, "his record", err, vault.ErrIntegrity)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		v.Close()
		for k, v := range under(planted, "vault/g/0000000000000001/") {
			disk.Set(strings.Replace(k, "vault/g/0000000000000001/", target, 1), []byte(v))
		}
		if err := vault.Rewrap(t.Context(), config(disk, w), wrapping(w, kek), nil); err != nil {
			t.Fatal(err)
		}
		v = mustOpen(t, disk, w)
		store(t, v, "new", 1)
		wantErr(t, "thief", v.CheckRecovery(t.Context(), thief), vault.ErrRecovery)
		if err := errors.Join(v.CheckRecovery(t.Context(), officer), v.Check(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// Goal: a share that was erased is erased for the officers too, and nothing large enough for a value log is needed to open one. Method:
// refresh a share; look at what is left of the old epoch, and at the sizes.
func TestRecoveryErases(t *testing.T) {
	m, w := vaulttest.NewMemory(), vaulttest.NewWrapper(kek)
	cfg := config(m, w)
	cfg.Recovery = names(pairs(t, true, 5)...)
	v := openAs(t, cfg)
	for e := uint64(1); e <= 2; e++ {
		store(t, v, "a", e)
		activate(t, v, "a", e)
	}
	for k, value := range under(m, "vault/d/") {
		if strings.HasSuffix(k, "\x01") {
			t.Errorf("%q is left", k)
		}
		if len(value) > 512 {
			t.Errorf("%q has %d bytes: a store may keep what is that large after a purge", k, len(value))
		}
	}
	for e := uint64(3); e < 3+vault.MaxStaged; e++ { // the largest changes still fit a batch
		store(t, v, "a", e)
	}
	activate(t, v, "a", 2+vault.MaxStaged)
	for e := uint64(100); e < 100+vault.MaxStaged; e++ {
		store(t, v, "a", e)
	}
	if err := v.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// Goal: Recover killed at any write loses nothing: the old token or the new one opens, and Recover again completes. Method: fail each
// write before and after it reaches the disk.
func TestRecoverCrashes(t *testing.T) {
	officer := pairs(t, false, 1)[0]
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	origin, cfg := vaulttest.NewMemory(), config(nil, a)
	cfg.Recovery = names(officer)
	manyIDs(t, origin, cfg)
	after := config(nil, b)
	after.KEK = "next"
	for _, when := range []vaulttest.When{vaulttest.Before, vaulttest.After} {
		for n, ended := 1, false; !ended; n++ {
			for _, opened := range []bool{false, true} {
				what := fmt.Sprintf("write %d (%v), opened %v", n, when, opened)
				m := origin.Reopen()
				m.FailAt(n, when)
				err := vault.Recover(t.Context(), m, []age.Identity{officer}, wrapping(b, "next"), nil)
				if ended = err == nil; err != nil && !errors.Is(err, vaulttest.ErrCrash) {
					t.Fatalf("%s: %v", what, err)
				}
				disk := m.Reopen()
				if opened {
					opensOnly(t, what, disk, cfg, after)
				}
				if err := vault.Recover(t.Context(), disk, []age.Identity{officer}, wrapping(b, "next"), nil); err != nil {
					t.Fatalf("%s: again: %v", what, err)
				}
				if opensOnly(t, what, disk, cfg, after) != 1 {
					t.Fatalf("%s: not moved", what)
				}
				if err := openAs(t, with(after, disk)).Check(t.Context()); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
		}
	}
}

// Goal: with recovery too, a crash at any write keeps what was acknowledged, and every record has its recovery copy. Method: fail each
// write of a life that begins two sessions.
func TestRecoverySessionCrashes(t *testing.T) {
	officer := pairs(t, false, 1)[0]
	for _, when := range []vaulttest.When{vaulttest.Before, vaulttest.After} {
		for n, ended := 1, false; !ended; n++ {
			m, w := vaulttest.NewMemory(), vaulttest.NewWrapper(kek)
			cfg := config(m, w)
			cfg.Recovery = names(officer)
			openAs(t, cfg).Close()
			disk := m.Reopen()
			v := mustOpen(t, disk, w)
			disk.FailAt(n, when)
			err := v.Store(t.Context(), "a", share("a", 1), meta(1))
			if err == nil {
				err = v.Activate(t.Context(), "a", 1)
			}
			ended = err == nil
			v.Close()
			cfg.Store = disk.Reopen()
			v = openAs(t, cfg)
			if err := errors.Join(v.Check(t.Context()), v.CheckRecovery(t.Context(), officer)); err != nil {
				t.Errorf("write %d (%v): %v", n, when, err)
			}
			if ended && loads(v, "a", 1) != nil {
				t.Error("acknowledged, and lost")
			}
			v.Close()
		}
	}
}
