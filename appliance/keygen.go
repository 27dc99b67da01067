package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// making is the line that makes keys and gives them new shares: keygen, refresh, the proof of the threshold, and what brings a party to
// the end of a ceremony that it missed.
type making struct {
	*core
	signing  *signing
	reissues reissues
	epochs   *epochs
}

// keygen is the coordinator's side; accept is called before the first message leaves.
func (n *making) keygen(ctx context.Context, req KeygenRequest, scheme threshold.Scheme, committee threshold.Committee,
	accept func() error) (string, error) {
	in, err := keygenIntent(ctx, n, req, scheme, committee)
	if err != nil {
		return "", err
	}
	permitted, err := n.permitKeygen(ctx, scheme, in, committee, true)
	if err != nil {
		return "", err
	}
	defer permitted.end(ctx)
	if err := n.peers.AwaitAll(ctx, committee); err != nil {
		return "", err
	}
	if err := accept(); err != nil {
		return "", err
	}
	var id string
	err = n.lead(ctx, &proposal{Operation: attest.OpKeygen, Signers: committee.Parties, Again: true}, in, permitted, scheme, committee,
		func(c *ceremony.Ceremony, p *proposal) (err error) {
			id, err = n.runKeygen(ctx, c, p, scheme, committee, in, permitted)
			return err
		})
	if err != nil {
		return "", err
	}
	key, err := n.keys.Key(ctx, id)
	if err != nil {
		return "", err
	}
	return id, n.prove(ctx, key)
}

// keygenIntent is what a request for a key asks for, in the words of an initiator. One that has not signed who the parties are, as none did
// for releases before, is taken at its word without.
func keygenIntent(ctx context.Context, n *making, req KeygenRequest, scheme threshold.Scheme,
	committee threshold.Committee) (*attest.Intent, error) {
	in := n.token.intent(attest.OpKeygen, req.SessionID, req.Requester, committee.Parties)
	in.Scheme, in.Keygen, in.Initiation = scheme.ID(), keygenParams(scheme, committee, req), req.Initiation
	if who, _, _ := n.authority.inForce(); who != nil && in.Initiation != nil && who.CheckInitiation(*in, n.cfg.Clock()) != nil {
		in.Keygen.Nodes = nil
	}
	return in, n.initiate(ctx, in, req.Consent)
}

// committeeOf is who is to hold the key of an intent that waits: the nodes that its initiator has named, or else the first of the roster.
// What an initiator has not signed, no peer chooses.
func committeeOf(n *making, in *attest.Intent) (c threshold.Committee, err error) {
	ids := nodeIDs(in.Keygen.Nodes)
	if all := n.members.All(); len(ids) == 0 {
		ids = all[:min(len(all), len(in.Signers))]
	}
	if c, err = n.members.Committee(ids, in.Keygen.Threshold); err == nil && !slices.Equal(c.Parties, in.Signers) {
		err = problem.New(problem.Conflict, "ask for it anew, under another session_id, and name its parties",
			"the parties of the new key are neither those that its initiator has named nor the first of this node's roster")
	}
	return c, err
}

// asksOfKeygen is a request for a key as find looks for its answer.
func asksOfKeygen(n *making, req KeygenRequest, scheme threshold.Scheme, c threshold.Committee) asks {
	return asks{op: attest.OpKeygen, session: req.SessionID, body: req.BodyHash, purpose: purposeOfKeygen(scheme, c, req),
		fits: func(_ string, rec keys.Record) bool { return n.fits(req, scheme, rec) }}
}

// takeUp ends a keygen that its coordinator left: it has parties prove the wallet if all have certified it. It is false if not all have:
// what all have staged they certify to each other by now, so a party has no share, and the wallet will never be one; or if another session
// has made it, whatever a peer says.
func (n *making) takeUp(ctx context.Context, id, session string) (bool, error) {
	rec, err := n.keys.RecordWhen(ctx, id, func(r keys.Record) bool { return r.State != keys.Staged })
	switch {
	case err != nil && problem.As(err).Code == problem.NotFound, err == nil && (rec.State == keys.Staged || rec.SessionID != session):
		return false, nil
	case err != nil || rec.State == keys.Active:
		return err == nil, err
	}
	key, err := n.keys.Key(ctx, id)
	if err == nil {
		err = n.peers.AwaitAll(ctx, rec.Info.Committee)
	}
	if err == nil {
		err = n.prove(ctx, key)
	}
	return err == nil, err
}

// noParty refuses to make a key that this node will hold no share of.
func (n *making) noParty(c threshold.Committee) error {
	if c.Contains(n.members.SelfParty()) {
		return nil
	}
	return problem.Field("parties", fmt.Sprintf("ask one of the parties to make the key: one of %v", n.members.Nodes(c.Parties)),
		"this node, %q, is not among the parties", n.cfg.Node)
}

// permitKeygen passes the gate.
func (n *making) permitKeygen(ctx context.Context, scheme threshold.Scheme, in *attest.Intent,
	committee threshold.Committee, again bool) (*permission, error) {
	return n.gate.permit(ctx, attest.OpKeygen, []passage{{in, threshold.KeyInfo{Committee: committee}, in.Keygen.Group, func() error {
		u, err := n.gate.uses.Get(ctx, in.RequestID)
		if err != nil {
			return err
		}
		if u != nil && u.Key != "" {
			if rec, err := n.keys.Record(ctx, u.Key); err == nil && rec.State != keys.Staged { // its coordinator takes it up
				return &problem.Error{Code: problem.Held, Holder: u.Coordinator, Next: "ask that node",
					Message: fmt.Sprintf("session_id %q has made wallet %s", in.RequestID, u.Key)}
			}
		}
		if in.Keygen.Kind != scheme.Kind().ID {
			return problem.New(problem.Invalid, "", "the parameters do not fit the scheme")
		}
		if len(in.Keygen.Nodes) > 0 {
			if _, err := committeeOf(n, in); err != nil {
				return err
			}
		}
		return checkNames(in.Keygen.Label, in.Keygen.Group)
	}, nil, again, nil}}, "keygen.begin")
}

// checkNames refuses the names of a new key that are too long, or look like others.
func checkNames(label, group string) error {
	for _, x := range [][2]string{{"vault", group}, {"label", label}} {
		if len(x[1]) > MaxLabel {
			return problem.Field(x[0], "shorten it", "the %s has %d bytes, at most %d", x[0], len(x[1]), MaxLabel)
		}
		if err := attest.CheckName(x[1]); err != nil {
			return problem.Field(x[0], "use letters, digits, signs and single blanks between them", "%s %v", x[0], err)
		}
	}
	return nil
}

// NoScheme says which field of a keygen request asks for a key that the build cannot make, and what to ask for instead.
func NoScheme(err error) *problem.Error {
	var none *threshold.NoSchemeError
	if !errors.As(err, &none) {
		return problem.As(err)
	}
	if none.Known {
		return &problem.Error{Code: problem.Unsupported, Field: none.Field, Message: none.What, Next: none.Next}
	}
	return problem.Field(none.Field, none.Next, "%s", none.What)
}

// fits tells whether a key is one that the request asks for. What the request left open, the node that it was asked of has chosen.
func (n *making) fits(req KeygenRequest, s threshold.Scheme, rec keys.Record) bool {
	c := rec.Info.Committee
	parties := n.members.Nodes(c.Parties)
	named := len(req.Parties) == 0 || len(req.Parties) == len(parties) &&
		!slices.ContainsFunc(req.Parties, func(id transport.NodeID) bool { return !slices.Contains(parties, id) })
	return named && rec.Info.Kind == s.Kind().ID && (req.Protocol == "" || rec.Scheme == s.ID()) && rec.Label == req.Label &&
		rec.Group == req.Group && (req.Threshold == 0 || req.Threshold == c.Threshold) && (req.Total == 0 || req.Total == c.N())
}

// plan turns a request into a scheme and a committee, with the reasons why not. Where it has a scheme and an error, it is the roster, or
// the node's own default, that does not have it: another node may have answered it, or this one under another roster.
func (n *making) plan(req KeygenRequest) (threshold.Scheme, threshold.Committee, error) {
	none := threshold.Committee{}
	scheme, err := n.cfg.SchemeFor(req.Curve, req.Protocol)
	if err != nil {
		return nil, none, NoScheme(err)
	}
	if err := checkNames(req.Label, req.Group); err != nil {
		return nil, none, err
	}
	ids := req.Parties
	total := req.Total
	if len(ids) == 0 {
		if total == 0 {
			total = len(n.members.All())
		}
		if total < 0 || total > len(n.members.All()) {
			return scheme, none, problem.Field("total", "enrol more nodes, or ask for fewer parties", "%d parties, the cluster has %d nodes",
				total, len(n.members.All()))
		}
		ids = n.members.All()[:total] // the same at every node: one request is for one committee
	}
	if total != 0 && total != len(ids) {
		return nil, none, problem.Field("total", "let total equal the number of parties", "total is %d, %d parties are named", total, len(ids))
	}
	if len(ids) < 2 {
		do := "ask for at least 2 parties"
		if len(n.members.All()) < 2 {
			do = EnrolAnother
		}
		return nil, none, problem.Field("total", do, "a key of one party alone is none: one node never signs")
	}
	t := req.Threshold
	switch {
	case t < 0:
		return nil, none, problem.Field("threshold", "ask for at least 2", "threshold %d", t)
	case t == 0 && n.cfg.Threshold > 0:
		t = n.cfg.Threshold
	case t == 0:
		t = len(ids)/2 + 1
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return nil, none, problem.Field("parties", "name each node once", "node %q is named twice", id)
		}
		if n.members.Party(id) == 0 {
			return scheme, none, problem.Field("parties", listNodes, "unknown node %q", id)
		}
	}
	if req.Threshold == 0 && t > len(ids) {
		return scheme, none, problem.Field("threshold",
			fmt.Sprintf("ask for one from %d to %d, or set threshold in mpcd.yaml", len(ids)/2+1, len(ids)),
			"this node's default threshold is %d, of %d parties", t, len(ids))
	}
	if t < 2 || t > len(ids) {
		return nil, none, problem.Field("threshold", "ask for at least 2 and at most as many signers as parties", "threshold %d of %d parties",
			t, len(ids))
	}
	c, err := n.members.Committee(ids, t)
	if err != nil {
		return scheme, none, problem.Field("threshold", "", "%v", err)
	}
	return scheme, c, nil
}

// lead proposes a ceremony on a key to its whole committee and runs our side of it.
//
// Where the parties' pair states differ, it is tried again with a new pair setup, above the highest pair-epoch anybody told; where a
// party has more attempts of a refresh behind it, with an epoch above those; where one was restarted, when it has told so.
func (n *making) lead(ctx context.Context, p *proposal, in *attest.Intent, permitted *permission, scheme threshold.Scheme,
	committee threshold.Committee, act func(*ceremony.Ceremony, *proposal) error) error {
	var err error
	if p.Pairs, err = n.pairs.Propose(ctx, scheme, committee, p.Operation == attest.OpRefresh, 0); err != nil {
		return err
	}
	nodes := n.members.Nodes(committee.Parties)
	for try := 0; ; try++ {
		boots := n.peers.Boots(nodes)
		d, err := n.propose(ctx, p, []*attest.Intent{in})
		if err == nil {
			err = n.core.lead(ctx, d, permitted, func(c *ceremony.Ceremony) error { return act(c, d.proposal) })
		}
		if err == nil || try == 2 {
			return err
		}
		again := *p
		p = &again
		switch f := ceremony.FailureOf(err); {
		case f.Refused != nil && f.Code() == problem.Starting && n.peers.AwaitBoot(ctx, nodes, boots):
		case f.Code() == problem.Attempt && p.Operation == attest.OpRefresh:
			rec, err := n.keys.Record(ctx, in.KeyID)
			if err != nil {
				return err
			}
			p.Next = rec.Above(p.Next, f.Epoch(), n.cfg.Clock())
		case f.Code() == problem.PairState:
			if p.Pairs, err = n.pairs.Propose(ctx, scheme, committee, true, f.Epoch()); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// joinKeygen is a party's side.
func (n *making) joinKeygen(ctx context.Context, c *ceremony.Ceremony, p *proposal, intents []*attest.Intent) error {
	in := intents[0]
	scheme, err := n.cfg.Schemes(in.Scheme)
	if err != nil {
		return err
	}
	committee, err := n.members.Committee(n.members.Nodes(p.Signers), in.Keygen.Threshold)
	if err != nil {
		return problem.New(problem.Invalid, "use the same roster on all nodes", "the committee: %v", err)
	}
	permitted, err := n.permitKeygen(ctx, scheme, in, committee, p.Again)
	if err != nil {
		return err
	}
	defer permitted.end(ctx)
	_, err = n.runKeygen(ctx, c, p, scheme, committee, in, permitted)
	return err
}

// runKeygen is what every party does: generate, stage, certify, activate.
func (n *making) runKeygen(ctx context.Context, c *ceremony.Ceremony, p *proposal, scheme threshold.Scheme, committee threshold.Committee,
	in *attest.Intent, permitted *permission) (string, error) {
	if err := permitted.recorded(); err != nil {
		return "", err
	}
	digest, unlock, err := n.pairUp(ctx, c, scheme, committee, in, p.Pairs)
	if err != nil {
		return "", err
	}
	defer unlock()
	s, err := scheme.Keygen(n.setup(c, committee, in, digest), n.rand("keygen", c.Topic[:]))
	if err != nil {
		return "", err
	}
	share, err := ceremony.Drive(ctx, c, s)
	if err != nil {
		return "", err
	}
	defer share.Destroy()
	id := attest.KeyID(share.Kind, share.GroupKey)
	release, ok := n.keys.Lock(id) // until we have activated it ourselves, nobody else may: its record would fall back
	if !ok {
		return "", problem.New(problem.Conflict, "repeat the request", "wallet %s is being changed already", id)
	}
	defer release()
	rec := keys.Record{Info: share.KeyInfo, Scheme: in.Scheme, Label: in.Keygen.Label, Group: in.Keygen.Group, State: keys.Staged,
		Created: in.Created, SessionID: in.RequestID, Pairs: digest}
	permitted.acted.Store(true)
	if err := n.gate.uses.Made(ctx, in.RequestID, id); err != nil {
		return "", err
	}
	if err := n.stage(ctx, id, share); err != nil {
		return "", err
	}
	if err := n.keys.Put(ctx, id, rec); err != nil {
		return "", err
	}
	certs, err := n.certify(ctx, c, id, share.KeyInfo, rec)
	if err != nil {
		return "", err
	}
	return id, n.activate(ctx, id, rec, share.KeyInfo, certs)
}

// setup binds the intent and the pair state. The last round of a pair setup is not echoed, so its makers can leave honest parties
// with different states: these meet here as different contexts, which accuses nobody, and not in certificates.
func (n *making) setup(c *ceremony.Ceremony, committee threshold.Committee, in *attest.Intent, pairs [32]byte) threshold.Setup {
	h := in.Hash()
	return threshold.Setup{Ceremony: c.Topic, Context: append(h[:], pairs[:]...), Committee: committee, Self: n.members.SelfParty(),
		Authentic: n.members.Authentic}
}
