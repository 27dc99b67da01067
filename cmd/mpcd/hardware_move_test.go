package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: a recovery to other officers that was cut short after the vault had moved is finished by the same command, and leaves the store
// to the new officer alone. Method: recover, put the store's key of before back, as the crash leaves it, and recover again.
func TestRecoveryCutShort(t *testing.T) {
	ctx := t.Context()
	quiet := &output{out: io.Discard, err: io.Discard}
	log := slog.New(slog.DiscardHandler)
	old, next := newOfficer(t), newOfficer(t)
	c := testNode(t, "n1")
	c.HSM.Recovery = []string{old.recipient}
	if _, err := c.enrol(ctx, "", "", log); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(c.storeKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	x := target{uri: "local:" + filepath.Join(t.TempDir(), "spare"), recovery: []string{next.recipient}, identityFile: old.file}
	for range 2 {
		if err := os.WriteFile(c.storeKeyPath(), before, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.recover(ctx, quiet, x); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.recover(ctx, quiet, x); !errors.Is(err, vault.ErrRecovery) {
		t.Errorf("the officer of before opens the store: %v", err)
	}
	moved := *c
	moved.HSM.VaultURI, moved.HSM.Recovery = x.uri, x.recovery
	opens := func(c *config) error {
		tok, err := c.openTokens(ctx, log)
		if err != nil {
			return err
		}
		defer tok.Close()
		disk, err := c.openVault(ctx, tok, true, log)
		if err != nil {
			return err
		}
		return errors.Join(disk.vault.Check(ctx), disk.Close())
	}
	if err := opens(&moved); err != nil {
		t.Error(err)
	}
	if err := opens(c); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("the token of before: %v", err)
	}
}

// Goal: a move that was cut short between the vault's switch and the sealing of the store's key, or after all of it, is finished by the
// same command. Method: move, put back the store's key for both tokens, and none; move again each time.
func TestMoveCutShort(t *testing.T) {
	ctx := t.Context()
	quiet := &output{out: io.Discard, err: io.Discard}
	c := testNode(t, "n1")
	if _, err := c.enrol(ctx, "", "", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	x := target{uri: "local:" + filepath.Join(t.TempDir(), "next"), key: "vault-2", recovery: []string{newOfficer(t).recipient}}
	m, to, err := c.openMove(ctx, quiet, &x)
	if err != nil {
		t.Fatal(err)
	}
	old, err := m.from.slot()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.writeStoreKey(ctx, m.key, nil, old, to.slot); err != nil {
		t.Fatal(err)
	}
	both, err := os.ReadFile(c.storeKeyPath())
	if err := errors.Join(err, m.Close()); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"switched": both, "done": nil} {
		if _, err := c.rewrap(ctx, quiet, x); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if key != nil {
			if err := os.WriteFile(c.storeKeyPath(), key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.rewrap(ctx, quiet, x); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
		if now, err := os.ReadFile(c.storeKeyPath()); err != nil || bytes.Equal(now, both) {
			t.Errorf("%s: the old token still opens the store: %v", name, err)
		}
	}
}

// writerFunc is a writer of one function.
type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// Goal: while a vault is on its way, the store opens with the token it leaves, with the one it goes to, and for those who can recover
// the vault as it is; after it with the new ones alone. Method: read the sealed key as it is when progress is told, and try them all.
func TestStoreOnTheWay(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	before, after := newOfficer(t), newOfficer(t)
	c := testNode(t, "n1")
	c.HSM.Recovery = []string{before.recipient}
	if _, err := c.enrol(ctx, "", "", log); err != nil {
		t.Fatal(err)
	}
	var during []byte
	told := &output{out: io.Discard, err: writerFunc(func([]byte) { during, _ = os.ReadFile(c.storeKeyPath()) })}
	x := target{uri: "local:" + filepath.Join(t.TempDir(), "next"), key: "vault-2", recovery: []string{after.recipient}}
	if _, err := c.rewrap(ctx, told, x); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(c.storeKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	moved := *c
	moved.HSM.VaultURI, moved.HSM.KEK = x.uri, x.key
	for name, w := range map[string]struct {
		sealed []byte
		c      *config
		file   string
		want   error
	}{
		"during, old token":   {during, c, "", nil},
		"during, new token":   {during, &moved, "", nil},
		"during, old officer": {during, nil, before.file, nil},
		"during, new officer": {during, nil, after.file, vault.ErrRecovery},
		"after, old token":    {now, c, "", vault.ErrWrongKEK},
		"after, new token":    {now, &moved, "", nil},
		"after, old officer":  {now, nil, before.file, vault.ErrRecovery},
		"after, new officer":  {now, nil, after.file, nil},
	} {
		var got error
		if w.c == nil {
			ids, err := readIdentities(w.file)
			if err != nil {
				t.Fatal(err)
			}
			key, err := vault.RecoverKey(w.sealed, c.storeKeyAAD(), ids...)
			key.Wipe()
			got = err
		} else {
			tok, err := w.c.openTokens(ctx, log)
			if err != nil {
				t.Fatal(err)
			}
			slot, err := tok.slot()
			if err != nil {
				t.Fatal(err)
			}
			key, err := vault.UnsealKey(ctx, w.sealed, c.storeKeyAAD(), slot)
			key.Wipe()
			got = errors.Join(err, tok.Close())
		}
		if !errors.Is(got, w.want) || w.want == nil && got != nil {
			t.Errorf("%s: got %v, want %v", name, got, w.want)
		}
	}
}

// Goal: a running node counts from time to time, and ends that with its context. Method: a counter and a short time.
func TestKeepAnchor(t *testing.T) {
	counter := vaulttest.NewCounter()
	v, err := vault.Open(t.Context(), vault.Config{Store: vaulttest.NewMemory(), Wrapper: vaulttest.NewWrapper("k"), KEK: "k", Node: "n", Counter: counter, CounterID: "g"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	_, before := v.Anchored()
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); keepAnchor(ctx, v, time.Millisecond, slog.New(slog.DiscardHandler)) }()
	sim.Wait(t, "three counts", func() bool { _, now := v.Anchored(); return now >= before+3 })
	end()
	<-done
	if now, err := counter.Read(t.Context(), "g"); err != nil || now < before+3 {
		t.Errorf("%d %v", now, err)
	}
}

// Goal: a member whose token was replaced keeps its party, and only the identity that is enrolled can say so. Method: enrolments of one
// node with other keys, and of another node under its name.
func TestRosterRekeys(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	a, err := newAuthority(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	c := testNode(t, "n2")
	var es []enrolment
	for _, n := range []*config{testNode(t, "n1"), c} {
		e, err := n.enrol(ctx, "", "", log)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.sign(nil, es)
	if err != nil {
		t.Fatal(err)
	}
	c.HSM.AttestKey = "attest-2"
	again, err := c.enrol(ctx, "", "", log)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.sign(first, []enrolment{again})
	if err != nil {
		t.Fatal(err)
	}
	was, now := first.Roster.Nodes[1], second.Roster.Nodes[1]
	if len(second.Roster.Nodes) != 2 || now.Party != 2 || !bytes.Equal(now.AttestKey, again.AttestKey) || bytes.Equal(was.AttestKey, now.AttestKey) || second.Roster.Serial != 2 {
		t.Errorf("%+v, then %+v", was, now)
	}
	if _, err := a.sign(second, []enrolment{again}); err == nil {
		t.Error("nothing new is signed")
	}
	stranger, err := testNode(t, "n2").enrol(ctx, "", "", log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.sign(second, []enrolment{stranger}); err == nil || explain(err).Code != fault.CodeUsage {
		t.Errorf("another identity takes the party of n2: %v", err)
	}
}
