package sim

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
)

// life is a story of all lines: keys of two kinds, signatures one after the other and at once, a refresh, a node that stops and starts.
func life(c *Seeded) {
	ctx := c.t.Context()
	c.must(c.Node(0).WaitQuorum(ctx))
	time.Sleep(2 * time.Second) // of the bubble: all have heard each other
	sign := func(by int, w *appliance.Wallet, session string, signers ...transport.NodeID) {
		digest := sha256.Sum256([]byte(session))
		_, err := c.Node(by).Sign(ctx, appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: digest[:], Signers: signers})
		c.must(err)
	}
	ed, err := c.Node(0).Keygen(ctx, appliance.KeygenRequest{SessionID: "ed", Curve: "ed25519", Threshold: 2, Total: 3})
	c.must(err)
	ec, err := c.Node(1).Keygen(ctx, appliance.KeygenRequest{SessionID: "ec", Curve: "secp256k1", Protocol: "dkls23", Threshold: 2, Total: 3})
	c.must(err)
	done := make(chan bool)
	for i, session := range []string{"a", "b", "c"} {
		go func() {
			time.Sleep(time.Duration(i) * time.Microsecond)
			sign(0, ed, session)
			done <- true
		}()
	}
	for range 3 {
		<-done
	}
	for _, session := range []string{"d", "e", "f", "g", "h"} { // the fourth makes the key hot: its pool is filled
		sign(1, ec, session)
	}
	_, err = c.Node(2).Refresh(ctx, appliance.RefreshRequest{SessionID: "r", WalletID: ec.ID})
	c.must(err)
	c.Halt(2)
	sign(0, ec, "without-node3", "node1", "node2")
	c.Start(2, appliance.Limits{Presignatures: 4})
	time.Sleep(2 * time.Second)
	sign(2, ed, "node3-is-back", "node1", "node3")
}

// Goal: a whole cluster is repeatable from one seed: every node's randomness, time and choices come from what it is given. Method: one
// story twice from one seed, while the process's own randomness differs, and once from another; compare the traces of all envelopes.
func TestOneSeedOneTrace(t *testing.T) {
	limits := appliance.Limits{Presignatures: 4}
	first := RunSeeded(t, 1, 1, 3, limits, life)
	again := RunSeeded(t, 1, 2, 3, limits, life)
	if n := strings.Count(first, "\n"); n < 200 {
		t.Fatalf("a trace of %d envelopes", n)
	}
	if first != again {
		a, b := strings.Split(first, "\n"), strings.Split(again, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("the traces differ from line %d of %d and %d:\n%s\n%s", i+1, len(a), len(b), a[i], b[i])
			}
		}
		t.Fatalf("one trace has %d lines, the other %d", len(a), len(b))
	}
	if other := RunSeeded(t, 2, 1, 3, limits, life); other == first {
		t.Error("another seed gives the same trace")
	}
}
