package appliance

import (
	"cmp"
	"context"
	"slices"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// find looks up the key of a wallet ID, or of any valid encoding of its public key.
func (n *core) find(ctx context.Context, wallet string, pub []byte) (keys.Key, error) {
	id, err := n.keys.Find(ctx, wallet, pub)
	if err != nil {
		return keys.Key{}, err
	}
	return n.keys.Key(ctx, id)
}

// Sign makes one signature. The same session_id with the same body gives the same answer again.
func (n *Node) Sign(ctx context.Context, req SignRequest) (*Signature, error) {
	scheme := ""
	s, err := n.sign(ctx, req, &scheme)
	n.counts.signed.add(scheme, err)
	if err == nil {
		n.desk.tell(s.SessionID)
	}
	return s, err
}

// sign says, once it knows, with which scheme.
func (n *Node) sign(ctx context.Context, req SignRequest, scheme *string) (s *Signature, err error) {
	again := req.SessionID != "" // perhaps
	ctx, done, err := n.request(ctx, &req.SessionID, n.cfg.Limits.Request)
	if err != nil {
		return nil, err
	}
	defer done()
	if again {
		receipt, err := n.others.stored(ctx, attest.OpSign, req.SessionID, req.BodyHash)
		if err == nil && receipt != nil {
			s, err = n.others.given(ctx, receipt)
		}
		if err != nil || s != nil {
			return s, err
		}
	}
	key, strange, err := n.others.known(ctx, req.Requester, req.WalletID, req.PublicKey)
	if err != nil {
		return nil, err
	}
	*scheme = string(key.Scheme.ID())
	if len(req.Path) == 0 {
		req.Path = nil
	}
	_, tweaks, err := derive(key, req.Path)
	if err == nil {
		err = req.read(key)
	}
	if err != nil {
		return nil, err
	}
	s, err = n.signOnce(ctx, req, key, tweaks, strange)
	refused := err
	if err != nil && again && ctx.Err() == nil && mayBeAnswered(err) {
		s, err = n.others.signedBefore(ctx, req, key, err)
	}
	if err != nil && req.Initiation != nil && problem.As(refused).Code == problem.Unapproved {
		req.WalletID = key.ID
		return nil, n.desk.hold(ctx, req, refused) // also where nobody could be asked whether it was answered: each node looks again
	}
	return s, err
}

// size is how many bytes the request's message and payload have.
func (r *SignRequest) size() int {
	n := len(r.Message)
	if r.Payload != nil {
		n += len(r.Payload.Bytes)
	}
	for _, x := range r.Approvals {
		n += x.Size()
	}
	return n
}

// read makes the message of the payload, where there is one, and checks it.
func (r *SignRequest) read(key keys.Key) error {
	if p := r.Payload; p != nil {
		d, err := p.Decode(r.Chain, r.Path, key.Scheme, key.Record.Info)
		if err != nil {
			return unread(err)
		}
		r.Message = d.Digest
	}
	return CheckMessage(key.Scheme.Kind(), "", r.Message)
}

// unread says what a payload that cannot be read means to a caller.
func unread(err error) error {
	return &problem.Error{Code: problem.Invalid, Message: "the transaction cannot be read, so nobody knows what it would do",
		Field: "transaction", Next: "make it again, for this wallet and chain; `mpcd intent show` says what is read of it", Err: err}
}

// into puts what is asked for into an intent.
func (r *SignRequest) into(in *attest.Intent, key keys.Key) {
	in.KeyID, in.Message, in.Path, in.Chain, in.Payload = key.ID, r.Message, r.Path, r.Chain, r.Payload
}

// mayBeAnswered tells whether a request that is refused so may have been answered at another node: it is refused for what this node, or
// who is up, can do now, or for who has asked for it by now.
func mayBeAnswered(err error) bool {
	switch problem.As(err).Code {
	case problem.Quorum, problem.Busy, problem.Blame, problem.Starting, problem.NotFound, problem.PairState:
		return true
	case problem.Conflict, problem.Denied, problem.Unapproved, problem.Frozen:
		return true
	}
	return false
}

// signOnce gives a request's answer of before, or makes it. What depends on who is up comes after it was asked for here; whether another
// node has answered it, those signers know whom it is proposed to, and it is for the caller to find out where none can be.
func (n *Node) signOnce(ctx context.Context, req SignRequest, key keys.Key, tweaks []threshold.Tweak, strange error) (*Signature, error) {
	answer, release, err := n.ops.Claim(ctx, string(attest.OpSign), req.SessionID, req.BodyHash)
	if err == nil && release == nil {
		return n.others.given(ctx, answer)
	}
	if err == nil {
		err = req.initiate(ctx, &n.core, key)
	}
	if err != nil {
		if release != nil {
			release()
		}
		return nil, n.members.Explain(err)
	}
	j := &signJob{ctx: ctx, req: req, key: key, tweaks: tweaks, ended: release,
		tries: tries{fixed: len(req.Signers) > 0, avoid: map[threshold.PartyID]bool{}}}
	if err = cmp.Or(strange, active(key)); err == nil {
		j.signers, err = n.epochs.chooseSigners(ctx, key, req.Signers, j.avoid)
	}
	if err != nil {
		release()
		return nil, err
	}
	if err := n.batches.submit(j); err != nil {
		return nil, n.members.Explain(err)
	}
	return j.answer, nil
}

// initiate signs the request as an initiator, on a node that does so for its callers, and holds one that was signed to what its headers
// say.
func (r *SignRequest) initiate(ctx context.Context, n *core, key keys.Key) error {
	if r.Initiation != nil && r.Field == "" {
		return nil // it was signed, and no header says of what
	}
	in := n.token.intent(attest.OpSign, r.SessionID, r.Requester, nil)
	r.into(in, key)
	err := n.initiate(ctx, in, r.Consent)
	r.Initiation = in.Initiation
	return err
}

// chooseSigners is the caller's choice, or a quorum without those that this node has banned, who are added to avoid.
func (e *epochs) chooseSigners(ctx context.Context, key keys.Key, named []transport.NodeID,
	avoid map[threshold.PartyID]bool) ([]threshold.PartyID, error) {
	apart, err := e.apart(keys.SharingOf(key.ID, key.Record))
	if err != nil {
		return nil, err
	}
	if len(named) > 0 {
		return e.namedSigners(key.Record.Info.Committee, named)
	}
	banned, err := e.pairs.BannedOf(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, p := range append(banned, apart...) {
		avoid[p] = true
	}
	return e.peers.Quorum(key.Record.Info.Committee, avoid)
}

// namedSigners turns the caller's choice into a quorum of nodes that can sign.
func (n *core) namedSigners(c threshold.Committee, ids []transport.NodeID) ([]threshold.PartyID, error) {
	ps, err := namedQuorum(n.members, c, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if why, next := n.peers.Trouble(id); why != "" {
			return nil, problem.New(problem.Quorum, next+", or let the cluster choose the signers", "node %q %s", id, why)
		}
	}
	return ps, nil
}

// namedQuorum is exactly as many parties of a key as its threshold, by the names of their nodes.
func namedQuorum(m *ceremony.Members, c threshold.Committee, ids []transport.NodeID) ([]threshold.PartyID, error) {
	ps := make([]threshold.PartyID, 0, len(ids))
	for _, id := range ids {
		p := m.Party(id)
		switch {
		case p == 0:
			return nil, problem.Field("signers", listNodes, "unknown node %q", id)
		case !c.Contains(p):
			return nil, problem.Field("signers", "name parties of the wallet", "node %q holds no share of this wallet", id)
		case slices.Contains(ps, p):
			return nil, problem.Field("signers", "name each signer once", "node %q is named twice", id)
		}
		ps = append(ps, p)
	}
	if len(ps) != c.Threshold {
		return nil, problem.Field("signers", "name exactly as many signers as the threshold, or none", "%d signers named, %d must sign",
			len(ps), c.Threshold)
	}
	return ceremony.SortedParties(ps), nil
}

// Keygen makes a key: every party stores its share, certifies it, and every quorum proves that it signs, before the wallet
// is returned. All parties must be up.
func (n *Node) Keygen(ctx context.Context, req KeygenRequest) (w *Wallet, err error) {
	end, err := n.callers.begin(n.cfg.Clock(), req.Requester)
	if err != nil {
		return nil, err
	}
	defer end(ctx, &err)
	again := req.SessionID != "" // perhaps
	ctx, done, err := n.request(ctx, &req.SessionID, n.Longest())
	if err != nil {
		return nil, err
	}
	defer done()
	scheme, committee, err := n.making.plan(req)
	strange := err
	if err == nil {
		strange = n.making.noParty(committee)
	}
	if strange != nil && (scheme == nil || !again) {
		return nil, strange
	}
	if w, err = newKey(ctx, n, req, scheme, committee, strange); err != nil && strange == nil {
		err = n.desk.hold(ctx, req, err)
	}
	return w, err
}

// newKey makes a key as it is planned, unless strange says why this node cannot, or takes over what another node has made.
func newKey(ctx context.Context, n *Node, req KeygenRequest, scheme threshold.Scheme, committee threshold.Committee,
	strange error) (*Wallet, error) {
	w, err := n.answered(ctx, asksOfKeygen(n.making, req, scheme, committee), func(accept func() error) (string, error) {
		if strange != nil {
			return "", strange
		}
		return n.making.keygen(ctx, req, scheme, committee, accept)
	})
	if err == nil {
		n.counts.keygens.Add(1)
		n.desk.tell(req.SessionID)
	}
	return w, err
}

// Refresh gives every party a new share of the same key. All parties must be up; the old epoch signs until the end.
func (n *Node) Refresh(ctx context.Context, req RefreshRequest) (w *Wallet, err error) {
	end, err := n.callers.begin(n.cfg.Clock(), req.Requester)
	if err != nil {
		return nil, err
	}
	defer end(ctx, &err)
	again := req.SessionID != "" // perhaps
	ctx, done, err := n.request(ctx, &req.SessionID, n.Longest())
	if err != nil {
		return nil, err
	}
	defer done()
	if again {
		answer, err := n.others.stored(ctx, attest.OpRefresh, req.SessionID, req.BodyHash)
		if err == nil && answer != nil {
			w, err = n.storedWallet(answer)
		}
		if err != nil || w != nil {
			return w, err
		}
	}
	key, strange, err := n.others.known(ctx, req.Requester, req.WalletID, req.PublicKey)
	if err == nil && !again {
		err = strange
	}
	if err != nil {
		return nil, err
	}
	if w, err = newShares(ctx, n, req, key); err != nil {
		req.WalletID = key.ID
		err = n.desk.hold(ctx, req, err)
	}
	return w, err
}

// newShares refreshes a key, or takes over that another node has.
func newShares(ctx context.Context, n *Node, req RefreshRequest, key keys.Key) (*Wallet, error) {
	r, err := n.renewal(key.Record, req)
	if err != nil {
		return nil, err
	}
	w, err := n.answered(ctx, asksOfRefresh(req, key), func(accept func() error) (string, error) {
		return key.ID, n.making.refresh(ctx, key.ID, r, accept)
	})
	if err == nil {
		n.counts.refreshes.Add(1)
		n.desk.tell(req.SessionID)
	}
	return w, err
}

// crossings is how often a request about a key is tried where another is at the same key.
const crossings = 2

// answered gives a request's answer of before, whichever node has it, or makes it: a wallet. What makes it calls accept once it has passed
// the gate, before the first message leaves.
func (n *Node) answered(ctx context.Context, x asks, act func(accept func() error) (id string, err error)) (*Wallet, error) {
	answer, release, taken := n.ops.Claim(ctx, string(x.op), x.session, x.body)
	switch {
	case release != nil:
		defer release()
	case taken != nil:
		return nil, n.members.Explain(taken)
	default:
		return n.storedWallet(answer)
	}
	for tries := 0; ; tries++ {
		found, wallet, err := n.others.find(ctx, x, func(h heard) (err error) {
			answer, err = n.others.adoptWallet(ctx, x, h)
			return err
		})
		if err == nil && found {
			return n.storedWallet(answer)
		}
		id, done := wallet, false
		err = cmp.Or(err, taken)
		if err == nil && wallet != "" {
			done, err = n.making.takeUp(ctx, wallet, x.session)
		}
		if err == nil && !done {
			id, err = act(func() error {
				return n.cfg.Store.Batch(ctx, []vault.Pair{n.ops.Pending(string(x.op), x.session, x.body)}, nil)
			})
		}
		f := ceremony.FailureOf(err)
		again := f.Code() == problem.Held || f.Code() == problem.Conflict && tries < crossings && taken == nil
		if err != nil && ctx.Err() == nil && again {
			n.others.yield(ctx, f.Holder()) // another node is at the same request, or at the same key
			continue
		}
		if err = n.members.Explain(err); reused(err) {
			n.others.forget(ctx, x)
		}
		if err != nil {
			return nil, err
		}
		return n.answer(ctx, x.op, x.session, x.body, id)
	}
}

// answer stores a request's answer, the wallet as it is, and returns it.
func (n *Node) answer(ctx context.Context, op attest.Operation, session string, body [32]byte, id string) (*Wallet, error) {
	rec, err := n.keys.Record(ctx, id)
	if err != nil {
		return nil, err
	}
	answer := newKeyAnswer(id, session, rec, n.cfg.Node)
	if err := n.cfg.Store.Batch(ctx, []vault.Pair{n.ops.Answered(string(op), session, body, answer)}, nil); err != nil {
		return nil, err
	}
	return n.storedWallet(answer)
}

// keyAnswer is the stored answer of a request that made or refreshed a key: the wallet as it was then. Its version goes up with the one of
// keys.Record.
type keyAnswer struct {
	Version     uint8            `cbor:"1,keyasint"`
	ID          string           `cbor:"2,keyasint"`
	Session     string           `cbor:"3,keyasint"`
	Record      keys.Record      `cbor:"4,keyasint"`
	Coordinator transport.NodeID `cbor:"5,keyasint,omitempty"`
}

const keyAnswerVersion = 1

func newKeyAnswer(id, session string, rec keys.Record, coordinator transport.NodeID) []byte {
	return canon.MustMarshal(keyAnswer{keyAnswerVersion, id, session, rec, coordinator})
}

func parseKeyAnswer(answer []byte) (a keyAnswer, err error) {
	if err := canon.UnmarshalVersion(answer, keyAnswerVersion, &a); err != nil {
		return a, problem.Unreadable("a stored answer", "use another session_id", err)
	}
	return a, nil
}

func (n *Node) storedWallet(answer []byte) (*Wallet, error) {
	a, err := parseKeyAnswer(answer)
	if err != nil {
		return nil, err
	}
	w := n.wallet(a.ID, a.Record)
	w.SessionID, w.Coordinator = a.Session, a.Coordinator
	return w, nil
}

// ProveThreshold repeats the proof for a wallet: a key that keygen left unproven becomes active, an active one is shown to
// sign with every quorum.
func (n *Node) ProveThreshold(ctx context.Context, wallet string) (*Wallet, error) {
	ctx, done, err := n.request(ctx, nil, n.Longest())
	if err != nil {
		return nil, err
	}
	defer done()
	key, err := n.find(ctx, wallet, nil)
	if err != nil {
		return nil, err
	}
	if key.Record.State == keys.Staged {
		return nil, problem.New(problem.Conflict, "wait until all parties have certified it, or make another key",
			"wallet %s is not certified yet", key.ID)
	}
	if err := n.peers.AwaitAll(ctx, key.Record.Info.Committee); err != nil {
		return nil, err
	}
	if err := n.making.prove(ctx, key); err != nil {
		return nil, n.members.Explain(err)
	}
	return n.Wallet(ctx, key.ID)
}
