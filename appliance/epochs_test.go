package appliance_test

import (
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// copyOf is a store with what the other has now.
func copyOf(t *testing.T, s vault.Store) *vaulttest.Memory {
	t.Helper()
	m := vaulttest.NewMemory()
	if err := s.Iterate(t.Context(), nil, func(key, value []byte) error {
		m.Set(string(key), append([]byte(nil), value...))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

// lagging is what a node says of the epochs that another, or it itself, holds.
func lagging(m *member, of transport.NodeID) string {
	for _, s := range m.node.Nodes() {
		if s.ID == of {
			return s.Trouble
		}
	}
	return ""
}

// epochsCheck is the check of a node's readiness.
func epochsCheck(m *member) (c appliance.Check) {
	for _, x := range m.node.Readiness().Checks {
		if x.Name == "epochs" {
			c = x
		}
	}
	return c
}

// Goal: a node whose share of a key is of an epoch that is over says so before it is asked, and so do the others: they sign without it, and
// whoever asks it, or wants a refresh, is told why in words. With its other keys it goes on. Method: node3 gets an older copy of its store
// after a refresh of one key of two; then, of both.
func TestLeftBehind(t *testing.T) {
	c := newCluster(t, 3)
	w, other := c.keygen("ed25519", 2, 3), c.keygen("ed25519", 2, 3)
	one, late := c.nodes[0], c.nodes[2]
	late.halt()
	older, olderState := copyOf(t, late.vault), copyOf(t, late.state)
	late.start()
	c.waitReady()
	refresh := func(id string) error {
		_, err := one.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: id, Requester: "test"})
		return err
	}
	rollBack := func() {
		late.halt()
		late.vault, late.state = copyOf(t, older), copyOf(t, olderState)
		late.start()
		c.waitReady()
	}
	if err := refresh(w.ID); err != nil {
		t.Fatal(err)
	}
	rollBack()
	for _, m := range c.nodes {
		await(t, string(m.id)+" says that node3 lags", func() bool {
			return strings.Contains(lagging(m, late.id), "holds an older share of 1 of 2 keys, and cannot sign with them: "+w.ID)
		})
	}
	if lag := lagging(late, one.id); lag != "" {
		t.Errorf("node3 says that node1 %s", lag)
	}
	if x := epochsCheck(late); !x.OK || !strings.Contains(x.Detail, w.ID) || !strings.HasPrefix(x.Next, "start it on its newest data") {
		t.Errorf("one key of two: %+v", x) // it is ready, and the doctor warns
	}
	if x := epochsCheck(one); !x.OK || strings.Contains(x.Detail, w.ID) || x.Next != "" {
		t.Errorf("node1: %+v", x)
	}
	sign := func(m *member, id string, signers ...transport.NodeID) error {
		_, err := m.node.Sign(t.Context(), appliance.SignRequest{WalletID: id, Message: []byte("m"), Requester: "test", Signers: signers})
		return err
	}
	if err := sign(late, w.ID); problem.As(err).Code != problem.Conflict || !strings.Contains(err.Error(), "which is over") {
		t.Errorf("node3 signs with the old share: %v", err)
	}
	if err := refresh(w.ID); problem.As(err).Code != problem.Conflict || !strings.Contains(err.Error(), "[node3] hold no share") {
		t.Errorf("a refresh: %v", err)
	}
	if err := sign(one, other.ID, one.id, late.id); err != nil {
		t.Errorf("the other key: %v", err)
	}
	for range 3 { // whom node1 would choose besides is another
		if err := sign(c.nodes[1], w.ID); err != nil {
			t.Errorf("without node3: %v", err)
		}
	}
	late.halt()
	late.start()
	c.waitReady()
	if err := refresh(other.ID); err != nil {
		t.Fatal(err)
	}
	rollBack()
	await(t, "node3 is not ready", func() bool { return !late.node.Readiness().Ready && !epochsCheck(late).OK })
	if x := epochsCheck(late); !strings.Contains(x.Next, "make other keys with all nodes") { // no waiting heals it
		t.Errorf("what to do: %q", x.Next)
	}
}

// Goal: a node that has no share at all of a key of its committee, since its directory is older than the key, is named by the others, who
// sign without it, and a refresh of the key is refused at once and says why. Method: node3 gets a copy of its store of before the second
// key.
func TestKeyMissing(t *testing.T) {
	c := newCluster(t, 3)
	one, late := c.nodes[0], c.nodes[2]
	c.keygen("ed25519", 2, 3)
	late.halt()
	older, olderState := copyOf(t, late.vault), copyOf(t, late.state)
	late.start()
	c.waitReady()
	w := c.keygen("ed25519", 2, 3)
	late.halt()
	late.vault, late.state = older, olderState
	late.start()
	c.waitReady()
	for _, m := range c.nodes[:2] {
		await(t, string(m.id)+" says that node3 lacks the key", func() bool {
			return strings.Contains(lagging(m, late.id), "no share of 1 of 2 keys, and cannot sign with them: "+w.ID)
		})
	}
	if x := epochsCheck(one); !x.OK || strings.Contains(x.Detail, w.ID) || lagging(one, c.nodes[1].id) != "" {
		t.Errorf("node1: %+v", x)
	}
	for range 3 { // whom node1 would choose besides is another
		if _, err := one.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Requester: "test"}); err != nil {
			t.Errorf("without node3: %v", err)
		}
	}
	_, err := one.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID, Requester: "test"})
	if problem.As(err).Code != problem.Conflict || !strings.Contains(err.Error(), "[node3] hold no share") {
		t.Errorf("a refresh: %v", err)
	}
}

// Goal: a member that lies about epochs ends nothing: below the threshold it is believed of itself alone. Method: node3 claims a later
// epoch of a key, for as long as is believed; node1 signs and is ready.
func TestLyingAboutEpochs(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, liar := c.nodes[0], c.nodes[2]
	one.node.ClaimEpoch(liar.id, w.ID, 9)
	if x := epochsCheck(one); !x.OK || strings.Contains(x.Detail, w.ID) {
		t.Errorf("one liar: %+v", x)
	}
	if _, err := one.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Requester: "test"}); err != nil {
		t.Errorf("node1 does not sign: %v", err)
	}
	await(t, "a quorum is believed", func() bool { // what they truly say may come between
		one.node.ClaimEpoch(liar.id, w.ID, 9)
		one.node.ClaimEpoch(c.nodes[1].id, w.ID, 9)
		x := epochsCheck(one)
		return !x.OK && strings.Contains(x.Detail, w.ID)
	})
}
