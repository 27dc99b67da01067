package appliance

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Nodes tell each other what they have signed by receipts: each has the intent, the signature, and the attestations of as many signers as
// must sign, one of them honest, of what the signature alone does not bind: when, for whom, of which vault. A coordinator tells its own at
// once. Every few seconds nodes tell which they have, by the hour: a hash of each hour's, then the names of hours that differ, then the
// receipts that are lacking.

// noticeBody is what nodes tell each other of what was signed.
type noticeBody struct {
	Version uint8 `cbor:"1,keyasint"`
	// From is the first hour, since 1970, of those of which Hours are the hashes: what the sender has receipts of.
	From  int64      `cbor:"2,keyasint,omitempty"`
	Hours []hourHash `cbor:"3,keyasint,omitempty"`
	// Asks are hours of which the sender has what is in Have, and asks for what it lacks.
	Asks []int64   `cbor:"4,keyasint,omitempty"`
	Have []entryID `cbor:"5,keyasint,omitempty"`
	// Receipts are what was signed, each as it is encoded.
	Receipts [][]byte `cbor:"6,keyasint,omitempty"`
}

// hourHash names all of an hour; zero is nothing.
type hourHash [16]byte

const (
	noticeVersion = 1
	// noticesMinute is how many envelopes of a peer are read in a minute.
	noticesMinute = 600
	// noticesPart is how many receipts an envelope has at most, and noticesBytes of how many bytes, and one more.
	noticesPart  = 64
	noticesBytes = 512 << 10
	// noticesHours are those of which nodes tell: of as long as anything counts, and the hour that is.
	noticesHours = int64(entryFor/time.Hour) + 1
)

// errNoNotice is of a receipt that would not be counted so.
var errNoNotice = errors.New("it is of another wallet, committee or vault than this node has, or of nothing that counts")

// hour is that of a time in Unix milliseconds.
func hour(ms int64) int64 { return ms / time.Hour.Milliseconds() }

func (l *ledger) send(to []transport.NodeID, b noticeBody) {
	b.Version = noticeVersion
	l.core.send(transport.Envelope{To: to, Kind: ceremony.KindNotice, Body: canon.MustMarshal(b)})
}

// counts tells whether the rules in force here do.
func (l *ledger) counts() bool {
	_, _, rules := l.core.authority.inForce()
	return rules != nil && rules.Counts()
}

// settled takes up the receipts of this node, and tells the others.
func (l *ledger) settled(ctx context.Context, receipts []*attest.Receipt) {
	var b noticeBody
	size := 0
	for _, r := range receipts {
		raw := canon.MustMarshal(r)
		if err := l.take(ctx, raw, false); err != nil {
			if !errors.Is(err, errNoNotice) {
				l.core.cfg.Logger.Warn("what was signed could not be kept for the others", "receipt", r.ID, "error", err)
			}
			continue
		}
		if size += len(raw); size > noticesBytes && len(b.Receipts) > 0 {
			l.send(nil, b)
			b, size = noticeBody{}, len(raw)
		}
		b.Receipts = append(b.Receipts, raw)
	}
	if len(b.Receipts) > 0 {
		l.send(nil, b)
	}
}

// take counts what a receipt says was signed. One of a peer is verified, whoever sent it. What is too old to count, or of a wallet that
// this node does not know, is left.
func (l *ledger) take(ctx context.Context, raw []byte, verify bool) error {
	var r attest.Receipt
	if err := canon.UnmarshalVersion(raw, attest.ReceiptVersion, &r); err != nil {
		return err
	}
	in := &r.Intent
	if l.core.clock.early().Sub(time.UnixMilli(in.Created)) > entryFor {
		return nil
	}
	id, e, err := l.notice(ctx, &r)
	if err != nil || e == nil {
		return err
	}
	e.At, e.Made, e.sure = min(l.core.clock.late().UnixMilli(), in.Created+intentAge.Milliseconds()), in.Created, true
	l.mu.Lock()
	known := l.m[id]
	heard, full := known != nil && known.Made >= in.Created, known == nil && len(l.m) >= entriesHeard
	l.mu.Unlock()
	if heard || full { // where it is full nothing is permitted; it is told again
		return nil
	}
	if verify {
		if err := l.verify(ctx, &r, l.core.cfg.Clock()); err != nil {
			return err
		}
	}
	return l.enter(ctx, id, e, raw)
}

// notice is the entry of a receipt, if it is of a wallet as this node knows it; nil if it knows none.
func (l *ledger) notice(ctx context.Context, r *attest.Receipt) (entryID, *entry, error) {
	key, err := l.core.keys.Key(ctx, r.Intent.KeyID)
	if err != nil && problem.As(err).Code == problem.NotFound {
		return entryID{}, nil, nil
	}
	if err != nil {
		return entryID{}, nil, err
	}
	info := key.Record.Info
	scheme, err := l.core.cfg.Schemes(r.Intent.Scheme)
	if err != nil {
		return entryID{}, nil, err
	}
	d, err := r.Intent.Decode(scheme, info)
	if err != nil {
		return entryID{}, nil, err
	}
	id, e := entryOf(&r.Intent, key.Record.Group, d)
	if e == nil || r.Key.KeyID != key.ID || r.Key.Threshold != info.Committee.Threshold ||
		!slices.Equal(r.Key.Parties, info.Committee.Parties) || r.Intent.Vault != key.Record.Group {
		return id, nil, errNoNotice
	}
	return id, e, nil
}

// verify checks all that a receipt says, under the roster that it names.
func (l *ledger) verify(ctx context.Context, r *attest.Receipt, now time.Time) error {
	roster, err := l.core.rosterOf(ctx, r.Roster)
	if err == nil && roster == nil {
		err = errors.New("it is of a roster that this node has not")
	}
	if err != nil {
		return err
	}
	return attest.VerifyReceipt(r, roster, l.core.cfg.Schemes, attest.ReceiptOptions{NotAfter: now.Add(intentAge)})
}

// enter counts what was signed from now on, and then stores it, with its receipt.
func (l *ledger) enter(ctx context.Context, id entryID, e *entry, raw []byte) error {
	made := e.Made
	l.storing.RLock()
	defer l.storing.RUnlock()
	l.mu.Lock()
	if known := l.m[id]; known != nil {
		known.At, known.sure = max(known.At, e.At), true
		e = known
	} else {
		e.Made = 0 // its receipt is not stored yet
		l.m[id] = e
	}
	e.stored = true
	kept := e.entryRecord
	kept.Made = made
	l.mu.Unlock()
	puts := []vault.Pair{{Key: entryKey(id), Value: canon.MustMarshal(kept)}, {Key: noticeKey(id), Value: raw}}
	if err := storeAll(ctx, l.core.cfg.Store, puts); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Made = max(e.Made, made)
	return nil
}

// have are the entries that this node has receipts of, by their hours, from an hour on.
func (l *ledger) have(from int64) map[int64][]entryID {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int64][]entryID{}
	for id, e := range l.m {
		if h := hour(e.Made); e.Made > 0 && h >= from {
			out[h] = append(out[h], id)
		}
	}
	return out
}

func hashHour(ids []entryID) (h hourHash) {
	if len(ids) == 0 {
		return h
	}
	slices.SortFunc(ids, func(a, b entryID) int { return bytes.Compare(a[:], b[:]) })
	all := canon.Hash("mpcd/v1/spent/hour", canon.MustMarshal(ids))
	return hourHash(all[:16])
}

// learn takes up what a peer tells, asks for what this node lacks, and sends what it lacks. What does not hold ends the reading.
func (l *ledger) learn(ctx context.Context, env transport.Envelope) {
	now := l.core.cfg.Clock()
	if !l.counts() || !l.pace.reads(now, env.From, noticesMinute) {
		return
	}
	b, err := parseNotice(env.Body)
	if err != nil {
		l.core.remark(env.From, "what a peer tells of what was signed cannot be read", err)
		return
	}
	for _, raw := range b.Receipts {
		if err := l.take(ctx, raw, true); err != nil {
			l.core.remark(env.From, "a receipt of a peer is not counted", err)
			break
		}
	}
	if len(b.Hours) > 0 {
		l.ask(env.From, b.From, b.Hours)
	}
	if len(b.Asks) > 0 && l.pace.supplies(now, env.From) {
		l.supply(ctx, env.From, b.Asks, b.Have)
	}
}

func parseNotice(body []byte) (*noticeBody, error) {
	var b noticeBody
	err := canon.UnmarshalVersion(body, noticeVersion, &b)
	if err == nil && (len(b.Hours) > int(noticesHours) || len(b.Asks) > int(noticesHours) || len(b.Have) > entriesHeard ||
		len(b.Receipts) > noticesPart) {
		err = errors.New("it is too much")
	}
	return &b, err
}

// ask asks a peer for what it has of hours of which it has something else than this node.
func (l *ledger) ask(peer transport.NodeID, from int64, theirs []hourHash) {
	ours, b := l.have(from), noticeBody{}
	for i, h := range theirs {
		at := from + int64(i)
		if h != (hourHash{}) && h != hashHour(ours[at]) {
			b.Asks, b.Have = append(b.Asks, at), append(b.Have, ours[at]...)
		}
	}
	if len(b.Asks) > 0 && l.asks.supplies(l.core.cfg.Clock(), peer) {
		l.send([]transport.NodeID{peer}, b)
	}
}

// supply sends a peer what it lacks of hours, a part at a time, the oldest first.
func (l *ledger) supply(ctx context.Context, peer transport.NodeID, hours []int64, have []entryID) {
	if len(hours) == 0 {
		return
	}
	ours := l.have(slices.Min(hours))
	var b noticeBody
	size := 0
	slices.Sort(hours)
	theirs := make(map[entryID]bool, len(have))
	for _, id := range have {
		theirs[id] = true
	}
	for _, at := range slices.Compact(hours) {
		for _, id := range ours[at] {
			if theirs[id] || len(b.Receipts) >= noticesPart || size > noticesBytes {
				continue
			}
			raw, err := l.core.cfg.Store.Get(ctx, noticeKey(id))
			if err == nil {
				b.Receipts = append(b.Receipts, raw)
				size += len(raw)
			}
		}
	}
	if len(b.Receipts) > 0 {
		l.send([]transport.NodeID{peer}, b)
	}
}

// tend is called with each beat: it tells the others now and then which receipts this node has, and takes out what is over.
func (l *ledger) tend(ctx context.Context, start func(func())) {
	now := l.core.cfg.Clock()
	if now.Sub(l.pruned) >= pruneEvery {
		l.pruned = now
		start(func() { l.prune(ctx) })
	}
	if !l.counts() || !l.pace.tells(now) {
		return
	}
	b := noticeBody{From: hour(now.UnixMilli()) - noticesHours + 1}
	ours := l.have(b.From)
	if len(ours) == 0 {
		return
	}
	for i := range noticesHours {
		b.Hours = append(b.Hours, hashHour(ours[b.From+i]))
	}
	l.send(nil, b)
}
