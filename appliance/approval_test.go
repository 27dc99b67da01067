package appliance_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// agreed is a policy that lets nothing be signed, made or refreshed unless two people of the treasury agree.
const agreed = `@id("agreed") permit (principal, action, resource) when { context.approvals.treasury >= 2 };`

// board are the approvers of a cluster, and their keys.
type board map[string]ed25519.PrivateKey

// approving has the cluster go by agreed, with three people in the treasury.
func (c *cluster) approving() board { return c.approvingBy(agreed) }

// approvingBy has it go by another policy, with the same people.
func (c *cluster) approvingBy(policy string) board {
	c.t.Helper()
	b := board{}
	c.asker.Chain = c.change(func(a *attest.Authority) {
		a.Policy = policy
		for _, name := range []string{"ann", "ben", "cleo"} {
			b[name] = ed25519.NewKeyFromSeed(randomSeed())
			der, err := attest.MarshalPublicKey(b[name].Public())
			if err != nil {
				c.t.Fatal(err)
			}
			a.Approvers = append(a.Approvers, attest.Approver{Name: name, Key: der, Groups: []string{"treasury"}})
		}
	})
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(c.t.Context(), c.asker.Chain); err != nil {
			c.t.Fatal(err)
		}
	}
	return b
}

// approve has people of the board approve an intent as they read it.
func (b board) approve(t *testing.T, in *attest.Intent, key threshold.KeyInfo, names ...string) {
	t.Helper()
	d := read(t, in, key)
	for _, name := range names {
		x, err := in.Approve(d, name, time.Now().Add(time.Hour), false, sim.Sign(b[name]))
		if err != nil {
			t.Fatal(err)
		}
		in.Approvals = append(in.Approvals, *x)
	}
}

// read is what an intent's payload says.
func read(t testing.TB, in *attest.Intent, key threshold.KeyInfo) *intent.Decoded {
	t.Helper()
	scheme, err := schemes.ByID("dkls23-secp256k1")
	if err != nil {
		t.Fatal(err)
	}
	d, err := in.Decode(scheme, key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// txDigest is what Ethereum signs of a transaction.
func txDigest(tx *types.Transaction) []byte {
	return types.LatestSignerForChainID(big.NewInt(1)).Hash(tx).Bytes()
}

// Goal: what the rules want approved is signed when enough people approved exactly that, and the receipt shows it to a stranger; nobody
// is told that it is denied where it only waits. Method: a payment without, with one, with two approvals, with those of another payment,
// and one that all nodes sign that a forged approval stands in.
func TestApprovals(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	node := c.nodes[0].node
	draft := func(session string, wei int64) *attest.Intent {
		in, _ := c.draft(w.ID, session, wei)
		return in
	}
	info := node.KeyInfo(t.Context(), w.ID)
	send := func(in *attest.Intent) (*appliance.Signature, error) {
		return node.Sign(t.Context(), appliance.SignRequest{SessionID: in.RequestID, WalletID: w.ID, Chain: "ethereum", Payload: in.Payload,
			Consent: appliance.Consent{Initiation: in.Initiation, Approvals: in.Approvals}})
	}
	in := draft("pay", 5)
	for _, by := range []string{"ann", "ben"} {
		_, err := send(in)
		if p := problem.As(err); err == nil || p.Code != problem.Unapproved || !strings.Contains(p.Message, `2 of "treasury"`) {
			t.Errorf("before %s: %v", by, err)
		}
		people.approve(t, in, info, by)
	}
	other := draft("other", 6)
	other.Approvals = in.Approvals
	if _, err := send(other); err == nil || problem.As(err).Code != problem.Denied || !strings.Contains(err.Error(), `approval of "ann"`) {
		t.Errorf("the approvals of another payment: %v", err)
	}
	sig, err := send(in)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(r attest.Receipt) error {
		return attest.VerifyReceipt(&r, c.roster, schemes.ByID, attest.ReceiptOptions{Authority: c.asker.Chain})
	}
	if err := verify(*sig.Receipt); err != nil || len(sig.Receipt.Intent.Approvals) != 2 {
		t.Errorf("its receipt: %v", err)
	}
	few := *sig.Receipt
	few.Intent.Approvals = few.Intent.Approvals[:1]
	if verify(few) == nil {
		t.Error("a receipt with an approval taken out")
	}
	for _, m := range c.nodes {
		m.node.AskNobody()
	}
	forged := draft("forged", 7)
	people.approve(t, forged, info, "ann", "ben")
	forged.Approvals[1].Signature = forged.Approvals[0].Signature
	if sig, err := send(forged); err != nil || !errors.Is(verify(*sig.Receipt), attest.ErrNotApproved) {
		t.Errorf("all nodes collude, and the receipt passes: %v", err)
	}
	again, err := send(draft("pay", 5)) // what was answered needs nobody's word
	if err != nil || again.ReceiptID != sig.ReceiptID {
		t.Errorf("again: %v", err)
	}
}

// Goal: each signer counts the approvals for itself, whatever the coordinator does. Method: a coordinator that judges nothing proposes
// without approvals, with too few, with one person's twice under two names, with expired ones, and with enough.
func TestSignersCountApprovals(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	node := c.nodes[0].node
	info := node.KeyInfo(t.Context(), w.ID)
	tx, payload := payment(t, friend, 1, nil)
	for name, row := range map[string]struct {
		by   []string
		bend func(in *attest.Intent)
		want bool
	}{
		"nobody":             {nil, func(*attest.Intent) {}, false},
		"one":                {[]string{"ann"}, func(*attest.Intent) {}, false},
		"one under two":      {[]string{"ann", "ben"}, func(in *attest.Intent) { in.Approvals[1].Signature = in.Approvals[0].Signature }, false},
		"a longer time":      {[]string{"ann", "ben"}, func(in *attest.Intent) { in.Approvals[1].Expires++ }, false},
		"one that is beside": {[]string{"ann", "ben", "cleo"}, func(in *attest.Intent) { in.Approvals[2].Expires++ }, false},
		"two":                {[]string{"ann", "ben"}, func(*attest.Intent) {}, true},
	} {
		_, err := node.SignForged(t.Context(), w.ID, name, []threshold.PartyID{2, 3}, txDigest(tx), func(in *attest.Intent) {
			in.Payload, in.Chain = payload, "ethereum"
			if err := c.asker.Initiate(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			people.approve(t, in, info, row.by...)
			row.bend(in)
		}, false)
		if (err == nil) != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: keys are made and refreshed with approvals too, where the rules want them.
func TestApprovedKeys(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	people := c.approving()
	node := c.nodes[0].node
	in := attest.Intent{Cluster: "test", Operation: attest.OpRefresh, RequestID: "anew", KeyID: w.ID, Created: time.Now().UnixMilli()}
	if err := c.asker.Initiate(t.Context(), &in); err != nil {
		t.Fatal(err)
	}
	refresh := func() error {
		_, err := node.Refresh(t.Context(), appliance.RefreshRequest{SessionID: "anew", WalletID: w.ID,
			Consent: appliance.Consent{Initiation: in.Initiation, Approvals: slices.Clone(in.Approvals)}})
		return err
	}
	if err := refresh(); problem.As(err).Code != problem.Unapproved {
		t.Errorf("nobody approved: %v", err)
	}
	people.approve(t, &in, threshold.KeyInfo{}, "ann", "cleo")
	if err := refresh(); err != nil {
		t.Error(err)
	}
}

// Goal: a request that waits is the same at every node, may be approved at any, is done when enough have, by one node alone, and every node
// has its answer; it outlives restarts. Method: asked for at node1, approved at node2, after a restart at node3, and looked at everywhere.
func TestOperation(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx := t.Context()
	in, req := c.draft(w.ID, "pay", 5)
	_, err := c.nodes[0].node.Sign(ctx, req)
	if p := problem.As(err); err == nil || p.Code != problem.Unapproved || !strings.Contains(p.Next, "mpcd approve pay") {
		t.Fatalf("%v", err)
	}
	state := func(i int) appliance.OperationState {
		o, err := appliance.NewFront(c.nodes[i].node).Operation(ctx, "pay")
		if err != nil {
			return ""
		}
		return o.State
	}
	everywhere := func(want appliance.OperationState) {
		t.Helper()
		for i := range c.nodes {
			sim.Wait(t, fmt.Sprintf("node%d has it %s", i+1, want), func() bool { return state(i) == want })
		}
	}
	everywhere(appliance.PendingApproval)
	info := c.nodes[0].node.KeyInfo(ctx, w.ID)
	people.approve(t, in, info, "ann", "ben")
	o, err := appliance.NewFront(c.nodes[1].node).Approve(ctx, "pay", in.Approvals[0])
	if err != nil || o.State != appliance.PendingApproval || o.Needs["treasury"] != 2 || len(o.Intent.Approvals) != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	c.nodes[2].halt()
	c.nodes[2].start()
	c.waitReady()
	sim.Wait(t, "node3 has both", func() bool {
		o, err := appliance.NewFront(c.nodes[2].node).Operation(ctx, "pay")
		return err == nil && len(o.Intent.Approvals) == 1
	})
	if _, err := appliance.NewFront(c.nodes[2].node).Approve(ctx, "pay", in.Approvals[1]); err != nil {
		t.Fatal(err)
	}
	sim.Wait(t, "it is done", func() bool {
		return slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return state(i) == appliance.Succeeded })
	})
	var receipts []string
	for _, m := range c.nodes {
		s, err := m.node.Sign(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, s.ReceiptID)
	}
	if receipts[0] != receipts[1] || receipts[1] != receipts[2] {
		t.Errorf("it was done more than once: %v", receipts)
	}
	everywhere(appliance.Succeeded)
}

// draft is a payment that the asker has signed, as an intent and as a request.
func (c *cluster) draft(wallet, session string, wei int64) (*attest.Intent, appliance.SignRequest) {
	c.t.Helper()
	tx, payload := payment(c.t.(*testing.T), friend, wei, nil)
	in := &attest.Intent{Cluster: "test", Operation: attest.OpSign, RequestID: session, KeyID: wallet, Chain: "ethereum", Payload: payload,
		Message: txDigest(tx), Created: time.Now().UnixMilli()}
	if err := c.asker.Initiate(c.t.Context(), in); err != nil {
		c.t.Fatal(err)
	}
	r := appliance.SignRequest{SessionID: session, WalletID: wallet, Chain: "ethereum", Payload: payload,
		Consent: appliance.Consent{Initiation: in.Initiation}}
	r.BodyHash = r.Hash()
	return in, r
}
