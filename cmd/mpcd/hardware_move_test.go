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
	if _, err := a.sign(second, []enrolment{stranger}); err == nil || explain(err).Code != exitUsage {
		t.Errorf("another identity takes the party of n2: %v", err)
	}
}
