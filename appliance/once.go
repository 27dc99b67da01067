package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// One request is one act, wherever it is asked. Every party keeps what it agreed to under a session_id (operation.Use) and refuses another
// coordinator that comes with the same (problem.Held). That one asks who has the answer, and gives the same one; only where nobody has it,
// nor is about to, does it act itself, and says so in its proposal.

// question is what a node asks others: about a session of one kind of operation, or, with opReceipt, about a receipt, with opLogged, where
// that is on record, or, with opWallet, about a wallet.
type question struct {
	Nonce   [16]byte         `cbor:"1,keyasint"`
	Op      attest.Operation `cbor:"2,keyasint"`
	Session string           `cbor:"3,keyasint"`
}

const (
	opReceipt attest.Operation = "receipt" // by its ID
	opLogged  attest.Operation = "logged"  // of who settled it; the answer is an attest.Logged
	opWallet  attest.Operation = "wallet"  // by its ID, or its public key in hex
)

// said is what a node knows of a session.
type said struct {
	Nonce   [16]byte       `cbor:"1,keyasint"`
	Acting  bool           `cbor:"2,keyasint,omitempty"` // it is doing it
	Body    [32]byte       `cbor:"3,keyasint"`           // of the request that it does, or has answered
	Answer  []byte         `cbor:"4,keyasint,omitempty"`
	Receipt []byte         `cbor:"5,keyasint,omitempty"` // that the answer names, where it is a signature's
	Use     *operation.Use `cbor:"6,keyasint,omitempty"` // what it has agreed to
	Asked   bool           `cbor:"7,keyasint,omitempty"` // it was asked for it too, and has no answer yet
	Certs   []certificate  `cbor:"8,keyasint,omitempty"` // of opWallet, whose Answer is the wallet as it stands
	Proofs  *proofs        `cbor:"9,keyasint,omitempty"`
}

// others asks nodes, and answers them.
type others struct {
	*core
	witness *witness
	lookups lookups
	mu      sync.Mutex
	waits   map[[16]byte]chan heard
	telling sync.Mutex // held while one question is answered: an answer may be as large as a record
}

type heard struct {
	from transport.NodeID
	said
}

// ask returns what the nodes answer, until all have or ceremony.LateFor has passed.
func (n *others) ask(ctx context.Context, op attest.Operation, session string, nodes []transport.NodeID) ([]heard, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	q := question{Op: op, Session: session}
	if _, err := io.ReadFull(n.rand("question", []byte(op), []byte(session)), q.Nonce[:]); err != nil {
		return nil, err
	}
	in := make(chan heard, len(nodes))
	n.mu.Lock()
	if n.waits == nil {
		n.waits = map[[16]byte]chan heard{}
	}
	n.waits[q.Nonce] = in
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.waits, q.Nonce)
		n.mu.Unlock()
	}()
	n.send(transport.Envelope{To: nodes, Kind: ceremony.KindSession, Body: canon.MustMarshal(q)})
	late := time.NewTimer(ceremony.LateFor)
	defer late.Stop()
	var out []heard
	for len(out) < len(nodes) {
		select {
		case h := <-in:
			if slices.Contains(nodes, h.from) && !slices.ContainsFunc(out, func(o heard) bool { return o.from == h.from }) {
				out = append(out, h)
			}
		case <-late.C:
			return out, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// answer tells a peer what we know.
func (n *others) answer(ctx context.Context, env transport.Envelope) {
	var q question
	if canon.Unmarshal(env.Body, &q) != nil || len(q.Op)+len(q.Session) > 2*operation.MaxSessionID {
		return
	}
	n.telling.Lock()
	defer n.telling.Unlock()
	s := said{Nonce: q.Nonce}
	if !n.told.room(n.cfg.Clock(), env.From) { // silence would say that there is no answer, and have the act done again
		s.Acting = true
		n.send(transport.Envelope{To: []transport.NodeID{env.From}, Kind: ceremony.KindSaid, Body: canon.MustMarshal(s)})
		return
	}
	var err error
	receipt := q.Session
	switch q.Op {
	case opReceipt:
	case opLogged:
		receipt = ""
		s.Answer, err = n.showLogged(ctx, q.Session)
	case opWallet:
		err = n.show(ctx, q.Session, &s)
	default:
		var st operation.State
		if st, err = n.ops.State(ctx, string(q.Op), q.Session); err == nil {
			s.Asked, s.Acting, s.Body, s.Answer = st.Asked, st.Acting, st.Body, st.Answer
			if s.Use, err = n.gate.uses.Get(ctx, q.Session); s.Use != nil {
				s.Use.Acts = nil // which nobody judges by, and releases before it do not read
			}
		}
		receipt = string(s.Answer)
	}
	if err == nil && (q.Op == opReceipt || q.Op == attest.OpSign && len(receipt) > 0) && len(receipt) <= maxReceiptID {
		s.Receipt, _ = n.cfg.Store.Get(ctx, receiptKey(receipt)) // none is no answer
	}
	if err != nil {
		n.remark(env.From, "a question about a session cannot be answered", err)
		return
	}
	body := canon.MustMarshal(s)
	cost := len(body)
	if q.Op == opLogged {
		cost = max(cost, loggedCost)
	}
	n.told.count(env.From, cost)
	n.send(transport.Envelope{To: []transport.NodeID{env.From}, Kind: ceremony.KindSaid, Body: body})
}

// learn hands an answer to whoever asked.
func (n *others) learn(env transport.Envelope) {
	var s said
	if canon.Unmarshal(env.Body, &s) != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.waits[s.Nonce] <- heard{env.From, s}:
	default: // nobody waits, or somebody answers more than once
	}
}

// live are the other nodes that are up.
func (n *others) live() []transport.NodeID {
	return slices.DeleteFunc(slices.Clone(n.members.All()), func(id transport.NodeID) bool {
		if id == n.cfg.Node {
			return true
		}
		_, up := n.peers.Notes(id)
		return !up
	})
}

// askAgain is how long a node waits for another that does what it is asked for too.
const askAgain = 200 * time.Millisecond

// asks is a request as find looks for its answer.
type asks struct {
	op            attest.Operation
	session       string
	body, purpose [32]byte                              // purpose is as this node would do it
	fits          func(id string, rec keys.Record) bool // whether a key is one that it asks for; nil for a signature
	// signed is that an initiator has signed it: then its purpose says what it is, whatever body a caller, or a peer, gave it.
	signed bool
}

// other tells whether a body is of another request.
func (x asks) other(body [32]byte) bool { return !x.signed && body != x.body }

// find asks nodes for the answer of a session, as long as one of them is about to have it: of those that are asked at once, the first by
// name goes first. The same body is the same request, also where this node would have made something else of it, by defaults of its own.
// An answer to it that take takes, which judges and keeps it, ends the search whatever else is said. Otherwise find refuses what stands for
// another body anywhere, and for another purpose where nobody says to have answered this body, or is about to. An answer that is not taken
// is a peer's word alone, and yet nothing may be done again that may have been done: find refuses then, too. Where nobody has an answer,
// wallet is what a keygen of the session has left, if anything.
func (n *others) find(ctx context.Context, x asks, take func(heard) error) (found bool, wallet string, err error) {
	n.ops.Act(string(x.op), x.session, false)
	defer n.ops.Act(string(x.op), x.session, true)
	for end := n.cfg.Clock().Add(ceremony.LateFor); ; {
		all, err := n.ask(ctx, x.op, x.session, n.live())
		if err != nil {
			return false, "", err
		}
		own, err := n.gate.uses.Get(ctx, x.session)
		if err != nil {
			return false, "", err
		}
		taken, untaken := n.takeOne(x, all, take)
		if taken {
			return true, "", nil
		}
		acting, same, used := false, false, error(nil)
		all = append(all, heard{n.cfg.Node, said{Use: own}})
		lost, known := n.lost(x, all)
		for _, h := range all {
			if (h.Asked || len(h.Answer) > 0) && x.other(h.Body) {
				return false, "", usedAt(x.session, h)
			}
			if h.Use != nil && h.Use.Purpose != x.purpose {
				e := usedAt(x.session, h)
				e.Next += fmt.Sprintf("; if it is the same request, ask node %.64q, which led it", h.Use.Coordinator)
				used = e
			}
			if len(h.Answer) > 0 {
				continue
			}
			acting = acting || h.Acting || h.Asked && h.from < n.cfg.Node
			same = same || h.Asked && (h.Acting || h.from < n.cfg.Node)
			if h.Use != nil && h.Use.Key != "" {
				wallet = h.Use.Key
			}
		}
		wait := acting || !known && n.cfg.Clock().Before(end)
		if untaken != nil || used != nil && !same || !wait {
			return false, wallet, cmp.Or(untaken, used, lost)
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return false, "", ctx.Err()
		}
	}
}

// lost refuses what others have taken part in under a node that was put back since, as far as that is known: it may have the answer no
// more. A wallet is known to all that have made it.
func (n *others) lost(x asks, all []heard) (err error, known bool) {
	known = true
	for _, h := range all {
		if x.op != attest.OpSign || h.Use == nil || h.Use.Coordinator == string(h.from) {
			continue
		}
		led := transport.NodeID(h.Use.Coordinator)
		was, sure := n.witness.lostSince(led, h.Use.At)
		if known = known && sure; was {
			err = &problem.Error{Code: problem.Conflict, Field: "session_id",
				Message: fmt.Sprintf("node %s has led what is asked for by session_id %q, and was put back since: whether it was signed "+
					"is not known", led, x.session),
				Next: "see whether it was, where signatures of the wallet go to; if it was not, ask for it by a new session_id"}
		}
	}
	return err, known
}

// takeOne takes an answer to the request that is asked for, or says why the last that was shown is not taken.
func (n *others) takeOne(x asks, all []heard, take func(heard) error) (taken bool, untaken error) {
	for _, h := range all {
		if len(h.Answer) == 0 || x.other(h.Body) {
			continue
		}
		err := take(h)
		if err == nil {
			return true, nil
		}
		n.cfg.Logger.Warn("an answer of another node is not taken", "from", h.from, "session", x.session, "error", err)
		untaken = notTaken(x.session, h.from, err)
	}
	return false, untaken
}

// usedAt is operation.Reused, by the word of a node.
func usedAt(session string, h heard) *problem.Error {
	e := problem.As(operation.Reused(session))
	if len(h.Answer) > 0 {
		e.Message += fmt.Sprintf(", which node %s has answered", h.from)
	} else {
		e.Message += fmt.Sprintf(", says node %s", h.from)
	}
	return e
}

// reused tells whether a request was refused because its session_id stands for another.
func reused(err error) bool {
	var p *problem.Error
	return errors.As(err, &p) && p.Code == problem.Conflict && p.Field == "session_id"
}

// errAnswered is the cause of a refusal for an answer that another node has shown, and that holds, to another request of the session_id.
var errAnswered = errors.New("it is the answer to another request")

// forget takes a request off the record that was refused because its session_id stands for another, if nothing can have come of it here:
// this node has agreed to nothing of the kind under the session_id, as it has, durably, before it makes a share. The session is claimed.
func (n *others) forget(ctx context.Context, x asks) {
	ctx = context.WithoutCancel(ctx)
	u, err := n.gate.uses.Get(ctx, x.session)
	if err == nil && (u == nil || u.Purpose != x.purpose) {
		err = n.ops.Forget(ctx, string(x.op), x.session, x.body)
	}
	if err != nil {
		n.cfg.Logger.Warn("a session_id stays with a request that was refused", "session", x.session, "error", err)
	}
}

// notTaken is the refusal of a request that a node says to have answered, where this node cannot give the same answer.
func notTaken(session string, at transport.NodeID, err error) error {
	if problem.As(err).Code.Retryable() {
		return err
	}
	return &problem.Error{Code: problem.Conflict, Field: "session_id", Err: err,
		Message: fmt.Sprintf("node %s says that it has answered session_id %q, and this node cannot take its answer over", at, session),
		Next:    fmt.Sprintf("ask node %s, by the same session_id; a new one would have it done a second time", at)}
}

// yield lets another coordinator go first where both came with one session at the same time: one of them, by name.
func (n *others) yield(ctx context.Context, holder string) {
	pause := askAgain
	if holder < string(n.cfg.Node) {
		pause *= 3
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// receipt asks the others for a receipt, and takes none that does not verify.
func (n *others) receipt(ctx context.Context, id string) (*attest.Receipt, error) {
	all, err := n.ask(ctx, opReceipt, id, n.live())
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		if r, err := n.parseReceiptOf(ctx, h); err == nil && r.ID == id {
			return r, nil
		}
	}
	return nil, nil
}

// readReceipt is receipt for a caller, who may have made the ID up.
func (n *others) readReceipt(ctx context.Context, id string) (*attest.Receipt, error) {
	end, err := n.lookups.begin(n.cfg.Clock(), "")
	if err != nil {
		return nil, err
	}
	r, err := n.receipt(ctx, id)
	end(r != nil)
	return r, err
}

// parseReceiptOf verifies what another node shows, by the roster that it names.
func (n *others) parseReceiptOf(ctx context.Context, h heard) (*attest.Receipt, error) {
	var r attest.Receipt
	if err := canon.UnmarshalVersion(h.Receipt, attest.ReceiptVersion, &r); err != nil {
		return nil, err
	}
	roster, err := n.rosterOf(ctx, r.Roster)
	if err == nil && roster == nil {
		err = fmt.Errorf("its receipt is of roster %.64q, which this node has not, or no longer", r.Roster)
	}
	if err != nil {
		return nil, err
	}
	return &r, attest.VerifyReceipt(&r, roster, n.cfg.Schemes, attest.ReceiptOptions{})
}

// adoptWallet takes over another node's answer about a key, if it is of a key as we know it, and one that was asked for.
func (n *others) adoptWallet(ctx context.Context, x asks, h heard) ([]byte, error) {
	a, err := parseKeyAnswer(h.Answer)
	if err != nil {
		return nil, err
	}
	rec, err := n.keys.RecordWhen(ctx, a.ID, func(r keys.Record) bool { return r.State == keys.Active && r.Info.Epoch >= a.Record.Info.Epoch })
	if err != nil && problem.As(err).Code == problem.NotFound {
		rec, err = n.wallet(ctx, a.ID, err)
	}
	if err != nil {
		return nil, err
	}
	theirs := a.Record.Info
	theirs.Party = rec.Info.Party
	same := attest.KeyID(theirs.Kind, theirs.GroupKey) == a.ID && a.Session == x.session && a.Record.Label == rec.Label &&
		a.Record.Group == rec.Group && a.Record.Scheme == rec.Scheme && a.Record.State == keys.Active &&
		theirs.Committee.Equal(rec.Info.Committee) && theirs.Epoch <= rec.Info.Epoch &&
		(x.op != attest.OpKeygen || rec.SessionID == x.session) && x.fits(a.ID, rec)
	if !same {
		e := problem.New(problem.Integrity, "compare the wallet on both nodes",
			"node %s answers session_id %q with a wallet that is another here", h.from, x.session)
		if x.op == attest.OpKeygen && rec.SessionID == x.session {
			e.Err = errAnswered
		}
		return nil, e
	}
	put := n.ops.Answered(string(x.op), x.session, x.body, h.Answer)
	return h.Answer, n.cfg.Store.Batch(ctx, []vault.Pair{put}, nil)
}

// asksOf is a request for a signature as find looks for its answer.
func asksOf(req SignRequest, key keys.Key) asks {
	purpose := purposeOf(&attest.Intent{Operation: attest.OpSign, KeyID: key.ID, Message: req.Message, Path: req.Path})
	return asks{op: attest.OpSign, session: req.SessionID, body: req.BodyHash, purpose: purpose}
}

// signatureOf is the answer that another node has given to a request, nil where none has.
func (n *others) signatureOf(ctx context.Context, req SignRequest, key keys.Key) (s *Signature, err error) {
	_, _, err = n.find(ctx, asksOf(req, key), func(h heard) (err error) {
		s, err = n.adoptSignature(ctx, req, key, h)
		return err
	})
	return s, err
}

// awayCoordinator is a node that does not answer, and that this one or a peer has taken part under in what is asked for: it may have an
// answer; "" for none.
func (n *others) awayCoordinator(ctx context.Context, x asks) (transport.NodeID, error) {
	all, err := n.ask(ctx, x.op, x.session, n.live())
	if err != nil {
		return "", err
	}
	own, err := n.gate.uses.Get(ctx, x.session)
	for _, h := range append(all, heard{n.cfg.Node, said{Use: own}}) {
		if h.Use == nil || h.Use.Purpose != x.purpose {
			continue
		}
		led := transport.NodeID(h.Use.Coordinator)
		if led != n.cfg.Node && !slices.ContainsFunc(all, func(y heard) bool { return y.from == led }) {
			return led, err
		}
	}
	return "", err
}

// signedBefore gives the answer that another node has given to a request, or refuses it: as was to be done where nobody has answered it.
func (n *others) signedBefore(ctx context.Context, req SignRequest, key keys.Key, refused error) (*Signature, error) {
	code := problem.As(refused).Code
	denied := code == problem.Denied || code == problem.Unapproved || code == problem.Frozen
	found := func(bool) {}
	if denied { // whoever has a token may ask for it, and costs the others a question
		var busy error
		if found, busy = n.lookups.begin(n.cfg.Clock(), req.Requester); busy != nil {
			return nil, notAsked(refused)
		}
	}
	s, err := n.signedElsewhere(ctx, req, key, refused)
	found(s != nil)
	if s == nil && (err == nil || denied || ctx.Err() != nil) {
		err = refused
	}
	return s, n.members.Explain(err)
}

// notAsked is the refusal of a request that another node may have answered, where this node asks about as many as it may.
func notAsked(refused error) error {
	return problem.New(problem.Overload, "repeat the request in a second, or ask the node that was asked first",
		"%s; whether another node has answered it before is not known here: this node asks others about as many requests already as it may",
		problem.As(refused).Message)
}

// signedElsewhere is the answer that this node has by now, or another has given, to a request that this node refuses; nil where none has.
func (n *others) signedElsewhere(ctx context.Context, req SignRequest, key keys.Key, refused error) (s *Signature, err error) {
	found, err := n.elsewhere(ctx, asksOf(req, key), refused, func(h heard) (err error) {
		s, err = n.adoptSignature(ctx, req, key, h)
		return err
	})
	if s != nil || err != nil || !found {
		return s, err
	}
	answer, err := n.stored(ctx, attest.OpSign, req.SessionID, req.BodyHash)
	if err != nil || answer == nil {
		return nil, err
	}
	return n.given(ctx, answer)
}

// elsewhere tells whether this node has by now the answer to a request that it refuses, or for nil does not do itself, or takes over that
// of another, which take judges and keeps.
func (n *others) elsewhere(ctx context.Context, x asks, refused error, take func(heard) error) (found bool, err error) {
	_, release, taken := n.ops.Claim(ctx, string(x.op), x.session, x.body)
	switch {
	case release != nil:
		defer release()
	case taken != nil:
		return false, taken
	default:
		return true, nil
	}
	if found, _, err = n.find(ctx, x, take); found {
		return true, nil
	}
	if err = cmp.Or(err, taken); reused(cmp.Or(err, refused)) {
		n.forget(ctx, x)
	}
	return false, err
}

// stored is this node's own answer to a request, nil where it has none: a node that is no party asks no other about what it has answered.
func (n *others) stored(ctx context.Context, op attest.Operation, session string, body [32]byte) ([]byte, error) {
	st, err := n.ops.State(ctx, string(op), session)
	if err == nil && len(st.Answer) > 0 && st.Body != body {
		err = operation.Reused(session)
	}
	if err != nil || len(st.Answer) == 0 {
		return nil, err
	}
	return st.Answer, nil
}

// given is the answer that a receipt of this node is evidence for.
func (n *others) given(ctx context.Context, receipt []byte) (*Signature, error) {
	r, err := n.kept(ctx, string(receipt), n.receipt)
	if err != nil {
		return nil, err
	}
	return n.signature(r)
}

// adoptSignature takes over another node's answer: the receipt, verified, of exactly what the request asks for.
func (n *others) adoptSignature(ctx context.Context, req SignRequest, key keys.Key, h heard) (*Signature, error) {
	r, err := n.parseReceiptOf(ctx, h)
	if err != nil {
		return nil, err
	}
	want := attest.Intent{Operation: attest.OpSign, KeyID: key.ID, Message: req.Message, Path: req.Path}
	if purposeOf(&r.Intent) != purposeOf(&want) || r.SessionID != req.SessionID || r.ID != string(h.Answer) {
		e := problem.New(problem.Integrity, "", "it shows the receipt of another request, %.64q of session_id %.128q", r.ID, r.SessionID)
		if r.SessionID == req.SessionID {
			e.Err = errAnswered
		}
		return nil, e
	}
	puts := []vault.Pair{{Key: receiptKey(r.ID), Value: h.Receipt},
		n.ops.Answered(string(attest.OpSign), req.SessionID, req.BodyHash, h.Answer)}
	if err := n.cfg.Store.Batch(ctx, puts, nil); err != nil {
		return nil, err
	}
	return n.signature(r)
}

// purposeOfKeygen is the purpose of a request for a key, before there is an intent of it.
func purposeOfKeygen(s threshold.Scheme, c threshold.Committee, req KeygenRequest) [32]byte {
	return purposeOf(&attest.Intent{Operation: attest.OpKeygen, Signers: c.Parties, Keygen: keygenParams(s, c, req)})
}

func keygenParams(s threshold.Scheme, c threshold.Committee, req KeygenRequest) *attest.KeygenParams {
	k := &attest.KeygenParams{Threshold: c.Threshold, Kind: s.Kind().ID, Label: req.Label, Group: req.Group}
	for _, id := range slices.Sorted(slices.Values(req.Parties)) {
		k.Nodes = append(k.Nodes, string(id))
	}
	return k
}
