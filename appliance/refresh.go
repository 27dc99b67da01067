package appliance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// renewal is a request for a refresh, which may be tried more than once.
type renewal struct {
	RefreshRequest
	peers    []threshold.PartyID // to be released
	released bool                // they were, on record
}

// renewal refuses, before anything is done, a release of who is no other party of the key.
func (n *core) renewal(rec keys.Record, req RefreshRequest) (*renewal, error) {
	r := &renewal{RefreshRequest: req}
	for _, node := range req.Release {
		p := n.members.Party(node)
		switch {
		case p == 0:
			return nil, problem.Field("release", listNodes, "unknown node %q", node)
		case p == n.members.SelfParty() || !rec.Info.Committee.Contains(p):
			return nil, problem.Field("release", "name other nodes that are parties of the wallet", "node %q is no other party of it", node)
		}
		r.peers = append(r.peers, p)
	}
	return r, nil
}

// asksOfRefresh is a request for a refresh as find looks for its answer.
func asksOfRefresh(req RefreshRequest, key keys.Key) asks {
	return asks{op: attest.OpRefresh, session: req.SessionID, body: req.BodyHash,
		purpose: purposeOf(&attest.Intent{Operation: attest.OpRefresh, KeyID: key.ID}),
		fits:    func(id string, _ keys.Record) bool { return id == key.ID }}
}

// refresh is the coordinator's side; accept is called before the first message leaves, perhaps twice.
func (n *making) refresh(ctx context.Context, id string, req *renewal, accept func() error) error {
	for epoch := uint64(0); ; {
		key, err := n.keys.Key(ctx, id)
		if err != nil {
			return err
		}
		err = n.refreshOnce(ctx, key, req, accept)
		now := key.Record.Info.Epoch
		if err == nil || problem.As(n.members.Explain(err)).Code != problem.Conflict || epoch == now {
			return err
		}
		// Another refresh may have ended since we read the record: once more, on its epoch.
		epoch = now
		newer := func(r keys.Record) bool { return r.Info.Epoch > epoch }
		if r, rerr := n.keys.RecordWhen(ctx, id, newer); rerr != nil || !newer(r) {
			return err
		}
	}
}

func (n *making) refreshOnce(ctx context.Context, key keys.Key, req *renewal, accept func() error) error {
	rec := key.Record
	if rec.State != keys.Active {
		return problem.New(problem.Conflict, "wait until keygen has ended", "wallet %s is not active yet (%s)", key.ID, rec.State)
	}
	if err := n.epochs.whole(keys.SharingOf(key.ID, rec)); err != nil {
		return err
	}
	in := n.token.intent(attest.OpRefresh, req.SessionID, req.Requester, rec.Info.Committee.Parties)
	in.KeyID, in.Scheme, in.Epoch, in.Vault = key.ID, key.Scheme.ID(), rec.Info.Epoch, rec.Group
	if err := n.initiate(ctx, in, req.Consent); err != nil {
		return err
	}
	p := &proposal{Operation: attest.OpRefresh, Signers: rec.Info.Committee.Parties, Next: rec.Top() + 1, Again: true}
	permitted, err := n.permitRefresh(ctx, in, rec, p)
	if err != nil {
		return err
	}
	defer permitted.end(ctx)
	if err := n.peers.AwaitAll(ctx, rec.Info.Committee, req.Release...); err != nil {
		return err
	}
	if err := accept(); err != nil {
		return err
	}
	return n.lead(ctx, p, in, permitted, key.Scheme, rec.Info.Committee, func(c *ceremony.Ceremony, p *proposal) error {
		rec, unlock, err := n.holdForRefresh(ctx, in)
		if err != nil {
			return err
		}
		defer unlock()
		if err := judgeRefresh(in, rec, p.Next, n.cfg.Clock()); err != nil { // it may have changed since
			return err
		}
		if err := n.release(ctx, key, req, permitted); err != nil {
			return err
		}
		return n.runRefresh(ctx, c, p, in, rec, permitted)
	})
}

// joinRefresh is a party's side.
func (n *making) joinRefresh(ctx context.Context, c *ceremony.Ceremony, p *proposal, intents []*attest.Intent) error {
	in := intents[0]
	rec, unlock, err := n.holdForRefresh(ctx, in)
	if err != nil {
		return err
	}
	defer unlock()
	permitted, err := n.permitRefresh(ctx, in, rec, p)
	if err != nil {
		return err
	}
	defer permitted.end(ctx)
	return n.runRefresh(ctx, c, p, in, rec, permitted)
}

// holdForRefresh returns the record of the intent's key as it stands, with the key locked. Nothing is waited for under the lock, and what
// could not be permitted in any case does not get it: a proposal alone would keep the key from others.
func (n *making) holdForRefresh(ctx context.Context, in *attest.Intent) (rec keys.Record, unlock func(), err error) {
	known := func(r keys.Record) bool { return r.State == keys.Active && r.Top() >= in.Epoch }
	if rec, err = n.keys.RecordWhen(ctx, in.KeyID, known); err != nil {
		return rec, nil, err
	}
	if !known(rec) || !slices.Equal(in.Signers, rec.Info.Committee.Parties) {
		return rec, nil, judgeRefresh(in, rec, rec.Top()+1, n.cfg.Clock())
	}
	unlock, ok := n.keys.LockSoon(ctx, in.KeyID)
	if !ok {
		return rec, nil, problem.New(problem.Conflict, "wait until it has ended", "wallet %s is being refreshed already", in.KeyID)
	}
	if err = n.finishStaged(ctx, in.KeyID); err == nil {
		rec, err = n.keys.Record(ctx, in.KeyID)
	}
	if err != nil {
		unlock()
		return rec, nil, err
	}
	return rec, unlock, nil
}

// release ends this node's bans of the peers that the request names, once and on record: its operator trusts them again.
func (n *making) release(ctx context.Context, key keys.Key, req *renewal, permitted *permission) error {
	if len(req.peers) == 0 || req.released {
		return nil
	}
	if err := permitted.recorded(); err != nil {
		return err
	}
	facts := map[string]string{"wallet": key.ID, "session": req.SessionID, "requester": req.Requester, "nodes": fmt.Sprint(req.Release)}
	if err := n.cfg.AuditLog.Append(ctx, audit.Event{Name: "ban.release", Facts: facts}); err != nil {
		return err
	}
	for _, id := range req.Release {
		n.peers.Accuse(id, "")
	}
	err := n.pairs.Release(ctx, key.Scheme, key.Record.Info.Committee, req.peers)
	req.released = err == nil
	return err
}

// permitRefresh passes the gate.
func (n *making) permitRefresh(ctx context.Context, in *attest.Intent, rec keys.Record, p *proposal) (*permission, error) {
	judge := func() error { return judgeRefresh(in, rec, p.Next, n.cfg.Clock()) }
	return n.gate.permit(ctx, attest.OpRefresh, []passage{{in, rec.Info, rec.Group, judge, nil, p.Again, nil}}, "refresh.begin")
}

// runRefresh is what every party does: refresh, stage, certify, activate, destroy the epoch before. The key is locked.
func (n *making) runRefresh(ctx context.Context, c *ceremony.Ceremony, p *proposal, in *attest.Intent, rec keys.Record,
	permitted *permission) error {
	if err := permitted.recorded(); err != nil {
		return err
	}
	scheme, err := n.cfg.Schemes(rec.Scheme)
	if err != nil {
		return err
	}
	held, err := n.keys.Open(ctx, scheme, in.KeyID, in.Epoch)
	if err != nil {
		return err
	}
	defer n.keys.Release(held)
	digest, unpair, err := n.pairUp(ctx, c, scheme, rec.Info.Committee, in, p.Pairs)
	if err != nil {
		return err
	}
	defer unpair()
	rec.Pairs = digest
	s, err := scheme.Refresh(n.setup(c, rec.Info.Committee, in, digest), held.Share, n.rand("refresh", c.Topic[:]))
	if err != nil {
		return err
	}
	share, err := ceremony.Drive(ctx, c, s)
	if err != nil {
		return err
	}
	defer share.Destroy()
	share.Epoch = p.Next // the engine counts one up; attempts that came to nothing leave gaps
	permitted.acted.Store(true)
	if err := n.stageRefresh(ctx, in.KeyID, &rec, share); err != nil {
		return err
	}
	certs, err := n.certify(ctx, c, in.KeyID, share.KeyInfo, rec)
	if err != nil {
		return err
	}
	return n.activate(ctx, in.KeyID, rec, share.KeyInfo, certs)
}

// judgeRefresh holds a refresh to the epoch next against the key as it is at the time now.
func judgeRefresh(in *attest.Intent, rec keys.Record, next uint64, now time.Time) error {
	top, pause := rec.Top(), rec.Pause(now)
	switch {
	case rec.State != keys.Active:
		return problem.New(problem.Conflict, "wait until keygen has ended", "wallet %s is not active yet (%s)", in.KeyID, rec.State)
	case in.Epoch != rec.Info.Epoch || in.Scheme != rec.Scheme:
		return problem.New(problem.Conflict, "repeat the request", "wallet %s is at epoch %d here, the intent says %d",
			in.KeyID, rec.Info.Epoch, in.Epoch)
	case !slices.Equal(in.Signers, rec.Info.Committee.Parties):
		return problem.New(problem.Invalid, "", "a refresh needs the whole committee")
	case next <= top || next-top > rec.Reach(now):
		return &problem.Error{Code: problem.Attempt,
			Message: fmt.Sprintf("this node has a share of epoch %d, the refresh would make epoch %d", top, next),
			Next:    "repeat the request in a minute", Epoch: top}
	case pause > 0:
		return problem.New(problem.Overload, "have all nodes of the key run, and see `mpcd audit` for who was silent; then repeat the request",
			"%d refreshes of wallet %s ended without the certificate of every node; the next may begin in %v", len(rec.Attempts), in.KeyID,
			pause.Round(time.Second))
	}
	return nil
}

// stageRefresh stores the share of an attempt beside the active one and those of earlier attempts.
func (n *making) stageRefresh(ctx context.Context, id string, rec *keys.Record, share *threshold.KeyShare) error {
	rec.Attempts = append(slices.Clone(rec.Attempts), keys.Attempt{Epoch: share.Epoch, Pairs: rec.Pairs, Made: n.cfg.Clock().UnixMilli()})
	if err := n.keys.Put(ctx, id, *rec); err != nil {
		return err
	}
	return n.stage(ctx, id, share)
}
