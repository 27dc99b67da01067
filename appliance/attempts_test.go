package appliance_test

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/benchmarks"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
)

// refreshShares makes the shares of a refresh of all three nodes' active shares, at the epoch, without telling the nodes.
func refreshShares(t *testing.T, c *cluster, wallet string, epoch uint64) []*threshold.KeyShare {
	t.Helper()
	var shares []*threshold.KeyShare
	for _, m := range c.nodes {
		s, release, err := m.node.Share(t.Context(), wallet)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		shares = append(shares, s)
	}
	out, err := benchmarks.EngineRefresh(frost.Ed25519, shares)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out {
		s.Epoch = epoch
	}
	return out
}

// Goal: a coordinator that withholds certificates, starts another attempt with some of the parties, and shows the first one's
// certificate to others later, leads no two honest parties apart: the key is not lost. Method: node3 does exactly that (first
// attempt certified by all, second staged on node1 only, first shown to node2 only); then node1 and node2 sign together, and the
// next refresh works.
func TestWithheldCertificate(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	first, second := refreshShares(t, c, w.ID, 2), refreshShares(t, c, w.ID, 3)
	one, err := c.nodes[0].node.StageAttempt(t.Context(), w.ID, first[0])
	if err != nil {
		t.Fatal(err)
	}
	two, err := c.nodes[1].node.StageAttempt(t.Context(), w.ID, first[1])
	if err != nil {
		t.Fatal(err)
	}
	three, err := c.nodes[2].node.StageAttempt(t.Context(), w.ID, first[2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[0].node.StageAttempt(t.Context(), w.ID, second[0]); err != nil {
		t.Fatal(err)
	}
	c.nodes[1].node.Show(t.Context(), w.ID, 2, one, two, three)
	if got, _ := c.nodes[1].node.Wallet(t.Context(), w.ID); got.Epoch != 2 {
		t.Fatalf("node2 is at epoch %d", got.Epoch)
	}
	// node1 asks about the attempts it waits for; node2 answers with the certificate.
	waitFor(t, "node1 at epoch 2", func() bool {
		got, err := c.nodes[0].node.Wallet(t.Context(), w.ID)
		return err == nil && got.Epoch == 2
	})
	sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("not lost"),
		Signers: []transport.NodeID{"node1", "node2"}})
	if err != nil || !ed25519.Verify(w.PublicKey, []byte("not lost"), sig.Bytes) {
		t.Fatalf("the key is lost: %v", err)
	}
	waitFor(t, "node3 at epoch 2", func() bool {
		got, err := c.nodes[2].node.Wallet(t.Context(), w.ID)
		return err == nil && got.Epoch == 2
	})
	r, err := c.nodes[1].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
	if err != nil {
		t.Fatal(err)
	}
	if r.Epoch != 4 { // node1 has a share of epoch 3
		t.Errorf("the next refresh made epoch %d", r.Epoch)
	}
	if _, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("after")}); err != nil {
		t.Fatal(err)
	}
}

// Goal: a node that missed the end of a refresh hears it while a request waits for it: the request is answered, and not refused because
// the others are at another epoch. Method: two keys whose refresh node1 has staged and the others have ended. The first tells when node1
// has just asked about all that waits; the second is signed with by node1 at once, so that only its next asking can help.
func TestSignsAfterAMissedEnd(t *testing.T) {
	c := newCluster(t, 3)
	behind := func(w *appliance.Wallet) {
		t.Helper()
		shares := refreshShares(t, c, w.ID, 2)
		one, err1 := c.nodes[0].node.StageAttempt(t.Context(), w.ID, shares[0])
		two, err2 := c.nodes[1].node.StageAttempt(t.Context(), w.ID, shares[1])
		three, err3 := c.nodes[2].node.StageAttempt(t.Context(), w.ID, shares[2])
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		for _, m := range c.nodes[1:] {
			waitFor(t, string(m.id)+" is shown it", func() bool { // it may just be asking for it
				m.node.Show(t.Context(), w.ID, 2, one, two, three)
				got, err := m.node.Wallet(t.Context(), w.ID)
				return err == nil && got.Epoch == 2
			})
		}
	}
	first, second := c.keygen("ed25519", 2, 3), c.keygen("ed25519", 2, 3)
	behind(first)
	waitFor(t, "node1 asks", func() bool {
		got, err := c.nodes[0].node.Wallet(t.Context(), first.ID)
		return err == nil && got.Epoch == 2
	})
	behind(second)
	sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: second.ID, Message: []byte("in time"),
		Signers: []transport.NodeID{"node1", "node2"}})
	if err != nil || !ed25519.Verify(second.PublicKey, []byte("in time"), sig.Bytes) {
		t.Errorf("%v", err)
	}
}

// Goal: what every party has staged ends, whoever kept its certificate back, when all run again: a member that withholds certificates does
// not end refresh for ever. Method: more attempts than once were allowed, staged and certified by all and told to nobody; all come to the
// highest, and refresh it.
func TestReissue(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	const attempts = 20
	var shares [attempts][]*threshold.KeyShare
	for k := range shares {
		shares[k] = refreshShares(t, c, w.ID, 2+uint64(k))
	}
	for i, m := range c.nodes { // the last party stages in order: whatever has ended by then is below what it stages
		for k := range shares {
			if _, err := m.node.StageAttempt(t.Context(), w.ID, shares[k][i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, m := range c.nodes {
		waitFor(t, string(m.id)+" at the highest epoch", func() bool {
			got, err := m.node.Wallet(t.Context(), w.ID)
			return err == nil && got.Epoch == 1+attempts
		})
	}
	if r, err := c.nodes[1].node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil || r.Epoch != 2+attempts {
		t.Errorf("the next refresh: %+v, %v", r, err)
	}
	if _, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("after")}); err != nil {
		t.Error(err)
	}
}
