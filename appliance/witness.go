package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// witness has the other nodes cosign the checkpoints of this node's audit log, and cosigns theirs, as C2SP tlog-witness says: only one that
// is shown to have grown from the last that this node has cosigned, which is stored before the cosignature leaves. So nobody rewrites what
// his node has done, with its token or without, unless all others help him: a log that has not grown from what was cosigned is seen, by the
// witness at once, and by whoever holds a cosigned checkpoint against it later.
//
// A node whose log was put back by its operator says so itself; it, as one that was caught, is on record at every other node for good, and
// witnessed anew from there.
//
// A node acts with none whose log it has witnessed before and not lately [X]; and releases no share of its own while nobody has lately
// witnessed its log, where somebody ever has.
type witness struct {
	core *core

	taking sync.Mutex // held while a peer's checkpoint is judged
	mu     sync.Mutex
	held   map[transport.NodeID]*witnessed
	shown  map[transport.NodeID]*shown
	last   time.Time   // clock.ran when a peer last cosigned a checkpoint of this node's, or one before; zero if none ever did
	kept   time.Time   // when that was last stored
	lost   string      // that a peer has witnessed a log of this node that is not the one here, in words
	back   *witnessed  // Broke and broke of this node's own log: when it, or a run before, learnt that; nil for never
	heard  refusalRate // what peers tell
	stored refusalRate // of what they tell
}

const (
	// witnessAge is how old a cosignature may be: a log that grew is signed and shown once a minute, and one that did not shown again after
	// witnessAgain.
	witnessAge   = 15 * time.Minute
	witnessAgain = 5 * time.Minute
	// witnessRetry is how long a checkpoint that was shown may stay without an answer; witnessMinute is how many envelopes of a peer are
	// read in a minute.
	witnessRetry  = 15 * time.Second
	witnessMinute = 60
	// witnessKept is for how long the checkpoint of a log that did not grow is not written again, and witnessStored how many of a peer are
	// in a minute: an honest one shows another once a minute, and at its start.
	witnessKept   = witnessAgain - time.Minute
	witnessStored = 6
	// witnessBreak is how often a peer's log may be witnessed anew: each is on record.
	witnessBreak = time.Minute
	proofMax     = 128 // hashes: twice the height of a tree of 2⁶⁴
)

// witnessed is what this node has cosigned of a peer's log; its times are clock.ran.
type witnessed struct {
	witnessRecord
	head   audit.Head
	before audit.Head
	at     time.Time // when it last did
	kept   time.Time // when that was last stored
	broke  time.Time // Broke; zero for never
	told   bool      // it is said that this was too long ago
}

// witnessRecord is it as it is stored; under the node's own name, what the others have last cosigned of its log, without their
// cosignatures: audit.checkpoint has those of the newest alone, which nobody has cosigned at first.
type witnessRecord struct {
	Version    uint8      `cbor:"1,keyasint"`
	Key        attest.Hex `cbor:"2,keyasint"` // PKIX of the key that signed the checkpoint
	Checkpoint []byte     `cbor:"3,keyasint"` // with our cosignature
	// Before is the last that this node has cosigned of the first log that did not grow on, where there was one, and Broke when one last
	// did not, under the node's own name when it learnt so: Unix milliseconds.
	Before []byte `cbor:"4,keyasint,omitempty"`
	At     int64  `cbor:"5,keyasint"` // Unix milliseconds
	Broke  int64  `cbor:"6,keyasint,omitempty"`
}

// shown is what a peer was shown of our own log; its times are clock.ran.
type shown struct {
	live       time.Time     // since when the peer is heard
	beat       time.Time     // the last with which it was
	heard      time.Duration // for how long it was, in this run
	missed     bool          // it is said that it has shown nothing of its own all the while
	checkpoint string        // the last
	at         time.Time     // when
	has        uint64        // entries under the checkpoint of ours that it has, as it says
	cosigned   time.Time     // when it has cosigned that one; zero if it has not
	denied     []byte        // a checkpoint that it has, of another log than this node's, and is told so
}

// witnessBody is what nodes tell each other of their logs: a checkpoint of the sender's, or what it says of the recipient's.
type witnessBody struct {
	Version    uint8      `cbor:"1,keyasint"`
	Checkpoint []byte     `cbor:"2,keyasint,omitempty"` // of the sender's log, signed by its token
	From       uint64     `cbor:"3,keyasint,omitempty"` // the entries under the checkpoint from which Proof shows that it has grown
	Proof      [][32]byte `cbor:"4,keyasint,omitempty"`
	Cosigned   []byte     `cbor:"5,keyasint,omitempty"` // the recipient's checkpoint, with the sender's cosignature
	// Has is the recipient's checkpoint that the sender has: a proof is to be from there. With Anew, the sender's that the recipient has.
	Has  []byte `cbor:"6,keyasint,omitempty"`
	Anew bool   `cbor:"7,keyasint,omitempty"` // the sender's log is another than that of Has, which the recipient has witnessed
}

const witnessVersion = 1

var witnessPrefix = []byte("node/witness/")

func newWitness(c *core) *witness {
	return &witness{core: c, held: map[transport.NodeID]*witnessed{}, shown: map[transport.NodeID]*shown{}}
}

// load reads what a node has from before.
func (w *witness) load(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.core.cfg.Store.Iterate(ctx, witnessPrefix, func(k, value []byte) error {
		id := transport.NodeID(strings.TrimPrefix(string(k), string(witnessPrefix)))
		x, err := parseWitnessed(string(id), value)
		if err != nil {
			return err
		}
		x.at = w.core.clock.stored(x.At)
		if x.kept = x.at; x.Broke != 0 {
			x.broke = w.core.clock.stored(x.Broke)
		}
		if id == w.core.cfg.Node {
			w.last = x.at
			if x.Broke != 0 {
				w.back = x
			}
		} else {
			w.held[id] = x
			w.broken(id, x)
		}
		return nil
	})
}

func parseWitnessed(node string, b []byte) (*witnessed, error) {
	x := &witnessed{}
	err := canon.UnmarshalVersion(b, witnessVersion, &x.witnessRecord)
	if err == nil {
		x.head, err = audit.HeadIn(x.Checkpoint)
	}
	if err == nil && x.Before != nil {
		x.before, err = audit.HeadIn(x.Before)
	}
	if err != nil {
		return nil, problem.Unreadable("what was witnessed of the audit log of "+node, problem.Restore, err)
	}
	return x, nil
}

// of is what the roster pins of a node: who checks its checkpoints, by which key, and who its cosignatures, by both of its keys.
func (w *witness) of(id transport.NodeID) (v audit.Verifier, key attest.Hex, by audit.Witness, err error) {
	roster := w.core.members.Roster()
	m, err := roster.Roster.Node(string(id))
	if err == nil {
		v, err = AuditVerifier(string(id), roster)
	}
	if err == nil {
		by, err = audit.NewWitness(w.core.cfg.Cluster, string(id), []byte(m.Identity), m.WitnessKey)
	}
	return v, m.AttestKey, by, err
}

// tend is called with each beat: it shows the others the newest checkpoint, and says whose log was not witnessed for too long.
func (w *witness) tend(start func(func())) {
	now := w.core.clock.ran()
	text := textOf(w.core.cfg.AuditLog.Checkpoint())
	var due []transport.NodeID
	for _, id := range w.core.members.All() {
		if id == w.core.cfg.Node {
			continue
		}
		_, live := w.core.peers.Notes(id)
		w.mu.Lock()
		if w.due(id, live, text, now) {
			due = append(due, id)
		}
		w.mu.Unlock()
		w.miss(id)
	}
	if len(due) > 0 {
		start(func() {
			for _, id := range due {
				w.show(id)
			}
		})
	}
}

// textOf is what is signed of a checkpoint: signatures come after an empty line.
func textOf(checkpoint []byte) string {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	return text
}

// due is whether a peer is to be shown the newest checkpoint, of the text given, now; and says whose log was not witnessed for too long,
// though the peer is heard. The caller holds mu.
func (w *witness) due(id transport.NodeID, live bool, text string, now time.Time) bool {
	s := w.shown[id]
	if s == nil {
		s = &shown{}
		w.shown[id] = s
	}
	if !live {
		s.live = time.Time{}
		return false
	}
	if s.live.IsZero() {
		s.live, s.beat = now, now
	}
	s.heard, s.beat = s.heard+min(max(now.Sub(s.beat), 0), time.Minute), now
	if x := w.held[id]; x != nil && !x.told && now.Sub(x.at) > witnessAge && now.Sub(s.live) > time.Minute {
		x.told = true
		w.core.cfg.Logger.Error("a member does not show that its audit log has only grown: this node does not act with it", "member", id,
			"last shown", w.core.clock.date(x.at).UTC().Format(time.RFC3339))
	}
	switch again := witnessAgain; {
	case text == "":
		return false
	case s.checkpoint != text:
		s.checkpoint, s.cosigned = text, time.Time{}
	default:
		if s.cosigned.IsZero() {
			again = witnessRetry
		}
		if now.Sub(s.at) < again {
			return false
		}
	}
	s.at = now
	return true
}

// show shows a peer the newest checkpoint, and that it has grown from the one that the peer says it has.
func (w *witness) show(id transport.NodeID) {
	log := w.core.cfg.AuditLog
	v, _, _, err := w.of(w.core.cfg.Node)
	var b witnessBody
	var head audit.Head
	if err == nil {
		b.Checkpoint, err = audit.Bare(log.Checkpoint(), v)
	}
	if err == nil {
		head, _, err = audit.OpenCheckpoint(b.Checkpoint, v)
	}
	w.mu.Lock()
	if s := w.shown[id]; s != nil {
		b.From, b.Has, b.Anew = s.has, s.denied, s.denied != nil
	}
	w.mu.Unlock()
	if err == nil && b.From < head.Size && !b.Anew {
		b.Proof, err = log.Grown(b.From, head.Size)
	}
	if err != nil {
		w.core.remark(id, "the checkpoint of this node's audit log could not be shown", err)
		return
	}
	w.send(id, b)
}

func (w *witness) send(to transport.NodeID, b witnessBody) {
	b.Version = witnessVersion
	w.core.send(transport.Envelope{To: []transport.NodeID{to}, Kind: ceremony.KindWitness, Body: canon.MustMarshal(b)})
}

// learn takes up what a peer tells.
func (w *witness) learn(ctx context.Context, env transport.Envelope) {
	if !w.heard.allow(w.core.clock.ran(), refusedTo{peer: env.From}, witnessMinute) {
		return
	}
	var b witnessBody
	err := canon.UnmarshalVersion(env.Body, witnessVersion, &b)
	if err == nil && len(b.Proof) > proofMax {
		err = fmt.Errorf("a proof of %d hashes", len(b.Proof))
	}
	switch {
	case err != nil:
	case len(b.Checkpoint) > 0:
		err = w.judge(ctx, env.From, b)
	case len(b.Cosigned) > 0:
		err = w.cosigned(ctx, env.From, b.Cosigned)
	case len(b.Has) > 0:
		err = w.has(env.From, b.Has)
	default:
		err = errors.New("it says nothing")
	}
	if err != nil {
		w.core.remark(env.From, "what a peer tells as a witness, or to one, is of no use", err)
	}
}

// judge cosigns a peer's checkpoint that has grown from the last this node has cosigned; it tells the peer which that is, where the peer
// does not know. One that has not grown from it is on record, with that one, and witnessed anew.
func (w *witness) judge(ctx context.Context, from transport.NodeID, b witnessBody) error {
	w.taking.Lock()
	defer w.taking.Unlock()
	v, key, _, err := w.of(from)
	if err != nil {
		return err
	}
	head, signed, err := audit.OpenCheckpoint(b.Checkpoint, v)
	if err != nil || !signed || head.Size == 0 {
		return cmp.Or(err, errors.New("its token has not signed that checkpoint"))
	}
	w.mu.Lock()
	was := w.held[from]
	w.mu.Unlock()
	now := w.core.clock.ran()
	x := &witnessed{witnessRecord: witnessRecord{Version: witnessVersion, Key: key}, head: head}
	var lost *witnessed
	if was != nil && string(was.Key) == string(key) {
		x.Before, x.before, x.Broke, x.broke = was.Before, was.before, was.Broke, was.broke
		switch grown, known := was.grown(head, b); {
		case !known:
			w.send(from, witnessBody{Has: was.Checkpoint})
			return nil
		case grown && head == was.head:
			x.kept = was.kept
		case grown:
		case now.Sub(was.broke) < witnessBreak:
			return nil
		default:
			lost = was
		}
	}
	keep := now.Sub(x.kept) >= witnessKept
	if keep && !w.stored.allow(now, refusedTo{peer: from}, witnessStored) {
		return fmt.Errorf("it has shown another one more than %d times in a minute", witnessStored)
	}
	if lost != nil {
		if err := w.rewritten(ctx, from, lost, x); err != nil {
			return err
		}
	}
	return w.cosign(ctx, from, v, x, b.Checkpoint, keep)
}

// grown tells whether a peer's log has grown to a head from the one that is held, as far as the peer shows it; it is not known where the
// peer does not know which that is.
func (x *witnessed) grown(head audit.Head, b witnessBody) (grown, known bool) {
	denied, _ := audit.HeadIn(b.Has)
	switch {
	case head == x.head:
		return true, true
	case head.Size == x.head.Size || b.Anew && denied == x.head:
		return false, true
	case b.Anew || head.Size < x.head.Size || b.From != x.head.Size: // what it denies may be held no more
		return false, false
	}
	return audit.CheckGrown(x.head, head, b.Proof) == nil, true
}

// rewritten puts on record that a peer's log, of which x is shown, has not grown from what was held of it, which is kept.
func (w *witness) rewritten(ctx context.Context, from transport.NodeID, was, x *witnessed) error {
	if x.Broke = w.core.cfg.Clock().UnixMilli(); x.Before == nil { // later ones are on record; nobody gets rid of the first
		x.Before, x.before = was.Checkpoint, was.head
	}
	x.broke = w.core.clock.ran()
	if err := w.note(ctx, "witness.rewritten", from, was, x.head); err != nil {
		return err
	}
	w.broken(from, x)
	return nil
}

// cosign stores a checkpoint, where it is to be kept, and then says so.
func (w *witness) cosign(ctx context.Context, from transport.NodeID, v audit.Verifier, x *witnessed, b []byte, keep bool) error {
	_, _, self, err := w.of(w.core.cfg.Node)
	if err != nil {
		return err
	}
	now := w.core.cfg.Clock()
	x.At, x.at = now.UnixMilli(), w.core.clock.ran()
	if x.Checkpoint, err = audit.Cosign(b, v, self, now, w.core.cfg.Self.Sign, w.core.cfg.Self.SignWitness); err != nil {
		return err
	}
	if keep {
		if err := w.store(ctx, from, &x.witnessRecord); err != nil {
			return err
		}
		x.kept = x.at
	}
	w.mu.Lock()
	was := w.held[from]
	w.held[from] = x
	w.mu.Unlock()
	w.send(from, witnessBody{Cosigned: x.Checkpoint})
	switch {
	case was == nil || string(was.Key) != string(x.Key):
		return w.note(ctx, "witness.begin", from, was, x.head)
	case was.told:
		w.core.cfg.Logger.Info("a member's audit log is witnessed again", "member", from)
	}
	return nil
}

func (w *witness) store(ctx context.Context, of transport.NodeID, r *witnessRecord) error {
	return w.core.cfg.Store.Batch(ctx, []vault.Pair{{Key: append(append([]byte(nil), witnessPrefix...), of...),
		Value: canon.MustMarshal(*r)}}, nil)
}

// note puts on record what became of a peer's log, and what of it was held before.
func (w *witness) note(ctx context.Context, event string, of transport.NodeID, was *witnessed, head audit.Head) error {
	facts := map[string]string{"node": string(of), "entries": fmt.Sprint(head.Size), "root": fmt.Sprintf("%x", head.Root)}
	if was != nil {
		facts["had.entries"], facts["had.root"] = fmt.Sprint(was.head.Size), fmt.Sprintf("%x", was.head.Root)
	}
	return w.core.cfg.AuditLog.Append(ctx, audit.Event{Name: event, Facts: facts})
}

// broken says in the log whose log has not grown from what this node has witnessed.
func (w *witness) broken(of transport.NodeID, x *witnessed) {
	if why := x.why(); why != "" {
		w.core.cfg.Logger.Error("a member has rewritten its audit log, or it was put back", "member", of, "what", why)
	}
}

// why says what became of a log that did not grow on; "" of one that did.
func (x *witnessed) why() string {
	if x.Before == nil {
		return ""
	}
	return fmt.Sprintf("its audit log has not grown from the %d entries that this node had witnessed; seen last at %s", x.before.Size,
		time.UnixMilli(x.Broke).UTC().Format(time.RFC3339))
}

// broke says it of a node, and of this one what its peers say.
func (w *witness) broke(id transport.NodeID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id == w.core.cfg.Node {
		return w.lost
	}
	if x := w.held[id]; x != nil {
		return x.why()
	}
	return ""
}

// lostSince tells whether a node's log was put back, or is another, since a time, in Unix milliseconds: what that node did until then may
// be gone from its store, too. Of this one it is not known before another has said in this run which log it has witnessed.
func (w *witness) lostSince(id transport.NodeID, at int64) (lost, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id != w.core.cfg.Node {
		x := w.held[id]
		return x != nil && x.Broke >= at, true
	}
	for _, s := range w.shown {
		known = known || s.has > 0
	}
	return w.lost != "", known || w.lost != ""
}

// forgetful tells whether a node was put back within the time that what an initiator has signed may last: it may have taken part in what
// it does not know of.
func (w *witness) forgetful(id transport.NodeID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.held[id]
	if id == w.core.cfg.Node {
		x = w.back
	}
	return x != nil && x.Broke != 0 && w.core.clock.ran().Sub(x.broke) <= attest.MaxInitiation
}

// unshown says, in words, that a peer has never shown its audit log, though it was heard for longer than it would take; "" of one that has.
// This node acts with it all the same: one of a release before witnesses shows none, and where the log is held of another key, the operator
// has signed the new one.
func (w *witness) unshown(id transport.NodeID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, x := w.shown[id], w.held[id]
	if s == nil || s.heard <= witnessAge {
		return ""
	}
	if x != nil && w.pinned(id, x) {
		return ""
	}
	return fmt.Sprintf("has never shown its audit log, though it was heard for %s: nobody would see it rewritten", s.heard.Round(time.Second))
}

// pinned tells whether what is held of a node's log is by the key that the roster pins for it.
func (w *witness) pinned(id transport.NodeID, x *witnessed) bool {
	m, err := w.core.members.Roster().Roster.Node(string(id))
	return err == nil && string(m.AttestKey) == string(x.Key)
}

// miss says it in the log, once.
func (w *witness) miss(id transport.NodeID) {
	why := w.unshown(id)
	w.mu.Lock()
	said := w.shown[id].missed
	w.shown[id].missed = why != ""
	w.mu.Unlock()
	if why != "" && !said {
		w.core.cfg.Logger.Warn("a member does not have its audit log witnessed", "member", id, "what", why)
	}
}

// unfit says, in words, why this node acts with no node of that name; "" if it does. next is what to do about it. One that is not heard now
// can show nothing, as after a power cut: it is no less unfit, and is said to be missing.
func (w *witness) unfit(id transport.NodeID) (why, next string) {
	w.mu.Lock()
	x := w.held[id]
	w.mu.Unlock()
	if x == nil {
		return "", ""
	}
	age := w.core.clock.ran().Sub(x.at)
	if age <= witnessAge || !w.pinned(id, x) { // what it signs by another key begins anew
		return "", ""
	}
	if why, next = w.core.peers.Missing(id); why != "" {
		return why, next
	}
	return fmt.Sprintf("has not shown for %s that its audit log has only grown", age.Round(time.Second)),
		"wait a minute; then see its log, and that it runs the release that this node runs"
}

// cosigned keeps a peer's cosignature.
func (w *witness) cosigned(ctx context.Context, from transport.NodeID, b []byte) error {
	v, key, _, err := w.of(w.core.cfg.Node)
	if err != nil {
		return err
	}
	_, _, by, err := w.of(from)
	if err != nil {
		return err
	}
	head, _, err := audit.OpenCheckpoint(b, v)
	if err != nil {
		return err
	}
	if xs, err := audit.WitnessedBy(b, v, by); err != nil || len(xs) == 0 {
		return cmp.Or(err, errors.New("it has not cosigned that"))
	}
	w.mu.Lock()
	now := w.core.clock.ran()
	s := w.shown[from]
	ours := s != nil && s.checkpoint == textOf(b)
	keep := ours && now.Sub(s.cosigned) >= witnessKept
	if ours {
		s.has, s.denied = head.Size, nil
		w.last = now
	}
	if keep {
		s.cosigned = now
	}
	stale := ours && now.Sub(w.kept) >= witnessKept
	w.mu.Unlock()
	var errs []error
	if keep { // and not of a checkpoint before, or once more
		errs = append(errs, w.core.cfg.AuditLog.AddCosignatures(b, v, by))
	}
	if stale {
		errs = append(errs, w.remember(ctx, key, b, v, now))
	}
	return errors.Join(errs...)
}

// remember stores that and when another has witnessed this node's log, for the runs to come.
func (w *witness) remember(ctx context.Context, key attest.Hex, b []byte, v audit.Verifier, now time.Time) error {
	bare, err := audit.Bare(b, v)
	if err == nil {
		x := &witnessRecord{Version: witnessVersion, Key: key, Checkpoint: bare, At: w.core.cfg.Clock().UnixMilli()}
		w.mu.Lock()
		if w.back != nil {
			x.Broke = w.back.Broke
		}
		w.mu.Unlock()
		err = w.store(ctx, w.core.cfg.Node, x)
	}
	if err == nil {
		w.mu.Lock()
		w.kept = now
		w.mu.Unlock()
	}
	return err
}

// has takes up which checkpoint of ours a peer has: a proof from there is shown, or it is said that our own log is not what it was.
func (w *witness) has(from transport.NodeID, b []byte) error {
	v, _, _, err := w.of(w.core.cfg.Node)
	if err != nil {
		return err
	}
	// Bare refuses what this node's token has not signed.
	bare, err := audit.Bare(b, v)
	if err != nil {
		return err
	}
	head, _, err := audit.OpenCheckpoint(bare, v)
	if err != nil {
		return err
	}
	lost, err := w.another(head)
	if err != nil { // the peer has that of us for good, so nothing is said before it is known
		w.core.remark(from, "this node's own audit log cannot be read, and so not be shown to another; it is tried again", err)
		return nil
	}
	w.mu.Lock()
	s := w.shown[from]
	again := s != nil && (lost && string(s.denied) != string(bare) || !lost && (s.denied != nil || s.has != head.Size))
	switch {
	case !again:
	case lost:
		s.denied = bare
	default:
		s.has, s.denied = head.Size, nil
	}
	if lost && w.lost == "" {
		w.lost = fmt.Sprintf("%s has witnessed an audit log of this node, of %d entries, that is not the one that is here", from, head.Size)
		w.back = &witnessed{witnessRecord: witnessRecord{Broke: w.core.cfg.Clock().UnixMilli()}, broke: w.core.clock.ran()}
		w.kept = time.Time{} // the next cosignature stores it
	}
	w.mu.Unlock()
	if lost && again {
		w.core.cfg.Logger.Error("another node has witnessed an audit log of this node that is not the one that is here: it was put back, or "+
			"changed; the others have that on record", "witness", from, "entries", head.Size)
	}
	if again {
		w.show(from)
	}
	return nil
}

// another tells whether this node's log is not the one of that head; an error, where it cannot be read.
func (w *witness) another(head audit.Head) (bool, error) {
	log := w.core.cfg.AuditLog
	if head.Size > log.Len() {
		return true, nil
	}
	root, err := log.RootAt(head.Size)
	return err == nil && root != head.Root, err
}

// own says, in words, why this node releases no share; "" if it does. next is what to do about it.
func (w *witness) own() (why, next string) {
	w.mu.Lock()
	last := w.last
	w.mu.Unlock()
	if age := w.core.clock.ran().Sub(last); !last.IsZero() && age > witnessAge {
		return fmt.Sprintf("no other node has witnessed this node's audit log for %s", age.Round(time.Second)), w.unseen()
	}
	return "", ""
}

// unseen is what to do where nobody witnesses this node's log: where no other is heard, none can.
func (w *witness) unseen() string {
	switch {
	case w.core.peers.LeftOut():
		return ceremony.BringRoster
	case w.core.peers.Alone():
		return "start the missing nodes: none is heard"
	}
	return "see that others hear it, that its token signs, and that its audit log can be read (`mpcd audit verify`)"
}

// check fails where nobody witnesses this node's log. What others have on record of it stops nothing, and is to be looked at.
func (w *witness) check() Check {
	if why, next := w.own(); why != "" {
		return Check{Name: "witness", Detail: why, Next: next}
	}
	if lost := w.broke(w.core.cfg.Node); lost != "" {
		return Check{Name: "witness", OK: true, Detail: lost, Next: useNewest + "; if nobody has put an older one here, keep this " +
			"one as it is, and find out who changed it"}
	}
	return Check{Name: "witness", OK: true, Detail: w.detail()}
}

func (w *witness) detail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last.IsZero() {
		return "no other node has witnessed the audit log yet"
	}
	return "others have witnessed the audit log, last at " + w.core.clock.date(w.last).UTC().Format(time.RFC3339)
}

// refuses is what keeps a share back.
func (w *witness) refuses() error {
	if why, next := w.own(); why != "" {
		return problem.New(problem.Starting, next, "%s", why)
	}
	return nil
}

// Checkpoint is the newest of a node's audit log: as this node has witnessed it or, of its own, as others have.
type Checkpoint struct {
	Node      transport.NodeID
	Entries   uint64
	Note      []byte            // C2SP tlog-checkpoint, with cosignatures
	Witnessed time.Time         // when; zero if nobody has
	By        []audit.Witnessed // who cosigned it, and by which keys
	Trouble   string            // what is wrong with that log
	Before    []byte            // the last that was witnessed of a log that did not grow on, where there was one
}

// by is who has cosigned a checkpoint of a node's log, under the roster in use: of a peer's, this node alone. Nobody, where the roster has
// another key for that log.
func (w *witness) by(id transport.NodeID, b []byte) []audit.Witnessed {
	v, _, _, err := w.of(id)
	_, _, self, serr := w.of(w.core.cfg.Node)
	if errors.Join(err, serr) != nil {
		return nil
	}
	who := []audit.Witness{self}
	if id == w.core.cfg.Node {
		who = AuditWitnesses(string(id), w.core.members.Roster())
	}
	all, _ := audit.WitnessedBy(b, v, who...)
	return all
}

// Checkpoints are the newest of this node's own audit log, if there is one, and of those it has witnessed, in the order of the roster.
func (w *witness) Checkpoints(context.Context) ([]Checkpoint, error) {
	var out []Checkpoint
	own := w.core.cfg.AuditLog.Checkpoint()
	for _, id := range w.core.members.All() {
		c := Checkpoint{Node: id}
		w.mu.Lock()
		if id == w.core.cfg.Node {
			if c.Note, c.Trouble = own, w.lost; !w.last.IsZero() {
				c.Witnessed = w.core.clock.date(w.last)
			}
		} else if x := w.held[id]; x != nil {
			c.Note, c.Witnessed, c.Before, c.Trouble = x.Checkpoint, w.core.clock.date(x.at), x.Before, x.why()
		}
		w.mu.Unlock()
		head, err := audit.HeadIn(c.Note)
		if err != nil {
			continue // there is none
		}
		c.Entries, c.By = head.Size, w.by(id, c.Note)
		if why, _ := w.unfit(id); why != "" {
			c.Trouble = strings.TrimPrefix(c.Trouble+"; "+why, "; ")
		}
		out = append(out, c)
	}
	return out, nil
}
