package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// What a node need not keep any longer goes, on record before it goes: what requests have left, and shares of keys that never came to be.
// None of it goes by the node's own clock alone (clock.past).

const (
	// expireFirst is within which time of its start a node looks for what requests have left, at a moment of its own.
	expireFirst = 10 * time.Minute
	expireEvery = 24 * time.Hour
	expireStep  = 16 << 10 // records that are found, put on record and removed together
	// stagedFor is how long a new key waits for its complete certificate. Nobody was told its address: its coordinator answers only after
	// every party has proved that it signs with it, which none does before.
	stagedFor = 24 * time.Hour
	// stagedAsked is how long, of that, this run must have asked the others about it: they may know the end, and this node was away.
	stagedAsked = 2 * time.Minute
)

// expire removes what is older than operation.Kept, soon after the start and then daily, until ctx ends.
func (n *core) expire(ctx context.Context) {
	var part [1]byte
	_, _ = io.ReadFull(n.rand("expire"), part[:]) // without randomness, at once
	t := time.NewTimer(expireFirst * time.Duration(part[0]) / 256)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := n.expireNow(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Logger.Warn("what is out of date could not be removed; it is tried again tomorrow", "error", err)
		}
		t.Reset(expireEvery)
	}
}

// expireNow removes session_ids, their uses and receipts that are out of date, in steps, and puts on record how many each removes.
func (n *core) expireNow(ctx context.Context) error {
	for {
		gone, receipts := make([][]byte, 0, expireStep+1), 0
		err := n.ops.Expired(ctx, n.clock.past(), func(key []byte, op string, answer []byte) (more bool) {
			gone = append(gone, key)
			if op == string(attest.OpSign) && len(answer) > 0 {
				gone = append(gone, receiptKey(string(answer)))
				receipts++
			}
			return len(gone) < expireStep
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		facts := map[string]string{"records": fmt.Sprint(len(gone)), "receipts": fmt.Sprint(receipts)}
		if err := n.cfg.AuditLog.Append(ctx, audit.Event{Name: "records.expire", Facts: facts}); err != nil {
			return err
		}
		for chunk := range slices.Chunk(gone, vault.MaxBatch) {
			if err := n.cfg.Store.Batch(ctx, nil, chunk); err != nil {
				return err
			}
		}
		if len(gone) < expireStep {
			return nil
		}
	}
}

// expired tells whether a key has waited for its certificate for too long.
func expired(rec keys.Record, now time.Time, asked time.Duration) bool {
	return rec.State == keys.Staged && rec.Info.Epoch == 1 && now.Sub(time.UnixMilli(rec.Created)) >= stagedFor && asked >= stagedAsked
}

// expireKey erases the share of a key that was never certified by all, and forgets it.
func (n *making) expireKey(ctx context.Context, id string, asked time.Duration) error {
	unlock, ok := n.keys.Lock(id)
	if !ok {
		return nil
	}
	defer unlock()
	rec, err := n.keys.Record(ctx, id)
	if err != nil || !expired(rec, n.clock.past(), asked) {
		return err
	}
	a := answer{KeyID: id, Epoch: rec.Info.Epoch}
	if err := n.ownAnswer(ctx, &a); err != nil || a.Certs != nil {
		return err
	}
	at := staging{id, rec.Info.Epoch}
	facts := map[string]string{"wallet": id, "session": rec.SessionID, "parties": fmt.Sprint(n.members.Nodes(rec.Info.Committee.Parties))}
	for _, p := range n.reissues.parties(at) {
		facts["certified."+string(n.members.Node(p))] = "true"
	}
	if err := n.cfg.AuditLog.Append(ctx, audit.Event{Name: "keygen.expire", Facts: facts}); err != nil {
		return err
	}
	if err := n.cfg.Vault.Delete(ctx, id); err != nil && !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	n.reissues.drop(at)
	return n.keys.Forget(ctx, id, rec)
}

// parties are those whose certificates of a staged epoch were issued again.
func (r *reissues) parties(at staging) (ps []threshold.PartyID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.m[at] {
		ps = append(ps, p)
	}
	return ps
}
