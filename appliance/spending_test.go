package appliance_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// daily lets one whole unit be sent from a wallet in a day.
const daily = `
@id("daily") permit (principal, action == Action::"sign", resource)
	when { context.what == "send" && context.spent.wallet.day.lessThanOrEqual(decimal("1.0")) };
@id("keys") permit (principal, action in [Action::"keygen", Action::"refresh"], resource);
`

// tenth is a tenth of a whole unit.
const tenth = int64(1e17)

// sends asks a node for a payment of so many tenths, by the signers if any are named.
func (m *member) sends(wallet, session string, tenths int64, signers ...transport.NodeID) (*appliance.Signature, error) {
	_, req := m.c.draft(wallet, session, tenths*tenth)
	req.Signers = signers
	req.BodyHash = req.Hash()
	return m.node.Sign(m.c.t.Context(), req)
}

// forges has a node that is no signer coordinate a payment, and judge and tell nothing.
func (m *member) forges(wallet, session string, tenths int64, signers ...threshold.PartyID) error {
	in, _ := m.c.draft(wallet, session, tenths*tenth)
	_, err := m.node.SignForged(m.c.t.Context(), wallet, session, signers, in.Message, func(x *attest.Intent) {
		x.RequestID, x.Payload, x.Chain = session, in.Payload, "ethereum"
	}, false)
	return err
}

// counted is how many tenths a node has counted.
func (m *member) counted() int64 {
	_, _, sum := m.node.Counted()
	return sum.Div(sum, big.NewInt(tenth)).Int64()
}

// allCounted waits until every node that runs has counted so many tenths.
func (c *cluster) allCounted(tenths int64) {
	c.t.Helper()
	for _, m := range c.nodes {
		sim.Wait(c.t, fmt.Sprintf("%s has counted %d", m.id, tenths), func() bool { return m.stop == nil || m.counted() == tenths })
	}
}

func (c *cluster) restart() {
	c.t.Helper()
	for _, m := range c.nodes {
		m.halt()
	}
	for _, m := range c.nodes {
		m.start()
	}
	c.waitReady()
}

func isDeniedBy(err error, rule string) bool {
	p := problem.As(err)
	return err != nil && p.Code == problem.Denied && strings.Contains(p.Message, `"`+rule+`"`)
}

// Goal: while nodes hear each other, no more than the limit is signed, whoever coordinates with whatever signers, also after a restart of
// all; a denial says how much was. Method: payments up to the limit by quorums in turn, and one more by each; the first request again.
func TestSpendingLimit(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.govern(daily)
	quorums := [][]transport.NodeID{{"node1", "node2"}, {"node2", "node3"}, {"node1", "node3"}}
	for i, tenths := range []int64{4, 4, 2} {
		if _, err := c.nodes[i].sends(w.ID, fmt.Sprint("pay", i), tenths, quorums[i]...); err != nil {
			t.Fatal(err)
		}
		c.allCounted([]int64{4, 8, 10}[i])
	}
	denied := func(when string) {
		t.Helper()
		for i, q := range quorums {
			for _, m := range c.nodes {
				_, err := m.sends(w.ID, fmt.Sprint(when, i, m.id), 1, q...)
				if !isDeniedBy(err, "default-deny") || !strings.Contains(problem.As(err).Message, "wallet 1.1, 1.1, 1.1; vault 1.1") ||
					!strings.Contains(problem.As(err).Next, "repeat the request later") {
					t.Errorf("%s, %s by %v: %v", when, m.id, q, err)
				}
			}
		}
		c.allCounted(10)
	}
	denied("above")
	again, err := c.nodes[0].sends(w.ID, "pay0", 4, quorums[0]...)
	if err != nil || again.SessionID != "pay0" {
		t.Errorf("what was signed is asked for again: %v", err)
	}
	c.restart()
	for _, m := range c.nodes {
		sim.Wait(t, string(m.id)+" would choose each", func() bool {
			return !slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool { return s.Trouble != "" })
		})
	}
	denied("restarted")
}

// Goal: signers that hear nothing of each other's signatures sign at most n/t of the limit together, whatever the coordinators do, and with
// a signer who counts nothing (n-f)/(t-f) of it; what is tried again counts once. Method: coordinators that judge nothing and keep receipts
// for themselves, with every quorum in turn, for as long as any signs; each of the first sessions twice.
func TestSpendingBound(t *testing.T) {
	quorums := [][]threshold.PartyID{{2, 3}, {1, 3}, {1, 2}} // by node1, node2, node3, which are not in them
	for name, row := range map[string]struct {
		liars   int // the last nodes
		quorums [][]threshold.PartyID
		signed  int64 // tenths, of a limit of ten
	}{"all count": {0, quorums, 15}, "one does not": {1, quorums[:2], 20}} {
		c := newCluster(t, 3)
		w := c.keygenBy("secp256k1", "dkls23", 2, 3)
		c.govern(daily)
		honest := c.nodes[:3-row.liars]
		for _, m := range c.nodes[3-row.liars:] {
			m.node.AskNobody()
		}
		signed := int64(0)
		for round := range 4 {
			for i, q := range row.quorums {
				for again := range 2 {
					err := c.nodes[i].forges(w.ID, fmt.Sprintf("pay-%d-%d", round, i), 5, q...)
					if err == nil && again == 0 {
						signed += 5
					} else if err != nil && appliance.RefusedWith(err) != problem.Denied {
						t.Errorf("%s, %v: %v", name, q, err)
					}
				}
			}
		}
		if signed != row.signed {
			t.Errorf("%s: %d tenths were signed", name, signed)
		}
		for _, m := range honest {
			if m.counted() != 10 {
				t.Errorf("%s: %s has counted %d", name, m.id, m.counted())
			}
		}
	}
}

// Goal: requests that come at once and are too much together are not both signed, at one coordinator or at two, and what came to nothing
// is given back. Method: pairs of them; then what is left of the limit.
func TestSpendingAtOnce(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.govern(daily)
	limit := int64(0)
	for round, at := range [][2]int{{0, 0}, {0, 1}, {0, 2}} {
		c.govern(strings.ReplaceAll(daily, "1.0", fmt.Sprintf("%d.0", round+1)))
		var wg sync.WaitGroup
		var errs [2]error
		for i, n := range at {
			wg.Go(func() { _, errs[i] = c.nodes[n].sends(w.ID, fmt.Sprintf("both-%d-%d", round, i), 6, "node1", "node2") })
		}
		wg.Wait()
		if limit += 10; errs[0] == nil && errs[1] == nil {
			t.Errorf("round %d: both were signed", round)
		}
		for i, err := range errs {
			if err == nil {
				limit -= 6
			} else if !isDeniedBy(err, "default-deny") {
				t.Errorf("round %d, request %d: %v", round, i, err)
			}
		}
		if _, err := c.nodes[2].sends(w.ID, fmt.Sprint("rest", round), limit, "node1", "node2"); err != nil {
			t.Errorf("round %d, %d that are left: %v", round, limit, err)
		}
		limit = 0
		c.allCounted(int64(round+1) * 10)
	}
}

// Goal: of a ceremony that ends before any share, nothing counts; whoever has made one counts it, whatever becomes of it. Method: a signer
// whose own policy denies; then a coordinator that gets every share and makes no signature of them is the one of TestSpendingBound.
func TestSpendingGivesBack(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.govern(daily)
	c.nodes[2].halt()
	c.nodes[2].policy = silent{}
	c.nodes[2].start()
	c.waitReady()
	if err := c.nodes[0].forges(w.ID, "denied", 6, 2, 3); appliance.RefusedWith(err) != problem.Denied {
		t.Fatal(err)
	}
	c.allCounted(0)
	sim.Wait(t, "node2 has given it back", func() bool { // it may hear of it later than node3 has refused
		_, err := c.nodes[0].sends(w.ID, "signed", 10, "node1", "node2")
		return err == nil
	})
	c.allCounted(10)
}

// silent permits no signature.
type silent struct{}

func (silent) Judge(_ context.Context, in *attest.Intent, _ threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Allow: in.Operation != attest.OpSign, Rule: "silent"}, nil
}

// receipt is that of a payment which was signed under rules that count nothing.
func (c *cluster) receipt(wallet string, tenths int64) *attest.Receipt {
	c.t.Helper()
	s, err := c.nodes[0].sends(wallet, fmt.Sprint("before", tenths), tenths, "node1", "node2")
	if err != nil {
		c.t.Fatal(err)
	}
	return s.Receipt
}

// Goal: what a peer tells counts if it was signed, as the signers have attested it, once, where the wallet is known and for as long as it
// can count; nothing else does, and nothing does where no rule counts. Method: a receipt of before, bent in each way, told by a peer, to a
// node of the wallet's committee and to one that is not; then as it is, twice.
func TestSpendingNotices(t *testing.T) {
	c := newCluster(t, 4)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	good, other := c.receipt(w.ID, 3), c.receipt(w.ID, 2)
	ctx, at := t.Context(), c.nodes[2].node
	at.TellNotice(ctx, "node1", good)
	if n, _, _ := at.Counted(); n != 0 {
		t.Error("counted by rules that do not count")
	}
	c.govern(daily)
	for name, bend := range map[string]func(*attest.Receipt){
		"another signature": func(r *attest.Receipt) { r.Signature = other.Signature },
		"no signature":      func(r *attest.Receipt) { r.Signature = nil },
		"another amount":    func(r *attest.Receipt) { r.Intent.Payload = other.Intent.Payload },
		"another session":   func(r *attest.Receipt) { r.Intent.RequestID, r.SessionID = "x", "x" },
		"another time":      func(r *attest.Receipt) { r.Intent.Created -= time.Hour.Milliseconds() },
		"another initiator": func(r *attest.Receipt) {
			r.Intent.Initiation = &attest.Initiation{By: "b", Expires: 1, Signature: make([]byte, 64)}
		},
		"another vault": func(r *attest.Receipt) { r.Intent.Vault = "v" },
		"another committee": func(r *attest.Receipt) {
			r.Key.Parties = r.Key.Parties[:2]
			r.Key.PublicShares = r.Key.PublicShares[:2]
		},
		"another threshold":      func(r *attest.Receipt) { r.Key.Threshold = 1 },
		"another wallet's key":   func(r *attest.Receipt) { r.Key.KeyID = "w_x" },
		"a digest, no payload":   func(r *attest.Receipt) { r.Intent.Payload = nil },
		"shares of another":      func(r *attest.Receipt) { r.Shares = other.Shares },
		"too few shares":         func(r *attest.Receipt) { r.Shares = r.Shares[:1] },
		"a roster nobody has":    func(r *attest.Receipt) { r.Roster = "r_x" },
		"another wallet's":       func(r *attest.Receipt) { r.Intent.KeyID = "w_x" },
		"too old to count":       func(r *attest.Receipt) { r.Intent.Created -= 8 * 24 * time.Hour.Milliseconds() },
		"another scheme's":       func(r *attest.Receipt) { r.Intent.Scheme = "frost-ed25519" },
		"another version's form": func(r *attest.Receipt) { r.Version++ },
	} {
		r := *good
		bend(&r)
		at.TellNotice(ctx, "node1", &r)
		if n, _, _ := at.Counted(); n != 0 {
			t.Fatalf("%s: %d counted", name, n)
		}
	}
	c.nodes[3].node.TellNotice(ctx, "node1", good)
	if n, _, _ := c.nodes[3].node.Counted(); n != 0 {
		t.Error("counted of a wallet that is not known")
	}
	at.TellNotice(ctx, "node1", good, good)
	at.TellNotice(ctx, "node2", good)
	if n, receipts, _ := at.Counted(); n != 1 || receipts != 1 || c.nodes[2].counted() != 3 {
		t.Errorf("%d counted, %d receipts", n, receipts)
	}
	c.allCountedBut(3, c.nodes[3]) // by the exchange
	if _, err := c.nodes[0].sends(w.ID, "rest", 8); !isDeniedBy(err, "default-deny") {
		t.Errorf("what others have signed counts: %v", err)
	}
	if _, err := c.nodes[0].sends(w.ID, "rest", 7); err != nil {
		t.Error(err)
	}
}

// allCountedBut is allCounted for all nodes but some.
func (c *cluster) allCountedBut(tenths int64, but ...*member) {
	c.t.Helper()
	for _, m := range c.nodes {
		if !slices.Contains(but, m) {
			sim.Wait(c.t, fmt.Sprintf("%s has counted %d", m.id, tenths), func() bool { return m.counted() == tenths })
		}
	}
}

// Goal: a node that was away counts what was signed without it, and others have of it what it alone heard. Method: a node that is down
// while two sign, then starts with one of them gone.
func TestSpendingReachesWhoWasAway(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.govern(daily)
	c.nodes[2].halt()
	for i := range 3 {
		sim.Wait(t, "a payment", func() bool {
			_, err := c.nodes[0].sends(w.ID, fmt.Sprint("pay", i), 3, "node1", "node2")
			return err == nil
		})
	}
	for _, m := range c.nodes[:2] {
		sim.Wait(t, "receipts", func() bool { _, n, _ := m.node.Counted(); return n == 3 })
	}
	c.nodes[0].halt() // which coordinated
	c.nodes[1].halt()
	c.nodes[1].start()
	c.nodes[2].start()
	c.waitReady()
	c.allCounted(9)
	if _, err := c.nodes[2].sends(w.ID, "more", 2, "node2", "node3"); !isDeniedBy(err, "default-deny") {
		t.Errorf("%v", err)
	}
}

// Goal: a coordinator tells at once what was signed, so that who was no signer counts it. Method: nodes that do not exchange what they
// have.
func TestSpendingTold(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	for _, m := range c.nodes {
		m.node.NoExchange()
	}
	c.govern(daily)
	if _, err := c.nodes[0].sends(w.ID, "pay", 4, "node1", "node2"); err != nil {
		t.Fatal(err)
	}
	c.allCounted(4)
}

// Goal: a receipt counts as its wallet's committee has attested it, however good it is otherwise: members fewer than must sign could attest
// another time, as of a committee of their own, to what was signed once. Method: receipts that nobody verifies, bent in one thing each.
func TestNoticeOfFew(t *testing.T) {
	c := newCluster(t, 4)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	good := c.receipt(w.ID, 3)
	c.govern(daily)
	ctx, at := t.Context(), c.nodes[2].node
	for name, row := range map[string]struct {
		bend    func(*attest.Receipt)
		refused bool
	}{
		"another threshold": {func(r *attest.Receipt) { r.Key.Threshold = 1 }, true},
		"other parties":     {func(r *attest.Receipt) { r.Key.Parties = []threshold.PartyID{1, 2, 4} }, true},
		"another vault":     {func(r *attest.Receipt) { r.Intent.Vault = "v" }, true},
		"another key":       {func(r *attest.Receipt) { r.Key.KeyID = "w_x" }, true},
		"nothing that moves": {func(r *attest.Receipt) {
			r.Intent.Payload = nil
		}, true},
		"too old":          {func(r *attest.Receipt) { r.Intent.Created -= 8 * 24 * time.Hour.Milliseconds() }, false},
		"not known wallet": {func(r *attest.Receipt) { r.Intent.KeyID = "w_x" }, false},
	} {
		r := *good
		row.bend(&r)
		if err := at.TakeUnverified(ctx, &r); (err != nil) != row.refused {
			t.Errorf("%s: %v", name, err)
		}
		if n, _, _ := at.Counted(); n != 0 {
			t.Fatalf("%s: %d counted", name, n)
		}
	}
	late := *good
	late.Intent.RequestID, late.Intent.Created = "late", time.Now().Add(-3*time.Hour).UnixMilli()
	err := at.TakeUnverified(ctx, &late)
	if age := time.Since(at.LastCounted()); err != nil || age < 2*time.Hour || age > 3*time.Hour-time.Minute {
		t.Errorf("what is heard late counts from %s ago: %v", age, err)
	}
	if err := at.TakeUnverified(ctx, good); err != nil || c.nodes[2].counted() != 6 {
		t.Errorf("%v, %d counted", err, c.nodes[2].counted())
	}
	full := c.nodes[1]
	full.node.FillLedger()
	if err := full.node.TakeUnverified(ctx, good); err != nil || full.counted() != 0 {
		t.Errorf("full: %v, %d counted", err, full.counted())
	}
	if _, err := full.sends(w.ID, "one", 1); err == nil || problem.As(err).Code != problem.Overload {
		t.Errorf("permitted by a sum that leaves something out: %v", err)
	}
}

// treasury lets two people agree on a payment, and one whole unit be sent in a day.
const treasury = `
@id("agreed") permit (principal, action == Action::"sign", resource)
	when { context.approvals.treasury >= 2 && context.spent.wallet.day.lessThanOrEqual(decimal("1.0")) };
@id("small") permit (principal, action == Action::"sign", resource)
	when { context.amount.lessThanOrEqual(decimal("0.9")) };
`

// Goal: a request that people have agreed on, and that is too much now, waits on the desk, says why, signs nothing and can be taken back.
// Method: a request that waits for people while another takes up the day; approvals, then a cancellation.
func TestSpendingWaits(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approvingBy(treasury)
	ctx, node := t.Context(), c.nodes[0].node
	in, req := c.draft(w.ID, "waits", 10*tenth)
	if _, err := node.Sign(ctx, req); problem.As(err).Code != problem.Unapproved {
		t.Fatal(err)
	}
	if _, err := c.nodes[0].sends(w.ID, "small", 5); err != nil {
		t.Fatal(err)
	}
	c.allCounted(5)
	c.everywhere("waits", appliance.PendingApproval)
	people.approve(t, in, node.KeyInfo(ctx, w.ID), "ann", "ben")
	for _, x := range in.Approvals {
		if _, err := c.nodes[1].front().Approve(ctx, "waits", x); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.nodes {
		sim.Wait(t, string(m.id)+" says why", func() bool {
			o, err := m.front().Operation(ctx, "waits")
			return err == nil && o.State == appliance.PendingApproval && len(o.Intent.Approvals) == 2 && strings.Contains(o.Why, "wallet 1.5")
		})
	}
	word, err := c.asker.Cancel(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[2].front().Cancel(ctx, "waits", word); err != nil {
		t.Fatal(err)
	}
	c.everywhere("waits", appliance.Cancelled)
	c.allCounted(5)
}

// Goal: what a signer refuses who has heard of more than this node is tried again, and has not failed. Method: a node that counts nothing
// of what the other two have signed.
func TestSpendingWaitsForSigners(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approvingBy(treasury)
	ctx, node := t.Context(), c.nodes[0].node
	if err := c.nodes[0].forges(w.ID, "small", 5, 2, 3); err != nil {
		t.Fatal(err)
	}
	in, req := c.draft(w.ID, "waits", 10*tenth)
	people.approve(t, in, node.KeyInfo(ctx, w.ID), "ann", "ben")
	node.WaitTurns(time.Millisecond)
	if _, err := node.Sign(ctx, req); problem.As(err).Code != problem.Unapproved {
		t.Fatal(err)
	}
	for _, x := range in.Approvals {
		if _, err := c.nodes[0].front().Approve(ctx, "waits", x); err != nil {
			t.Fatal(err)
		}
	}
	sim.Wait(t, "a refusal by a signer", func() bool { return node.Looked("waits") && len(c.nodes[0].entries(t, "sign.abort")) > 0 })
	if o, err := c.nodes[0].front().Operation(ctx, "waits"); err != nil || o.State != appliance.Running {
		t.Errorf("%+v, %v", o, err)
	}
}
