package appliance_test

import (
	"errors"
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
	"github.com/luxfi/mpcd/threshold"
)

// draftKey is an Ed25519 key of all nodes, two of which sign, that the asker wants under a session_id; named has it name them.
func (c *cluster) draftKey(session, label string, named bool) (*attest.Intent, appliance.KeygenRequest) {
	c.t.Helper()
	r := appliance.KeygenRequest{SessionID: session, Threshold: 2, Total: len(c.nodes), Curve: "ed25519", Label: label, Group: "hot"}
	in := &attest.Intent{Version: attest.IntentVersion, Cluster: "test", Operation: attest.OpKeygen, RequestID: session,
		Scheme: "frost-ed25519", Created: time.Now().UnixMilli(),
		Keygen: &attest.KeygenParams{Threshold: 2, Kind: threshold.Ed25519.ID, Label: label, Group: "hot"}}
	for i, m := range c.nodes {
		in.Signers = append(in.Signers, threshold.PartyID(i+1))
		if named {
			r.Parties, in.Keygen.Nodes = append(r.Parties, m.id), append(in.Keygen.Nodes, string(m.id))
		}
	}
	if err := c.asker.Initiate(c.t.Context(), in); err != nil {
		c.t.Fatal(err)
	}
	r.Initiation = in.Initiation
	r.BodyHash = r.Hash()
	return in, r
}

// draftRefresh is a refresh that the asker wants.
func (c *cluster) draftRefresh(wallet, session string) (*attest.Intent, appliance.RefreshRequest) {
	c.t.Helper()
	in := &attest.Intent{Version: attest.IntentVersion, Cluster: "test", Operation: attest.OpRefresh, RequestID: session, KeyID: wallet,
		Created: time.Now().UnixMilli()}
	if err := c.asker.Initiate(c.t.Context(), in); err != nil {
		c.t.Fatal(err)
	}
	r := appliance.RefreshRequest{SessionID: session, WalletID: wallet, Consent: appliance.Consent{Initiation: in.Initiation}}
	r.BodyHash = r.Hash()
	return in, r
}

// consents has people approve what waits, each at another node.
func (c *cluster) consents(people board, in *attest.Intent, names ...string) {
	c.t.Helper()
	people.approve(c.t.(*testing.T), in, threshold.KeyInfo{}, names...)
	for i, x := range in.Approvals {
		at := c.nodes[(i+1)%len(c.nodes)]
		sim.Wait(c.t, string(at.id)+" takes the word of "+x.By, func() bool {
			_, err := at.front().Approve(c.t.Context(), in.RequestID, x)
			return err == nil || problem.As(err).Code == problem.Conflict // it is done already
		})
	}
}

// labelled are the wallets of a label that a node has.
func (m *member) labelled(label string) (ids []string) {
	all, _, err := m.node.Wallets(m.c.t.Context(), appliance.Page{})
	if err != nil {
		m.c.t.Fatal(err)
	}
	for _, w := range all {
		if w.Label == label {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

// Goal: a key that people must agree to waits at every node, over restarts, whichever nodes were asked and however often at once, is made
// once when enough have approved, and every node has the answer; so does one that is refreshed. Method: two nodes are asked at once for
// each; approvals at two nodes, with a restart of all in between; then the same requests again.
func TestKeysWait(t *testing.T) {
	c := newCluster(t, 3)
	people := c.approving()
	ctx := t.Context()
	both := func(do func(m *member) error) {
		var all sync.WaitGroup
		for _, m := range c.nodes[:2] {
			all.Go(func() {
				if err := do(m); problem.As(err).Code != problem.Unapproved || !strings.Contains(problem.As(err).Next, "mpcd approve") {
					t.Errorf("%s: %v", m.id, err)
				}
			})
		}
		all.Wait()
	}
	in, made := c.draftKey("make", "made", true)
	both(func(m *member) error { _, err := m.node.Keygen(ctx, made); return err })
	c.everywhere("make", appliance.PendingApproval)
	for _, m := range c.nodes {
		m.halt()
	}
	for _, m := range c.nodes {
		m.start()
	}
	c.waitReady()
	c.everywhere("make", appliance.PendingApproval)
	c.consents(people, in, "ann", "ben")
	c.everywhere("make", appliance.Succeeded)
	wallet := ""
	for _, m := range c.nodes {
		o, err := m.front().Operation(ctx, "make")
		if got := m.labelled("made"); err != nil || len(got) != 1 || got[0] != o.Wallet || o.Wallet != c.nodes[0].labelled("made")[0] {
			t.Errorf("%s has %v, and says %+v, %v", m.id, got, o, err)
		}
		w, err := m.node.Keygen(ctx, made)
		if err != nil || w.ID != o.Wallet || w.Group != "hot" {
			t.Errorf("%s, asked again: %+v, %v", m.id, w, err)
		}
		wallet = o.Wallet
	}

	in, renewed := c.draftRefresh(wallet, "renew")
	in.Vault = "hot" // as who approves reads it
	both(func(m *member) error { _, err := m.node.Refresh(ctx, renewed); return err })
	c.everywhere("renew", appliance.PendingApproval)
	c.consents(people, in, "ann", "cleo")
	c.everywhere("renew", appliance.Succeeded)
	for _, m := range c.nodes {
		if w, err := m.node.Refresh(ctx, renewed); err != nil || w.Epoch != 2 {
			t.Errorf("%s, asked again: %+v, %v", m.id, w, err)
		}
	}
}

// Goal: what a member tells of keys that are to be made or refreshed is what an initiator has signed, or it is not taken up: parameters,
// parties, scheme; and an approver's word is for that alone. Method: records with one thing wrong, told to node3 as node2's; approvals of
// another session, of another wallet's refresh, and of the same key by other parties.
func TestDeskJudgesKeys(t *testing.T) {
	c := newCluster(t, 3)
	one, two := c.keygen("ed25519", 2, 3), c.keygen("ed25519", 2, 3)
	people := c.approving()
	ctx, third := t.Context(), c.nodes[2]
	body := make(attest.Hex, 32)
	tell := func(in attest.Intent, body attest.Hex, named ...string) {
		r := appliance.DeskRecord{Version: appliance.DeskRecordVersion, Intent: in, Body: body}
		if len(named) > 0 {
			r.Named = []transport.NodeID{"node1", "node2", "node3"}
		}
		third.node.LearnDesk(ctx, "node2", appliance.DeskBody{Version: appliance.DeskBodyVersion, Records: []appliance.DeskRecord{r}})
	}
	for _, named := range []bool{false, true} {
		for name, bend := range map[string]func(in *attest.Intent, body *attest.Hex){
			"label":      func(in *attest.Intent, _ *attest.Hex) { in.Keygen.Label = "other" },
			"vault":      func(in *attest.Intent, _ *attest.Hex) { in.Keygen.Group = "cold" },
			"threshold":  func(in *attest.Intent, _ *attest.Hex) { in.Keygen.Threshold = 3 },
			"kind":       func(in *attest.Intent, _ *attest.Hex) { in.Keygen.Kind = threshold.BIP340.ID },
			"scheme":     func(in *attest.Intent, _ *attest.Hex) { in.Scheme = threshold.FrostTaproot },
			"no scheme":  func(in *attest.Intent, _ *attest.Hex) { in.Scheme = "" },
			"parties":    func(in *attest.Intent, _ *attest.Hex) { in.Signers = []threshold.PartyID{1, 2} },
			"holders":    func(in *attest.Intent, _ *attest.Hex) { in.Signers = []threshold.PartyID{1, 3} },
			"order":      func(in *attest.Intent, _ *attest.Hex) { in.Signers = []threshold.PartyID{3, 2, 1} },
			"names":      func(in *attest.Intent, _ *attest.Hex) { in.Keygen.Nodes = []string{"node1", "node2", "node4"} },
			"wallet":     func(in *attest.Intent, _ *attest.Hex) { in.KeyID = one.ID },
			"operation":  func(in *attest.Intent, _ *attest.Hex) { in.Operation = attest.OpSign },
			"proof":      func(in *attest.Intent, _ *attest.Hex) { in.Operation = attest.OpPresign },
			"parameters": func(in *attest.Intent, _ *attest.Hex) { in.Keygen = nil },
			"body":       func(_ *attest.Intent, body *attest.Hex) { *body = nil },
			"long body":  func(_ *attest.Intent, body *attest.Hex) { *body = make(attest.Hex, 1<<16) },
		} {
			in, _ := c.draftKey("bad", "l", named)
			of := slices.Clone(body)
			bend(in, &of)
			tell(*in, of)
			if third.standing("bad") != "" {
				t.Errorf("named %v: another %s is taken up", named, name)
			}
		}
	}
	in, _ := c.draftKey("bad", "l", false)
	in.Message, in.Initiation = attest.Hex("m"), nil // by its initiator himself
	if err := c.asker.Initiate(ctx, in); err != nil {
		t.Fatal(err)
	}
	tell(*in, body)
	if third.standing("bad") != "" {
		t.Error("a keygen with a message is taken up")
	}
	in, _ = c.draftKey("bad", "l", false)
	tell(*in, body, "signers")
	refresh, _ := c.draftRefresh(one.ID, "bad")
	tell(*refresh, nil, "nodes")
	refresh.KeyID = two.ID
	tell(*refresh, nil)
	if third.standing("bad") != "" {
		t.Error("a keygen or a refresh that names signers, or of another wallet, is taken up")
	}

	draft, request := c.draftKey("good", "l", true)
	if _, err := third.node.Keygen(ctx, request); problem.As(err).Code != problem.Unapproved {
		t.Fatal(err)
	}
	other, _ := c.draftKey("other", "l", true)
	fewer := *draft
	fewer.Signers = []threshold.PartyID{1, 2}
	taproot := *draft
	taproot.Scheme = threshold.FrostTaproot
	ours, renew := c.draftRefresh(one.ID, "renewed")
	if _, err := third.node.Refresh(ctx, renew); problem.As(err).Code != problem.Unapproved {
		t.Fatal(err)
	}
	theirs := *ours
	theirs.KeyID = two.ID
	for name, x := range map[string]struct {
		session string
		of      *attest.Intent
		holds   bool
	}{
		"another session": {"good", other, false}, "fewer parties": {"good", &fewer, false}, "another scheme": {"good", &taproot, false},
		"itself": {"good", draft, true}, "another wallet": {"renewed", &theirs, false}, "a key": {"renewed", draft, false},
		"its refresh": {"renewed", ours, true},
	} {
		word := *x.of
		word.Approvals = nil
		people.approve(t, &word, threshold.KeyInfo{}, "ann")
		if _, err := third.front().Approve(ctx, x.session, word.Approvals[0]); (err == nil) != x.holds {
			t.Errorf("%s by the word for %s: %v", x.session, name, err)
		}
	}
}

// Goal: a session_id under which a key waits stands for it alone at the nodes that know; a key that is taken back is made by nobody, with
// whatever approvals. Method: a signature under it at another node; then it is cancelled, and asked for with enough approvals.
func TestKeyTakenBack(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	people := c.approvingBy(`@id("sign") permit (principal, action, resource) when { action != Action::"keygen" };
@id("agreed") permit (principal, action == Action::"keygen", resource) when { context.approvals.treasury >= 2 };`)
	ctx := t.Context()
	in, request := c.draftKey("taken", "l", false)
	if _, err := c.nodes[0].node.Keygen(ctx, request); problem.As(err).Code != problem.Unapproved {
		t.Fatal(err)
	}
	c.everywhere("taken", appliance.PendingApproval)
	_, err := c.nodes[1].node.Sign(ctx, appliance.SignRequest{SessionID: "taken", WalletID: w.ID, Message: []byte("m")})
	if p := problem.As(err); err == nil || p.Code != problem.Conflict || p.Field != "session_id" {
		t.Errorf("a signature under the session_id of a key: %v", err)
	}
	word, err := c.asker.Cancel(in)
	if err == nil {
		_, err = c.nodes[1].front().Cancel(ctx, "taken", word)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.everywhere("taken", appliance.Cancelled)
	people.approve(t, in, threshold.KeyInfo{}, "ann", "ben")
	if _, err := c.nodes[2].front().Approve(ctx, "taken", in.Approvals[0]); problem.As(err).Code != problem.Conflict {
		t.Errorf("approved after it: %v", err)
	}
	request.Approvals = in.Approvals
	if _, err := c.nodes[0].node.Keygen(ctx, request); err == nil || !strings.Contains(err.Error(), "cancelled it") {
		t.Errorf("asked for after it, with approvals: %v", err)
	}
	for _, m := range c.nodes {
		if got := m.labelled("l"); len(got) != 0 {
			t.Errorf("%s has %v", m.id, got)
		}
	}
}

// Goal: a key that its caller does not wait for is made at once where nobody must agree, and so is a refresh; one that releases bans is for
// who waits. Method: each.
func TestLaterKeys(t *testing.T) {
	c := newCluster(t, 3)
	ctx, front := t.Context(), c.nodes[0].front()
	_, request := c.draftKey("later", "l", false)
	if o, err := front.Later(ctx, request); err != nil || o.State.Over() && o.State != appliance.Succeeded {
		t.Fatalf("%+v, %v", o, err)
	}
	sim.Wait(t, "it is made", func() bool { return c.nodes[0].standing("later") == appliance.Succeeded })
	wallet := c.nodes[0].labelled("l")
	if len(wallet) != 1 {
		t.Fatalf("%v", wallet)
	}
	_, refresh := c.draftRefresh(wallet[0], "renewed")
	if o, err := front.Later(ctx, refresh); err != nil || o.State.Over() && o.State != appliance.Succeeded {
		t.Fatalf("%+v, %v", o, err)
	}
	sim.Wait(t, "it is refreshed", func() bool { return c.nodes[0].standing("renewed") == appliance.Succeeded })
	refresh.SessionID, refresh.Release = "released", []transport.NodeID{"node2"}
	if o, err := front.Later(ctx, refresh); err != nil || o != nil {
		t.Errorf("one that releases bans: %+v, %v", o, err)
	}
	if _, err := front.Later(ctx, appliance.KeygenRequest{SessionID: "x", Curve: "none"}); err == nil || errors.Is(err, ctx.Err()) {
		t.Errorf("a key that cannot be: %v", err)
	}
}
