package appliance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: no line acts without the gate. What a policy denies its node neither begins nor puts on record as begun, as a party, as the
// coordinator, and as a coordinator that does not sign; it is on record as refused, and what the nodes put on record of one ceremony
// names the same intents. What its own coordinator denies is not told to anybody, costs no cosignature and leaves the session_id free. What
// is allowed is on record, before and after. Method: every line of the node, with the policy of a party, then of the coordinator, denying
// just that one; a tap on the network, a token that counts. A line that is new here fails until it has a row.
func TestEveryLinePassesTheGate(t *testing.T) {
	g := newGateTest(t)
	acts := actsOf(g.keygenBy("secp256k1", "dkls23", 2, 3))
	for _, line := range g.nodes[0].node.Lines() {
		row, ok := lineRows[line]
		if !ok || acts[line] == nil {
			t.Errorf("line %s has no row here: does it pass the gate?", line)
			continue
		}
		t.Run(line, func(t *testing.T) {
			do := func(session string, body byte, signers ...transport.NodeID) error {
				return acts[line](t.Context(), g.nodes[0].node, session, body, signers...)
			}
			g.deniedByCoordinator(t, line, false, func() error { return do(line, 1, "node1", "node2") })
			g.deniedByParty(t, line, row, func() error { return do(line+"-party", 1, "node1", "node2") })
			if line == "prove" || line == "presign" || line == "sign" { // the others' coordinators are parties
				g.deniedByCoordinator(t, line, true, func() error { return do(line, 2, "node2", "node3") })
			}

			g.allowed(t, line, row, func() error { return do(line, 3, "node1", "node2") })
		})
	}
}

// allowed has everybody allow a line that node1 coordinates, under a session_id that was denied before with another body.
func (g *gateTest) allowed(t *testing.T, line string, row lineRow, act func() error) {
	t.Helper()
	g.rules[1].set(line, false, false)
	before, begun := map[string]int{}, len(g.nodes[1].entries(t, row.begun))
	own := len(g.nodes[0].entries(t, row.begun))
	for _, name := range row.done {
		before[name] = len(g.nodes[0].entries(t, name))
	}
	if err := act(); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if g.rules[1].times() == 0 {
		t.Error("allowed, and the party's policy was not asked")
	}
	if got := len(g.nodes[1].entries(t, row.begun)); got <= begun {
		t.Errorf("allowed, and node2's log has no %s", row.begun)
	}
	if got := len(g.nodes[0].entries(t, row.begun)); got <= own { // the coordinator is a party too
		t.Errorf("allowed, and node1's log has no %s", row.begun)
	}
	for name, n := range before {
		es := g.nodes[0].entries(t, name)
		if len(es) != n+1 {
			t.Errorf("done, and node1's log has %d %s more", len(es)-n, name)
		} else if told := es[n].Facts["session"]; told != line && (name == "sign.done" || name == "keygen.certified") {
			t.Errorf("%s is of the session_id %q, not %q", name, told, line)
		}
	}
}

// deniedByCoordinator has node1's own policy deny a line; apart, only where node1 does not sign.
func (g *gateTest) deniedByCoordinator(t *testing.T, line string, apart bool, act func() error) {
	t.Helper()
	proposals := frames{"node1", ceremony.KindProposal, 0}
	if apart {
		proposals.to = 2 // those to node2 and node3
	}
	m := g.nodes[0]
	proposed, signed, refused := g.sent.count(proposals), g.token.count("cosign"), len(m.entries(t, line+".refuse"))
	g.rules[0].set(line, true, apart)
	err := act()
	asked := g.rules[0].times()
	g.rules[0].set("", false, false)
	if problem.As(err).Code != problem.Denied || asked == 0 {
		t.Errorf("denied by the coordinator (apart: %v): %v; its policy was asked %d times", apart, err, asked)
	}
	if got := g.sent.count(proposals); got != proposed {
		t.Errorf("denied by the coordinator (apart: %v), %d ceremonies were proposed", apart, got-proposed)
	}
	if got := g.token.count("cosign"); got != signed && (line != "prove" || !apart) { // a proof's other quorums may go on
		t.Errorf("denied by the coordinator (apart: %v), its token has signed %d times", apart, got-signed)
	}
	es := m.entries(t, line+".refuse")
	if len(es) <= refused {
		t.Errorf("denied by the coordinator (apart: %v), and its log has no %s.refuse", apart, line)
		return
	}
	if last := es[len(es)-1].Facts; last["session"] == "" || !strings.Contains(last["reason"], "picky") {
		t.Errorf("it was refused: %v", last)
	}
}

// deniedByParty has node2's policy deny a line that node1 coordinates.
func (g *gateTest) deniedByParty(t *testing.T, line string, row lineRow, act func() error) {
	t.Helper()
	first, party, engine := g.nodes[0], g.nodes[1], frames{"node2", ceremony.KindEngine, 0}
	begun, sent, passed := len(party.entries(t, row.begun)), g.sent.count(engine), len(first.entries(t, row.passed))
	aborted := map[*member]int{first: len(first.entries(t, line+".abort")), party: len(party.entries(t, line+".abort"))}
	if line == "presign" {
		delete(aborted, party) // no request: that it refuses is not on record at a party
	}
	g.rules[1].set(line, true, false)
	if err := act(); problem.As(err).Code != problem.Denied || g.rules[1].times() == 0 {
		t.Errorf("denied by a party: %v; its policy was asked %d times", err, g.rules[1].times())
	}
	if got := len(party.entries(t, row.begun)); got != begun {
		t.Errorf("denied by node2, and it has begun: %s %d times", row.begun, got-begun)
	}
	if got := g.sent.count(engine); got != sent {
		t.Errorf("denied by node2, and it has sent messages of the protocol in %d ceremonies", got-sent)
	}
	let := first.entries(t, row.passed)[passed:]
	if len(let) == 0 {
		t.Errorf("denied by node2, and node1's log has no %s", row.passed)
	}
	for m, before := range aborted {
		var es []audit.Entry
		waitFor(t, string(m.id)+"'s "+line+".abort", func() bool { es = m.entries(t, line+".abort"); return len(es) > before })
		// A proof's other quorums may end with it.
		for _, name := range []string{"intents", "intent"} {
			known := factsOf(let, name)
			if !slices.ContainsFunc(es[before:], func(e audit.Entry) bool { return known[e.Facts[name]] }) {
				t.Errorf("%s's %v are about other %s than node1's %v", m.id, es[before:], name, let)
			}
		}
	}
}

// Goal: an act whose record cannot be written is not done, in any line: nothing of a key ceremony or of presigning leaves, and no share of
// a signature is even made. Method: the party's audit log is closed; every line is tried, with a tap on the network and a token that
// counts.
func TestNoActOffRecord(t *testing.T) {
	g := newGateTest(t)
	acts := actsOf(g.keygenBy("secp256k1", "dkls23", 2, 3))
	m := g.nodes[1]
	token := m.tally()
	g.waitReady()
	m.closeLog()
	attested, outcomes := token.count("attest"), []uint8{ceremony.KindShares, ceremony.KindAck, ceremony.KindCertificate}
	signs := func(line string) int { return map[string]int{"sign": 1, "prove": 1}[line] }
	lines := g.nodes[0].node.Lines()
	slices.SortStableFunc(lines, func(a, b string) int { return signs(a) - signs(b) }) // quorums of a proof may end after it
	for _, line := range lines {
		kinds := append([]uint8{ceremony.KindEngine}, outcomes...)
		if signs(line) == 1 {
			kinds = outcomes // its rounds run beside the record
		}
		before := map[uint8]int{}
		for _, kind := range kinds {
			before[kind] = g.sent.count(frames{m.id, kind, 0})
		}
		if err := acts[line](t.Context(), g.nodes[0].node, line, 1, "node1", "node2"); err == nil {
			t.Errorf("%s went through without a record", line)
		}
		for kind, n := range before {
			if got := g.sent.count(frames{m.id, kind, 0}); got != n {
				t.Errorf("%s: node2 sent messages of kind %d in %d ceremonies that are not on record", line, kind, got-n)
			}
		}
		if got := token.count("attest"); got != attested {
			t.Errorf("%s: node2's token attested %d shares that are not on record", line, got-attested)
		}
	}
}

// Goal: nor is a share made of a presignature of the pool. Method: a pool that was filled while the log was open, and a signature after.
func TestNoPooledShareOffRecord(t *testing.T) {
	g := newGateTest(t)
	w := g.keygenBy("secp256k1", "dkls23", 2, 3)
	acts := actsOf(w)
	m := g.nodes[1]
	token := m.tally()
	g.waitReady()
	if err := acts["presign"](t.Context(), g.nodes[0].node, "", 0, "node1", "node2"); err != nil {
		t.Fatal(err)
	}
	used := g.nodes[0].node.Counts().PresUsed
	m.closeLog()
	attested, shares := token.count("attest"), frames{m.id, ceremony.KindShares, 0}
	sent := g.sent.count(shares)
	if err := acts["sign"](t.Context(), g.nodes[0].node, "pooled", 1, "node1", "node2"); err == nil {
		t.Error("it went through without a record")
	}
	if g.nodes[0].node.Counts().PresUsed == used {
		t.Error("no presignature of the pool was used")
	}
	if a, s := token.count("attest"), g.sent.count(shares); a != attested || s != sent {
		t.Errorf("node2's token attested %d times, and node2 sent shares in %d ceremonies, off the record", a-attested, s-sent)
	}
}

// Goal: nor does a coordinator begin what it cannot put on record, in its audit log or in the store of session_ids. Method: the log is
// closed, or the store refuses these; every line is tried, those of signatures with and without a share of its own. Not even a
// proposal may leave it.
func TestCoordinatorOffRecord(t *testing.T) {
	for name, spoil := range map[string]func(m *member){
		"audit log": (*member).closeLog,
		"session_id": func(m *member) {
			store := &failingStore{Store: m.state, prefix: "node/session/"}
			store.fails.Store(1 << 30)
			m.halt()
			m.state = store
			m.start()
			m.c.waitReady()
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateTest(t)
			acts := actsOf(g.keygenBy("secp256k1", "dkls23", 2, 3))
			m := g.nodes[0]
			spoil(m)
			for _, line := range m.node.Lines() {
				if name == "session_id" && lineRows[line].done == nil { // it has none
					continue
				}
				for _, signers := range [][]transport.NodeID{{"node1", "node2"}, {"node2", "node3"}} {
					before := g.sent.count(frames{m.id, ceremony.KindProposal, 0})
					if err := acts[line](t.Context(), m.node, line, 1, signers...); err == nil {
						t.Errorf("%s by %v goes through without a record", line, signers)
					}
					if n := g.sent.count(frames{m.id, ceremony.KindProposal, 0}) - before; n != 0 {
						t.Errorf("%s by %v: %d ceremonies were proposed that are not on record", line, signers, n)
					}
				}
			}
		})
	}
}

// Goal: a coordinator holds a refresh against the key once more when it has the key to itself: two shares of one epoch would not go
// together. Method: between the gate and the lock, another attempt leaves a share of the epoch that the refresh was to make.
func TestRefreshJudgedAgain(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	shares := refreshShares(t, c, w.ID, 2)
	held := c.nodes[0].gate("node/session/refresh/")
	n, done := c.nodes[0].node, make(chan error, 1)
	var got *appliance.Wallet
	go func() {
		var err error
		got, err = n.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})
		done <- err
	}()
	<-held.held
	if _, err := n.StageAttempt(t.Context(), w.ID, shares[0]); err != nil {
		t.Error(err)
	}
	held.open()
	if err := <-done; err != nil || got.Epoch != 3 {
		t.Errorf("%v, %+v; node1 has a share of epoch 2 from another attempt", err, got)
	}
}

// Goal: the proposal of a refresh that could not be permitted does not get the key's lock: a member's word alone would keep a key from
// being refreshed. Method: propose it of a key that is locked, and see what is told.
func TestRefreshLocksNothing(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	for name, row := range map[string]struct {
		epoch   uint64
		signers int
		want    string
	}{
		"an epoch of the future": {2, 3, "the intent says 2"},
		"not the committee":      {1, 2, "needs the whole committee"},
		"one that could be":      {1, 3, "is being refreshed already"},
	} {
		err := c.nodes[0].node.RefreshHeld(t.Context(), w.ID, row.epoch, row.signers)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
