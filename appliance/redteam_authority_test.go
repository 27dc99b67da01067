package appliance_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold/dkls23"
)

// split is a policy that wants people to agree to payments, and to nothing else; the authority before it permits all.
const split = agreed + ` @id("rest") permit (principal, action in [Action::"sign-raw", Action::"keygen", Action::"refresh"], resource);`

// released is how many shares of signatures the honest nodes have released, by their audit logs.
func (r *redteam) released() (n int) {
	for _, m := range r.others() {
		n += len(m.entries(r.t, "share.sign"))
	}
	return n
}

// payment is one of the second wallet that an initiator has asked for, approved by people.
func (r *redteam) payment(session string, wei int64, by ...string) (*attest.Intent, appliance.SignRequest) {
	r.t.Helper()
	in, req := r.draft(r.wallets[1].ID, session, wei)
	r.people.approve(r.t, in, r.nodes[0].node.KeyInfo(r.t.Context(), in.KeyID), by...)
	req.Approvals = in.Approvals
	return in, req
}

// word is a person's that a request may not be done.
func (r *redteam) word(in *attest.Intent, by string) attest.Approval {
	r.t.Helper()
	return r.people.rejects(r.t, in, r.nodes[0].node.KeyInfo(r.t.Context(), in.KeyID), by, time.Now().Add(time.Hour))
}

// unsigned are moves after which no honest node may have released a share, and the wallet signs what was asked for and approved.
func (r *redteam) unsigned(name, says string, long bool, do func()) move {
	return move{name, func() {
		before := r.released()
		do()
		if says != "" {
			waitFor(r.t, name+": node1 answers", func() bool { return r.heard(says) > 0 })
		}
		if n := r.released() - before; n != 0 {
			r.t.Errorf("%s: honest nodes released %d shares that nobody may have", name, n)
		}
		r.f.number++
		_, req := r.payment(fmt.Sprint("asked-", r.f.number), 5, "ann", "ben")
		req.Signers = r.honest
		if _, err := r.nodes[1].node.Sign(r.t.Context(), req); err != nil {
			r.t.Errorf("%s: what was asked for and approved is not signed: %v", name, err)
		}
	}, says, long}
}

// authority are moves against who may ask for what, and who must approve it.
func (r *redteam) authority() (moves []move) {
	pairs, err := r.nodes[0].node.PairsOf(r.t.Context(), r.wallets[1].ID)
	if err != nil {
		r.t.Fatal(err)
	}
	after := func(p *proposal) { p.Pairs = pairs }
	for i, b := range r.words() {
		moves = append(moves, r.unsigned("authority: "+b.name, string(b.says), false, func() {
			in, _ := r.payment(fmt.Sprint("stolen-", i), 5, "ann", "ben")
			bend := func(d *draft) {
				to := d.first()
				to.KeyID, to.Scheme, to.Chain, to.Payload, to.Message = in.KeyID, dkls23.ID, in.Chain, in.Payload, in.Message
				to.RequestID, to.Initiation, to.Approvals, to.Authority = in.RequestID, in.Initiation, in.Approvals, in.Authority
				d.unasked = true
				b.bend(d)
			}
			r.propose("sign", bend, after)
		}))
	}
	return append(append(moves, r.desk()...), r.tokens()...)
}

// words bend a payment that was asked for and approved, of which the enemy has every word.
func (r *redteam) words() []bent {
	asks := func(d *draft, of func(in *attest.Intent)) { // another's word, for another request
		in := *d.first()
		in.Created = time.Now().UnixMilli()
		of(&in)
		if err := r.asker.Initiate(r.t.Context(), &in); err != nil {
			r.t.Fatal(err)
		}
		d.first().Initiation = in.Initiation
	}
	old := r.asker.Chain[0].Authority.Digest()
	return []bent{
		{"nobody asked", "", problem.Denied, func(d *draft) {
			d.first().Initiation, d.first().Approvals, d.first().Authority = nil, nil, nil
		}, nil},
		{"asked for under another session_id", "", problem.Denied, func(d *draft) { d.first().RequestID += "-again" }, nil},
		{"asked for of another wallet", "", problem.Denied, func(d *draft) {
			asks(d, func(in *attest.Intent) { in.KeyID = r.wallets[0].ID })
		}, nil},
		{"another payment", "", problem.Denied, func(d *draft) {
			tx, p := payment(r.t, friend, 6, nil)
			d.first().Payload, d.first().Message = p, txDigest(tx)
		}, nil},
		{"the digest of the payment", "", problem.Denied, func(d *draft) { d.first().Payload = nil }, nil},
		{"on another chain", "", problem.Denied, func(d *draft) { d.first().Payload, d.first().Chain = nil, "bitcoin" }, nil},
		{"asked for until before", "", problem.Denied, func(d *draft) {
			if err := r.asker.InitiateUntil(d.first(), time.Now().Add(-time.Second)); err != nil {
				r.t.Fatal(err)
			}
		}, nil},
		{"asked for until later than that", "", problem.Denied, func(d *draft) {
			x := *d.first().Initiation
			x.Expires++
			d.first().Initiation = &x
		}, nil},
		{"approvals of another payment", "", problem.Denied, func(d *draft) {
			in, _ := r.payment("other", 6, "ann", "ben")
			d.first().Approvals = in.Approvals
		}, nil},
		{"one approval", "", problem.Unapproved, func(d *draft) { d.first().Approvals = d.first().Approvals[:1] }, nil},
		{"under the authority before, which wants no approvals", "", problem.Conflict, func(d *draft) {
			d.first().Authority, d.first().Approvals = old[:], nil
		}, nil},
		{"a vault of its choice", "", problem.Invalid, func(d *draft) { d.first().Vault = "hot" }, nil},
		{"an approval taken back at another node", "", problem.Unapproved, func(d *draft) {
			r.takeBack(d.first(), func(at appliance.Front, in *attest.Intent) error {
				_, err := at.Approve(r.t.Context(), in.RequestID, r.word(in, "ben"))
				return err
			})
		}, nil},
		{"cancelled at another node", "", problem.Denied, func(d *draft) {
			r.takeBack(d.first(), func(at appliance.Front, in *attest.Intent) error {
				word, err := r.asker.Cancel(in)
				if err == nil {
					_, err = at.Cancel(r.t.Context(), in.RequestID, word)
				}
				return err
			})
		}, nil},
	}
}

// takeBack has a payment wait, and a person's word against it brought to node2: node1 has it from there, since the enemy tells nothing.
func (r *redteam) takeBack(of *attest.Intent, word func(at appliance.Front, in *attest.Intent) error) {
	in := *of
	in.Approvals = nil
	for i, m := range r.nodes[:2] {
		m.node.LearnDesk(r.t.Context(), r.nodes[1-i].id, deskBody(&in))
	}
	if err := word(r.nodes[1].front(), &in); err != nil {
		r.t.Error(err)
	}
	sim.Wait(r.t, "node1 knows", func() bool {
		o, err := r.nodes[0].front().Operation(r.t.Context(), in.RequestID)
		return err == nil && (o.State == appliance.Cancelled || len(o.Rejected) > 0)
	})
}

// deskBody is what a node tells of a request that waits.
func deskBody(in *attest.Intent) appliance.DeskBody {
	return appliance.DeskBody{Version: appliance.DeskBodyVersion,
		Records: []appliance.DeskRecord{{Version: appliance.DeskRecordVersion, Intent: *in}}}
}

// tell has the enemy say something of requests that wait to all.
func (r *redteam) tell(b appliance.DeskBody) {
	b.Version = appliance.DeskBodyVersion
	r.f.r.send(transport.Envelope{Kind: ceremony.KindDesk, Body: canon.MustMarshal(b)})
}

// told returns when every honest node has looked at something that the enemy told last.
func (r *redteam) told() {
	r.f.number++
	in, _ := r.payment(fmt.Sprint("told-", r.f.number), 5)
	for range int(90 * slowdown) { // a node reads so many envelopes of a peer a minute, and the others are lost
		r.tell(deskBody(in))
		if within(time.Second, func() bool {
			return !slices.ContainsFunc(r.others(), func(m *member) bool { return m.standing(in.RequestID) == "" })
		}) {
			return
		}
	}
	r.t.Fatal("never: all have heard the enemy")
}

// desk are moves against what waits for approvals.
func (r *redteam) desk() []move {
	return []move{
		r.unsigned("desk: words that nobody signed", "", true, r.forge),
		r.unsigned("desk: it is done, and lists of all there could be", "", true, r.hurry),
		r.unsigned("desk: what was asked for before, told again", "", true, r.fill),
		{"desk: it withholds what it hears, and refuses what may be", r.withhold, "", false},
	}
}

// forge tells of a request that waits what nobody said, and of requests that nobody made.
func (r *redteam) forge() {
	in, req := r.payment("forged", 5)
	if _, err := r.nodes[0].node.Sign(r.t.Context(), req); problem.As(err).Code != problem.Unapproved {
		r.t.Fatal(err)
	}
	var words []attest.Approval
	for i := range attest.MaxApprovals {
		words = append(words, attest.Approval{By: []string{"ann", "ben", "cleo"}[i%3], Expires: time.Now().Add(time.Hour).UnixMilli(),
			Signature: append(make([]byte, 63), byte(i))})
	}
	rejected := slices.Clone(words)
	for i := range rejected {
		rejected[i].Rejects = true
	}
	for i := range 30 * r.times {
		x := deskBody(in)
		x.Records[0].Intent.Approvals, x.Records[0].Rejected, x.Records[0].Cancelled = words, rejected, make(attest.Hex, 64)
		x.Records[0].Failed = "it failed"
		stranger := *in
		stranger.RequestID = fmt.Sprint("forged-", i)
		huge := stranger
		huge.Message, huge.Payload, huge.Path = make(attest.Hex, 1<<20), nil, make([]uint32, 1<<16)
		x.Records = append(x.Records, deskBody(&stranger).Records[0], deskBody(&huge).Records[0])
		r.tell(x)
		if i%10 == 9 { // what it has not looked at lies in its inbox, whose bound TestFlood of the inbox looks at
			r.told()
		}
	}
	for _, m := range r.others() {
		o, err := m.front().Operation(r.t.Context(), "forged")
		if err != nil || o.State != appliance.PendingApproval || len(o.Intent.Approvals)+len(o.Rejected) > 0 || o.Why != "" {
			r.t.Errorf("%s has it as %+v, %v", m.id, o, err)
		}
		if s := m.standing("forged-0"); s != "" {
			r.t.Errorf("%s has what nobody asked for: %s", m.id, s)
		}
	}
}

// hurry says of what waits that it is done, again and again, and has it compared with lists without end.
func (r *redteam) hurry() {
	have := make([]appliance.DeskDigest, 4096)
	for i := range have {
		have[i] = appliance.DeskDigest{byte(i), byte(i >> 8)}
	}
	sent := r.nodes[0].node.Counts().Batches
	for i := range 300 * r.times {
		r.tell(appliance.DeskBody{Done: slices.Repeat([]string{"forged"}, 32)})
		if i%10 == 0 {
			r.tell(appliance.DeskBody{Has: true, Have: have})
		}
	}
	r.told()
	if n := r.nodes[0].node.Counts().Batches - sent; n > 0 {
		r.t.Errorf("node1 began %d ceremonies for what is not approved", n)
	}
	for _, m := range r.others() {
		if s := m.standing("forged"); s != appliance.PendingApproval {
			r.t.Errorf("%s has it %s", m.id, s)
		}
	}
}

// fill tells of what an initiator asked for before and that never had to wait: there is as much room for its next as before.
func (r *redteam) fill() {
	for i := range 2 * appliance.MaxWaiting {
		in := attest.Intent{Cluster: "test", Operation: attest.OpSign, RequestID: fmt.Sprint("before-", i), KeyID: r.wallets[0].ID,
			Message: []byte("a payment"), Created: time.Now().UnixMilli()}
		if err := r.asker.Initiate(r.t.Context(), &in); err != nil {
			r.t.Fatal(err)
		}
		r.tell(deskBody(&in))
	}
	r.told()
	var all sync.WaitGroup
	for i, m := range r.others() {
		_, req := r.payment(fmt.Sprint("next-", i), 5)
		all.Go(func() {
			if _, err := m.node.Sign(r.t.Context(), req); problem.As(err).Code != problem.Unapproved {
				r.t.Errorf("%s has no room: %v", m.id, err)
			}
		})
	}
	all.Wait()
}

// withhold has the approvals of a payment brought to two honest nodes; the enemy tells nobody, tells of other signers, and refuses its
// part.
func (r *redteam) withhold() {
	r.f.refuses.Store(true)
	defer r.f.refuses.Store(false)
	in, req := r.payment("withheld", 5, "ann", "ben")
	words := in.Approvals
	req.Approvals = nil
	for _, named := range [][]transport.NodeID{{"node9", "node3"}, {"node3"}} {
		x := *in
		x.Approvals = nil
		b := deskBody(&x)
		b.Records[0].Named = named
		r.tell(b)
	}
	if _, err := r.nodes[0].node.Sign(r.t.Context(), req); problem.As(err).Code != problem.Unapproved {
		r.t.Fatal(err)
	}
	r.everywhere("withheld", appliance.PendingApproval, r.nodes[2])
	for i, x := range words {
		if _, err := r.nodes[i].front().Approve(r.t.Context(), "withheld", x); err != nil {
			r.t.Error(err)
		}
	}
	r.everywhere("withheld", appliance.Succeeded, r.nodes[2])
}

// tokens are moves of who has stolen a token of the API: the requester's, and an approver's.
func (r *redteam) tokens() []move {
	ctx, at := r.t.Context(), func() appliance.Front { return r.nodes[0].front() }
	return []move{
		r.unsigned("API: a requester's token", "", false, func() {
			var all sync.WaitGroup
			in, req := r.payment("token", 5, "ann")
			other, _ := r.payment("token-other", 6, "ann", "ben")
			for name, bend := range map[string]func(q *appliance.SignRequest){
				"no signature": func(q *appliance.SignRequest) {
					q.Initiation = &attest.Initiation{By: "asker", Expires: in.Initiation.Expires}
				},
				"another's":        func(q *appliance.SignRequest) { q.Initiation = other.Initiation },
				"another session":  func(q *appliance.SignRequest) { q.SessionID += "-again" },
				"a digest":         func(q *appliance.SignRequest) { q.Payload, q.Message = nil, in.Message },
				"other approvals":  func(q *appliance.SignRequest) { q.Approvals = other.Approvals },
				"too few approved": func(*appliance.SignRequest) {},
			} {
				q := req
				bend(&q)
				all.Go(func() {
					if s, err := at().Sign(ctx, q); err == nil {
						r.t.Errorf("%s: %+v", name, s)
					}
				})
			}
			all.Wait()
		}),
		r.unsigned("API: an approver's token", "", false, func() {
			in, req := r.payment("approver", 5)
			if _, err := at().Sign(ctx, req); problem.As(err).Code != problem.Unapproved {
				r.t.Fatal(err)
			}
			other, _ := r.payment("approver-other", 6, "ann", "ben")
			for _, x := range append(other.Approvals, attest.Approval{By: "ann", Expires: in.Initiation.Expires, Signature: make([]byte, 64)},
				r.word(other, "ann")) {
				if o, err := at().Approve(ctx, "approver", x); err == nil {
					r.t.Errorf("approved by %s: %+v", x.By, o)
				}
			}
			if o, err := at().Cancel(ctx, "approver", make([]byte, 64)); err == nil {
				r.t.Errorf("cancelled: %+v", o)
			}
		}),
	}
}
