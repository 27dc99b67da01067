package appliance_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
)

// ahead starts a node again, by a clock that is ahead by what is stored in what it returns.
func (m *member) ahead(by time.Duration) *atomic.Int64 {
	m.c.t.Helper()
	m.halt()
	var off atomic.Int64
	off.Store(int64(by))
	m.clock = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	m.start()
	return &off
}

// steady waits until enough others have confirmed the node's clock.
func (m *member) steady() {
	m.c.t.Helper()
	sim.Wait(m.c.t, string(m.id)+" has its clock confirmed", m.node.Steady)
}

// clockIs waits until the node's check of its clock holds, or does not.
func (m *member) clockIs(ok bool) {
	m.c.t.Helper()
	sim.Wait(m.c.t, string(m.id)+" hears what time it is", func() bool {
		i := slices.IndexFunc(m.node.Readiness().Checks, func(c appliance.Check) bool { return c.Name == "clock" })
		c := m.node.Readiness().Checks[i]
		return c.OK == ok && !strings.HasPrefix(c.Detail, "0 peers") && !strings.HasPrefix(c.Detail, "1 peers") &&
			!strings.HasPrefix(c.Detail, "one of two")
	})
}

// Goal: a node whose clock is wrong at one start keeps what it has signed: the same request has the same answer when the clock is right
// again. Method: an ECDSA signature; its coordinator is started 401 days ahead, removes what is over before and after it hears the others,
// and is started again.
func TestClockAheadAtOneStart(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	m := c.nodes[0]
	req := appliance.SignRequest{SessionID: "pay", WalletID: w.ID, Message: make([]byte, 32)}
	first, err := m.node.Sign(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	m.ahead(401 * 24 * time.Hour)
	<-m.node.Started()
	forget := func() {
		t.Helper()
		if err := m.node.RemoveOld(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	m.clockIs(false)
	forget()
	m.halt()
	m.clock = nil
	m.start()
	c.waitReady()
	if _, err := m.node.Receipt(t.Context(), first.ReceiptID); err != nil {
		t.Errorf("the receipt: %v", err)
	}
	if again, err := m.node.Sign(t.Context(), req); err != nil || again.ReceiptID != first.ReceiptID {
		t.Errorf("asked again: %+v, %v; the first was %s", again, err, first.ReceiptID)
	}
}

// firstTwoMeet waits until the first two nodes, whose clocks are alike, hear each other.
func (c *cluster) firstTwoMeet() {
	c.t.Helper()
	sim.Wait(c.t, "both hear each other", func() bool {
		near := func(of, id int) bool {
			s := c.nodes[of].node.Nodes()[id]
			return s.Ready && s.Live && s.Ahead.Abs() < time.Minute
		}
		return near(0, 1) && near(1, 0)
	})
}

// Goal: an initiation that has expired does not hold again at a signer whose clock jumps back, though another member tells the same time.
// Method: the clocks of a signer, and of the coordinator, which judges nothing, go two hours back; the third node's is right.
func TestClockBackOverAnExpiry(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	one, two := c.nodes[0].ahead(0), c.nodes[1].ahead(0)
	c.waitReady()
	c.nodes[1].steady()
	c.nodes[0].node.AskNobody()
	in, req := c.draft(w.ID, "expired", 5)
	in.Created -= (2 * time.Hour).Milliseconds()
	if err := c.asker.InitiateUntil(in, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	req.Initiation, req.Signers = in.Initiation, []transport.NodeID{"node1", "node2"}
	req.BodyHash = req.Hash()
	for _, off := range []*atomic.Int64{one, two} {
		off.Store(-int64(2 * time.Hour))
	}
	c.firstTwoMeet()
	if _, err := c.nodes[0].node.Sign(t.Context(), req); problem.As(err).Code != problem.Denied ||
		!strings.Contains(err.Error(), "node node2 refuses: nobody who may has asked for it") {
		t.Errorf("%v", err)
	}
}

// Goal: a signer whose clock jumps keeps to a limit over a time, while it is ahead and after, though another member tells the same time.
// Method: payments up to the limit of a day; then the clocks of a signer, and of the coordinator, which judges nothing, go nine days ahead
// and back; the third node's is right.
func TestClockJumpsOverALimit(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	one, two := c.nodes[0].ahead(0), c.nodes[1].ahead(0)
	c.waitReady()
	c.nodes[1].steady()
	c.govern(daily)
	c.nodes[0].node.AskNobody()
	pay := func(session string) error {
		in, req := c.draft(w.ID, session, 5*tenth)
		in.Created += one.Load() / int64(time.Millisecond)
		if err := c.asker.Initiate(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		req.Initiation, req.Signers = in.Initiation, []transport.NodeID{"node1", "node2"}
		req.BodyHash = req.Hash()
		_, err := c.nodes[0].node.Sign(t.Context(), req)
		return err
	}
	for _, session := range []string{"1", "2"} {
		if err := pay(session); err != nil {
			t.Fatal(err)
		}
	}
	remove := func() {
		t.Helper()
		if err := c.nodes[1].node.RemoveOld(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n, d := range []time.Duration{0, 9 * 24 * time.Hour, 0} {
		two.Store(int64(d))
		remove()
		one.Store(int64(d))
		c.firstTwoMeet()
		remove()
		if err := pay(fmt.Sprint("more-", n)); problem.As(err).Code != problem.Denied {
			t.Errorf("ahead by %s: more than the limit: %v", d, err)
		}
		if sum := c.nodes[1].counted(); sum != 10 {
			t.Errorf("ahead by %s: it counts %d tenths", d, sum)
		}
	}
}

// Goal: what others have signed is taken up and counts from when it was signed, also by a node whose clock has jumped. Method: a receipt
// told while the clock is nine days behind, and another while it is ahead.
func TestNoticesWhileTheClockJumps(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	m := c.nodes[2]
	off := m.ahead(0)
	m.steady()
	first, second := c.receipt(w.ID, 3), c.receipt(w.ID, 2)
	off.Store(-int64(9 * 24 * time.Hour))
	if err := m.node.TakeUnverified(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if at := m.node.LastCounted(); time.Since(at) > time.Minute {
		t.Errorf("signed now, and counted from %v", at)
	}
	off.Store(int64(9 * 24 * time.Hour))
	if err := m.node.TakeUnverified(t.Context(), second); err != nil || m.counted() != 5 {
		t.Errorf("%d tenths are counted, %v", m.counted(), err)
	}
}

// Goal: what was taken back stays so at a signer that has heard of it, though its clock jumps. Method: a payment that is approved and then
// cancelled; the signer's clock goes sixty days ahead, where it removes what is over, and a member tells it the same request of that time;
// right again, a coordinator that judges nothing asks for it.
func TestClockJumpsOverACancellation(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	m := c.nodes[1]
	off := m.ahead(0)
	c.waitReady()
	m.steady()
	people, node := c.approving(), c.nodes[2].node
	in := c.waits(w.ID, "cancelled")
	people.approve(t, in, node.KeyInfo(t.Context(), w.ID), "ann", "ben")
	word, err := c.asker.Cancel(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[2].front().Cancel(t.Context(), "cancelled", word); err != nil {
		t.Fatal(err)
	}
	c.everywhere("cancelled", appliance.Cancelled)
	off.Store(int64(60 * 24 * time.Hour))
	if err := m.node.RemoveOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := *in
	later.Created += off.Load() / int64(time.Millisecond)
	if err := c.asker.Initiate(t.Context(), &later); err != nil {
		t.Fatal(err)
	}
	m.node.TellDesk(t.Context(), c.nodes[2].id, later, nil, nil, "")
	m.clockIs(false)
	if err := m.node.RemoveOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	off.Store(0)
	m.clockIs(true)
	c.waitReady()
	if s := m.standing("cancelled"); s != appliance.Cancelled {
		t.Errorf("it is %q", s)
	}
	c.nodes[0].node.AskNobody()
	_, err = node.SignForged(t.Context(), w.ID, "cancelled", []threshold.PartyID{1, 2}, in.Message, func(x *attest.Intent) {
		x.RequestID, x.Payload, x.Chain, x.Approvals = "cancelled", in.Payload, "ethereum", in.Approvals
		x.Created, x.Initiation, x.Authority = in.Created, in.Initiation, in.Authority
	}, false)
	if err == nil || !strings.Contains(problem.As(err).Error(), "cancelled it") {
		t.Errorf("it is asked for once more: %v", err)
	}
}
