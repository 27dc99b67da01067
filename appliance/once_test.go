package appliance_test

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: one request is one act and one answer, at whichever node it is asked, one after the other or at once, also after all have been
// restarted; another request under its session_id is refused at each. Method: a keygen, a refresh and signatures of each kind of key, by
// quorums that are the same and others, at every node.
func TestOneAct(t *testing.T) {
	c := newCluster(t, 3)
	everywhere := func(what string, do func(n *appliance.Node) (any, error)) (first any) {
		t.Helper()
		type result struct {
			got any
			err error
		}
		at := make([]chan result, len(c.nodes))
		for i, m := range c.nodes { // at once
			at[i] = make(chan result, 1)
			go func() { got, err := do(m.node); at[i] <- result{got, err} }()
		}
		for i, m := range c.nodes {
			r := <-at[i]
			if r.err != nil {
				t.Fatalf("%s at %s: %v", what, m.id, r.err)
			}
			if i == 0 {
				first = r.got
			}
			if !reflect.DeepEqual(r.got, first) {
				t.Errorf("%s: %s answers\n%+v, node1\n%+v", what, m.id, r.got, first)
			}
		}
		return first
	}
	refused := func(what string, do func(n *appliance.Node) (any, error)) {
		t.Helper()
		for _, m := range c.nodes {
			if got, err := do(m.node); problem.As(err).Code != problem.Conflict {
				t.Errorf("%s at %s: %+v, %v", what, m.id, got, err)
			}
		}
	}
	keygen := func(label string) func(n *appliance.Node) (any, error) {
		return func(n *appliance.Node) (any, error) {
			return n.Keygen(t.Context(), appliance.KeygenRequest{SessionID: "keygen", Curve: "secp256k1", Protocol: "dkls23", Threshold: 2,
				Label: label, BodyHash: sha256.Sum256([]byte(label))})
		}
	}
	wallet := everywhere("keygen", keygen("a")).(*appliance.Wallet)
	digest := sha256.Sum256([]byte("a transaction"))
	sign := func(session, message string, signers ...transport.NodeID) func(n *appliance.Node) (any, error) {
		return func(n *appliance.Node) (any, error) {
			digest := sha256.Sum256([]byte(message))
			return n.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: wallet.ID, Message: digest[:], Signers: signers,
				BodyHash: digest})
		}
	}
	refresh := func(n *appliance.Node) (any, error) {
		return n.Refresh(t.Context(), appliance.RefreshRequest{SessionID: "refresh", WalletID: wallet.ID, BodyHash: digest})
	}
	all := func() []any {
		return []any{everywhere("keygen", keygen("a")), everywhere("sign", sign("pay", "one")), everywhere("refresh", refresh),
			everywhere("sign by a quorum", sign("pay-by-two", "one", "node1", "node2"))}
	}
	before := all()
	restart := func() {
		for _, m := range c.nodes {
			m.halt()
		}
		for _, m := range c.nodes {
			m.start()
		}
		c.waitReady()
	}
	restart()
	refused("another payment", sign("pay", "two"))
	refused("another label", keygen("b"))
	if _, err := sign("alone", "one", "node1", "node2")(c.nodes[0].node); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes[1:] { // that have no answer of their own
		digest := sha256.Sum256([]byte("one"))
		got, err := m.node.Sign(t.Context(), appliance.SignRequest{SessionID: "alone", WalletID: wallet.ID, Message: digest[:],
			Signers: []transport.NodeID{"node1", m.id}, Chain: "ethereum"})
		if problem.As(err).Code != problem.Conflict {
			t.Errorf("another body about the same payment at %s: %+v, %v", m.id, got, err)
		}
	}
	if after := all(); !reflect.DeepEqual(before, after) {
		t.Errorf("before the restart\n%+v\nafter it\n%+v", before, after)
	}
	list, _, err := c.nodes[0].node.Wallets(t.Context(), appliance.Page{})
	if err != nil || len(list) != 1 || list[0].Epoch != 2 {
		t.Errorf("%d wallets, %v: %+v", len(list), err, list)
	}
	var receipts []any
	for _, m := range c.nodes {
		r, err := m.node.Receipt(t.Context(), before[1].(*appliance.Signature).ReceiptID)
		if err != nil {
			t.Fatalf("the receipt at %s: %v", m.id, err)
		}
		receipts = append(receipts, r)
	}
	if !reflect.DeepEqual(receipts[0], receipts[1]) || !reflect.DeepEqual(receipts[0], receipts[2]) {
		t.Error("the receipts differ")
	}
}

// Goal: a keygen whose coordinator was lost while the key was proven is taken up under its session_id, at any node, and makes no second
// key. Method: a coordinator that stops there; the same request at each node.
func TestKeygenTakenUp(t *testing.T) {
	c := newCluster(t, 3)
	req := appliance.KeygenRequest{SessionID: "one-key", Curve: "ed25519", Threshold: 2, Total: 3}
	id, err := c.nodes[0].node.KeygenUnproven(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		if w, err := m.node.Keygen(t.Context(), req); err != nil || w.ID != id || w.State != keys.Active {
			t.Errorf("%s: %+v, %v; want wallet %s", m.id, w, err, id)
		}
		ws, _, err := m.node.Wallets(t.Context(), appliance.Page{})
		if err != nil || len(ws) != 1 {
			t.Errorf("%d wallets at %s, %v", len(ws), m.id, err)
		}
	}
}

// Goal: a member takes no session_id away by asking for something under it and leaving. Method: node3 proposes a payment to node1 and
// leaves; once node1 has given it up, another payment is asked for under the same session_id.
func TestNoSquatting(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	f := newForger(c, w.ID)
	topic := f.send(func(d *draft) { d.first().RequestID = "mine" })
	f.answer(topic)
	f.r.send(transport.Envelope{To: []transport.NodeID{"node1"}, Kind: ceremony.KindRefusal, Topic: topic,
		Body: canon.MustMarshal(ceremony.Refusal{Code: problem.Denied, Message: "no"})})
	waitFor(t, "node1 to give it up", func() bool { return len(c.nodes[0].entries(t, "sign.abort")) > 0 })
	req := appliance.SignRequest{SessionID: "mine", WalletID: w.ID, Message: []byte("another payment"),
		Signers: []transport.NodeID{"node1", "node2"}}
	waitFor(t, "the session_id to be free", func() bool {
		_, err := c.nodes[0].node.Sign(t.Context(), req)
		return err == nil
	})
}

// Goal: another node's answer is taken over if it is proven, and of what was asked; nothing else that a member says is an answer.
// Method: the answers of node1 shown to node2, whole and bent.
func TestAdoptAnswers(t *testing.T) {
	c := newCluster(t, 3)
	one, two := c.nodes[0].node, c.nodes[1].node
	w, err := one.Keygen(t.Context(), appliance.KeygenRequest{SessionID: "keygen", Curve: "ed25519", Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(session, message string) (appliance.SignRequest, *attest.Receipt) {
		t.Helper()
		req := appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte(message)}
		sig, err := one.Sign(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return req, sig.Receipt
	}
	req, good := ask("pay", "a payment")
	other, another := ask("other", "another payment")
	bent := *good
	bent.Signature = slices.Clone(good.Signature)
	bent.Signature[3] ^= 1
	for name, row := range map[string]struct {
		req     appliance.SignRequest
		answer  string
		receipt *attest.Receipt
		ok      bool
	}{
		"whole":                      {req, good.ID, good, true},
		"another whole":              {other, another.ID, another, true},
		"a receipt of another":       {req, another.ID, another, false},
		"a signature bent":           {req, good.ID, &bent, false},
		"another message":            {appliance.SignRequest{SessionID: "pay", WalletID: w.ID, Message: other.Message}, good.ID, good, false},
		"under another name":         {req, another.ID, good, false},
		"a receipt of another place": {appliance.SignRequest{SessionID: "x", WalletID: w.ID, Message: req.Message}, good.ID, good, false},
	} {
		sig, err := two.AdoptSignature(t.Context(), row.req, row.answer, row.receipt)
		if (err == nil) != row.ok || row.ok && sig.ReceiptID != row.answer {
			t.Errorf("%s: %+v, %v", name, sig, err)
		}
	}
	for name, row := range map[string]struct {
		op   attest.Operation
		bend func(*string, *keys.Record)
		ok   bool
	}{
		"whole":             {attest.OpKeygen, func(*string, *keys.Record) {}, true},
		"of a refresh":      {attest.OpRefresh, func(*string, *keys.Record) {}, true},
		"another session":   {attest.OpKeygen, func(s *string, _ *keys.Record) { *s = "x" }, false},
		"another label":     {attest.OpKeygen, func(_ *string, r *keys.Record) { r.Label = "x" }, false},
		"another protocol":  {attest.OpKeygen, func(_ *string, r *keys.Record) { r.Scheme = "x" }, false},
		"another state":     {attest.OpKeygen, func(_ *string, r *keys.Record) { r.State = keys.Proving }, false},
		"another group key": {attest.OpKeygen, func(_ *string, r *keys.Record) { r.Info.GroupKey = good.Signature[:32] }, false},
	} {
		if err := two.AdoptWallet(t.Context(), row.op, "keygen", w.ID, w.ID, row.bend); (err == nil) != row.ok {
			t.Errorf("a wallet, %s: %v", name, err)
		}
	}
	if err := two.AdoptWallet(t.Context(), attest.OpRefresh, "refresh", c.keygen("ed25519", 2, 3).ID, w.ID,
		func(*string, *keys.Record) {}); err == nil {
		t.Error("a refresh of one wallet is answered with another")
	}
}

// Goal: what was answered is not done again because the roster has changed since: the answer is verified by the roster that it names, also
// after a restart; and a node that does not have that roster refuses, and says whom to ask. Method: a payment at node1; a newer roster on
// all nodes; the same at node2, then at a node2 that was restarted, then at node3, whose roster of before is taken out of its store.
func TestOneActAcrossRosters(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	pay := func(m *member, session string) (*appliance.Signature, error) {
		return m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte("a payment")})
	}
	first := map[string]*appliance.Signature{}
	for _, session := range []string{"one", "two", "three"} {
		s, err := pay(c.nodes[0], session)
		if err != nil {
			t.Fatal(err)
		}
		first[session] = s
	}
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	r.Nodes[2].Endpoint = "elsewhere:1"
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		if err := m.node.TakeUp(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	same := func(session string) {
		t.Helper()
		if s, err := pay(c.nodes[1], session); err != nil || s.ReceiptID != first[session].ReceiptID {
			t.Errorf("%s: %+v, %v; want receipt %s", session, s, err, first[session].ReceiptID)
		}
	}
	same("one")
	c.roster = next
	c.nodes[1].halt()
	c.nodes[1].start()
	c.waitReady()
	same("two")
	three := c.nodes[2]
	var gone [][]byte
	if err := three.state.Iterate(t.Context(), []byte("node/roster/"), func(key, _ []byte) error {
		gone = append(gone, slices.Clone(key))
		return nil
	}); err != nil || len(gone) != 2 {
		t.Fatalf("%d rosters, %v", len(gone), err)
	}
	if err := three.state.Batch(t.Context(), nil, gone); err != nil {
		t.Fatal(err)
	}
	s, err := pay(three, "three")
	if p := problem.As(err); p.Code != problem.Conflict || p.Field != "session_id" || !strings.Contains(p.Next, "node1") ||
		!strings.Contains(p.Error(), first["three"].Receipt.Roster) {
		t.Errorf("without the roster: %+v, %v", s, err)
	}
}

// Goal: a party that has made a share keeps what the session_id stands for, also where another node led it. Method: node2 and node3
// sign for node1, which has no share of it; then what node2 has stored, once it has stopped.
func TestActedIsKept(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	req := appliance.SignRequest{SessionID: "pay", WalletID: w.ID, Message: []byte("a payment"), Signers: []transport.NodeID{"node2", "node3"}}
	if _, err := c.nodes[0].node.Sign(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	c.nodes[1].halt() // its side of the ceremony is over
	u, err := operation.NewUses(c.nodes[1].node.Store()).Get(t.Context(), "pay")
	if err != nil || u == nil || u.Coordinator != "node1" {
		t.Errorf("node2 keeps %+v, %v", u, err)
	}
}
