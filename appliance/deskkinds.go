package appliance

import (
	"context"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// Request is what a caller asks for and the desk may keep: a SignRequest, a KeygenRequest or a RefreshRequest.
type Request interface {
	// claims is what the request's session_id stands for, and is bound to.
	claims() (op attest.Operation, session string, body [32]byte)
	// About is the wallet that it is about, or of a key to be made, whose wallet is "", the vault.
	About() (wallet, vault string)
	// waits is what is kept of it, in the words of an initiator; nil where only who waits can have it: nobody has signed it, or this node
	// cannot judge it.
	waits(ctx context.Context, d *Desk) (*waiterRecord, error)
}

// deskKind is what differs between the kinds of operation that the desk keeps. All of it is here.
type deskKind interface {
	// about finds out what a record is about and holds what it says against that; s has the record's intent.
	about(ctx context.Context, r *waiterRecord, s *standing) error
	// named judges what the caller named besides, which nobody has signed.
	named(r *waiterRecord, s *standing) error
	// take judges and keeps the answer of another node.
	take(ctx context.Context, r *waiterRecord, s *standing, h heard) error
	// do has it done.
	do(ctx context.Context, r *waiterRecord, s *standing) error
	// made says what an answer names: a receipt, or a wallet.
	made(answer []byte) (receipt, wallet string, err error)
}

// furnishDesk gives the desk the kinds of operation that it keeps.
func furnishDesk(n *Node) {
	n.desk.others, n.desk.making = n.others, n.making
	n.desk.kinds = map[attest.Operation]deskKind{attest.OpSign: deskSign{n.desk, n.Sign}, attest.OpKeygen: deskKeygen{n.desk, n},
		attest.OpRefresh: deskRefresh{n.desk, n}}
}

// deskWallet finds the key that a record is about.
func deskWallet(ctx context.Context, d *Desk, s *standing) (err error) {
	if s.key, err = d.core.keys.Key(ctx, s.in.KeyID); err == nil {
		s.in.Vault, s.vault, s.info = s.key.Record.Group, s.key.Record.Group, s.key.Record.Info
	}
	return err
}

// madeKey is what the answer to a request about a key names.
func madeKey(answer []byte) (receipt, wallet string, err error) {
	a, err := parseKeyAnswer(answer)
	return "", a.ID, err
}

// deskSign keeps requests for signatures.
type deskSign struct {
	*Desk
	sign func(context.Context, SignRequest) (*Signature, error)
}

func (k deskSign) about(ctx context.Context, r *waiterRecord, s *standing) (err error) {
	if err = deskWallet(ctx, k.Desk, s); err == nil {
		s.decoded, err = judgePayload(&s.in, s.key)
	}
	if err == nil {
		s.asks = asksOf(k.request(r, s), s.key)
	}
	return err
}

func (k deskSign) named(r *waiterRecord, s *standing) (err error) {
	if len(r.Named) > 0 {
		_, err = namedQuorum(k.core.members, s.info.Committee, r.Named)
	}
	return err
}

// request is what the record asks for, with the approvals that hold, and with the message as it is once it is read; the request's hash is
// of what was sent.
func (k deskSign) request(r *waiterRecord, s *standing) SignRequest {
	in := &s.in
	q := SignRequest{SessionID: in.RequestID, WalletID: in.KeyID, Path: in.Path, Payload: in.Payload, Signers: r.Named, Chain: in.Chain,
		Requester: in.Requester, Consent: Consent{Initiation: in.Initiation, Approvals: in.Approvals}}
	if in.Payload == nil {
		q.Message = in.Message
	}
	q.BodyHash = q.Hash()
	q.Message = in.Message
	return q
}

func (k deskSign) take(ctx context.Context, r *waiterRecord, s *standing, h heard) error {
	_, err := k.others.adoptSignature(ctx, k.request(r, s), s.key, h)
	return err
}

func (k deskSign) do(ctx context.Context, r *waiterRecord, s *standing) error {
	_, err := k.sign(ctx, k.request(r, s))
	return err
}

func (deskSign) made(answer []byte) (receipt, wallet string, err error) {
	return string(answer), "", nil
}

func (r SignRequest) claims() (attest.Operation, string, [32]byte) {
	return attest.OpSign, r.SessionID, r.BodyHash
}

// About is the wallet.
func (r SignRequest) About() (wallet, vault string) { return r.WalletID, "" }

func (r SignRequest) waits(ctx context.Context, d *Desk) (*waiterRecord, error) {
	key, err := d.core.keys.Key(ctx, r.WalletID)
	if err != nil && problem.As(err).Code == problem.NotFound {
		return nil, nil
	}
	if err == nil {
		err = r.read(key)
	}
	if err == nil {
		err = r.initiate(ctx, d.core, key)
	}
	if err != nil || r.Initiation == nil {
		return nil, err
	}
	in := attest.Intent{Cluster: d.core.cfg.Cluster, Operation: attest.OpSign, RequestID: r.SessionID, Requester: r.Requester,
		Initiation: r.Initiation, Approvals: r.Approvals}
	r.into(&in, key)
	return &waiterRecord{Intent: in, Named: r.Signers}, nil
}

// deskKeygen keeps requests for new keys. All nodes know them, and the parties make them.
type deskKeygen struct {
	*Desk
	node *Node
}

func (k deskKeygen) about(_ context.Context, r *waiterRecord, s *standing) error {
	whole := s.in
	whole.Node, whole.Approvals = string(k.core.cfg.Node), nil // those that hold are looked for later
	if err := whole.Validate(); err != nil {
		return &problem.Error{Code: problem.Invalid, Message: "it is no request for a key", Err: err}
	}
	scheme, err := k.core.cfg.Schemes(s.in.Scheme)
	if err == nil && scheme.Kind().ID != s.in.Keygen.Kind {
		err = problem.New(problem.Invalid, "", "the parameters do not fit the scheme")
	}
	if err == nil {
		err = checkNames(s.in.Keygen.Label, s.in.Keygen.Group)
	}
	if err != nil {
		return err
	}
	c, err := committeeOf(k.making, &s.in)
	s.vault, s.info, s.key.Scheme = s.in.Keygen.Group, threshold.KeyInfo{Committee: c}, scheme
	s.asks = asksOfKeygen(k.making, k.request(r, s), scheme, c)
	return err
}

func (deskKeygen) named(r *waiterRecord, _ *standing) error {
	if len(r.Named) > 0 || len(r.Body) != len(attest.Hash{}) {
		return problem.New(problem.Invalid, "", "it names signers, or not what its session_id is bound to")
	}
	return nil
}

func (k deskKeygen) request(r *waiterRecord, s *standing) KeygenRequest {
	in := &s.in
	q := KeygenRequest{SessionID: in.RequestID, Threshold: in.Keygen.Threshold, Total: len(in.Signers), Parties: nodeIDs(in.Keygen.Nodes),
		Label: in.Keygen.Label, Group: in.Keygen.Group, Requester: in.Requester,
		Consent: Consent{Initiation: in.Initiation, Approvals: in.Approvals}}
	copy(q.BodyHash[:], r.Body)
	return q
}

func (k deskKeygen) take(ctx context.Context, _ *waiterRecord, s *standing, h heard) error {
	_, err := k.others.adoptWallet(ctx, s.asks, h)
	return err
}

func (k deskKeygen) do(ctx context.Context, r *waiterRecord, s *standing) error {
	if err := k.making.noParty(s.info.Committee); err != nil {
		return problem.New(problem.Quorum, "wait for its parties", "this node will hold no share of the key")
	}
	q := k.request(r, s)
	ctx, done, err := k.node.request(ctx, &q.SessionID, k.node.Longest())
	if err != nil {
		return err
	}
	defer done()
	_, err = newKey(ctx, k.node, q, s.key.Scheme, s.info.Committee, nil)
	return err
}

func (deskKeygen) made(answer []byte) (receipt, wallet string, err error) { return madeKey(answer) }

func (r KeygenRequest) claims() (attest.Operation, string, [32]byte) {
	return attest.OpKeygen, r.SessionID, r.BodyHash
}

// About is the vault.
func (r KeygenRequest) About() (wallet, vault string) { return "", r.Group }

func (r KeygenRequest) waits(ctx context.Context, d *Desk) (*waiterRecord, error) {
	scheme, committee, err := d.making.plan(r)
	if err == nil {
		err = d.making.noParty(committee)
	}
	if err != nil {
		return nil, err
	}
	in, err := keygenIntent(ctx, d.making, r, scheme, committee)
	if err != nil || in.Initiation == nil {
		return nil, err
	}
	if _, err := committeeOf(d.making, in); err != nil {
		return nil, nil // its initiator has named no parties, and the caller others than those that this means
	}
	return &waiterRecord{Intent: *in, Body: r.BodyHash[:]}, nil
}

// deskRefresh keeps requests for refreshes.
type deskRefresh struct {
	*Desk
	node *Node
}

func (k deskRefresh) about(ctx context.Context, r *waiterRecord, s *standing) (err error) {
	if err = deskWallet(ctx, k.Desk, s); err == nil {
		s.asks = asksOfRefresh(k.request(s), s.key)
	}
	return err
}

func (deskRefresh) named(r *waiterRecord, _ *standing) error {
	if len(r.Named) > 0 {
		return problem.New(problem.Invalid, "", "a refresh that waits names no nodes")
	}
	return nil
}

func (deskRefresh) request(s *standing) RefreshRequest {
	in := &s.in
	q := RefreshRequest{SessionID: in.RequestID, WalletID: in.KeyID, Requester: in.Requester,
		Consent: Consent{Initiation: in.Initiation, Approvals: in.Approvals}}
	q.BodyHash = q.Hash()
	return q
}

func (k deskRefresh) take(ctx context.Context, _ *waiterRecord, s *standing, h heard) error {
	_, err := k.others.adoptWallet(ctx, s.asks, h)
	return err
}

func (k deskRefresh) do(ctx context.Context, _ *waiterRecord, s *standing) error {
	q := k.request(s)
	ctx, done, err := k.node.request(ctx, &q.SessionID, k.node.Longest())
	if err != nil {
		return err
	}
	defer done()
	_, err = newShares(ctx, k.node, q, s.key)
	return err
}

func (deskRefresh) made(answer []byte) (receipt, wallet string, err error) { return madeKey(answer) }

func (r RefreshRequest) claims() (attest.Operation, string, [32]byte) {
	return attest.OpRefresh, r.SessionID, r.BodyHash
}

// About is the wallet.
func (r RefreshRequest) About() (wallet, vault string) { return r.WalletID, "" }

// waits is nil for a refresh that releases bans: these are the answering node's own, and no other is to end its bans for a peer's word.
func (r RefreshRequest) waits(ctx context.Context, d *Desk) (*waiterRecord, error) {
	key, err := d.core.keys.Key(ctx, r.WalletID)
	if len(r.Release) > 0 || err != nil && problem.As(err).Code == problem.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in := d.core.token.intent(attest.OpRefresh, r.SessionID, r.Requester, nil)
	in.KeyID = key.ID
	if err := d.core.initiate(ctx, in, r.Consent); err != nil || in.Initiation == nil {
		return nil, err
	}
	return &waiterRecord{Intent: *in}, nil
}

// nodeIDs are names of nodes as nodes use them.
func nodeIDs(names []string) (ids []transport.NodeID) {
	for _, x := range names {
		ids = append(ids, transport.NodeID(x))
	}
	return ids
}
