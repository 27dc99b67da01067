package appliance_test

import (
	"context"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// late takes its time to judge, as a node does that has too much to do.
type late struct{ by time.Duration }

func (l late) Judge(ctx context.Context, _ *attest.Intent, _ threshold.Committee) (policy.Verdict, error) {
	select {
	case <-time.After(l.by):
	case <-ctx.Done():
	}
	return policy.Verdict{Allow: true}, nil
}

// Goal: a node that lives and is late is waited for where nobody can take its place: in keygen and refresh, and for signatures by the
// signers that the caller named; where others can sign, they do. What fails says that it is late, not that it is missing. Method: a node
// that is late by more than the silence, then by more than anybody waits for.
func TestLateIsNotMissing(t *testing.T) {
	const silence = slowdown * 300 * time.Millisecond
	c := newClusterLimits(t, 3, appliance.Limits{Silence: silence, Request: 60 * time.Second})
	m := c.nodes[1]
	is := func(by time.Duration) {
		m.halt()
		m.policy = late{by}
		m.start()
		c.waitReady()
	}
	is(2 * silence)
	n := c.nodes[0].node
	w := c.keygen("ed25519", 2, 3)
	sign := func(signers ...transport.NodeID) (*appliance.Signature, error) {
		return n.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Signers: signers})
	}
	if _, err := sign("node1", "node2"); err != nil {
		t.Errorf("a signer that the caller named is late: %v", err)
	}
	before := n.Counts().Batches
	if _, err := sign(); err != nil || n.Counts().Batches-before > 2 {
		t.Errorf("another can sign: %v after %d ceremonies", err, n.Counts().Batches-before)
	}
	if _, err := n.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
		t.Errorf("refresh: %v", err)
	}
	is(60 * time.Second)
	began := time.Now()
	_, err := n.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
	wantCode(t, err, problem.Busy)
	if waited := time.Since(began); waited < 5*silence {
		t.Errorf("refresh gave up after %s", waited)
	}
	_, err = sign("node1", "node2")
	wantCode(t, err, problem.Busy)
}
