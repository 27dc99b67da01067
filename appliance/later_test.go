package appliance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
)

// Goal: what waits for nobody is signed at once for a caller that does not wait, and once, and only the node that was asked keeps it, until
// it is taken back, which all hear of. Who follows it is told. Method: requests of one node, one of a frozen wallet among them.
func TestLater(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	ctx, front := t.Context(), c.nodes[0].front()
	c.approvingBy(`@id("all") permit (principal, action, resource);`)
	c.nodes[0].node.WaitTurns(time.Hour)
	for i := range 6 { // whose turn it would be, the session_id says
		session := fmt.Sprint("any", i)
		_, req := c.draft(w.ID, session, 5)
		if _, err := front.Later(ctx, req); err != nil {
			t.Fatal(err)
		}
		sim.Wait(t, session+" is signed", func() bool { return c.nodes[0].standing(session) == appliance.Succeeded })
	}
	in, req := c.draft(w.ID, "alone", 5)
	changed, stop := front.Follow("alone")
	defer stop()
	o, err := front.Later(ctx, req)
	if err != nil || o.State != appliance.Running && o.State != appliance.Succeeded || o.Intent.RequestID != in.RequestID {
		t.Fatalf("%+v, %v", o, err)
	}
	for o.State != appliance.Succeeded {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("nobody told that it is done")
		}
		if o, err = front.Operation(ctx, "alone"); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := c.nodes[1].node.Sign(ctx, req); err != nil || s.ReceiptID != o.ReceiptID {
		t.Errorf("asked for again at another node: %+v, %v; it was %s", s, err, o.ReceiptID)
	}
	if again, err := front.Later(ctx, req); err != nil || again != nil {
		t.Errorf("asked for again: %+v, %v", again, err)
	}
	if got := c.nodes[0].node.DeskHas(); got != 0 {
		t.Errorf("%d requests that wait for nobody are told to others", got)
	}
	if c.nodes[1].standing("alone") != "" {
		t.Error("another node keeps it")
	}
	told, _ := c.draft(w.ID, "told", 5)
	if c.nodes[1].node.TellDesk(ctx, "node3", *told, nil, nil, ""); c.nodes[1].standing("told") != "" {
		t.Error("a peer has a node keep what waits for nobody")
	}
	req.Initiation, req.SessionID = nil, "unsigned"
	if o, err := front.Later(ctx, req); err != nil || o.Intent.Initiation == nil {
		t.Errorf("of a node that signs for its callers: %+v, %v", o, err)
	}
	req.WalletID = "w_unknown"
	if o, err := front.Later(ctx, req); err != nil || o != nil {
		t.Errorf("with a key that the node does not keep: %+v, %v", o, err)
	}

	if _, err := front.Freeze(ctx, appliance.FreezeRequest{Scope: attest.ScopeWallet, Name: w.ID, Reason: "a test"}); err != nil {
		t.Fatal(err)
	}
	in, req = c.draft(w.ID, "back", 5)
	if o, err := front.Later(ctx, req); err != nil || o.State != appliance.Running || o.Why == "" {
		t.Fatalf("of a frozen wallet: %+v, %v", o, err)
	}
	word, err := c.asker.Cancel(in)
	if err == nil {
		_, err = front.Cancel(ctx, "back", word)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.everywhere("back", appliance.Cancelled)
}

// Goal: a request whose caller does not wait is made after a restart of the node that was asked. Method: asked for while no other node
// runs; that one restarts, and then the others do.
func TestLaterAfterRestart(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one := c.nodes[0]
	for _, m := range c.nodes[1:] {
		m.halt()
	}
	req := appliance.SignRequest{SessionID: "resumed", WalletID: w.ID, Message: []byte("later")}
	if o, err := one.front().Later(t.Context(), req); err != nil || o.State != appliance.Running {
		t.Fatalf("%+v, %v", o, err)
	}
	one.halt()
	for _, m := range c.nodes {
		m.start()
	}
	c.waitReady()
	sim.Wait(t, "it is signed", func() bool {
		one.node.WakeDesk() // it may look while the others are not there yet, and would again after a while
		return one.standing("resumed") == appliance.Succeeded
	})
}

// Goal: a request whose caller does not wait, and that people must approve, is kept by every node. Method: one.
func TestLaterApproved(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	in, req := c.draft(w.ID, "waits", 5)
	o, err := c.nodes[0].front().Later(t.Context(), req)
	if err != nil || o.State != appliance.PendingApproval {
		t.Fatalf("%+v, %v", o, err)
	}
	c.everywhere("waits", appliance.PendingApproval)
	changed, stop := c.nodes[1].front().Follow("waits")
	defer stop()
	people.approve(t, in, c.nodes[0].node.KeyInfo(t.Context(), w.ID), "ann")
	if _, err := c.nodes[0].front().Approve(t.Context(), "waits", in.Approvals[0]); err != nil {
		t.Fatal(err)
	}
	sim.Wait(t, "another node tells of it", func() bool {
		select {
		case <-changed:
			o, err := c.nodes[1].front().Operation(t.Context(), "waits")
			return err == nil && len(o.Intent.Approvals) == 1
		default:
			return false
		}
	})
}
