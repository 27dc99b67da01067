package appliance_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
)

// amount is that of the payment which waits at a node under a session_id, by the payments that there are.
func (m *member) amount(session string, all []*attest.Intent) int {
	o, err := m.front().Operation(m.c.t.Context(), session)
	if err != nil {
		return -1
	}
	for i, in := range all {
		if string(o.Intent.Message) == string(in.Message) {
			return i
		}
	}
	return -1
}

// Goal: of two requests under one session_id, asked for at two nodes at once, one waits at all nodes, the same, and the other is refused to
// who asks for it again; nobody says that one is signed and the other under way. Method: two payments at two nodes that have not heard of
// each other's; then one is approved.
func TestOneOfTwoStands(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx := t.Context()
	info := c.nodes[0].node.KeyInfo(ctx, w.ID)
	for try := range 3 { // whichever comes first, by its digest
		session := fmt.Sprint("twice-", try)
		var all []*attest.Intent
		var asked []appliance.SignRequest
		for i := range 2 {
			in, req := c.draft(w.ID, session, int64(5+i+2*try))
			all, asked = append(all, in), append(asked, req)
		}
		for i, m := range c.nodes[:2] {
			m.node.TellDesk(ctx, "node3", *all[i], nil, nil, "") // as if asked there, and told to nobody yet
			if m.amount(session, all) != i {
				t.Fatalf("%s does not have its own", m.id)
			}
		}
		for _, m := range c.nodes[:2] {
			if _, err := m.node.Sign(ctx, asked[0]); err == nil {
				t.Fatal("signed without approvals")
			}
			if _, err := m.node.Sign(ctx, asked[1]); err == nil {
				t.Fatal("signed without approvals")
			}
		}
		stands := -1
		sim.Wait(t, "all nodes have the same", func() bool {
			stands = c.nodes[0].amount(session, all)
			return stands >= 0 && c.nodes[1].amount(session, all) == stands && c.nodes[2].amount(session, all) == stands
		})
		for _, m := range c.nodes {
			_, err := m.node.Sign(ctx, asked[1-stands])
			if p := problem.As(err); err == nil || p.Code != problem.Conflict || p.Field != "session_id" {
				t.Errorf("%s, asked for the other: %v", m.id, err)
			}
		}
		people.approve(t, all[stands], info, "ann", "ben")
		for i, x := range all[stands].Approvals {
			if _, err := c.nodes[i].front().Approve(ctx, session, x); err != nil && problem.As(err).Code != problem.Conflict {
				t.Fatal(err)
			}
		}
		c.everywhere(session, appliance.Succeeded)
	}
}

// Goal: what is done stands, whatever comes first by its digest, and the nodes that had the other say so in the end. Method: a payment is
// signed by two nodes while the third, which is cut off from their desks, has another under the session_id; then it hears of them.
func TestDoneStands(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx, third := t.Context(), c.nodes[2]
	info := third.node.KeyInfo(ctx, w.ID)
	for try := range 3 {
		session := fmt.Sprint("done-", try)
		other, _ := c.draft(w.ID, session, int64(100+try))
		in, req := c.draft(w.ID, session, int64(200+try))
		third.halt()
		c.waitReady()
		people.approve(t, in, info, "ann", "ben")
		req.Approvals = in.Approvals
		if _, err := c.nodes[0].node.Sign(ctx, req); err != nil {
			t.Fatal(err)
		}
		third.start()
		c.waitReady()
		third.node.TellDesk(ctx, "node2", *other, nil, nil, "")
		for _, m := range c.nodes[:2] {
			m.node.TellDesk(ctx, "node3", *other, nil, nil, "")
			if got := m.standing(session); got != "" {
				t.Errorf("%s says %s of the other", m.id, got)
			}
		}
		sim.Wait(t, "the third says that it has failed", func() bool {
			o, err := third.front().Operation(ctx, session)
			return err == nil && o.State == appliance.Failed && strings.Contains(o.Why, session)
		})
	}
}

// Goal: a request of an initiator does not end what another has had waiting, nor does one bring back what was taken back. Method: a second
// initiator's payments under the session_id of the first's, more than it takes to come first by any digest; and another of the same
// initiator, after it was cancelled.
func TestNobodyEndsAnothers(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.approving()
	ctx, one := t.Context(), c.nodes[0]
	second := ed25519.NewKeyFromSeed(randomSeed())
	c.asker.Chain = c.change(func(a *attest.Authority) {
		der, err := attest.MarshalPublicKey(second.Public())
		if err != nil {
			t.Fatal(err)
		}
		a.Initiators = append(a.Initiators, attest.Initiator{Name: "second", Key: der, May: a.Initiators[0].May})
	})
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(ctx, c.asker.Chain); err != nil {
			t.Fatal(err)
		}
	}
	mine := c.waits(w.ID, "mine")
	one.node.AgeDesk("mine")
	for i := range 8 {
		theirs, _ := c.draft(w.ID, "mine", int64(50+i))
		var err error
		if theirs.Initiation, err = theirs.Initiate("second", time.Now().Add(time.Hour), sim.Sign(second)); err != nil {
			t.Fatal(err)
		}
		one.node.TellDesk(ctx, "node2", *theirs, nil, nil, "")
		if o, err := one.front().Operation(ctx, "mine"); err != nil || string(o.Intent.Message) != string(mine.Message) {
			t.Fatalf("another's stands in its place: %+v, %v", o, err)
		}
	}
	word, err := c.asker.Cancel(c.waits(w.ID, "fresh"))
	if err == nil {
		_, err = one.front().Cancel(ctx, "fresh", word)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		again, _ := c.draft(w.ID, "fresh", int64(70+i))
		one.node.TellDesk(ctx, "node2", *again, nil, nil, "")
		if got := one.standing("fresh"); got != appliance.Cancelled {
			t.Fatalf("it was cancelled, and is %s", got)
		}
	}
}
