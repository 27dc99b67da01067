package appliance_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/passkey/passkeytest"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// standsAt is a request that waits, as the first node has it.
func (c *cluster) standsAt(session string) *attest.Intent {
	c.t.Helper()
	o, err := c.nodes[0].front().Operation(c.t.Context(), session)
	if err != nil {
		c.t.Fatal(err)
	}
	return &o.Intent
}

// Goal: what people must approve who have passkeys is signed when they have signed by them, brought to different nodes, with their
// assertions in the receipt; every signer refuses, whatever the coordinator does, what was approved by such a key as it is, by nobody who
// was verified, or at a page of another. Method: software authenticators; a coordinator that judges nothing.
func TestPasskeys(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	ctx := t.Context()
	info := c.nodes[0].node.KeyInfo(ctx, w.ID)
	people := map[string]*passkeytest.Key{"ann": passkeytest.New(attest.Localhost, false), "ben": passkeytest.New("example.com", true)}
	origins := map[string]string{"ann": "http://localhost:8123", "ben": "https://approve.example.com"}
	c.asker.Chain = c.change(func(a *attest.Authority) {
		a.Policy = agreed
		a.Approvers = []attest.Approver{
			{Name: "ann", Key: people["ann"].Public(), Groups: []string{"treasury"}, Passkey: &attest.Passkey{RPID: attest.Localhost,
				Origins: []string{"http://localhost"}}},
			{Name: "ben", Key: people["ben"].Public(), Groups: []string{"treasury"}, Passkey: &attest.Passkey{RPID: "example.com",
				Origins: []string{"https://approve.example.com"}}}}
	})
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(ctx, c.asker.Chain); err != nil {
			t.Fatal(err)
		}
	}
	word := func(in *attest.Intent, by, origin string, rejects bool) attest.Approval {
		expires := time.Now().Add(time.Hour).UnixMilli()
		message, err := in.ApprovalMessage(read(t, in, info), by, expires, rejects)
		if err != nil {
			t.Fatal(err)
		}
		s := people[by].Sign(origin, attest.PasskeyChallenge(message))
		return attest.Approval{By: by, Expires: expires, Signature: s.Raw, Rejects: rejects,
			Assertion: &attest.Assertion{AuthenticatorData: s.AuthenticatorData, ClientData: s.ClientData}}
	}
	req := c.asked(w.ID, "pay")
	c.everywhere("pay", appliance.PendingApproval)
	pay := c.standsAt("pay")
	for i, by := range []string{"ann", "ben"} {
		if _, err := c.nodes[i].front().Approve(ctx, "pay", word(pay, by, origins[by], false)); err != nil {
			t.Fatal(err)
		}
	}
	c.everywhere("pay", appliance.Succeeded)
	sig, err := c.nodes[2].node.Sign(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	at := []string{}
	for _, x := range sig.Receipt.Intent.Approvals {
		at = append(at, x.Origin())
	}
	if err := attest.VerifyReceipt(sig.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{Authority: c.asker.Chain}); err != nil ||
		!slices.Equal(at, []string{origins["ann"], origins["ben"]}) {
		t.Errorf("its receipt: approved at %q, %v", at, err)
	}

	c.asked(w.ID, "forged")
	c.everywhere("forged", appliance.PendingApproval)
	in := c.standsAt("forged")
	bare := word(in, "ann", origins["ann"], false)
	bare.Assertion = nil
	elsewhere := word(in, "ann", "https://localhost.example.com", false)
	people["ann"].Flags = 0x01
	unverified := word(in, "ann", origins["ann"], false)
	ben := word(in, "ben", origins["ben"], false)
	for name, x := range map[string]attest.Approval{"bare": bare, "elsewhere": elsewhere, "unverified": unverified} {
		if _, err := c.nodes[1].front().Approve(ctx, "forged", x); problem.As(err).Code != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
		_, err := c.nodes[0].node.SignForged(ctx, w.ID, "forged-"+name, []threshold.PartyID{2, 3}, in.Message, func(y *attest.Intent) {
			y.RequestID, y.Payload, y.Chain, y.Approvals = in.RequestID, in.Payload, "ethereum", []attest.Approval{x, ben}
			y.Created, y.Initiation, y.Authority = in.Created, in.Initiation, in.Authority
		}, false)
		if err == nil || !strings.Contains(err.Error(), "an approval does not hold") {
			t.Errorf("%s, by a coordinator that judges nothing: %v", name, err)
		}
	}
	if _, err := c.nodes[1].front().Approve(ctx, "forged", word(in, "ben", origins["ben"], true)); err != nil {
		t.Errorf("ben rejects: %v", err)
	}
	sim.Wait(t, "the first knows it", func() bool {
		o, err := c.nodes[0].front().Operation(ctx, "forged")
		return err == nil && len(o.Rejected) == 1
	})
}
