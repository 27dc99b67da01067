package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
)

// findingOf is the doctor's line about a check.
func findingOf(t *testing.T, d *checkup, check string) finding {
	t.Helper()
	for _, f := range d.findings {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("the doctor says nothing of %s: %+v", check, d.findings)
	return finding{}
}

// sealToOld leaves the store's key as a rewrap does that was cut short before its end: for the token, and to another officer.
func sealToOld(ctx context.Context, c *config, tok *tokens, recipient string) error {
	key, err := c.storeKey(ctx, tok)
	if err != nil {
		return err
	}
	defer key.Wipe()
	slot, err := tok.slot()
	if err != nil {
		return err
	}
	return c.writeStoreKey(ctx, key, []string{recipient}, slot)
}

// Goal: a drill that passes means that recovery works: who can open the vault can open the store. Method: a move to another officer is
// cut short before the store's key is sealed to him, as a kill does or somebody with the disk; the drill must fail, with and without
// his identity, until the node was started, and recovery must work then.
func TestDrillIsHonest(t *testing.T) {
	ctx := t.Context()
	quiet := &output{out: io.Discard, err: io.Discard}
	log := slog.New(slog.DiscardHandler)
	old, next := newOfficer(t), newOfficer(t)
	c := testNode(t, "n1")
	c.HSM.Recovery = []string{old.recipient}
	if _, err := c.enrol(ctx, "", "", log); err != nil {
		t.Fatal(err)
	}
	if _, err := c.rewrap(ctx, quiet, target{recovery: []string{next.recipient}}); explain(err).Code != fault.CodeUsage {
		t.Errorf("an officer was removed and the key that his copies open with was kept: %v", err)
	}
	if _, err := c.rewrap(ctx, quiet, target{recovery: []string{old.recipient, next.recipient}}); err != nil { // to add one is fine
		t.Fatal(err)
	}
	if _, err := c.rewrap(ctx, quiet, target{key: "vault2", recovery: []string{next.recipient}}); err != nil {
		t.Fatal(err)
	}
	c.HSM.KEK = "vault2"
	tok, err := c.openTokens(ctx, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := sealToOld(ctx, c, tok, old.recipient); err != nil {
		t.Fatal(err)
	}
	if err := tok.Close(); err != nil {
		t.Fatal(err)
	}
	c.HSM.Recovery = []string{next.recipient}
	ids, err := readIdentities(next.file)
	if err != nil {
		t.Fatal(err)
	}
	drill := func() finding {
		d := &checkup{c: c, identities: ids}
		d.examine(ctx)
		if f := findingOf(t, d, "recovery"); !f.OK {
			t.Errorf("the vault: %+v", f)
		}
		return findingOf(t, d, "store's recovery")
	}
	if f := drill(); f.OK || f.Do == "" {
		t.Errorf("the drill passes, and nobody could open the store: %+v", f)
	}
	open := func() {
		t.Helper()
		tok, err := c.openTokens(ctx, log)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.openVault(ctx, tok, true, log)
		if err == nil {
			err = s.Close()
		}
		if err := errors.Join(err, tok.Close()); err != nil {
			t.Fatal(err)
		}
	}
	open()
	if f := drill(); !f.OK {
		t.Errorf("after a start: %+v", f)
	}
	d := &checkup{c: c}
	d.examine(ctx)
	if f := findingOf(t, d, "store's recovery"); !f.OK {
		t.Errorf("without an identity: %+v", f)
	}
	if _, err := c.recover(ctx, quiet, target{uri: "local:" + t.TempDir() + "/spare", identityFile: next.file}); err != nil {
		t.Errorf("recovery: %v", err)
	}
}

// Goal: the doctor makes nothing where nothing is mounted. Method: a data directory that is not there.
func TestDoctorMakesNothing(t *testing.T) {
	c := testNode(t, "n1")
	c.DataDir = t.TempDir() + "/not/mounted"
	d := &checkup{c: c}
	d.examine(t.Context())
	if _, err := os.Stat(c.DataDir); err == nil {
		t.Error("the doctor made the data directory")
	}
	if f := findingOf(t, d, "data directory"); f.OK || f.Do == "" {
		t.Errorf("%+v", f)
	}
}
