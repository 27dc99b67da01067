package appliance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// Desk keeps requests for signatures, keys and refreshes that wait for people, the same on every node: what is asked for, and who has
// approved, rejected or taken it back. Everything that counts in a record is signed by an initiator or an approver, so it does not matter
// who sent it. When enough have approved, one node, by the session's turn, has it done; another does where that one has not, and all take
// its answer over. What waits for nobody, and whose caller does not wait, is kept by the node that was asked, which has it done at once.
type Desk struct {
	core   *core
	others *others
	making *making
	kinds  map[attest.Operation]deskKind
	each   time.Duration // how long each further node leaves it to those before it
	asking chan struct{} // as many webhooks as are asked at once

	pace   exchange
	taking sync.Mutex // held while a record is taken up
	mu     sync.Mutex
	m      map[string]*waiter // by session_id
	sooner refusalRate        // of what peers have looked at out of its turn

	following sync.Mutex
	followers map[chan struct{}]string // who is told that a request has changed, and of which
}

// Bounds of the desk.
const (
	waitersAll       = 4096
	waitersInitiator = 64 // that wait, of an initiator
	// cancelledInitiator is how many an initiator may have taken back that have not expired.
	cancelledInitiator = 256
	waitersBytes       = 64 << 20 // of all that is kept
	// waiterKept is how long a record stays after its initiation has expired, unless half of the desk is in use.
	waiterKept = 7 * 24 * time.Hour
	// deskTurn is how long each further node of the roster leaves it to those before it to ask for a signature that may be made.
	deskTurn = 10 * time.Second
	// deskMinute is how many envelopes of a peer are read in a minute.
	deskMinute = 600
	// deskPart is how many bytes of records an envelope has, and one record more.
	deskPart  = 512 << 10
	deskRetry = 30 * time.Second
	// deskCounts is how soon is looked again at what is too much now for rules that bound amounts over a time.
	deskCounts = time.Minute
	deskDone   = 365 * 24 * time.Hour
	// dueMinute is how many requests a peer may have this node look at out of their turn, a minute: each costs a beat to all.
	dueMinute = 600
)

// waiterRecord is a request that waits, as it is stored and sent to peers.
type waiterRecord struct {
	Version uint8 `cbor:"1,keyasint"`
	// Intent is what is asked for, with its initiation and approvals. What nodes choose for it, epoch, scheme and signers, is not in it.
	Intent attest.Intent      `cbor:"2,keyasint"`
	Named  []transport.NodeID `cbor:"3,keyasint,omitempty"` // the signers, where the caller named them
	// Rejected are the words of those who say that it may not; Cancelled is the initiator's that it takes it back.
	Rejected  []attest.Approval `cbor:"4,keyasint,omitempty"`
	Cancelled attest.Hex        `cbor:"5,keyasint,omitempty"`
	Failed    string            `cbor:"6,keyasint,omitempty"` // why this node gave it up; each says that for itself
	// Here is that a caller of this node asked for what waits for nobody, and does not wait for the answer; each says that for itself.
	Here bool `cbor:"7,keyasint,omitempty"`
	// Body is what the session_id of a keygen is bound to: how its caller has spelled it, the intent does not say.
	Body attest.Hex `cbor:"8,keyasint,omitempty"`
}

// alone is that no other node needs to know: there is nobody's word in it that would count there.
func (r *waiterRecord) alone() bool {
	return r.Here && len(r.Intent.Approvals)+len(r.Rejected)+len(r.Cancelled) == 0
}

const waiterVersion = 1

// waiterDigest names what a record says.
type waiterDigest [16]byte

// digest covers what is signed: who asked at the API, in which words, and whom the caller named, the node knows that was asked.
func (r *waiterRecord) digest() waiterDigest {
	x := *r
	x.Failed, x.Here, x.Named, x.Body, x.Intent.Requester = "", false, nil, nil, ""
	h := canon.Hash("mpcd/v1/desk", canon.MustMarshal(x))
	return waiterDigest(h[:16])
}

// waiter is a record, and when this node may next ask for its signature.
type waiter struct {
	waiterRecord
	at    waiterDigest // of the record
	next  time.Time
	turn  bool // next is set
	doing bool
	over  bool      // it has expired, and who follows it was told
	told  bool      // a peer says that it has the answer, and this node has not looked since
	done  bool      // this node has the answer
	since time.Time // that it is here; zero of what was read at the start
	heard string    // why it is not done yet: a program that approves has not said its word to this node, or what failed
}

// size is about how many bytes of memory a record takes.
func (r *waiterRecord) size() int {
	size := 1024 + len(r.Intent.Message)
	for _, x := range append(slices.Clone(r.Intent.Approvals), r.Rejected...) {
		size += x.Size()
	}
	if p := r.Intent.Payload; p != nil {
		size += len(p.Bytes)
	}
	return size
}

func newWaiter(r waiterRecord) *waiter { return &waiter{waiterRecord: r, at: r.digest()} }

var waiterPrefix = []byte("node/waiter/")

func waiterKey(session string) []byte { return append(bytes.Clone(waiterPrefix), session...) }

func parseWaiter(session string, b []byte) (*waiterRecord, error) {
	var r waiterRecord
	if err := canon.UnmarshalVersion(b, waiterVersion, &r); err != nil {
		return nil, problem.Unreadable("the request of session "+session+", which waits for approvals,", "send it again", err)
	}
	return &r, nil
}

// load reads what a node has from before.
func (d *Desk) load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.cfg.Store.Iterate(ctx, waiterPrefix, func(k, value []byte) error {
		session := strings.TrimPrefix(string(k), string(waiterPrefix))
		r, err := parseWaiter(session, value)
		if err == nil {
			d.m[session] = newWaiter(*r)
		}
		return err
	})
}

// standing is a request as this node judges it now.
type standing struct {
	in        attest.Intent     // with the approvals alone that hold
	rejected  []attest.Approval // that hold
	cancelled attest.Hex        // if it holds
	decoded   *intent.Decoded
	verdict   policy.Verdict
	counts    bool              // the rules count what was signed over a time
	key       keys.Key          // it is about; of one to be made, the scheme alone
	vault     string            // of the wallet, or of the one to be made
	info      threshold.KeyInfo // of the key; of one to be made, the committee alone
	asks      asks              // how others are asked whether they have the answer; of no session where it cannot be judged
}

// judge reads a record under the authority in force: an error where nobody who may has asked for it, it cannot be read, or no approval
// would have it permitted. Words that do not hold, of another authority perhaps, count for nothing, and neither do approvals of who has
// rejected it.
//
// The rejections of the record were judged when they came, and hold for good; fresh are those that come now.
func (d *Desk) judge(ctx context.Context, r waiterRecord, fresh ...attest.Approval) (s standing, err error) {
	now := d.core.cfg.Clock()
	s.in = r.Intent
	who, _, rules := d.core.authority.inForce()
	kind := d.kinds[s.in.Operation]
	if who == nil || kind == nil || s.in.Initiation == nil {
		return s, problem.New(problem.Denied, "", "it is nothing that an initiator of an authority asks for, and that may wait")
	}
	s.in.Created = now.UnixMilli()
	d.core.under(&s.in)
	if err := kind.about(ctx, &r, &s); err != nil {
		return s, err
	}
	s.asks.signed = true
	if err := who.CheckInitiation(s.in, now); err != nil {
		return s, &problem.Error{Code: problem.Denied, Message: "nobody who may has asked for it", Err: err}
	}
	if len(r.Cancelled) > 0 && who.CheckCancel(s.in, r.Cancelled) == nil {
		s.cancelled = r.Cancelled
	}
	s.rejected = oneOfEach(append(slices.Clone(r.Rejected), slices.DeleteFunc(slices.Clone(fresh), func(x attest.Approval) bool {
		return !x.Rejects || !d.holdsEver(s, x, now)
	})...))
	s.in.Approvals = oneOfEach(slices.DeleteFunc(slices.Clone(r.Intent.Approvals), func(x attest.Approval) bool {
		rejected := slices.ContainsFunc(s.rejected, func(y attest.Approval) bool { return y.By == x.By })
		return rejected || x.Rejects || who.CheckApproval(s.in, s.decoded, x, now) != nil
	}))
	s.verdict = who.Judge(rules, s.in, s.decoded, s.info, nil)
	if !s.verdict.Allow && len(s.verdict.Needs) == 0 {
		return s, denied(s.verdict)
	}
	if rules.Counts() { // what is too much now may be done later, and is kept
		spent := d.core.ledger.known(&s.in, s.vault, s.decoded)
		s.counts, s.verdict = true, who.Judge(rules, s.in, s.decoded, s.info, spent)
	}
	return s, nil
}

// rejectedUnder is under how many authorities, the one in force and those before it, a rejection that a peer tells may have been signed.
const rejectedUnder = 8

// holdsEver tells whether a word holds under the authority in force, or one of the last before it.
func (d *Desk) holdsEver(s standing, x attest.Approval, now time.Time) bool {
	chain, _ := d.core.authority.current()
	for n := len(chain) - 1; n >= max(0, len(chain)-rejectedUnder); n-- {
		a, in := chain[n].Authority, s.in
		digest := a.Digest()
		if in.Authority = digest[:]; a.CheckApproval(in, s.decoded, x, now) == nil {
			return true
		}
	}
	return false
}

// refuses tells why an intent is refused that somebody has taken back, as this node knows: each signer asks itself. A node that is asked
// also refuses what comes under the session_id of another request that waits here.
func (d *Desk) refuses(in *attest.Intent) error {
	w, ok := d.record(in.RequestID)
	if !ok || in.Initiation == nil {
		return nil
	}
	if !same(&w.Intent, in) {
		if in.Node == string(d.core.cfg.Node) && w.Failed == "" && lasts(d, &w) {
			return operation.Reused(in.RequestID)
		}
		return nil
	}
	if len(w.Cancelled) > 0 {
		return problem.New(problem.Denied, "ask for it anew, under another session_id", "its initiator has cancelled it")
	}
	for _, x := range in.Approvals {
		if slices.ContainsFunc(w.Rejected, func(y attest.Approval) bool { return y.By == x.By }) {
			return problem.New(problem.Unapproved, "have another person approve it", "%s has rejected it, after approving it or before", x.By)
		}
	}
	return nil
}

// lasts tells whether a request has not expired, by any clock.
func lasts(d *Desk, r *waiterRecord) bool {
	return r.Intent.Initiation.Expires > d.core.clock.early().UnixMilli()
}

// same tells whether two intents ask for the same, in the words of the same initiator.
func same(a, b *attest.Intent) bool {
	return a.Initiation.By == b.Initiation.By && bytes.Equal(a.InitiationMessage(a.Initiation.By, 0), b.InitiationMessage(a.Initiation.By, 0))
}

// take takes up a record, from a caller or a peer: it is kept, with what it has more than the one that is here. It returns whether anything
// is new.
func (d *Desk) take(ctx context.Context, r waiterRecord) (news bool, err error) {
	if len(r.Intent.Approvals)+len(r.Rejected) > 2*attest.MaxApprovals || len(r.Named) > len(d.core.members.All()) ||
		operation.CheckSession(r.Intent.RequestID) != nil || r.Intent.RequestID == "" || len(r.Intent.Requester) > operation.MaxSessionID ||
		!attest.Printable(r.Intent.Requester) || r.Intent.Initiation == nil {
		return false, problem.New(problem.Invalid, "", "it is no request that may wait")
	}
	d.taking.Lock()
	defer d.taking.Unlock()
	now := d.core.cfg.Clock()
	next, known := d.record(r.Intent.RequestID)
	if known = known && lasts(d, &next); !known {
		next = waiterRecord{Version: waiterVersion, Intent: bare(&r.Intent), Named: r.Named, Body: r.Body}
		err = d.room(&next, now)
	} else if !same(&next.Intent, &r.Intent) {
		return d.contradicts(ctx, next, r)
	}
	if err != nil {
		return false, err
	}
	return d.merge(ctx, next, r, known)
}

// contradicts takes up a record whose session_id stands for another request here. Where neither was begun, as when two nodes were asked at
// once, one of them stands at all nodes, and the other is refused: see before. What this node has agreed to stands in any case, and so does
// what somebody has taken back, so that it stays so; what this node gave up gives way.
func (d *Desk) contradicts(ctx context.Context, here, r waiterRecord) (news bool, err error) {
	session := r.Intent.RequestID
	next := waiterRecord{Version: waiterVersion, Intent: bare(&r.Intent), Named: r.Named, Body: r.Body}
	if next.Cancelled = r.Cancelled; here.Intent.Initiation.By != r.Intent.Initiation.By {
		err = d.room(&next, d.core.cfg.Clock())
	}
	s, bad := d.judge(ctx, next, r.Rejected...)
	if err = cmp.Or(err, bad); err != nil {
		return false, err
	}
	ours, _ := d.judge(ctx, here)
	agreed, err := d.core.gate.uses.Get(ctx, session)
	if err != nil {
		return false, err
	}
	yields := here.Failed != "" || fresh(d, session) && before(&r.Intent, &here.Intent)
	switch back := len(s.cancelled)+len(s.rejected) > 0; {
	case len(here.Cancelled)+len(here.Rejected) > 0:
		yields = false
	case agreed != nil && s.asks.purpose != ours.asks.purpose:
		yields = agreed.Purpose == s.asks.purpose
	case back:
		yields = true
	}
	if !yields {
		lookAgain(d, session) // it may have been done elsewhere, and is over here then
		return false, operation.Reused(session)
	}
	if news, err = d.merge(ctx, next, r, false); err != nil || !news {
		return news, err
	}
	return true, d.core.cfg.AuditLog.Append(ctx, audit.Event{Name: "operation.yield", Facts: map[string]string{"session": session,
		"initiator": r.Intent.Initiation.By, "gave way": here.Intent.Initiation.By}})
}

// deskSettles is how long a request may give way to another: none ends what has waited for longer.
const deskSettles = time.Minute

// fresh tells whether a request may give way.
func fresh(d *Desk, session string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.m[session]
	return w != nil && d.core.cfg.Clock().Sub(w.since) < deskSettles
}

// before is the order of requests of one session_id, the same at every node: by who asks, as the session_id has it, so that nobody can try
// until his comes first, and then by what is asked for.
func before(a, b *attest.Intent) bool {
	by := func(in *attest.Intent) []byte {
		h := canon.Hash("mpcd/v1/desk/who", []byte(in.RequestID), []byte(in.Initiation.By))
		return h[:]
	}
	what := func(in *attest.Intent) []byte {
		h := canon.Hash("mpcd/v1/desk/what", in.InitiationMessage(in.Initiation.By, 0))
		return h[:]
	}
	return cmp.Or(bytes.Compare(by(a), by(b)), bytes.Compare(what(a), what(b))) < 0
}

// lookAgain has a request looked at soon.
func lookAgain(d *Desk, session string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := d.core.cfg.Clock().Add(deskRetry); d.m[session] != nil && d.m[session].next.After(at) {
		d.m[session].next = at
	}
}

// merge keeps what a record has more than the one that is here, next, or is to be.
func (d *Desk) merge(ctx context.Context, next, r waiterRecord, known bool) (news bool, err error) {
	before := next.digest()
	next.Intent.Approvals = append(slices.Clone(next.Intent.Approvals), r.Intent.Approvals...)
	if len(next.Cancelled) == 0 {
		next.Cancelled = r.Cancelled
	}
	s, err := d.judge(ctx, next, r.Rejected...)
	if err != nil {
		return false, err
	}
	agreed, err := d.core.gate.uses.Get(ctx, next.Intent.RequestID)
	if !known && (err != nil || agreed != nil && agreed.Purpose != s.asks.purpose) {
		return false, cmp.Or(err, operation.Reused(next.Intent.RequestID))
	}
	next.Intent.Approvals, next.Rejected, next.Cancelled = s.in.Approvals, s.rejected, s.cancelled
	waits := len(s.in.Approvals)+len(s.cancelled) > 0 || !s.verdict.Allow
	if known && next.digest() == before || !known && !waits && !r.Here {
		return false, nil // or it waits for nobody: a member may have every request that was ever asked for
	}
	next.Here = next.Here || !known && r.Here && s.verdict.Allow
	if err := d.kinds[s.in.Operation].named(&next, &s); !known && err != nil {
		return false, err // who named them is not signed, and a request that names no quorum fails for good
	}
	if err := d.store(ctx, &next); err != nil {
		return false, err
	}
	defer d.tell(next.Intent.RequestID)
	d.mu.Lock()
	defer d.mu.Unlock()
	w := newWaiter(next)
	w.since = d.core.cfg.Clock()
	if was := d.m[next.Intent.RequestID]; was != nil {
		w.doing = was.doing
		if known {
			w.since = was.since
		}
	}
	d.m[next.Intent.RequestID] = w
	return true, nil
}

// bare is what an intent asks for, and nothing that nodes choose.
func bare(in *attest.Intent) attest.Intent {
	out := attest.Intent{Version: attest.IntentVersion, Cluster: in.Cluster, Operation: in.Operation, RequestID: in.RequestID,
		KeyID: in.KeyID, Message: in.Message, Path: in.Path, Chain: in.Chain, Requester: in.Requester, Initiation: in.Initiation,
		Payload: in.Payload, Keygen: in.Keygen}
	if in.Keygen != nil { // its parties are asked for
		out.Scheme, out.Signers = in.Scheme, in.Signers
	}
	return out
}

// record is a copy of what is here.
func (d *Desk) record(session string) (waiterRecord, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.m[session]
	if w == nil {
		return waiterRecord{}, false
	}
	return w.waiterRecord, true
}

// oneOfEach is one word of each person, the one that holds longest, in the order of names.
func oneOfEach(all []attest.Approval) []attest.Approval {
	slices.SortFunc(all, func(a, b attest.Approval) int {
		return cmp.Or(cmp.Compare(a.By, b.By), cmp.Compare(b.Expires, a.Expires), bytes.Compare(a.Signature, b.Signature))
	})
	all = slices.CompactFunc(all, func(a, b attest.Approval) bool { return a.By == b.By })
	return all[:min(len(all), attest.MaxApprovals)]
}

// room refuses one more request of an initiator where too much of its waits, or of all.
func (d *Desk) room(r *waiterRecord, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	by := r.Intent.Initiation.By
	waits, cancelled, size := 0, 0, r.size()
	for _, w := range d.m {
		size += w.size()
		switch x := w.Intent.Initiation; {
		case x.By != by || x.Expires <= now.UnixMilli() || w.done || w.Failed != "":
		case len(w.Cancelled) > 0:
			cancelled++ // kept until they expire, for signers to refuse them
		default:
			waits++
		}
	}
	if waits >= waitersInitiator || cancelled >= cancelledInitiator || len(d.m) >= waitersAll || size > waitersBytes {
		return problem.New(problem.Overload, "wait until some are done or have expired, or cancel some: `mpcd operation cancel`",
			"%d requests of %s wait for approvals, %d of all initiators are kept, and there is no room for more", waits, by, len(d.m))
	}
	return nil
}

func (d *Desk) store(ctx context.Context, r *waiterRecord) error {
	return d.core.cfg.Store.Batch(ctx, []vault.Pair{{Key: waiterKey(r.Intent.RequestID), Value: canon.MustMarshal(*r)}}, nil)
}

// hold keeps a request of a caller that was refused until people have approved it, tells the others, and returns the refusal.
func (d *Desk) hold(ctx context.Context, req Request, refused error) error {
	if problem.As(refused).Code != problem.Unapproved {
		return refused
	}
	r, err := req.waits(ctx, d)
	if err == nil && r != nil {
		err = d.add(ctx, *r)
	}
	if err != nil || r == nil {
		return cmp.Or(err, refused)
	}
	e := *problem.As(refused)
	e.Next = fmt.Sprintf("have it approved: `mpcd approve %s`; the cluster keeps it until %s, and the same request has the answer then",
		r.Intent.RequestID, time.UnixMilli(r.Intent.Initiation.Expires).UTC().Format(time.RFC3339))
	return &e
}

// add takes up a record of a caller, puts it on record and tells the others at once.
func (d *Desk) add(ctx context.Context, r waiterRecord) error {
	news, err := d.take(ctx, r)
	if err != nil || !news {
		return err
	}
	facts := map[string]string{"session": r.Intent.RequestID, "wallet": r.Intent.KeyID, "initiator": r.Intent.Initiation.By}
	for _, x := range append(slices.Clone(r.Intent.Approvals), r.Rejected...) {
		facts[map[bool]string{false: "approved.", true: "rejected."}[x.Rejects]+x.By] = "true"
	}
	if len(r.Cancelled) > 0 {
		facts["cancelled"] = "true"
	}
	if err := d.core.cfg.AuditLog.Append(ctx, audit.Event{Name: "operation.change", Facts: facts}); err != nil {
		return err
	}
	if now, ok := d.record(r.Intent.RequestID); ok && !now.alone() {
		d.send(nil, deskBody{Records: []waiterRecord{now}})
	}
	d.core.peers.Tell() // which also looks whether it may be done
	return nil
}

// deskBody is what nodes tell each other of their desks.
type deskBody struct {
	Version uint8          `cbor:"1,keyasint"`
	Has     bool           `cbor:"2,keyasint"` // Have is said
	Have    []waiterDigest `cbor:"3,keyasint,omitempty"`
	Records []waiterRecord `cbor:"4,keyasint,omitempty"`
	Done    []string       `cbor:"5,keyasint,omitempty"` // session_ids that the sender has answered: the answer may be asked for now
}

const deskVersion = 1

// send tells nodes. Keygens go by themselves: a release before reads no envelope that has one, and is to have the rest.
func (d *Desk) send(to []transport.NodeID, b deskBody) {
	var keygens []waiterRecord
	b.Records = slices.DeleteFunc(slices.Clone(b.Records), func(r waiterRecord) bool {
		if r.Failed, r.Here = "", false; r.Body != nil {
			keygens = append(keygens, r)
		}
		return r.Body != nil
	})
	for i := range b.Records {
		b.Records[i].Failed, b.Records[i].Here = "", false
	}
	for _, x := range []deskBody{b, {Records: keygens}} {
		if x.Version = deskVersion; x.Has || len(x.Records)+len(x.Done) > 0 {
			d.core.send(transport.Envelope{To: to, Kind: ceremony.KindDesk, Body: canon.MustMarshal(x)})
		}
	}
}

// have is what this node has that is not over.
func (d *Desk) have() []waiterDigest {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.core.cfg.Clock().UnixMilli()
	var out []waiterDigest
	for _, w := range d.m {
		if w.Intent.Initiation.Expires > now && !w.alone() {
			out = append(out, w.at)
		}
	}
	return out
}

// learn takes up what a peer tells, and sends it what it lacks.
func (d *Desk) learn(ctx context.Context, env transport.Envelope) {
	var b deskBody
	if !d.pace.reads(d.core.cfg.Clock(), env.From, deskMinute) {
		return
	}
	if err := canon.UnmarshalVersion(env.Body, deskVersion, &b); err != nil || len(b.Have) > waitersAll ||
		len(b.Records)+len(b.Done) > exchangePart {
		d.core.remark(env.From, "what a peer tells of requests that wait cannot be read", cmp.Or(err, errors.New("it is too much")))
		return
	}
	var used []string // for something else: the peer may look whether that is done
	for _, r := range b.Records {
		r.Here = false
		if _, err := d.take(ctx, r); err != nil {
			d.core.remark(env.From, "a request that waits, of a peer, is not taken up", err)
			if reused(err) {
				used = append(used, r.Intent.RequestID)
			}
		}
	}
	if len(used) > 0 {
		d.send([]transport.NodeID{env.From}, deskBody{Done: used})
	}
	d.due(env.From, b.Done)
	if b.Has {
		d.supply(env.From, b.Have)
	}
}

// supply sends a peer what it lacks, a part at a time, and asks for what it has more.
func (d *Desk) supply(peer transport.NodeID, have []waiterDigest) {
	if !d.pace.supplies(d.core.cfg.Clock(), peer) {
		return
	}
	ours := d.have()
	lacks, more := differ(ours, have)
	b := deskBody{Has: more}
	size := 0
	d.mu.Lock()
	for _, w := range d.m {
		if lacks[w.at] && len(b.Records) < exchangePart && size < deskPart {
			b.Records = append(b.Records, w.waiterRecord)
			size += len(canon.MustMarshal(w.waiterRecord))
		}
	}
	d.mu.Unlock()
	if len(b.Records) == 0 && !more {
		return
	}
	if more {
		b.Have = ours
	}
	d.send([]transport.NodeID{peer}, b)
}

// tend is called with each beat: it tells the others now and then what this node has, has done what may be done, and removes what is over.
func (d *Desk) tend(ctx context.Context, start func(func())) {
	now, past := d.core.cfg.Clock(), d.core.clock.past()
	if d.pace.tells(now) {
		if have := d.have(); len(have) > 0 {
			d.send(nil, deskBody{Has: true, Have: have})
		}
	}
	d.mu.Lock()
	kept := waiterKept
	if len(d.m) > waitersAll/2 {
		kept = 0
	}
	var due []string
	var over [][]byte
	for session, w := range d.m {
		ends := time.UnixMilli(w.Intent.Initiation.Expires)
		switch {
		case past.Sub(ends) > kept || kept == 0 && w.done: // whose answer is kept elsewhere
			over = append(over, waiterKey(session))
			delete(d.m, session)
			d.tell(session)
		case now.After(ends) && !w.over:
			w.over = true
			d.tell(session)
		case now.After(ends) || w.Failed != "" || w.doing || w.turn && now.Before(w.next):
		default:
			due = append(due, session)
			w.doing = true
		}
	}
	d.mu.Unlock()
	if len(due)+len(over) == 0 {
		return
	}
	start(func() {
		if len(over) > 0 {
			_ = d.core.cfg.Store.Batch(ctx, nil, over[:min(len(over), vault.MaxBatch)]) // the rest after the next start
		}
		for _, session := range due {
			d.attempt(ctx, session, start)
		}
	})
}

// due has requests looked at now of which a peer says that it has answered them. Where that is not so, this node asks for the signature
// sooner than in its turn, which does no harm so often a minute.
func (d *Desk) due(from transport.NodeID, sessions []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, session := range sessions {
		w := d.m[session]
		if w != nil && !w.done && d.sooner.allow(d.core.cfg.Clock(), refusedTo{peer: from}, dueMinute) {
			w.told, w.next = true, time.Time{}
			d.core.peers.Tell()
		}
	}
}

// wake has every request looked at again: another authority is in force.
func (d *Desk) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.m {
		w.turn = false
	}
	d.tell("")
}

// attempt has a request done if enough have approved it, and it is this node's turn; then it also asks the programs that may approve it.
func (d *Desk) attempt(ctx context.Context, session string, start func(func())) {
	d.mu.Lock()
	w := d.m[session]
	if w == nil {
		d.mu.Unlock()
		return
	}
	record, at, first, each := w.waiterRecord, w.at, !w.turn && !w.told && !w.Here, d.each
	w.told = false
	d.mu.Unlock()
	pause, failed := deskRetry, ""
	s, err := d.judge(ctx, record)
	programs := d.programs(s, err)
	switch {
	case len(programs) > 0 && (!first || d.rank(session) == 0):
		start(func() { d.finish(ctx, session, at, d.ask(ctx, session, programs), "") })
		return
	case len(programs) > 0:
		pause = time.Duration(d.rank(session)) * each
	case err != nil || !s.verdict.Allow || len(s.cancelled) > 0:
		if pause = time.Hour; s.counts && len(s.verdict.Needs) == 0 { // else until something is new
			pause = deskCounts
		}
		if !first {
			switch found, _, err := d.elsewhere(ctx, record, s); {
			case found:
				pause = deskDone
			case usedUp(ctx, d, s, err):
				failed = fmt.Sprintf("%.300s", problem.As(err).Message)
			}
		}
	case d.core.freezer.refuses(s.in.KeyID, s.vault) != nil:
		pause = deskRetry // a thaw wakes it
	case first:
		pause = time.Duration(d.rank(session)) * each
		if pause == 0 {
			pause, failed = d.do(ctx, record, s)
		}
	default:
		pause, failed = d.do(ctx, record, s)
	}
	d.finish(ctx, session, at, pause, failed)
}

// finish has a request wait until it is looked at again, unless it is another than it was.
func (d *Desk) finish(ctx context.Context, session string, at waiterDigest, pause time.Duration, failed string) {
	defer d.tell(session)
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.m[session]
	if w == nil {
		return
	}
	w.done = pause == deskDone && w.at == at
	if w.doing = false; w.at == at && !w.told { // else it is looked at again at once
		w.turn, w.next = true, d.core.cfg.Clock().Add(pause)
	}
	if failed != "" && w.at == at { // else it may be another request's
		w.Failed = failed
		if err := d.store(ctx, &w.waiterRecord); err != nil {
			d.core.cfg.Logger.Warn("that a request has failed could not be kept", "session", session, "error", err)
		}
	}
}

// rank is how many nodes come before this one for a session: one is first, another for the next.
func (d *Desk) rank(session string) int {
	all := d.core.members.All()
	h := canon.Hash("mpcd/v1/desk/turn", []byte(session))
	return (slices.Index(all, d.core.cfg.Node) + len(all) - int(h[0])%len(all)) % len(all)
}

// elsewhere takes over the answer that another node has given; where none that lives has, it says who led the request and is away: that one
// may have an answer, and nothing is done twice for that.
func (d *Desk) elsewhere(ctx context.Context, r waiterRecord, s standing) (found bool, away transport.NodeID, err error) {
	if s.asks.session == "" {
		return false, "", nil
	}
	kind := d.kinds[s.in.Operation]
	found, err = d.others.elsewhere(ctx, s.asks, nil, func(h heard) error { return kind.take(ctx, &r, &s, h) })
	if !found && err == nil {
		away, err = d.others.awayCoordinator(ctx, s.asks)
	}
	return found, away, err
}

// do has a request done: it is, or was by another node, or fails for good, or is tried again after a pause.
func (d *Desk) do(ctx context.Context, r waiterRecord, s standing) (pause time.Duration, failed string) {
	found, away, err := d.elsewhere(ctx, r, s)
	switch {
	case found:
		d.send(nil, deskBody{Done: []string{r.Intent.RequestID}}) // this node may have been away, and others wait for it
		return deskDone, ""
	case away != "":
		d.core.cfg.Logger.Warn("a request is not done again: a node that led it and is away may have done it", "led by", away,
			"session", r.Intent.RequestID)
		return deskRetry, ""
	case err == nil:
		err = d.kinds[s.in.Operation].do(ctx, &r, &s)
	}
	switch {
	case err == nil:
		d.send(nil, deskBody{Done: []string{r.Intent.RequestID}})
		return deskDone, ""
	case s.counts && problem.As(err).Code == problem.Denied: // by a signer who has heard of more
		return deskCounts, ""
	case problem.As(err).Code.Retryable(), problem.As(err).Code == problem.Unapproved, problem.As(err).Code == problem.Frozen,
		ctx.Err() != nil,
		problem.As(err).Code == problem.Conflict && !usedUp(ctx, d, s, err): // a newer authority, or a refresh, is on its way
		d.hear(r.Intent.RequestID, problem.As(err).Error())
		return deskRetry, ""
	}
	return deskRetry, fmt.Sprintf("%.300s", problem.As(err).Message)
}

// usedUp tells whether a request was refused because its session_id stands for another for good: this node has answered that, or another
// has shown its answer. What a peer only says to have agreed to is its word, and may come to nothing.
func usedUp(ctx context.Context, d *Desk, s standing, err error) bool {
	if !reused(err) || errors.Is(err, errAnswered) {
		return reused(err)
	}
	_, own := d.others.stored(ctx, s.asks.op, s.asks.session, s.asks.body)
	return reused(own)
}
