package appliance_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// change is the chain of the cluster's authority with one more, as the officer changes it.
func (c *cluster) change(change func(a *attest.Authority)) attest.AuthorityChain {
	c.t.Helper()
	chain := c.asker.Chain
	next := chain[len(chain)-1].Authority
	next.Prior, next.Serial = next.Digest(), next.Serial+1
	next.Initiators = slices.Clone(next.Initiators)
	change(&next)
	s, err := next.Sign("officer", sim.Sign(c.asker.Officer))
	if err != nil {
		c.t.Fatal(err)
	}
	return append(slices.Clone(chain), attest.SignedAuthority{Authority: next, Signatures: []attest.AuthoritySignature{s}})
}

// Goal: what no initiator asked for is done by no signer, whoever has whatever of the coordinator: its token, its place and its API.
// Method: a node that asks nobody, and coordinates a signature, a key and a refresh of its own; then the same with an initiator's word on
// something else, for another wallet, and after its time.
func TestNobodyAsked(t *testing.T) {
	c := newCluster(t, 3)
	w, other := c.keygen("ed25519", 2, 3), c.keygen("ed25519", 2, 3)
	alone := c.nodes[0]
	alone.halt()
	alone.unasked = true
	alone.start()
	c.waitReady()
	ctx, message := t.Context(), []byte("a payment")
	refused := func(name string, err error) {
		t.Helper()
		if p := problem.As(err); p == nil || p.Code != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := alone.node.Sign(ctx, appliance.SignRequest{WalletID: w.ID, Message: message})
	refused("sign", err)
	_, err = alone.node.Keygen(ctx, appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3})
	refused("keygen", err)
	_, err = alone.node.Refresh(ctx, appliance.RefreshRequest{WalletID: w.ID})
	refused("refresh", err)
	in := attest.Intent{Cluster: "test", Operation: attest.OpSign, RequestID: "s", KeyID: w.ID, Message: message,
		Created: time.Now().UnixMilli()}
	if err := c.asker.Initiate(ctx, &in); err != nil {
		t.Fatal(err)
	}
	word := in.Initiation
	for name, bend := range map[string]func(r *appliance.SignRequest){
		"another message": func(r *appliance.SignRequest) { r.Message = []byte("another") },
		"another wallet":  func(r *appliance.SignRequest) { r.WalletID = other.ID },
		"another session": func(r *appliance.SignRequest) { r.SessionID = "s2" },
		"another chain":   func(r *appliance.SignRequest) { r.Chain = "solana" },
		"another expiry": func(r *appliance.SignRequest) {
			x := *word
			x.Expires++
			r.Initiation = &x
		},
	} {
		r := appliance.SignRequest{SessionID: "s", WalletID: w.ID, Message: message, Requester: name,
			Consent: appliance.Consent{Initiation: word}}
		bend(&r)
		_, err := alone.node.Sign(ctx, r)
		refused(name, err)
	}
	s, err := alone.node.Sign(ctx, appliance.SignRequest{SessionID: "s", WalletID: w.ID, Message: message,
		Consent: appliance.Consent{Initiation: word}})
	if err != nil || s.Receipt.Intent.Initiation == nil || s.Receipt.Intent.Initiation.By != "asker" {
		t.Errorf("what was asked for: %+v, %v", s, err)
	}
}

// Goal: a signer judges for itself, also where the coordinator's code lets all pass. Method: a coordinator whose gate asks nobody.
func TestSignersAskWhoAsked(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	digest := sha256.Sum256([]byte("m"))
	rogue := c.nodes[0]
	rogue.halt()
	rogue.unasked = true
	rogue.start()
	c.waitReady()
	rogue.node.AskNobody()
	for name, err := range map[string]error{
		"sign":    second(rogue.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest[:]})),
		"keygen":  second(rogue.node.Keygen(t.Context(), appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3})),
		"refresh": second(rogue.node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID})),
	} {
		if p := problem.As(err); err == nil || p.Code != problem.Denied || !strings.Contains(p.Error(), "asked") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// byHTTP is an asker's word as an HTTP message signature on what an intent of the test's cluster asks for.
func (c *cluster) byHTTP(session string, in attest.Intent) appliance.Consent {
	c.t.Helper()
	in.Cluster, in.RequestID, in.Created = "test", session, time.Now().UnixMilli()
	field, err := c.asker.InitiateHTTP(&in, time.Now().Add(time.Minute))
	if err != nil {
		c.t.Fatal(err)
	}
	return appliance.Consent{Initiation: in.Initiation, Field: field}
}

// Goal: what an initiator has signed as an HTTP message signature is done, and the receipt shows it; a field that is not of what the body
// asks for is told, and does nothing. Method: a signature, a key and a refresh, each with the field of another first.
func TestInitiatedByHTTP(t *testing.T) {
	c := newCluster(t, 3)
	w, one, message := c.keygen("ed25519", 2, 3), c.nodes[0].node, []byte("m")
	sign := appliance.SignRequest{SessionID: "s", WalletID: w.ID, Message: message,
		Consent: c.byHTTP("s", attest.Intent{Operation: attest.OpSign, KeyID: w.ID, Message: message})}
	keygen := appliance.KeygenRequest{SessionID: "k", Curve: "ed25519", Threshold: 2, Total: 3,
		Consent: c.byHTTP("k", attest.Intent{Operation: attest.OpKeygen, Signers: make([]threshold.PartyID, 3),
			Keygen: &attest.KeygenParams{Threshold: 2, Kind: threshold.Ed25519.ID}})}
	refresh := appliance.RefreshRequest{SessionID: "r", WalletID: w.ID,
		Consent: c.byHTTP("r", attest.Intent{Operation: attest.OpRefresh, KeyID: w.ID})}
	signs, makes, renews := sign.Field, keygen.Field, refresh.Field
	sign.Field, keygen.Field, refresh.Field = makes, renews, signs
	for name, err := range map[string]error{
		"sign":    second(one.Sign(t.Context(), sign)),
		"keygen":  second(one.Keygen(t.Context(), keygen)),
		"refresh": second(one.Refresh(t.Context(), refresh)),
	} {
		if p := problem.As(err); err == nil || p.Code != problem.Invalid || p.Field != "Mpcd-Initiation" ||
			!strings.Contains(p.Message, "not of what the body asks for") {
			t.Errorf("%s with another's field: %v", name, err)
		}
	}
	sign.Field, keygen.Field, refresh.Field = signs, makes, renews
	s, err := one.Sign(t.Context(), sign)
	if err != nil || s.Receipt.Intent.Initiation.Parameters == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := attest.VerifyReceipt(s.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{Authority: c.asker.Chain}); err != nil {
		t.Error(err)
	}
	if _, err := one.Keygen(t.Context(), keygen); err != nil {
		t.Error(err)
	}
	if _, err := one.Refresh(t.Context(), refresh); err != nil {
		t.Error(err)
	}
}

// Goal: every signer judges the parameters of an HTTP message signature for itself, where the coordinator's code lets all pass. Method: a
// coordinator whose gate asks nobody, with forged parameters, before each of the other signers; and with good ones.
func TestSignersJudgeParameters(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	rogue := c.nodes[0].node
	rogue.AskNobody()
	for name, forge := range map[string]func(*attest.Initiation){
		"good":    func(*attest.Initiation) {},
		"created": func(x *attest.Initiation) { x.Parameters = strings.Replace(x.Parameters, "created=", "created=1", 1) },
		"more":    func(x *attest.Initiation) { x.Parameters += `;nonce="a"` },
		"none":    func(x *attest.Initiation) { x.Parameters = "" },
		"covered": func(x *attest.Initiation) { x.Parameters = strings.Replace(x.Parameters, `"mpcd-initiation"`, "", 1) },
	} {
		for _, other := range []transport.NodeID{"node2", "node3"} {
			r := appliance.SignRequest{SessionID: name + string(other), WalletID: w.ID, Message: []byte("m"), Requester: name + string(other),
				Signers: []transport.NodeID{"node1", other}}
			r.Consent = c.byHTTP(r.SessionID, attest.Intent{Operation: attest.OpSign, KeyID: w.ID, Message: r.Message})
			forge(r.Initiation)
			_, err := rogue.Sign(t.Context(), r)
			if p := problem.As(err); name == "good" && err != nil || name != "good" && (err == nil || p.Code != problem.Denied ||
				!strings.Contains(p.Error(), "asked")) {
				t.Errorf("%s before %s: %v", name, other, err)
			}
		}
	}
}

// Goal: what was answered is answered again at whichever node, also when the initiator's word has expired, or without it, and none of it
// begins anything; nobody has the answer of another body; what nobody has answered is refused, with what to do; and whoever only has a
// token has the nodes ask each other no more than so often. Method: a payment, a key and a refresh at node1 whose words expire soon; later
// the same at node3, which signs for nobody.
func TestAgainUninitiated(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, three := c.nodes[0], c.nodes[2]
	three.halt()
	three.unasked = true
	three.start()
	c.waitReady()
	soon := time.Now().Add(1500 * time.Millisecond)
	word := func(session string) *attest.Initiation {
		in := attest.Intent{Cluster: "test", Operation: attest.OpSign, RequestID: session, KeyID: w.ID, Message: []byte("m"),
			Created: soon.Add(-time.Hour).UnixMilli()} // an asker's word holds an hour
		if err := c.asker.Initiate(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
		return in.Initiation
	}
	pay := func(m *member, session, body, who string, x *attest.Initiation) (any, error) {
		return m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte("m"), Requester: who,
			BodyHash: sha256.Sum256([]byte(body)), Consent: appliance.Consent{Initiation: x}})
	}
	expired, none, fresh := word("expired"), word("none"), word("new")
	paid, err := pay(one, "expired", "a", "alice", expired)
	if err != nil {
		t.Fatal(err)
	}
	paid2, err := pay(one, "none", "a", "alice", none)
	if err != nil {
		t.Fatal(err)
	}
	keygen := func(m *member) (any, error) {
		return m.node.Keygen(t.Context(), appliance.KeygenRequest{SessionID: "keygen", Curve: "ed25519", Threshold: 2, Requester: "alice"})
	}
	refresh := func(m *member) (any, error) {
		return m.node.Refresh(t.Context(), appliance.RefreshRequest{SessionID: "refresh", WalletID: w.ID, Requester: "alice"})
	}
	made, err := keygen(one)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := refresh(one)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(soon) + 10*time.Millisecond)
	before := begun(t, c)
	for session, body := range map[string]string{"expired": "b", "new": "a"} { // before node3 has an answer of its own
		_, err := pay(three, session, body, "bob", map[string]*attest.Initiation{"expired": expired, "new": fresh}[session])
		if p := problem.As(err); p.Code != problem.Denied || !strings.Contains(p.Next, "sign the request again") {
			t.Errorf("%s, %s: %v; %s", session, body, err, p.Next)
		}
	}
	same(t, "expired", paid, func() (any, error) { return pay(three, "expired", "a", "alice", expired) })
	same(t, "without a word", paid2, func() (any, error) { return pay(three, "none", "a", "alice", nil) })
	same(t, "a key without a word", made, func() (any, error) { return keygen(three) })
	same(t, "a refresh without a word", renewed, func() (any, error) { return refresh(three) })
	codes := map[problem.Code]int{}
	for i := range 20 {
		_, err := pay(three, fmt.Sprint("made-up-", i), "a", "mallory", nil)
		codes[problem.As(err).Code]++
	}
	if codes[problem.Denied]+codes[problem.Overload] != 20 || codes[problem.Overload] == 0 {
		t.Errorf("20 requests that nobody may have: %v", codes)
	}
	if now := begun(t, c); now != before {
		t.Errorf("%d acts began", now-before)
	}
}

func second[T any](_ T, err error) error { return err }

// Goal: an authority that officers changed is in force at all nodes without anybody's doing at each, survives a restart, and none goes
// back. Method: one node takes it up; the others and a restarted one; the older chain, a fork, another root's.
func TestAuthorityTravels(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	next := c.change(func(a *attest.Authority) { a.Initiators = []attest.Initiator{} }) // who asked before may not any more
	if err := c.nodes[0].node.TakeAuthority(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	pay := func(m *member, session string) error {
		_, err := m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte("m")})
		return err
	}
	for _, m := range c.nodes {
		sim.Wait(t, string(m.id)+" has the newer authority", func() bool { return m.node.AuthoritySerial() == 2 })
		if err := pay(m, "after-"+string(m.id)); problem.As(err).Code != problem.Denied {
			t.Errorf("%s: %v", m.id, err)
		}
	}
	m := c.nodes[1]
	m.halt()
	m.start() // with the first in its configuration
	c.waitReady()
	if got := m.node.AuthoritySerial(); got != 2 {
		t.Errorf("after a restart with the older file the authority is of serial %d", got)
	}
	if err := m.node.TakeAuthority(t.Context(), c.asker.Chain); err != nil || m.node.AuthoritySerial() != 2 {
		t.Errorf("the older one: serial %d, %v", m.node.AuthoritySerial(), err)
	}
	fork := c.change(func(a *attest.Authority) { a.Initiators[0].Name = "mallory" })
	if err := m.node.TakeAuthority(t.Context(), fork); problem.As(err).Code != problem.Conflict {
		t.Errorf("a second one of serial 2: %v", err)
	}
	_, root, _ := ed25519.GenerateKey(nil)
	stranger, err := sim.NewAsker("test", root, randomSeed(), randomSeed())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.node.TakeAuthority(t.Context(), stranger.Chain); problem.As(err).Code != problem.Invalid {
		t.Errorf("another root's: %v", err)
	}
	elsewhere, err := sim.NewAsker("elsewhere", c.root, randomSeed(), randomSeed())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.node.TakeAuthority(t.Context(), elsewhere.Chain); problem.As(err).Code != problem.Invalid {
		t.Errorf("another cluster's: %v", err)
	}
}

// Goal: a cluster without an authority does nothing for anybody, and says what to do. Method: nodes that have none.
func TestNoAuthority(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	for _, m := range c.nodes {
		m.halt()
		if err := m.state.Batch(context.Background(), nil, [][]byte{[]byte("node/authority")}); err != nil {
			t.Fatal(err)
		}
	}
	c.asker.Chain = nil
	for _, m := range c.nodes {
		m.start()
	}
	c.waitReady()
	_, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
	if p := problem.As(err); err == nil || p.Code != problem.Denied || !strings.Contains(p.Error(), "no authority") ||
		!strings.Contains(p.Next, "mpcd authority init") {
		t.Errorf("%v", err)
	}
}

// Goal: a signer goes by the authority in force at it alone; and an initiator who may ask in one vault cannot have a wallet of another
// sign, whatever the coordinator says the vault is. Method: a wallet of a vault; proposals of a member that name
// another authority, or vault.
func TestVaultIsTheWallets(t *testing.T) {
	c := newCluster(t, 3)
	w, err := c.nodes[0].node.Keygen(t.Context(),
		appliance.KeygenRequest{Curve: "ed25519", Protocol: "frost", Threshold: 2, Total: 3, Group: "cold"})
	if err != nil {
		t.Fatal(err)
	}
	f := newForger(c, w.ID)
	if code := f.answer(f.send(func(d *draft) { d.first().Vault, d.other = "cold", true })); code != problem.Conflict {
		t.Errorf("under another authority: refused with %q", code)
	}
	for vault, want := range map[string]problem.Code{"cold": "", "trading": problem.Invalid, "": problem.Invalid} {
		if code := f.answer(f.send(func(d *draft) { d.first().Vault = vault })); code != want {
			t.Errorf("the intent says %q: refused with %q, want %q", vault, code, want)
		}
	}
}
