package appliance_test

import (
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
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// front is what callers of a node ask.
func (m *member) front() appliance.Front { return appliance.NewFront(m.node) }

// state is that of an operation at a node; "" where it is not known.
func (m *member) standing(session string) appliance.OperationState {
	o, err := m.front().Operation(m.c.t.Context(), session)
	if err != nil {
		return ""
	}
	return o.State
}

// rejects is a person's word that what an intent asks for may not be done.
func (b board) rejects(t testing.TB, in *attest.Intent, key threshold.KeyInfo, name string, until time.Time) attest.Approval {
	t.Helper()
	x, err := in.Approve(read(t, in, key), name, until, true, sim.Sign(b[name]))
	if err != nil {
		t.Fatal(err)
	}
	return *x
}

// everywhere waits until all nodes, but those that are gone, have an operation in a state.
func (c *cluster) everywhere(session string, want appliance.OperationState, gone ...*member) {
	c.t.Helper()
	for _, m := range c.nodes {
		if !slices.Contains(gone, m) {
			sim.Wait(c.t, fmt.Sprintf("%s has %s %s", m.id, session, want), func() bool { return m.standing(session) == want })
		}
	}
}

// waits has node1 asked for a payment that must be approved, and returns its intent.
func (c *cluster) waits(wallet, session string, gone ...*member) *attest.Intent {
	c.t.Helper()
	in, req := c.draft(wallet, session, 5)
	if _, err := c.nodes[0].node.Sign(c.t.Context(), req); problem.As(err).Code != problem.Unapproved {
		c.t.Fatalf("%v", err)
	}
	c.everywhere(session, appliance.PendingApproval, gone...)
	return in
}

// Goal: a rejection takes an approval back, and a cancellation the request, at every signer, whatever the coordinator does, and for good;
// another's word does neither. Method: words by the API of one node, then a coordinator that judges nothing and has enough approvals.
func TestTakenBack(t *testing.T) {
	c := newCluster(t, 3)
	blind := c.blindable()
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx, node := t.Context(), c.nodes[0].node
	info := node.KeyInfo(ctx, w.ID)
	forged := func(session string, in *attest.Intent) error {
		_, err := node.SignForged(ctx, w.ID, session, []threshold.PartyID{2, 3}, in.Message, func(x *attest.Intent) {
			x.RequestID, x.Payload, x.Chain, x.Approvals = session, in.Payload, "ethereum", in.Approvals
			x.Created, x.Initiation, x.Authority = in.Created, in.Initiation, in.Authority
		}, false)
		return err
	}

	rejected := c.waits(w.ID, "rejected")
	people.approve(t, rejected, info, "ann", "ben")
	no := people.rejects(t, rejected, info, "ben", time.Now().Add(time.Hour))
	if _, err := c.nodes[1].front().Approve(ctx, "rejected", no); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		sim.Wait(t, string(m.id)+" knows of the rejection", func() bool {
			o, err := m.front().Operation(ctx, "rejected")
			return err == nil && len(o.Rejected) == 1
		})
	}
	o, err := c.nodes[2].front().Approve(ctx, "rejected", rejected.Approvals[1])
	if err != nil || len(o.Intent.Approvals) != 0 {
		t.Errorf("who has rejected approves: %+v, %v", o, err)
	}
	if err := forged("rejected", rejected); err == nil || !strings.Contains(err.Error(), "ben has rejected it") {
		t.Errorf("a coordinator with an approval that was taken back: %v", err)
	}

	cancelled := c.waits(w.ID, "cancelled")
	people.approve(t, cancelled, info, "ann", "ben")
	other, _ := c.draft(w.ID, "another", 5)
	for name, of := range map[string]*attest.Intent{"another request": other, "itself": cancelled} {
		word, err := c.asker.Cancel(of)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.nodes[2].front().Cancel(ctx, "cancelled", word)
		if (err == nil) != (of == cancelled) {
			t.Errorf("cancelled by the word for %s: %v", name, err)
		}
	}
	c.everywhere("cancelled", appliance.Cancelled)
	if err := forged("cancelled", cancelled); err == nil || !strings.Contains(err.Error(), "cancelled it") {
		t.Errorf("a coordinator with a request that was taken back: %v", err)
	}
	for _, b := range blind {
		b.Store(1)
	}
	if err := forged("cancelled", cancelled); err == nil || !strings.Contains(err.Error(), "cancelled it") {
		t.Errorf("taken back after the gate, and before a share: %v", err)
	}
	if _, err := c.nodes[1].front().Approve(ctx, "cancelled", cancelled.Approvals[0]); problem.As(err).Code != problem.Conflict {
		t.Errorf("approved when it is over: %v", err)
	}
}

// Goal: a node that was away has all that was asked for and said meanwhile, and where the node is gone whose turn it is, another has the
// signature made. Method: a node is down from the request until after the approvals, once one that is not first, and once the first.
func TestDeskCatchesUp(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx := t.Context()
	info := c.nodes[0].node.KeyInfo(ctx, w.ID)
	for _, m := range c.nodes {
		m.node.WaitTurns(time.Millisecond)
	}
	for _, row := range []struct {
		name string
		down func(session string) int
	}{
		{"a node", func(session string) int { return (c.nodes[0].node.FirstFor(session) + 1) % 3 }},
		{"the first", func(session string) int { return c.nodes[0].node.FirstFor(session) }},
	} {
		session := ""
		for i := 0; session == "" || row.down(session) == 0; i++ { // node1 is asked
			session = fmt.Sprintf("%s-%d", strings.ReplaceAll(row.name, " ", "-"), i)
		}
		gone := c.nodes[row.down(session)]
		gone.halt()
		c.waitReady()
		in := c.waits(w.ID, session, gone)
		people.approve(t, in, info, "ann", "cleo")
		for _, x := range in.Approvals {
			if _, err := c.nodes[0].front().Approve(ctx, session, x); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
		}
		c.everywhere(session, appliance.Succeeded, gone)
		gone.start()
		gone.node.WaitTurns(time.Millisecond)
		c.everywhere(session, appliance.Succeeded)
	}
}

// Goal: what a peer says of requests that wait is judged as a caller's word is, and bounded; what is here it does not take away. Method:
// records with one thing wrong, told to node3 as node2's.
func TestDeskJudgesPeers(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx, third := t.Context(), c.nodes[2]
	info := third.node.KeyInfo(ctx, w.ID)
	waiting := c.waits(w.ID, "waits")
	people.approve(t, waiting, info, "ann")
	tell := func(in attest.Intent, rejected []attest.Approval, cancelled []byte, failed string) {
		third.node.TellDesk(ctx, "node2", in, rejected, cancelled, failed)
	}
	for name, bend := range map[string]func(in *attest.Intent){
		"nobody asked": func(in *attest.Intent) { in.Initiation = nil },
		"another signature": func(in *attest.Intent) {
			in.Initiation = &attest.Initiation{By: "asker", Expires: 1 << 50, Signature: make([]byte, 64)}
		},
		"another cluster": func(in *attest.Intent) { in.Cluster = "other" },
		"another wallet":  func(in *attest.Intent) { in.KeyID = "w_none" },
		"another message": func(in *attest.Intent) { in.Message = make([]byte, 32) },
		"another payload": func(in *attest.Intent) { in.Payload = &attest.Payload{Format: "transaction", Bytes: []byte{1}} },
		"a refresh":       func(in *attest.Intent) { in.Operation = attest.OpRefresh },
		"a bad name": func(in *attest.Intent) {
			named, _ := c.draft(w.ID, "a b", 5)
			*in = *named
		},
		"no name":            func(in *attest.Intent) { in.RequestID = "" },
		"a requester's text": func(in *attest.Intent) { in.Requester = "a\x1b[2J" },
	} {
		in, _ := c.draft(w.ID, "bad", 5)
		bend(in)
		tell(*in, nil, nil, "")
		if all, err := third.front().Operations(ctx, ""); err != nil || len(all) != 1 {
			t.Errorf("%s is taken up: %+v, %v", name, all, err)
		}
	}
	forged := *waiting
	forged.Approvals = []attest.Approval{{By: "ann", Expires: 1 << 50, Signature: make([]byte, 64)}}
	no := forged.Approvals[0]
	no.Rejects = true
	tell(forged, []attest.Approval{no}, make([]byte, 64), "it failed")
	if o, err := third.front().Operation(ctx, "waits"); err != nil || o.State != appliance.PendingApproval ||
		len(o.Rejected)+len(o.Intent.Approvals) != 0 {
		t.Errorf("words that nobody signed: %+v, %v", o, err)
	}
	third.node.AgeDesk("waits")
	another, _ := c.draft(w.ID, "waits", 6)
	tell(*another, nil, nil, "")
	_, request := c.draft(w.ID, "waits", 6)
	if _, err := third.node.Sign(ctx, request); problem.As(err).Code != problem.Conflict {
		t.Errorf("another request under its session_id: %v", err)
	}
	stuffed, _ := c.draft(w.ID, "stuffed", 5)
	stuffed.Scheme, stuffed.Tweaks, stuffed.Node = "x", make([]threshold.Tweak, 9), "node9"
	tell(*stuffed, nil, nil, "")
	if o, err := third.front().Operation(ctx, "stuffed"); err != nil || o.Intent.Tweaks != nil || o.Intent.Node != "" ||
		o.Intent.Scheme != "" {
		t.Errorf("what nobody signed is kept: %+v, %v", o, err)
	}
	tell(*waiting, nil, nil, "")
	o, err := third.front().Operation(ctx, "waits")
	if err != nil || string(o.Intent.Message) != string(waiting.Message) || len(o.Intent.Approvals) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// Goal: an initiator has no more requests wait than so many, and is told; and only a request with a name of its own waits, as long as its
// initiator said. Method: one more than there may be, one without a session_id, and one that expires soon.
func TestDeskIsBounded(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.approving()
	ctx, node := t.Context(), c.nodes[0]
	in, req := c.draft(w.ID, "soon", 5)
	if err := c.asker.InitiateUntil(in, time.Now().Add(300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	req.Initiation = in.Initiation
	if _, err := node.node.Sign(ctx, req); problem.As(err).Code != problem.Unapproved {
		t.Fatal(err)
	}
	sim.Wait(t, "it expires", func() bool { return node.standing("soon") == appliance.Expired })
	_, nameless := c.draft(w.ID, "", 5)
	nameless.Initiation = nil
	if _, err := node.node.Sign(ctx, nameless); problem.As(err).Code != problem.Unapproved {
		t.Error(err)
	}
	for i := range appliance.MaxWaiting {
		in, _ := c.draft(w.ID, fmt.Sprint("many-", i), 5)
		node.node.TellDesk(ctx, "node2", *in, nil, nil, "")
	}
	_, one := c.draft(w.ID, "one-more", 5)
	if _, err := node.node.Sign(ctx, one); problem.As(err).Code != problem.Overload || !strings.Contains(err.Error(), "wait for approvals") {
		t.Errorf("one more: %v", err)
	}
	all, err := node.front().Operations(ctx, appliance.PendingApproval)
	nobodys := slices.ContainsFunc(all, func(o appliance.Operation) bool { return o.Intent.RequestID == "" })
	if err != nil || len(all) != appliance.MaxWaiting || nobodys {
		t.Errorf("%d wait, %v", len(all), err)
	}
}

// Goal: what waits outlives a restart of every node. Method: all are halted, and one is started alone: nobody tells it.
func TestDeskLoads(t *testing.T) {
	c := newCluster(t, 2)
	w := c.keygenBy("secp256k1", "dkls23", 2, 2)
	c.approving()
	c.waits(w.ID, "kept")
	for _, m := range c.nodes {
		m.halt()
	}
	c.nodes[1].start()
	sim.Wait(t, "it has read what waits", func() bool { return c.nodes[1].standing("kept") == appliance.PendingApproval })
}

// Goal: a rejection holds to the end of the request, also where the approval that it takes back expires later and a member has kept that,
// and at a node that hears of it only when it has expired. Method: a rejection that expires at once, and the approval told again by a peer
// after it; and one that has expired, told by a peer.
func TestRejectedForGood(t *testing.T) {
	c := newCluster(t, 2)
	w := c.keygenBy("secp256k1", "dkls23", 2, 2)
	people := c.approving()
	ctx, one := t.Context(), c.nodes[0]
	info := one.node.KeyInfo(ctx, w.ID)
	in := c.waits(w.ID, "rejected")
	people.approve(t, in, info, "ben")
	until := time.Now().Add(200 * time.Millisecond)
	no := people.rejects(t, in, info, "ben", until)
	if _, err := one.front().Approve(ctx, "rejected", no); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(until) + 10*time.Millisecond)
	one.node.TellDesk(ctx, "node2", *in, nil, nil, "")
	o, err := one.front().Operation(ctx, "rejected")
	if err != nil || len(o.Intent.Approvals) != 0 || len(o.Rejected) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	late := c.waits(w.ID, "late")
	no = people.rejects(t, late, info, "ben", time.Now().Add(-time.Minute))
	one.node.TellDesk(ctx, "node2", *late, []attest.Approval{no}, nil, "")
	if o, err := one.front().Operation(ctx, "late"); err != nil || len(o.Rejected) != 1 {
		t.Errorf("heard of after it expired: %+v, %v", o, err)
	}
}

// Goal: a member takes nobody's room by telling what was asked for before and never had to wait, and it cannot have another node give a
// request up by naming signers who are none. Method: a desk full of payments that the rules permit, told by a peer; then a payment that
// waits and that a peer tells first, with signers of its choice.
func TestDeskOfMembersChoice(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	ctx, two := t.Context(), c.nodes[1]
	for i := range appliance.MaxWaiting {
		in, _ := c.draft(w.ID, fmt.Sprint("paid-", i), 5)
		two.node.TellDesk(ctx, "node3", *in, nil, nil, "")
	}
	c.approving()
	if all, err := two.front().Operations(ctx, ""); err != nil || len(all) != 0 {
		t.Errorf("%d wait for nobody, %v", len(all), err)
	}
	for name, named := range map[string][]transport.NodeID{"a stranger": {"node1", "node9"}, "one": {"node3"},
		"all": {"node1", "node2", "node3"}} {
		in, _ := c.draft(w.ID, "named", 5)
		two.node.LearnDesk(ctx, "node3", appliance.DeskBody{Version: appliance.DeskBodyVersion,
			Records: []appliance.DeskRecord{{Version: appliance.DeskRecordVersion, Intent: *in, Named: named}}})
		if two.standing("named") != "" {
			t.Errorf("signed by %s: it is taken up", name)
		}
	}
	c.waits(w.ID, "named")
}

// Goal: what was signed is not taken back, nor signed once more by itself, where the node that has the answer is away for a while; no node
// says otherwise than another in the end. Method: enough approve; when it is signed, a rejection and a cancellation at another node; then
// the same with the node that led it away, which comes back.
func TestSignedIsNotTakenBack(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx := t.Context()
	info := c.nodes[0].node.KeyInfo(ctx, w.ID)
	for _, m := range c.nodes {
		m.node.WaitTurns(time.Hour) // who is not first asks for nothing by itself
	}
	back := func(at *member, in *attest.Intent) (by [2]problem.Code) {
		no := people.rejects(t, in, info, "cleo", time.Now().Add(time.Hour))
		word, err := c.asker.Cancel(in)
		if err != nil {
			t.Fatal(err)
		}
		_, err = at.front().Approve(ctx, in.RequestID, no)
		by[0] = problem.As(err).Code
		_, err = at.front().Cancel(ctx, in.RequestID, word)
		by[1] = problem.As(err).Code
		return by
	}
	for _, away := range []bool{false, true} {
		session := fmt.Sprint("signed-", away)
		first := c.nodes[c.nodes[0].node.FirstFor(session)]
		other := c.nodes[(c.nodes[0].node.FirstFor(session)+1)%3]
		in := c.waits(w.ID, session)
		people.approve(t, in, info, "ann", "ben")
		for _, x := range in.Approvals {
			if _, err := first.front().Approve(ctx, session, x); err != nil {
				t.Fatal(err)
			}
		}
		c.everywhere(session, appliance.Succeeded)
		want := problem.Conflict
		for _, m := range c.nodes {
			if m != first { // as if they had not heard of the answer
				m.node.ForgetAnswer(ctx, session)
			}
		}
		if away {
			first.halt()
			c.waitReady()
			want = problem.Quorum
		}
		if by := back(other, in); by != [2]problem.Code{want, want} {
			t.Errorf("away %v: taken back: %q", away, by)
		}
		if !away {
			sim.Wait(t, "it has the answer", func() bool { return other.standing(session) == appliance.Succeeded })
			continue
		}
		other.node.WaitTurns(0)
		other.node.LookAgain()
		sim.Wait(t, "it has looked twice", func() bool { return other.node.Looked(session) })
		if got := other.standing(session); got != appliance.Running {
			t.Errorf("signed once more: %s", got)
		}
		first.start()
		c.waitReady()
		sim.Wait(t, "all have the answer", func() bool {
			for _, m := range c.nodes {
				if m.standing(session) != appliance.Succeeded {
					m.node.WaitTurns(0)
					m.node.LookAgain() // sooner than it would by itself
					return false
				}
			}
			return true
		})
	}
}

// Goal: a rejection is for good, also when the officers change who may ask. Method: rejected, then another authority; the approver's word
// under the new one counts for nothing.
func TestRejectionOutlives(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	people := c.approving()
	ctx, at := t.Context(), c.nodes[1]
	info := at.node.KeyInfo(ctx, w.ID)
	in := c.waits(w.ID, "no")
	no := people.rejects(t, in, info, "ben", time.Now().Add(time.Hour))
	if _, err := at.front().Approve(ctx, "no", no); err != nil {
		t.Fatal(err)
	}
	c.asker.Chain = c.change(func(a *attest.Authority) { a.Quorum, a.Assets = 1, []policy.Asset{{Network: "base", ID: "x"}} })
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(ctx, c.asker.Chain); err != nil {
			t.Fatal(err)
		}
	}
	digest := c.asker.Chain[len(c.asker.Chain)-1].Authority.Digest()
	in.Authority = digest[:]
	people.approve(t, in, info, "ben")
	o, err := at.front().Approve(ctx, "no", in.Approvals[0])
	if err != nil || len(o.Rejected) != 1 || len(o.Intent.Approvals) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}
