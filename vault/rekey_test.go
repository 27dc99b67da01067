package vault_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: a recovery officer who was removed, and kept a copy of the disk from before, makes no record of the vault of today, so he does
// not make himself a recipient again. Method: he writes each kind of record with the MAC keys of his copy, alone and together. As a
// control, the same forgeries with the keys of today are believed.
func TestRemovedOfficerForges(t *testing.T) {
	whole := vault.Forgery{Recovery: true, Pointers: true, Root: true}
	canary, back := whole, whole
	canary.Canary, back.Canary, back.Back = true, true, true
	for _, kek2 := range []string{kek, "second"} {
		w, gone, stays := vaulttest.NewWrapper(kek, "second"), pairs(t, false, 1)[0], pairs(t, false, 1)[0]
		origin := recoverable(t, w, names(gone, stays))
		copied := origin.Reopen()
		to := wrapping(w, kek2)
		to.Recovery = names(stays)
		if err := vault.Rewrap(t.Context(), config(origin, w), to, nil); err != nil {
			t.Fatal(err)
		}
		cfg := config(nil, w)
		cfg.KEK = kek2
		for name, c := range map[string]struct {
			forgery vault.Forgery
			want    error
		}{
			"root":           {vault.Forgery{Root: true}, vault.ErrIntegrity},
			"pointers":       {vault.Forgery{Pointers: true}, vault.ErrIntegrity},
			"recovery":       {vault.Forgery{Recovery: true}, vault.ErrIntegrity},
			"recovery, root": {vault.Forgery{Recovery: true, Root: true}, vault.ErrIntegrity},
			"pointers, root": {vault.Forgery{Pointers: true, Root: true}, vault.ErrIntegrity},
			"all":            {whole, vault.ErrIntegrity},
			"all, canary":    {canary, vault.ErrIntegrity},
			"all, back":      {back, vault.ErrWrongKEK},
		} {
			if c.forgery.Back && kek2 == kek {
				continue // the KEK opens what it wrapped once, as doc.go says
			}
			disk := origin.Reopen()
			if err := c.forgery.Forge(t.Context(), copied, disk, gone, gone.name); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_, err := vault.Open(t.Context(), with(cfg, disk))
			wantErr(t, fmt.Sprintf("KEK %s: %s", kek2, name), err, c.want)
		}
		disk := origin.Reopen()
		if err := whole.Forge(t.Context(), origin, disk, stays, gone.name); err != nil {
			t.Fatal(err)
		}
		if got := openAs(t, with(cfg, disk)).RecoveryRecipients(); len(got) != 1 || got[0] != gone.name {
			t.Errorf("the forgery is no forgery: recipients %v", got)
		}
	}
}

// Goal: a vault that was moved while wrappings shared one vault key opens, is written and recovered as it is, keeps its guards, and has
// a vault key of its own from the next rewrap on, killed at any write; the shared canary is gone then. Method: the vault in testdata.
func TestVersion2(t *testing.T) {
	m, w, officer := version2(t)
	if err := refused(t, m.Reopen(), w); err != nil {
		t.Fatal(err)
	}
	disk := m.Reopen()
	v := mustOpen(t, disk, w)
	store(t, v, "c", 1)
	if err := errors.Join(v.Check(t.Context()), v.CheckRecovery(t.Context(), officer), v.CheckToken(t.Context())); err != nil {
		t.Error(err)
	}
	if err := v.Unfinish(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.Close()
	if b, _ := disk.Get(t.Context(), []byte("vault/root")); b[2] != 2 {
		t.Errorf("root of version %d", b[2])
	}
	for range 2 { // the first opening finishes what the rewrap left, and leaves the canary that is shared
		if err := refused(t, disk, w); err != nil {
			t.Error(err)
		}
	}
	for _, key := range m.Keys() {
		if strings.Contains(key, "canary") || strings.Contains(key, "/p/") || key == "vault/root" {
			bad := m.Reopen()
			b, _ := bad.Get(t.Context(), []byte(key))
			b[len(b)-1] ^= 1
			bad.Set(key, b)
			if refused(t, bad, w) == nil {
				t.Errorf("%q: flipped, not found", key)
			}
		}
	}
	next := vaulttest.NewWrapper("next")
	after := config(nil, next)
	after.KEK = "next"
	move := map[string]func(m *vaulttest.Memory) error{
		"rewrap": func(m *vaulttest.Memory) error {
			return vault.Rewrap(t.Context(), config(m, w), wrapping(next, "next"), nil)
		},
		"recover": func(m *vaulttest.Memory) error {
			return vault.Recover(t.Context(), m, []age.Identity{officer}, wrapping(next, "next"), nil)
		},
	}
	for name, run := range move {
		for n, ended := 1, false; !ended; n++ {
			disk := m.Reopen()
			disk.FailAt(n, vaulttest.After)
			ended = run(disk) == nil
			disk = disk.Reopen()
			if _, err := vault.Open(t.Context(), with(after, disk)); errors.Is(err, vault.ErrWrongKEK) {
				if err := refused(t, disk, w); err != nil {
					t.Fatalf("%s, write %d: the old token: %v", name, n, err)
				}
			} else if err != nil {
				t.Fatalf("%s, write %d: %v", name, n, err)
			}
			if err := run(disk); err != nil {
				t.Fatalf("%s, write %d: again: %v", name, n, err)
			}
			v := openAs(t, with(after, disk))
			if err := errors.Join(loads(v, "a", 2), v.Check(t.Context()), v.CheckRecovery(t.Context(), officer)); err != nil {
				t.Fatalf("%s, write %d: %v", name, n, err)
			}
			v.Close()
			if left := len(under(disk, "vault/h/canary/")) + len(under(disk, "vault/b/canary/")); left != 0 {
				t.Fatalf("%s, write %d: %d records of the shared canary are left", name, n, left)
			}
			if b, _ := disk.Get(t.Context(), []byte("vault/root")); b[2] != 3 {
				t.Fatalf("root of version %d", b[2])
			}
		}
	}
}

// version2 is a vault that the code of root version 2 moved twice: populated, with recovery, in wrapping 2.
func version2(t testing.TB) (*vaulttest.Memory, *vaulttest.Wrapper, *age.X25519Identity) {
	t.Helper()
	b, err := os.ReadFile("testdata/version2.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Identity string            `json:"identity"`
		KEK      string            `json:"kek"`
		Pairs    map[string]string `json:"pairs"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	id, err := age.ParseX25519Identity(f.Identity)
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m := vaulttest.NewMemory()
	for k, v := range f.Pairs {
		m.Set(string(unhex(k)), unhex(v))
	}
	return m, vaulttest.NewWrapperOf(map[string][]byte{kek: unhex(f.KEK)}), id
}

// Goal: a canary of an earlier staging, whose vault key is another, is found when the staged wrapping is read back: the switch would
// lock the vault. Method: stop a run, keep its canary, put it in the place of the next run's before that is read.
func TestRewrapReadsBackCanary(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	origin := populated(t, a, "node-1")
	crash := origin.Reopen()
	crash.FailAt(2, vaulttest.Before)
	wantErr(t, "stopped", vault.Rewrap(t.Context(), config(crash, a), wrapping(b, "next"), nil), vaulttest.ErrCrash)
	m := origin.Reopen()
	s := &meddler{Memory: m, change: func(m *vaulttest.Memory) {
		for k, v := range under(crash, "vault/g/") {
			if strings.Contains(k, "/canary/") {
				m.Set(k, []byte(v))
			}
		}
	}}
	wantErr(t, "earlier canary", vault.Rewrap(t.Context(), with(config(nil, a), s), wrapping(b, "next"), nil), vault.ErrIntegrity)
	if err := refused(t, m.Reopen(), a); err != nil {
		t.Errorf("the old token: %v", err)
	}
}

// Goal: a rewrap that was cut short after the switch, and is run again when the configuration names the new token already, counts
// nothing that the vault counts with, so the vault opens. Method: fail each write; run again with the new token on both sides.
func TestRewrapAgainWithNewToken(t *testing.T) {
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper(kek)
	origin, ca := vaulttest.NewMemory(), vaulttest.NewCounter()
	manyIDs(t, origin, anchored(origin, a, ca))
	base, _ := ca.Read(t.Context(), counterID)
	moved := 0
	for n, ended := 1, false; !ended; n++ {
		ca.Set(counterID, int64(base))
		m, cb := origin.Reopen(), vaulttest.NewCounter()
		from, to := anchored(m, a, ca), wrapping(b, kek)
		to.Counter, to.CounterID = cb, counterID
		m.FailAt(n, vaulttest.After)
		ended = vault.Rewrap(t.Context(), from, to, nil) == nil
		disk := m.Reopen()
		err := vault.Rewrap(t.Context(), anchored(disk, b, cb), to, nil)
		if errors.Is(err, vault.ErrWrongKEK) {
			continue // not switched
		}
		moved++
		if err != nil {
			t.Fatalf("write %d: again: %v", n, err)
		}
		v := openAs(t, anchored(disk, b, cb))
		if err := errors.Join(whole(v), v.Check(t.Context())); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		v.Close()
	}
	if moved < 3 {
		t.Errorf("the vault had moved %d times: too few steps were tried", moved)
	}
}

// Goal: the old counter moves on even if the new one has the same name and shows the same value. Method: a new token whose counter
// arrives where the old one stands.
func TestRewrapCountersAlike(t *testing.T) {
	w, ca, cb := vaulttest.NewWrapper(kek), vaulttest.NewCounter(), vaulttest.NewCounter()
	m := vaulttest.NewMemory()
	manyIDs(t, m, anchored(m, w, ca))
	base, _ := ca.Read(t.Context(), counterID)
	old := m.Reopen()
	cb.Set(counterID, int64(base)-1)
	to := wrapping(w, kek)
	to.Counter, to.CounterID = cb, counterID
	if err := vault.Rewrap(t.Context(), anchored(m, w, ca), to, nil); err != nil {
		t.Fatal(err)
	}
	openAs(t, anchored(m, w, cb))
	_, err := vault.Open(t.Context(), anchored(old, w, ca))
	wantErr(t, "copy from before, old counter", err, vault.ErrRollback)
}

// sequel is a Store that notes the numbers of the commits.
type sequel struct {
	*vaulttest.Memory
	seqs []uint64
}

func (s *sequel) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	for _, p := range puts {
		if string(p.Key) == "vault/root" {
			s.seqs = append(s.seqs, vault.SeqOf(p.Value))
		}
	}
	return s.Memory.Batch(ctx, puts, deletes)
}

// Goal: recovery that goes on after one that was cut short, to other recipients, counts its commits on, and leaves a whole vault.
// Method: fail each write of the first, run the second, look at the number in every root that is written.
func TestRecoverAgainToOthers(t *testing.T) {
	officer, next := pairs(t, false, 1)[0], pairs(t, false, 1)[0]
	a, b := vaulttest.NewWrapper(kek), vaulttest.NewWrapper("next")
	origin := recoverable(t, a, names(officer))
	for n, ended := 1, false; !ended; n++ {
		m, to := origin.Reopen(), wrapping(b, "next")
		m.FailAt(n, vaulttest.After)
		ended = vault.Recover(t.Context(), m, []age.Identity{officer}, to, nil) == nil
		disk := &sequel{Memory: m.Reopen()}
		stored, _ := disk.Get(t.Context(), []byte("vault/root"))
		last := vault.SeqOf(stored)
		to.Recovery = names(next)
		if err := vault.Recover(t.Context(), disk, []age.Identity{officer}, to, nil); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
		for _, seq := range disk.seqs {
			if seq != last+1 {
				t.Errorf("write %d: commit %d follows %d", n, seq, last)
			}
			last = seq
		}
		after := config(disk, b)
		after.KEK = "next"
		v := openAs(t, after)
		if err := errors.Join(loads(v, "a", 2), v.Check(t.Context()), v.CheckRecovery(t.Context(), next)); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		wantErr(t, "the officer before", v.CheckRecovery(t.Context(), officer), vault.ErrRecovery)
		v.Close()
	}
}
