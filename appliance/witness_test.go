package appliance_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/sim"
)

// logKey checks the checkpoints of a member.
func (m *member) logKey() audit.Verifier {
	m.c.t.Helper()
	pub, err := m.token.(hsm.PublicKeyer).PublicKey(context.Background(), "attest")
	if err != nil {
		m.c.t.Fatal(err)
	}
	v, err := audit.NewVerifier("test", string(m.id), pub)
	if err != nil {
		m.c.t.Fatal(err)
	}
	return v
}

// checkpoint has the member's token sign the head of a log, and keeps that beside it.
func (m *member) checkpoint(log *audit.Log) []byte {
	m.c.t.Helper()
	b, err := audit.SignHead(log.Head(), m.logKey(), func(text []byte) ([]byte, error) {
		return m.token.(hsm.Signer).Sign(context.Background(), "attest", text)
	})
	if err == nil {
		err = log.KeepCheckpoint(b)
	}
	if err != nil {
		m.c.t.Fatal(err)
	}
	return b
}

// witnessed is the checkpoint of a node as another has it.
func (m *member) witnessed(of transport.NodeID) (x appliance.Checkpoint) {
	m.c.t.Helper()
	all, err := m.front().Checkpoints(m.c.t.Context())
	if err != nil {
		m.c.t.Fatal(err)
	}
	for _, c := range all {
		if c.Node == of {
			x = c
		}
	}
	return x
}

// rewrite puts another, longer log in the place of the member's, under its token's signature.
func (m *member) rewrite(entries int) *audit.Log {
	t := m.c.t
	t.Helper()
	for _, name := range []string{"audit.log", "audit.acked", "audit.tree", "audit.checkpoint"} {
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	log, err := audit.Open(filepath.Join(m.dir, "audit.log"), string(m.id), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for range entries {
		if err := log.Append(t.Context(), audit.Event{Name: "sign"}); err != nil {
			t.Fatal(err)
		}
	}
	m.checkpoint(log)
	return log
}

// Goal: a node with its own token cannot rewrite what it has done without the others noticing: they have witnessed it, have it on record
// with what it was before, and a stranger sees by that that the log is another. Method: three nodes whose logs are witnessed; then one
// with a longer log in place of its own, under its token's signature.
func TestRewrittenLogIsSeen(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("ed25519", "", 2, 3)
	one, two := c.nodes[0], c.nodes[1]
	for _, m := range c.nodes {
		m.checkpoint(m.node.AuditLog())
	}
	for _, m := range c.nodes {
		for _, of := range c.nodes {
			sim.Wait(t, string(m.id)+" has witnessed "+string(of.id), func() bool { return !m.witnessed(of.id).Witnessed.IsZero() })
		}
	}
	for _, m := range c.nodes {
		m.had = m.witnessed(one.id).Note
	}
	held := two.witnessed(one.id)

	one.halt()
	log := one.rewrite(int(held.Entries) + 5)
	head, _, err := audit.OpenCheckpoint(held.Note, one.logKey())
	if err != nil {
		t.Fatal(err)
	}
	size := log.Len()
	log.Close()
	if _, err := audit.Verify(filepath.Join(one.dir, "audit.log"), one.logKey()); err != nil {
		t.Fatalf("the other log by itself: %v", err)
	}
	if _, err := audit.Verify(filepath.Join(one.dir, "audit.log"), one.logKey(), head); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("against what node2 has witnessed: %v", err)
	}

	one.start()
	for _, m := range c.nodes[1:] {
		sim.Wait(t, string(m.id)+" has it on record", func() bool { return strings.Contains(m.witnessed(one.id).Trouble, "has not grown") })
		if got := m.witnessed(one.id); string(got.Before) != string(m.had) || got.Entries != size {
			t.Errorf("%s has %+v", m.id, got)
		}
	}
	if _, err := one.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("and goes on")}); err != nil {
		t.Errorf("it is on record, and not stopped for good: %v", err)
	}
	one.halt()
}
