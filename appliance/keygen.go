package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// certificateLeaf is what a party's hardware attests when the party has stored its share durably. The leaves of all parties
// together are the success certificate of a key at an epoch; it convinces anybody, also a party that missed the end.
type certificateLeaf struct {
	KeyID  string              `cbor:"1,keyasint"`
	Epoch  uint64              `cbor:"2,keyasint"`
	Digest [32]byte            `cbor:"3,keyasint"` // threshold.KeyInfo.Digest
	Party  threshold.PartyID   `cbor:"4,keyasint"`
	Label  string              `cbor:"5,keyasint"`
	Vault  string              `cbor:"6,keyasint"`
	Scheme threshold.SchemeID  `cbor:"7,keyasint"`
	All    []threshold.PartyID `cbor:"8,keyasint"`
	Pairs  [32]byte            `cbor:"9,keyasint"` // digest of the committee's pair state, zero where the scheme has none
}

// certificate is one party's attestation of its leaf.
type certificate struct {
	Party threshold.PartyID `cbor:"1,keyasint"`
	Cose  []byte            `cbor:"2,keyasint"`
}

func certificateKey(id string, epoch uint64) []byte {
	return fmt.Appendf(nil, "node/certificate/%s/%d", id, epoch)
}

func (n *Node) leaf(id string, info threshold.KeyInfo, rec walletRecord, p threshold.PartyID) []byte {
	return canon.MustMarshal(certificateLeaf{id, info.Epoch, info.Digest(), p, rec.Label, rec.Vault, info.Scheme, info.Committee.Parties, rec.Pairs})
}

// Keygen makes a key: every party stores its share, certifies it, and every quorum proves that it signs, before the wallet
// is returned. All parties must be up.
func (n *Node) Keygen(ctx context.Context, req KeygenRequest) (*Wallet, error) {
	ctx, done, err := n.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := n.session(&req.SessionID); err != nil {
		return nil, err
	}
	scheme, committee, err := n.plan(req)
	if err != nil {
		return nil, err
	}
	answer, release, err := n.ops.Claim(ctx, opKeygen, req.SessionID, req.BodyHash)
	if err != nil {
		return nil, n.explain(err)
	}
	if release == nil {
		return n.storedWallet(ctx, answer)
	}
	defer release()
	in := n.newIntent(attest.OpKeygen, req.SessionID, req.Requester, committee.Parties)
	in.Scheme = scheme.ID()
	in.Keygen = &attest.KeygenParams{Threshold: committee.Threshold, Purpose: purposeOf(scheme.ID()), Label: req.Label, Vault: req.Vault}
	if _, err := n.allow(ctx, in, committee); err != nil {
		return nil, err
	}
	if err := n.allUp(ctx, committee); err != nil {
		return nil, err
	}
	if err := n.Store.Batch(ctx, []vault.Pair{n.ops.Pending(opKeygen, req.SessionID, req.BodyHash)}, nil); err != nil {
		return nil, err
	}
	id, err := n.leadKey(ctx, opKeygen, scheme, in, committee, 0, func(ctx context.Context, c *ceremony, p *proposal) (string, error) {
		return n.runKeygen(ctx, c, scheme, committee, in, p.Pairs)
	})
	if err != nil {
		return nil, n.explain(err)
	}
	if err := n.prove(ctx, id); err != nil {
		return nil, n.explain(err)
	}
	n.counts.keygens.Add(1)
	return n.finishKey(ctx, opKeygen, id, req.SessionID, req.BodyHash)
}

// storedWallet renders the answer of a request that was answered before: the wallet as it was then.
func (n *Node) storedWallet(ctx context.Context, answer []byte) (*Wallet, error) {
	var a keyAnswer
	if err := canon.Unmarshal(answer, &a); err != nil {
		return nil, &problem.Error{Code: problem.Integrity, Message: "a stored answer is damaged", Next: "use another session_id", Err: err}
	}
	w := n.wallet(a.ID, a.Record)
	w.SessionID = a.Session
	return w, nil
}

type keyAnswer struct {
	ID      string       `cbor:"1,keyasint"`
	Session string       `cbor:"2,keyasint"`
	Record  walletRecord `cbor:"3,keyasint"`
}

func (n *Node) finishKey(ctx context.Context, op, id, session string, body [32]byte) (*Wallet, error) {
	rec, err := n.keys.record(ctx, id)
	if err != nil {
		return nil, err
	}
	a := canon.MustMarshal(keyAnswer{id, session, rec})
	if err := n.Store.Batch(ctx, []vault.Pair{n.ops.Answered(op, session, body, a)}, nil); err != nil {
		return nil, err
	}
	return n.storedWallet(ctx, a)
}

func purposeOf(s threshold.SchemeID) threshold.Purpose {
	switch s {
	case threshold.FrostTaproot:
		return threshold.PurposeBIP340
	case schemeDKLs23:
		return threshold.PurposeECDSA
	}
	return threshold.PurposeEdDSA
}

// plan turns a request into a scheme and a committee, with the reasons why not.
func (n *Node) plan(req KeygenRequest) (threshold.Scheme, threshold.Committee, error) {
	none := threshold.Committee{}
	scheme, err := n.SchemeFor(req.Curve, req.Protocol)
	if err != nil {
		return nil, none, &problem.Error{Code: problem.Unsupported, Field: "protocol", Message: err.Error(), Next: "use curve ed25519 with protocol frost, or curve secp256k1 with dkls23 (ECDSA) or frost (Taproot)"}
	}
	if len(req.Vault) > MaxLabel {
		return nil, none, problem.Field("vault", "shorten it", "the vault's name has %d bytes, at most %d", len(req.Vault), MaxLabel)
	}
	if len(req.Label) > MaxLabel {
		return nil, none, problem.Field("label", "shorten it", "the label has %d bytes, at most %d", len(req.Label), MaxLabel)
	}
	ids := req.Parties
	total := req.Total
	if len(ids) == 0 {
		if total == 0 {
			total = len(n.Roster.Roster.Nodes)
		}
		if total < 0 || total > len(n.Roster.Roster.Nodes) {
			return nil, none, problem.Field("total", "enrol more nodes, or ask for fewer parties", "%d parties, the cluster has %d nodes", total, len(n.Roster.Roster.Nodes))
		}
		ids = n.firstNodes(total)
	}
	if total != 0 && total != len(ids) {
		return nil, none, problem.Field("total", "let total equal the number of parties", "total is %d, %d parties are named", total, len(ids))
	}
	t := req.Threshold
	switch {
	case t < 0:
		return nil, none, problem.Field("threshold", "ask for at least 2", "threshold %d", t)
	case t == 0 && n.Threshold > 0:
		t = n.Threshold
	case t == 0:
		t = len(ids)/2 + 1
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return nil, none, problem.Field("parties", "name each node once", "node %q is named twice", id)
		}
		if n.party(id) == 0 {
			return nil, none, problem.Field("parties", "list the nodes with GET /api/v1/nodes", "unknown node %q", id)
		}
		names[i] = string(id)
	}
	if !slices.Contains(ids, n.Node) {
		return nil, none, problem.Field("parties", "ask one of the parties to make the key", "this node, %q, is not among the parties", n.Node)
	}
	if t < 2 || t > len(ids) {
		return nil, none, problem.Field("threshold", "ask for at least 2 and at most as many signers as parties", "threshold %d of %d parties", t, len(ids))
	}
	c, err := n.Roster.Roster.Committee(names, t)
	if err != nil {
		return nil, none, problem.Field("threshold", "", "%v", err)
	}
	return scheme, c, nil
}

// firstNodes are this node and those after it in the roster, total of them.
func (n *Node) firstNodes(total int) []transport.NodeID {
	nodes := n.Roster.Roster.Nodes
	at := slices.IndexFunc(nodes, func(m attest.RosterNode) bool { return m.ID == string(n.Node) })
	first := 0
	if at >= total {
		first = at - total + 1
	}
	out := make([]transport.NodeID, total)
	for i := range out {
		out[i] = transport.NodeID(nodes[first+i].ID)
	}
	return out
}

// allUp waits a moment for every party of the committee to be heard.
func (n *Node) allUp(ctx context.Context, c threshold.Committee) error {
	ctx, cancel := context.WithTimeout(ctx, lateFor)
	defer cancel()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	var down []transport.NodeID
	for wait := true; wait; {
		down = down[:0]
		for _, p := range c.Parties {
			if ok, _ := n.peers.usable(n.nodeOf(p)); !ok {
				down = append(down, n.nodeOf(p))
			}
		}
		wait = len(down) > 0
		if wait {
			select {
			case <-ctx.Done():
				wait = false
			case <-t.C:
			}
		}
	}
	if len(down) > 0 {
		return problem.New(problem.Quorum, "start them, then repeat the request: every party of a key takes part in making and refreshing it", "cannot reach %v", down)
	}
	return nil
}

// leadKey proposes a ceremony on a key to its whole committee and runs our side of it.
//
// Where the parties' pair states differ, it is tried again with a new pair setup, above the highest pair-epoch anybody told.
func (n *Node) leadKey(ctx context.Context, op string, scheme threshold.Scheme, in *attest.Intent, c threshold.Committee, next uint64, run func(context.Context, *ceremony, *proposal) (string, error)) (string, error) {
	pairs, err := n.pairingFor(ctx, scheme, c, op == opRefresh, 0)
	if err != nil {
		return "", err
	}
	for try := 0; ; try++ {
		boots := n.peers.boots(n.nodesOf(c.Parties))
		id, err := n.leadKeyOnce(ctx, op, in, c, pairs, next, run)
		if restarted(err) && try < 2 && n.peers.awaitBoot(ctx, n.nodesOf(c.Parties), boots) {
			continue
		}
		if top, tried := refusedFor(err, problem.Attempt); tried && try < 2 {
			next = max(next, top) + 1
			continue
		}
		epoch, differs := refusedFor(err, problem.PairState)
		if !differs || try == 2 {
			return id, err
		}
		if pairs, err = n.pairingFor(ctx, scheme, c, true, epoch); err != nil {
			return "", err
		}
	}
}

// restarted tells whether a ceremony failed because a party has started anew since it last told which run it is in.
func restarted(err error) bool {
	var refused *refusedError
	return errors.As(err, &refused) && refused.Code == problem.Starting
}

// refusedFor tells whether a party, or this node, refused a ceremony with the code, and which epoch it told.
func refusedFor(err error, code problem.Code) (epoch uint64, yes bool) {
	var refused *refusedError
	var own *problem.Error
	switch {
	case errors.As(err, &refused) && refused.Code == code:
		return refused.Epoch, true
	case errors.As(err, &own) && own.Code == code:
		return own.Epoch, true
	}
	return 0, false
}

func (n *Node) leadKeyOnce(ctx context.Context, op string, in *attest.Intent, c threshold.Committee, pairs *pairing, next uint64, run func(context.Context, *ceremony, *proposal) (string, error)) (string, error) {
	p, _, body, err := n.propose(ctx, op, c.Parties, []*attest.Intent{in}, terms{pairs: pairs, next: next})
	if err != nil {
		return "", err
	}
	var peers []transport.NodeID
	for _, id := range n.nodesOf(c.Parties) {
		if id != n.Node {
			peers = append(peers, id)
		}
	}
	cer, err := n.enter(proposalTopic(body), n.Node, peers)
	if err != nil {
		return "", err
	}
	defer cer.leave()
	e := transport.Envelope{To: peers, Kind: kindProposal, Topic: cer.topic, Body: body}
	cer.outbox = append(cer.outbox, e)
	n.send(e)
	id, err := run(ctx, cer, p)
	if err != nil {
		n.record(ctx, op, cer.topic, err)
		var refused *refusedError
		if !errors.As(err, &refused) {
			cer.refuse(n.explain(err))
		}
	}
	return id, err
}

// joinKeygen is a party's side.
func (n *Node) joinKeygen(ctx context.Context, c *ceremony, p *proposal, in *attest.Intent) error {
	scheme, err := n.Schemes(in.Scheme)
	if err != nil {
		return err
	}
	if in.Keygen.Purpose != purposeOf(in.Scheme) || len(in.Keygen.Label) > MaxLabel || len(in.Keygen.Vault) > MaxLabel {
		return problem.New(problem.Invalid, "", "the parameters do not fit the scheme")
	}
	committee, err := n.Roster.Roster.Committee(names(n.nodesOf(p.Signers)), in.Keygen.Threshold)
	if err != nil {
		return problem.New(problem.Invalid, "use the same roster on all nodes", "the committee: %v", err)
	}
	if _, err := n.allow(ctx, in, committee); err != nil {
		return err
	}
	if err := n.seen.admit(in); err != nil {
		return err
	}
	_, err = n.runKeygen(ctx, c, scheme, committee, in, p.Pairs)
	return err
}

func names(ids []transport.NodeID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// runKeygen is what every party does: record, generate, stage, certify, activate.
func (n *Node) runKeygen(ctx context.Context, c *ceremony, scheme threshold.Scheme, committee threshold.Committee, in *attest.Intent, pairs *pairing) (string, error) {
	if err := n.AuditLog.Append(ctx, audit.Event{Name: "keygen.begin", Facts: intentFacts(in)}); err != nil {
		return "", err
	}
	digest, unlock, err := n.pairUp(ctx, c, scheme, committee, in, pairs)
	if err != nil {
		return "", err
	}
	defer unlock()
	s, err := scheme.Keygen(n.setup(c, committee, in, digest), n.Rand)
	if err != nil {
		return "", err
	}
	share, err := drive(ctx, c, s)
	if err != nil {
		return "", err
	}
	defer share.Destroy()
	id := attest.KeyID(share.Scheme, share.GroupKey)
	release, ok := n.keys.lockRefresh(id) // until we have activated it ourselves, nobody else may: its record would fall back
	if !ok {
		return "", problem.New(problem.Conflict, "repeat the request", "wallet %s is being changed already", id)
	}
	defer release()
	rec := walletRecord{Info: share.KeyInfo, Label: in.Keygen.Label, Vault: in.Keygen.Vault, State: StateStaged, Created: in.Created, SessionID: in.RequestID, Pairs: digest}
	if err := n.stage(ctx, id, share); err != nil {
		return "", err
	}
	if err := n.keys.put(ctx, id, rec); err != nil {
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
func (n *Node) setup(c *ceremony, committee threshold.Committee, in *attest.Intent, pairs [32]byte) threshold.Setup {
	h := in.Hash()
	return threshold.Setup{Ceremony: c.topic, Context: append(h[:], pairs[:]...), Committee: committee, Self: n.self.Party, Authentic: n.authentic}
}

// stage stores a share durably without making it the one that signs.
func (n *Node) stage(ctx context.Context, id string, share *threshold.KeyShare) error {
	b := share.Bytes()
	defer b.Wipe()
	err := n.Vault.Store(ctx, id, b.Bytes(), vault.Meta{
		SchemeID: string(share.Scheme), Index: uint16(share.Party), Threshold: share.Committee.Threshold, TotalParties: share.Committee.N(),
		PublicShare: share.PublicShare(share.Party), GroupKey: share.GroupKey, Epoch: share.Epoch, Info: canon.MustMarshal(share.KeyInfo),
	})
	if err != nil {
		return &problem.Error{Code: vaultCode(err), Message: "the new share cannot be stored", Next: "check the disk and the token; run mpcd doctor", Err: err}
	}
	return nil
}

// certify attests that our share is durable, tells the others, and collects what they attest.
func (n *Node) certify(ctx context.Context, c *ceremony, id string, info threshold.KeyInfo, rec walletRecord) ([]certificate, error) {
	batch, err := attest.Attest(ctx, n.HSM, n.attestKey, n.header(attest.KindKeygen), [][]byte{n.leaf(id, info, rec, n.self.Party)})
	if err != nil {
		return nil, &problem.Error{Code: problem.HSM, Message: "the token did not attest the new share", Next: "run mpcd doctor; check the token", Err: err}
	}
	certs := []certificate{{n.self.Party, batch.Cose}}
	e := transport.Envelope{To: c.peers, Kind: kindCertificate, Topic: c.topic, Body: canon.MustMarshal(certs[0])}
	c.outbox = append(c.outbox, e)
	n.send(e)
	var want []threshold.PartyID
	for _, p := range info.Committee.Parties {
		if p != n.self.Party {
			want = append(want, p)
		}
	}
	err = c.gather(ctx, kindCertificate, want, func(from threshold.PartyID, env transport.Envelope) error {
		var cert certificate
		if err := canon.Unmarshal(env.Body, &cert); err != nil || cert.Party != from {
			return &threshold.Abort{Kind: threshold.Ban, Check: "certificate", Culprits: []threshold.PartyID{from}, Err: errors.New("unreadable certificate")}
		}
		if err := n.verifyCertificate(id, info, rec, cert); err != nil {
			return &threshold.Abort{Kind: threshold.Ban, Check: "certificate", Culprits: []threshold.PartyID{from}, Err: err}
		}
		certs = append(certs, cert)
		return nil
	})
	slices.SortFunc(certs, func(a, b certificate) int { return int(a.Party) - int(b.Party) })
	return certs, err
}

func (n *Node) verifyCertificate(id string, info threshold.KeyInfo, rec walletRecord, cert certificate) error {
	node := n.nodeOf(cert.Party)
	_, err := attest.VerifyBatch(n.rosterKeys[node].attest, attest.Expect{Kind: attest.KindKeygen, Cluster: n.Cluster, Node: string(node)},
		[][]byte{n.leaf(id, info, rec, cert.Party)}, cert.Cose)
	return err
}

// activate makes a certified epoch the one that signs; the epoch before is destroyed with it.
func (n *Node) activate(ctx context.Context, id string, rec walletRecord, info threshold.KeyInfo, certs []certificate) error {
	ctx = context.WithoutCancel(ctx)
	if err := n.Store.Batch(ctx, []vault.Pair{{Key: certificateKey(id, info.Epoch), Value: canon.MustMarshal(certs)}}, nil); err != nil {
		return err
	}
	if meta, err := n.Vault.GetMeta(id); err == nil && meta.Epoch == info.Epoch {
		// activated before, and interrupted before the record was written
	} else if err := n.Vault.Activate(ctx, id, info.Epoch); err != nil {
		return &problem.Error{Code: vaultCode(err), Message: "the new share cannot be activated", Next: "run mpcd doctor", Err: err}
	}
	if scheme, err := n.Schemes(info.Scheme); err == nil {
		if s, ok := scheme.(threshold.Provisioner); ok {
			if err := n.pairs.adopt(ctx, s, info.Committee, rec.Pairs); err != nil {
				return err
			}
		}
	}
	event := "refresh.done"
	if info.Epoch == 1 {
		rec.State, event = StateProving, "keygen.certified"
	} else {
		n.keys.retire(id, rec.Info.Epoch)
	}
	rec.Info = info
	rec.Attempts = slices.DeleteFunc(slices.Clone(rec.Attempts), func(a attempt) bool { return a.Epoch <= info.Epoch })
	if err := n.keys.put(ctx, id, rec); err != nil {
		return err
	}
	return n.AuditLog.Append(ctx, audit.Event{Name: event, Facts: map[string]string{"wallet": id, "epoch": fmt.Sprint(info.Epoch)}})
}

// Refresh gives every party a new share of the same key. All parties must be up; the old epoch signs until the end.
func (n *Node) Refresh(ctx context.Context, req RefreshRequest) (*Wallet, error) {
	ctx, done, err := n.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := n.session(&req.SessionID); err != nil {
		return nil, err
	}
	id, err := n.keys.find(ctx, req.WalletID, req.PublicKey)
	if err != nil {
		return nil, err
	}
	answer, release, err := n.ops.Claim(ctx, opRefresh, req.SessionID, req.BodyHash)
	if err != nil {
		return nil, n.explain(err)
	}
	if release == nil {
		return n.storedWallet(ctx, answer)
	}
	defer release()
	if err := n.Store.Batch(ctx, []vault.Pair{n.ops.Pending(opRefresh, req.SessionID, req.BodyHash)}, nil); err != nil {
		return nil, err
	}
	for epoch := uint64(0); ; {
		rec, err := n.keys.record(ctx, id)
		if err != nil {
			return nil, err
		}
		if err = n.leadRefresh(ctx, id, rec, req); err == nil {
			break
		}
		// Another refresh may have ended since we read the record: once more, on its epoch.
		e := problem.As(n.explain(err))
		if e.Code != problem.Conflict || epoch == rec.Info.Epoch {
			return nil, e
		}
		epoch = rec.Info.Epoch
		if now, err := n.keys.recordWhen(ctx, id, func(r walletRecord) bool { return r.Info.Epoch > epoch }); err != nil || now.Info.Epoch == epoch {
			return nil, e
		}
	}
	n.counts.refreshes.Add(1)
	return n.finishKey(ctx, opRefresh, id, req.SessionID, req.BodyHash)
}

func (n *Node) leadRefresh(ctx context.Context, id string, rec walletRecord, req RefreshRequest) error {
	if rec.State != StateActive {
		return problem.New(problem.Conflict, "wait until keygen has ended", "wallet %s is not active yet (%s)", id, rec.State)
	}
	if err := n.allUp(ctx, rec.Info.Committee); err != nil {
		return err
	}
	scheme, err := n.Schemes(rec.Info.Scheme)
	if err != nil {
		return err
	}
	in := n.newIntent(attest.OpRefresh, req.SessionID, req.Requester, rec.Info.Committee.Parties)
	in.KeyID, in.Scheme, in.Epoch = id, rec.Info.Scheme, rec.Info.Epoch
	_, err = n.leadKey(ctx, opRefresh, scheme, in, rec.Info.Committee, rec.top()+1, func(ctx context.Context, c *ceremony, p *proposal) (string, error) {
		return id, n.runRefresh(ctx, c, in, p.Pairs, p.Next)
	})
	return err
}

func (n *Node) joinRefresh(ctx context.Context, c *ceremony, p *proposal, in *attest.Intent) error {
	if err := n.seen.admit(in); err != nil {
		return err
	}
	return n.runRefresh(ctx, c, in, p.Pairs, p.Next)
}

// attemptsAhead is how far above a party's own highest epoch a coordinator may put the next one: others may have more attempts.
const attemptsAhead = 64

// runRefresh is what every party does: record, refresh, stage, certify, activate, destroy the epoch before.
func (n *Node) runRefresh(ctx context.Context, c *ceremony, in *attest.Intent, pairs *pairing, next uint64) error {
	unlock, ok := n.keys.lockRefreshSoon(ctx, in.KeyID)
	if !ok {
		return problem.New(problem.Conflict, "wait until it has ended", "wallet %s is being refreshed already", in.KeyID)
	}
	defer unlock()
	if err := n.finishStaged(ctx, in.KeyID); err != nil {
		return err
	}
	rec, err := n.keys.recordWhen(ctx, in.KeyID, func(r walletRecord) bool { return r.State == StateActive && r.Info.Epoch >= in.Epoch })
	if err != nil {
		return err
	}
	switch {
	case rec.State != StateActive:
		return problem.New(problem.Conflict, "wait until keygen has ended", "wallet %s is not active yet (%s)", in.KeyID, rec.State)
	case in.Epoch != rec.Info.Epoch || in.Scheme != rec.Info.Scheme:
		return problem.New(problem.Conflict, "repeat the request", "wallet %s is at epoch %d here, the intent says %d", in.KeyID, rec.Info.Epoch, in.Epoch)
	case !slices.Equal(in.Signers, rec.Info.Committee.Parties):
		return problem.New(problem.Invalid, "", "a refresh needs the whole committee")
	}
	if next <= rec.top() || next > rec.top()+attemptsAhead {
		return &problem.Error{Code: problem.Attempt, Message: fmt.Sprintf("this node has a share of epoch %d, the refresh would make epoch %d", rec.top(), next), Next: "repeat the request", Epoch: rec.top()}
	}
	if _, err := n.allow(ctx, in, rec.Info.Committee); err != nil {
		return err
	}
	if err := n.AuditLog.Append(ctx, audit.Event{Name: "refresh.begin", Facts: intentFacts(in)}); err != nil {
		return err
	}
	held, err := n.keys.open(ctx, in.KeyID, in.Epoch)
	if err != nil {
		return err
	}
	defer n.keys.release(held)
	digest, unpair, err := n.pairUp(ctx, c, held.scheme, rec.Info.Committee, in, pairs)
	if err != nil {
		return err
	}
	defer unpair()
	rec.Pairs = digest
	s, err := held.scheme.Refresh(n.setup(c, rec.Info.Committee, in, digest), held.share, n.Rand)
	if err != nil {
		return err
	}
	share, err := drive(ctx, c, s)
	if err != nil {
		return err
	}
	defer share.Destroy()
	share.Epoch = next // the engine counts one up; attempts that came to nothing leave gaps
	if err := n.stageRefresh(ctx, in.KeyID, &rec, share); err != nil {
		return err
	}
	certs, err := n.certify(ctx, c, in.KeyID, share.KeyInfo, rec)
	if err != nil {
		return err
	}
	return n.activate(ctx, in.KeyID, rec, share.KeyInfo, certs)
}

// stageRefresh stores the share of an attempt beside the active one and those of earlier attempts.
func (n *Node) stageRefresh(ctx context.Context, id string, rec *walletRecord, share *threshold.KeyShare) error {
	rec.Attempts = append(slices.Clone(rec.Attempts), attempt{share.Epoch, rec.Pairs})
	if err := n.keys.put(ctx, id, *rec); err != nil {
		return err
	}
	return n.stage(ctx, id, share)
}

// session checks or makes the idempotency key.
func (n *Node) session(id *string) error {
	if *id == "" {
		var b [16]byte
		if _, err := n.Rand.Read(b[:]); err != nil {
			return err
		}
		*id = fmt.Sprintf("%x", b)
	}
	return operation.CheckSession(*id)
}

// serve begins a request: its context ends with the node's and after Limits.Request, and Run does not return before done is called.
func (n *Node) serve(ctx context.Context) (_ context.Context, done func(), err error) {
	n.gate.Lock()
	defer n.gate.Unlock()
	if !n.ready.Load() {
		return nil, nil, problem.New(problem.Starting, "repeat in a second", "the node is starting or stopping")
	}
	n.wg.Add(1)
	ctx, cancel := context.WithTimeout(ctx, n.Limits.Request)
	unhook := context.AfterFunc(n.base, cancel)
	return ctx, func() { unhook(); cancel(); n.wg.Done() }, nil
}
