package appliance_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/sim"
)

// witnessWords has the form of what nodes tell each other of their logs.
type witnessWords struct {
	Version    uint8      `cbor:"1,keyasint"`
	Checkpoint []byte     `cbor:"2,keyasint,omitempty"`
	From       uint64     `cbor:"3,keyasint,omitempty"`
	Proof      [][32]byte `cbor:"4,keyasint,omitempty"`
}

// logKey checks the checkpoints of a member.
func (m *member) logKey() audit.Verifier {
	m.c.t.Helper()
	pub, err := m.token.(hsm.PublicKeyer).PublicKey(context.Background(), "attest")
	if err != nil {
		m.c.t.Fatal(err)
	}
	v, err := audit.NewVerifier("test", string(m.id), pub.(*ecdsa.PublicKey))
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
func (m *member) rewrite(entries int) (log *audit.Log, checkpoint []byte) {
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
	return log, m.checkpoint(log)
}

// Goal: a node with its own token cannot rewrite what it has done without the others noticing: they have witnessed it, it convinces none of
// another past, and a stranger sees by what they have that the log is another. Method: three nodes whose logs are witnessed; then one with
// a longer log in place of its own, under its token's signature: the program as it is, a liar with the best proof there is, and the first
// log put back. The others sign on, and not with it.
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
	held := two.witnessed(one.id)

	one.halt()
	first := t.TempDir()
	if err := os.CopyFS(first, os.DirFS(one.dir)); err != nil {
		t.Fatal(err)
	}
	log, lie := one.rewrite(int(held.Entries) + 5)
	proof, err := log.Grown(held.Entries, log.Len())
	if err != nil {
		t.Fatal(err)
	}
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
	failing := func() string {
		for _, x := range one.node.Readiness().Checks {
			if x.Name == "witness" && !x.OK {
				return x.Detail
			}
		}
		return ""
	}
	sim.Wait(t, "node1 says that its log is another", func() bool { return strings.Contains(failing(), "not the one that is here") })
	one.halt()

	liar := one.rogue()
	liar.alive(nil)
	liar.send(transport.Envelope{Kind: ceremony.KindWitness, Body: canon.MustMarshal(witnessWords{1, lie, held.Entries, proof})})
	for _, m := range c.nodes[1:] {
		sim.Wait(t, string(m.id)+" has caught it", func() bool { return strings.Contains(m.witnessed(one.id).Trouble, "has not grown") })
		if got := m.witnessed(one.id); string(got.Note) == string(lie) || got.Entries == size {
			t.Errorf("%s has cosigned it", m.id)
		}
	}
	liar.net.Close()
	if err := os.CopyFS(one.dir+"/first", os.DirFS(first)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"audit.log", "audit.acked", "audit.tree", "audit.checkpoint"} {
		if err := os.Rename(filepath.Join(one.dir, "first", name), filepath.Join(one.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	one.start()
	c.waitReady()
	if _, err := two.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("without it")}); err != nil {
		t.Errorf("the others: %v", err)
	}
	for _, at := range []*member{one, two} {
		_, err := at.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("with it"),
			Signers: []transport.NodeID{"node1", "node3"}})
		if err == nil {
			t.Errorf("asked at %s, they sign with it", at.id)
		}
	}
}
