package appliance_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
)

// begun counts what the nodes that run have put on record of acts that began.
func begun(t *testing.T, c *cluster) (n int) {
	t.Helper()
	for _, m := range c.nodes {
		if m.stop == nil {
			continue
		}
		for _, event := range []string{"keygen.begin", "refresh.begin", "sign.accept", "share.sign"} {
			n += len(m.entries(t, event))
		}
	}
	return n
}

// same asks a node again, and wants the answer that another gave.
func same(t *testing.T, what string, want any, again func() (any, error)) {
	t.Helper()
	if got, err := again(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, %v\nwant %+v", what, got, err, want)
	}
}

// Goal: what was answered is answered again also by a node that is no party of the key, and another request under its session_id is
// refused there; what nobody has answered such a node refuses as before, and begins nothing. Method: a key of node1 and node2 of each
// kind of request; the same, and others, at node3.
func TestAgainAtNoParty(t *testing.T) {
	c := newCluster(t, 3)
	one, three := c.nodes[0].node, c.nodes[2].node
	keygen := func(n *appliance.Node, session, label string) (any, error) {
		return n.Keygen(t.Context(), appliance.KeygenRequest{SessionID: session, Curve: "ed25519", Threshold: 2, Label: label,
			Parties: []transport.NodeID{"node1", "node2"}, BodyHash: sha256.Sum256([]byte(label))})
	}
	key, err := keygen(one, "keygen", "a")
	if err != nil {
		t.Fatal(err)
	}
	w := key.(*appliance.Wallet)
	sign := func(n *appliance.Node, session, message string) (any, error) {
		return n.Sign(t.Context(), appliance.SignRequest{SessionID: session, PublicKey: w.PublicKey, Message: []byte(message),
			BodyHash: sha256.Sum256([]byte(message))})
	}
	refresh := func(n *appliance.Node, session string, release ...transport.NodeID) (any, error) {
		return n.Refresh(t.Context(), appliance.RefreshRequest{SessionID: session, WalletID: w.ID, Release: release,
			BodyHash: [32]byte{byte(len(release))}})
	}
	paid, err := sign(one, "pay", "a payment")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := refresh(one, "refresh")
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := three.Wallet(t.Context(), w.ID); err != nil || shown.Epoch != 2 || !reflect.DeepEqual(shown.PublicKey, w.PublicKey) {
		t.Errorf("node3 shows %+v, %v", shown, err)
	}
	if _, err := three.Wallet(t.Context(), "w_nobody"); problem.As(err).Code != problem.NotFound {
		t.Errorf("node3 shows a wallet that is none: %v", err)
	}
	before := begun(t, c)
	for _, when := range []string{"at first", "once more"} { // from the others, then from its own store
		same(t, "keygen "+when, key, func() (any, error) { return keygen(three, "keygen", "a") })
		same(t, "sign "+when, paid, func() (any, error) { return sign(three, "pay", "a payment") })
		same(t, "refresh "+when, renewed, func() (any, error) { return refresh(three, "refresh") })
	}
	for what, row := range map[string]struct {
		code problem.Code
		do   func() (any, error)
	}{
		"another label":                {problem.Conflict, func() (any, error) { return keygen(three, "keygen", "b") }},
		"another payment":              {problem.Conflict, func() (any, error) { return sign(three, "pay", "another") }},
		"another release":              {problem.Conflict, func() (any, error) { return refresh(three, "refresh", "node2") }},
		"a keygen that is new":         {problem.Invalid, func() (any, error) { return keygen(three, "new-keygen", "a") }},
		"a payment that is new":        {problem.NotFound, func() (any, error) { return sign(three, "new-pay", "a payment") }},
		"a refresh that is new":        {problem.NotFound, func() (any, error) { return refresh(three, "new-refresh") }},
		"a keygen without session_id":  {problem.Invalid, func() (any, error) { return keygen(three, "", "a") }},
		"a payment without session_id": {problem.NotFound, func() (any, error) { return sign(three, "", "a payment") }},
		"a refresh without session_id": {problem.NotFound, func() (any, error) { return refresh(three, "") }},
	} {
		if got, err := row.do(); problem.As(err).Code != row.code {
			t.Errorf("%s: %+v, %v; want %s", what, got, err, row.code)
		}
	}
	if now := begun(t, c); now != before {
		t.Errorf("%d acts began", now-before)
	}
}

// Goal: what was answered is answered again also where it could not be done now: a signer is down whom the request names, too few are up,
// the key is not active here yet, and none of it begins anything; what is new is refused as before. Method: payments at node1 with keys of
// two and of all three nodes; node2 is stopped; the same at node3.
func TestAgainWhileDown(t *testing.T) {
	c := newCluster(t, 3)
	two, all := c.keygen("ed25519", 2, 3), c.keygen("ed25519", 3, 3)
	pay := func(m *member, w *appliance.Wallet, session, message string, signers ...transport.NodeID) (any, error) {
		return m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte(message), Signers: signers,
			BodyHash: sha256.Sum256([]byte(message))})
	}
	rows := []struct {
		session string
		w       *appliance.Wallet
		signers []transport.NodeID
	}{{"named", two, []transport.NodeID{"node1", "node2"}}, {"all", all, nil}}
	answers := map[string]any{}
	for _, x := range rows {
		var err error
		if answers[x.session], err = pay(c.nodes[0], x.w, x.session, "a payment", x.signers...); err != nil {
			t.Fatal(err)
		}
	}
	down := c.nodes[1]
	down.halt()
	for _, m := range []*member{c.nodes[0], c.nodes[2]} {
		waitFor(t, string(m.id)+" to miss node2", func() bool {
			return !slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool { return s.ID == down.id && s.Live })
		})
	}
	before := begun(t, c)
	for _, x := range rows {
		same(t, x.session, answers[x.session], func() (any, error) { return pay(c.nodes[2], x.w, x.session, "a payment", x.signers...) })
		for _, m := range []*member{c.nodes[0], c.nodes[2]} {
			if got, err := pay(m, x.w, x.session, "another", x.signers...); problem.As(err).Code != problem.Conflict {
				t.Errorf("another payment under %s at %s: %+v, %v", x.session, m.id, got, err)
			}
			if got, err := pay(m, x.w, "new-"+x.session, "a payment", x.signers...); problem.As(err).Code != problem.Quorum {
				t.Errorf("a new payment at %s: %+v, %v", m.id, got, err)
			}
		}
	}
	if now := begun(t, c); now != before {
		t.Errorf("%d acts began", now-before)
	}
}

// missing waits until nodes that run miss those that were halted.
func (c *cluster) missing(t *testing.T, down ...*member) {
	t.Helper()
	for _, m := range c.nodes {
		waitFor(t, string(m.id)+" to miss who is down", func() bool {
			return m.stop == nil || !slices.ContainsFunc(m.node.Nodes(), func(s appliance.NodeStatus) bool {
				return s.Live && slices.ContainsFunc(down, func(d *member) bool { return d.id == s.ID })
			})
		})
	}
}

// Goal: a keygen that names no parties is for the same parties at whichever node it is asked, so that it makes one key; a node that is none
// of them gives their answer, and says whom to ask where it has none. Method: a key of two of four nodes, asked at node1 and node4; then at
// node3 and node4 with node1 and node2 down.
func TestAgainOneCommittee(t *testing.T) {
	c := newCluster(t, 4)
	keygen := func(m *member, session string) (any, error) {
		return m.node.Keygen(t.Context(), appliance.KeygenRequest{SessionID: session, Curve: "ed25519", Threshold: 2, Total: 2})
	}
	w, err := keygen(c.nodes[3], "new")
	if p := problem.As(err); p.Code != problem.Invalid || !strings.Contains(p.Next, "[node1 node2]") {
		t.Errorf("at node4, which is no party: %+v, %v", w, err)
	}
	w, err = keygen(c.nodes[0], "one")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "at node4", w, func() (any, error) { return keygen(c.nodes[3], "one") })
	c.nodes[0].halt()
	c.nodes[1].halt()
	c.missing(t, c.nodes[:2]...)
	same(t, "at node4, its parties down", w, func() (any, error) { return keygen(c.nodes[3], "one") })
	if w, err := keygen(c.nodes[2], "one"); problem.As(err).Code != problem.Quorum {
		t.Errorf("at node3, which cannot verify what node4 says: %+v, %v", w, err)
	}
	if w, err := keygen(c.nodes[2], "two"); problem.As(err).Code != problem.Invalid {
		t.Errorf("another, its parties down: %+v, %v", w, err)
	}
}

// Goal: the same body is the same request also where the roster, or a node's own defaults, would have something else made of it now;
// another body is refused, and where only parties are up that do not know the body, they say who has the answer. Method: keygens of
// all, of four, and by name, of four nodes at node1; then node4 is removed from the roster, and they are repeated at node2; node1 is
// stopped, and one that no other has the answer of is repeated at node3.
func TestAgainOtherDefaults(t *testing.T) {
	c := newCluster(t, 4)
	keygen := func(m *member, session string, req appliance.KeygenRequest) (any, error) {
		req.SessionID, req.Curve, req.Threshold = session, "ed25519", 3
		return m.node.Keygen(t.Context(), req)
	}
	reqs := map[string]appliance.KeygenRequest{"all": {}, "four": {Total: 4}, "last": {},
		"named": {Parties: []transport.NodeID{"node4", "node1", "node2", "node3"}}}
	made := map[string]any{}
	for session, req := range reqs {
		var err error
		if made[session], err = keygen(c.nodes[0], session, req); err != nil {
			t.Fatal(err)
		}
	}
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	r.Nodes[3].Removed = true
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[3].halt()
	for _, m := range c.nodes[:3] {
		if err := m.node.TakeUp(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	before := begun(t, c)
	for _, session := range []string{"all", "four", "named"} {
		for _, m := range c.nodes[:2] {
			same(t, session+" at "+string(m.id), made[session], func() (any, error) { return keygen(m, session, reqs[session]) })
		}
		other := reqs[session]
		other.BodyHash[0] = 1
		if w, err := keygen(c.nodes[2], session, other); problem.As(err).Code != problem.Conflict {
			t.Errorf("another body, %s: %+v, %v", session, w, err)
		}
	}
	if now := begun(t, c); now != before {
		t.Errorf("%d acts began", now-before)
	}
	c.nodes[0].halt()
	c.missing(t, c.nodes[0])
	before = begun(t, c)
	w, err := keygen(c.nodes[2], "last", reqs["last"])
	if p := problem.As(err); p.Code != problem.Conflict || !strings.Contains(p.Next, "node1") {
		t.Errorf("nobody up has the answer: %+v, %v", w, err)
	}
	if now := begun(t, c); now != before {
		t.Errorf("%d acts began", now-before)
	}
}

// Goal: where a node is about to have the answer to the same body, another waits for it, also where its roster would have something else
// made of that body now. Method: node1's write of a keygen's answer is held; node4 is removed from the roster; node2 is asked for as long
// as its caller waits, and again when the write is done.
func TestAgainWaitsWithOtherDefaults(t *testing.T) {
	c := newCluster(t, 4)
	g := c.nodes[0].gate("node/proofs/")
	keygen := func(ctx context.Context, m *member) (any, error) {
		return m.node.Keygen(ctx, appliance.KeygenRequest{SessionID: "s", Curve: "ed25519", Threshold: 3})
	}
	var made any
	first := make(chan error, 1)
	go func() {
		var err error
		made, err = keygen(t.Context(), c.nodes[0])
		first <- err
	}()
	<-g.held
	c.nodes[3].halt()
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	r.Nodes[3].Removed = true
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[1].node.TakeUp(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithTimeout(t.Context(), 2*time.Second)
	defer leave()
	if w, err := keygen(ctx, c.nodes[1]); problem.As(err).Code != problem.Timeout {
		t.Errorf("it does not wait: %+v, %v", w, err)
	}
	g.open()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	same(t, "when it is there", made, func() (any, error) { return keygen(t.Context(), c.nodes[1]) })
}

// Goal: a node that is no party gives what it has answered itself, whoever is up; what it cannot judge because too few answer is refused
// with who to start, and not as if there were no such wallet. Method: a key of node1 to node3, answers about it at node4, then with one and
// with two parties down.
func TestAgainAlone(t *testing.T) {
	c := newCluster(t, 4)
	w, four := c.keygen("ed25519", 2, 3), c.nodes[3].node
	sign := func(n *appliance.Node, session, message string) (any, error) {
		return n.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte(message),
			BodyHash: sha256.Sum256([]byte(message))})
	}
	refresh := func(n *appliance.Node, session string) (any, error) {
		return n.Refresh(t.Context(), appliance.RefreshRequest{SessionID: session, WalletID: w.ID})
	}
	paid, err := sign(c.nodes[0].node, "pay", "a payment")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := refresh(c.nodes[0].node, "refresh")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "sign", paid, func() (any, error) { return sign(four, "pay", "a payment") })
	same(t, "refresh", renewed, func() (any, error) { return refresh(four, "refresh") })
	none := "w_" + strings.Repeat("a", len(w.ID)-2)
	for i, want := range []problem.Code{problem.NotFound, problem.Quorum} { // with node1, and with node2 down too
		c.nodes[i].halt()
		c.missing(t, c.nodes[i])
		if got, err := four.Wallet(t.Context(), none); problem.As(err).Code != want {
			t.Errorf("a wallet that is none, %d down: %+v, %v", i+1, got, err)
		}
	}
	same(t, "sign, one party up", paid, func() (any, error) { return sign(four, "pay", "a payment") })
	same(t, "refresh, one party up", renewed, func() (any, error) { return refresh(four, "refresh") })
	if got, err := sign(four, "pay", "another"); problem.As(err).Code != problem.Conflict {
		t.Errorf("another payment: %+v, %v", got, err)
	}
	for what, do := range map[string]func() (any, error){
		"sign":    func() (any, error) { return sign(four, "new", "a payment") },
		"refresh": func() (any, error) { return refresh(four, "new-refresh") },
		"show":    func() (any, error) { return four.Wallet(t.Context(), w.ID) },
	} {
		if got, err := do(); problem.As(err).Code != problem.Quorum || !strings.Contains(problem.As(err).Next, "[node1 node2 node3]") {
			t.Errorf("%s, one party up: %+v, %v", what, got, err)
		}
	}
}

// Goal: a node that is no party of a key knows it also after the token of a party was replaced: it judges by the rosters that it keeps;
// where it has that roster no longer, it says what may be so, and calls no member a liar. Method: node3 of a key gets another attestation
// key; node4 with its rosters, and without those of before.
func TestAgainAfterTokenReplaced(t *testing.T) {
	c := newCluster(t, 4)
	w := c.keygen("ed25519", 2, 3)
	pay := func(m *member) (any, error) {
		return m.node.Sign(t.Context(), appliance.SignRequest{SessionID: "pay", WalletID: w.ID, Message: []byte("a payment")})
	}
	paid, err := pay(c.nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	three, four := c.nodes[2], c.nodes[3]
	if err := three.token.(hsm.KeyGenerator).GenerateKey(t.Context(), "attest2", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	r := c.roster.Roster
	r.Nodes, r.Serial = slices.Clone(r.Nodes), 2
	r.Nodes[2].AttestKey = three.publicKey(t.Context(), "attest2")
	next, err := r.Sign(c.root)
	if err != nil {
		t.Fatal(err)
	}
	three.halt()
	four.halt()
	var log bytes.Buffer
	four.logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	four.start()
	for _, m := range []*member{c.nodes[0], c.nodes[1], four} {
		if err := m.node.TakeUp(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	c.roster, three.attestKey = next, "attest2"
	three.start()
	c.waitReady()
	if got, err := four.node.Wallet(t.Context(), w.ID); err != nil || got.ID != w.ID {
		t.Errorf("node4 shows %+v, %v", got, err)
	}
	same(t, "sign", paid, func() (any, error) { return pay(four) })
	var gone [][]byte
	if err := four.state.Iterate(t.Context(), []byte("node/roster/"), func(key, _ []byte) error {
		gone = append(gone, slices.Clone(key))
		return nil
	}); err != nil || len(gone) != 2 {
		t.Fatalf("%d rosters, %v", len(gone), err)
	}
	if err := four.state.Batch(t.Context(), nil, gone); err != nil {
		t.Fatal(err)
	}
	got, err := four.node.Wallet(t.Context(), w.ID)
	if p := problem.As(err); p.Code != problem.NotFound || !strings.Contains(p.Next, "[node1 node2 node3]") ||
		!strings.Contains(p.Error(), "token was replaced since") {
		t.Errorf("without the roster of before: %+v, %v", got, err)
	}
	four.halt()
	if said := log.String(); !strings.Contains(said, "cannot verify") || strings.Contains(said, "from=") {
		t.Errorf("node4 says %s", said)
	}
}

// Goal: a node that is no party of a key believes of it what the key and all its parties have signed, and of the session that made it what
// so many parties say as sign with it; no member has it believe anything else. Method: what node1 and node2 show of their key to node4,
// whole, and bent by node1, once with the help of node3.
func TestJudgeWallets(t *testing.T) {
	c := newCluster(t, 4)
	keygen := func(session string) *appliance.Wallet {
		w, err := c.nodes[0].node.Keygen(t.Context(), appliance.KeygenRequest{SessionID: session, Curve: "ed25519", Threshold: 2,
			Label: "a", Parties: []transport.NodeID{"node1", "node2"}})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w, other := keygen("keygen"), keygen("other")
	parties := []*appliance.Node{c.nodes[0].node, c.nodes[1].node}
	taken := func(s *appliance.Shown) { // as of a key of node1 and node3
		s.Record.Info.Committee.Parties = []threshold.PartyID{1, 3}
		s.Record.Label, s.Record.SessionID, s.Record.Info.Epoch, s.Alone, s.Echoed = "b", "mine", 9, true, true
		for i := range s.Proofs.Each {
			s.Proofs.Each[i].Signers = s.Record.Info.Committee.Parties
		}
	}
	for name, bend := range map[string]func(*appliance.Shown){
		"whole":           nil,
		"another session": func(s *appliance.Shown) { s.Record.SessionID = "mine" },
		"another session, as one says that has no share": func(s *appliance.Shown) { s.Record.SessionID, s.Echoed = "mine", true },
		"another ID":                          func(s *appliance.Shown) { s.ID = other.ID },
		"another label":                       func(s *appliance.Shown) { s.Record.Label = "b" },
		"a later epoch":                       func(s *appliance.Shown) { s.Record.Info.Epoch = 9 },
		"not active":                          func(s *appliance.Shown) { s.Record.State = keys.Staged },
		"a certificate less":                  func(s *appliance.Shown) { s.Certs = s.Certs[:1] },
		"a certificate twice":                 func(s *appliance.Shown) { s.Certs[1] = s.Certs[0] },
		"a bent certificate":                  func(s *appliance.Shown) { s.Certs[1].Cose[9] ^= 1 },
		"a bent proof":                        func(s *appliance.Shown) { s.Proofs.Each[0].Signature[3] ^= 1 },
		"proofs of no quorum":                 func(s *appliance.Shown) { s.Proofs.Each = nil },
		"no proofs":                           func(s *appliance.Shown) { s.Proofs = nil },
		"as of two of which one has no share": taken,
		"under a key that they have made":     func(s *appliance.Shown) { taken(s); s.Forged = true },
	} {
		rec, err := c.nodes[3].node.JudgeWallets(t.Context(), w.ID, w.ID, parties, c.nodes[2].node, bend)
		if err != nil || bend == nil && rec == nil ||
			rec != nil && (rec.Label != "a" || rec.SessionID != "keygen" || rec.State != keys.Active || rec.Info.Epoch != 1) {
			t.Errorf("%s: %+v, %v", name, rec, err)
		}
	}
	if rec, err := c.nodes[3].node.JudgeWallets(t.Context(), w.ID, other.ID, parties, nil, nil); err != nil || rec != nil {
		t.Errorf("another wallet: %+v, %v", rec, err)
	}
}
