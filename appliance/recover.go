package appliance

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// A party that stored a share and then missed the end of its ceremony asks the others how it ended. The answer is the
// certificate of all parties and the proofs, which convince by themselves, whoever shows them.

const (
	askEvery = ceremony.LateFor / 2 // a request that waits for the end which its node missed waits LateFor: it must hear it in that time
	askMax   = 32                   // keys asked about at once
)

type ask struct {
	KeyID string `cbor:"1,keyasint"`
	Epoch uint64 `cbor:"2,keyasint"` // the epoch that waits
}

type answer struct {
	KeyID  string        `cbor:"1,keyasint"`
	Epoch  uint64        `cbor:"2,keyasint"`
	Certs  []certificate `cbor:"3,keyasint,omitempty"`
	Proofs *proofs       `cbor:"4,keyasint,omitempty"`
}

// catchUp asks about keys that wait, now and then until ctx ends.
func (n *making) catchUp(ctx context.Context) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	var turns turns
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		n.askAbout(ctx, &turns)
	}
}

// askAbout asks about the keys whose turn it is, and erases those that waited too long.
func (n *making) askAbout(ctx context.Context, turns *turns) {
	for _, id := range turns.next(n.cfg.Clock(), n.keys.Waiting(), askMax) {
		rec, err := n.keys.Record(ctx, id)
		if err != nil || n.keys.Busy(id) {
			continue
		}
		if asked := turns.asked(n.cfg.Clock(), id); expired(rec, n.clock.past(), asked) {
			if err := n.expireKey(ctx, id, asked); err != nil {
				n.cfg.Logger.Error("a key that nobody certified cannot be erased", "wallet", id, "error", err)
			}
			continue
		}
		_, peers := n.members.Others(rec.Info.Committee.Parties)
		if len(peers) == 0 {
			continue // all were removed, and everybody is not to be asked
		}
		for _, epoch := range rec.Waits() {
			n.send(transport.Envelope{To: peers, Kind: ceremony.KindAsk, Body: canon.MustMarshal(ask{id, epoch})})
		}
	}
}

// answerAsk shows the certificate and the proofs of a key to one of its parties.
func (n *making) answerAsk(ctx context.Context, env transport.Envelope) {
	var q ask
	if canon.Unmarshal(env.Body, &q) != nil || len(q.KeyID) > 128 || !n.told.room(n.cfg.Clock(), env.From) {
		return
	}
	rec, err := n.keys.Record(ctx, q.KeyID)
	if err != nil || !rec.Info.Committee.Contains(n.members.Party(env.From)) {
		return
	}
	a := answer{KeyID: q.KeyID, Epoch: q.Epoch}
	if err := n.ownAnswer(ctx, &a); err != nil {
		n.remark(env.From, "a member asks for a stored certificate that cannot be read", err, "wallet", q.KeyID)
		return
	}
	if _, staged := rec.Staged(q.Epoch); staged && a.Certs == nil {
		if own, err := n.reissue(ctx, staging{q.KeyID, q.Epoch}, rec); err == nil {
			a.Certs = []certificate{own}
		}
	}
	if a.Certs != nil || a.Proofs != nil {
		body := canon.MustMarshal(a)
		n.told.count(env.From, len(body))
		n.send(transport.Envelope{To: []transport.NodeID{env.From}, Kind: ceremony.KindAnswer, Body: body})
	}
}

// learnAnswer completes what waited, if the answer proves how it ended.
func (n *making) learnAnswer(ctx context.Context, env transport.Envelope) {
	var a answer
	if canon.Unmarshal(env.Body, &a) != nil || len(a.KeyID) > 128 {
		return
	}
	unlock, ok := n.keys.Lock(a.KeyID)
	if !ok {
		return
	}
	defer unlock()
	rec, err := n.keys.Record(ctx, a.KeyID)
	if err != nil {
		return
	}
	_, waits := rec.Staged(a.Epoch)
	if waits && len(a.Certs) == 1 && a.Certs[0].Party == n.members.Party(env.From) {
		a.Certs = n.gather(ctx, staging{a.KeyID, a.Epoch}, rec, a.Certs[0])
	}
	if waits && a.Certs != nil {
		if err := n.completeStaged(ctx, a, rec); err != nil {
			n.remark(env.From, "an answer about a waiting key was refused", err, "wallet", a.KeyID)
			return
		}
	}
	if a.Proofs != nil && a.Proofs.KeyID == a.KeyID {
		if err := n.acceptProofsLocked(ctx, *a.Proofs); err != nil {
			n.remark(env.From, "threshold proofs refused", err, "wallet", a.KeyID)
		}
	}
}

// reconcile finishes, at boot, what a crash interrupted after the certificate was complete: the vault and our own store know.
func (n *making) reconcile(ctx context.Context) error {
	for _, id := range n.keys.Waiting() {
		rec, err := n.keys.Record(ctx, id)
		if err != nil {
			return err
		}
		if err := n.finishStaged(ctx, id); err != nil {
			// One damaged key must not keep the others from signing. It stays as it is, and refuses.
			n.cfg.Logger.Error("a wallet cannot be brought to the epoch its certificate says; run mpcd doctor", "wallet", id, "error", err)
			continue
		}
		a := answer{KeyID: id, Epoch: rec.Info.Epoch}
		if err := n.ownAnswer(ctx, &a); err != nil {
			return err
		}
		if a.Proofs != nil {
			if err := n.acceptProofs(ctx, *a.Proofs); err != nil {
				n.cfg.Logger.Warn("stored threshold proofs refused", "wallet", id, "error", err)
			}
		}
	}
	return nil
}

// ownAnswer fills in what this node has stored about how a key's ceremony ended.
func (n *core) ownAnswer(ctx context.Context, a *answer) error {
	b, err := n.cfg.Store.Get(ctx, certificateKey(a.KeyID, a.Epoch))
	if err == nil {
		a.Certs, err = parseCertificates(a.KeyID, b)
	}
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	b, err = n.cfg.Store.Get(ctx, proofsKey(a.KeyID))
	if err == nil {
		a.Proofs, err = parseProofs(a.KeyID, b)
	}
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	return nil
}

// finishStaged activates the highest staged epoch whose complete certificate this node has already: it was committed, and
// something failed before it was activated. The caller holds the key's lock, or is the boot.
func (n *making) finishStaged(ctx context.Context, id string) error {
	rec, err := n.keys.Record(ctx, id)
	if err != nil {
		return err
	}
	waits := rec.Waits()
	for i := len(waits) - 1; i >= 0; i-- {
		if _, staged := rec.Staged(waits[i]); !staged {
			continue
		}
		a := answer{KeyID: id, Epoch: waits[i]}
		if err := n.ownAnswer(ctx, &a); err != nil {
			return err
		}
		if a.Certs != nil {
			return n.completeStaged(ctx, a, rec)
		}
	}
	return nil
}

// completeStaged activates a staged epoch whose certificate is complete.
func (n *making) completeStaged(ctx context.Context, a answer, rec keys.Record) error {
	info, err := n.stagedInfo(ctx, staging{a.KeyID, a.Epoch}, rec)
	if err != nil {
		return err
	}
	rec, _ = rec.Staged(a.Epoch)
	// By the roster in use alone: a token that was replaced, as one that was stolen, has nobody here give up the epoch that signs.
	if err := n.verifyCertificatesBy(n.members, a.KeyID, info, rec, a.Certs); err != nil {
		return err
	}
	return n.activate(ctx, a.KeyID, rec, info, a.Certs)
}

// stagedInfo is the public record of a staged share, or of one that was activated just before a crash.
func (n *making) stagedInfo(ctx context.Context, at staging, rec keys.Record) (threshold.KeyInfo, error) {
	none := threshold.KeyInfo{}
	scheme, err := n.cfg.Schemes(rec.Scheme)
	if err != nil {
		return none, err
	}
	load := func() (*secret.Bytes, *vault.Meta, error) { return n.cfg.Vault.LoadStaged(ctx, at.key, at.epoch) }
	if meta, err := n.cfg.Vault.GetMeta(at.key); err == nil && meta.Epoch == at.epoch {
		load = func() (*secret.Bytes, *vault.Meta, error) { return n.cfg.Vault.Load(ctx, at.key) }
	}
	b, _, err := load()
	if err != nil {
		return none, n.damage.Failed("the new share of wallet "+at.key, "cannot be opened", err)
	}
	defer b.Wipe()
	share, err := scheme.ParseKeyShare(b.Bytes())
	if err != nil {
		return none, n.damage.Unreadable("the new share of wallet "+at.key, err)
	}
	defer share.Destroy()
	n.damage.Opened("the new share of wallet " + at.key)
	if info := share.KeyInfo; attest.KeyID(info.Kind, info.GroupKey) != at.key || info.Epoch != at.epoch {
		return none, errors.New("the staged share is of another key or epoch")
	}
	return share.KeyInfo, nil
}

// staging is an epoch of a key that parties have staged.
type staging struct {
	key   string
	epoch uint64
}

// reissues are certificates of staged epochs that their parties have issued again, our own among them, each as its party sent it.
type reissues struct {
	mu sync.Mutex
	m  map[staging]map[threshold.PartyID]certificate
}

const reissuesMax = 1024 // epochs

// put remembers a certificate, and returns those there are of the epoch.
func (r *reissues) put(at staging, c certificate) map[threshold.PartyID]certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m[at] == nil {
		if len(r.m) >= reissuesMax {
			r.m = nil // they are sent again
		}
		if r.m == nil {
			r.m = map[staging]map[threshold.PartyID]certificate{}
		}
		r.m[at] = map[threshold.PartyID]certificate{}
	}
	r.m[at][c.Party] = c
	return maps.Clone(r.m[at])
}

func (r *reissues) get(at staging, p threshold.PartyID) (certificate, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.m[at][p]
	return c, ok
}

func (r *reissues) drop(at staging) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.m, at)
}

// reissue is our certificate of an epoch that we have staged, once more: its coordinator, or a party that was away, may have kept a
// certificate back, and what all have staged is to end. It says what the first said.
func (n *making) reissue(ctx context.Context, at staging, rec keys.Record) (certificate, error) {
	self := n.members.SelfParty()
	if c, ok := n.reissues.get(at, self); ok {
		return c, nil
	}
	info, err := n.stagedInfo(ctx, at, rec)
	if err != nil {
		return certificate{}, err
	}
	rec, _ = rec.Staged(at.epoch)
	c, err := n.ownCertificate(ctx, at.key, info, rec)
	if err == nil {
		n.reissues.put(at, c)
	}
	return c, err
}

// gather returns the certificates of all parties, ascending, when the one that a party has issued again is the last; nil before.
func (n *making) gather(ctx context.Context, at staging, rec keys.Record, c certificate) []certificate {
	if !rec.Info.Committee.Contains(c.Party) || len(c.Cose) > maxCertificate {
		return nil
	}
	if len(n.reissues.put(at, c)) < rec.Info.Committee.N()-1 {
		return nil
	}
	own, err := n.reissue(ctx, at, rec)
	if err != nil {
		return nil
	}
	all := slices.Collect(maps.Values(n.reissues.put(at, own)))
	if len(all) < rec.Info.Committee.N() {
		return nil
	}
	n.reissues.drop(at) // whatever comes of it: a bad one of a peer does not stay
	slices.SortFunc(all, func(a, b certificate) int { return int(a.Party) - int(b.Party) })
	return all
}
