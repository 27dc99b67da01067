package appliance

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
)

// freezeBody is what nodes tell each other of what is frozen.
type freezeBody struct {
	Version uint8          `cbor:"1,keyasint"`
	Has     bool           `cbor:"2,keyasint"` // Have is said
	Have    []freezeDigest `cbor:"3,keyasint,omitempty"`
	Records []freezeRecord `cbor:"4,keyasint,omitempty"`
}

func (z *Freezer) send(to []transport.NodeID, b freezeBody) {
	for i := range b.Records {
		b.Records[i].ThawedAt = 0
	}
	b.Version = freezeVersion
	z.core.send(transport.Envelope{To: to, Kind: ceremony.KindFreeze, Body: canon.MustMarshal(b)})
}

// tell sends one record to all at once, if it is here.
func (z *Freezer) tell(id attest.Hash) {
	z.mu.RLock()
	x := z.m[id]
	var b freezeBody
	if x != nil {
		b.Records = []freezeRecord{x.freezeRecord}
	}
	z.mu.RUnlock()
	if x != nil {
		z.send(nil, b)
	}
}

// have is what this node has.
func (z *Freezer) have() []freezeDigest {
	z.mu.RLock()
	defer z.mu.RUnlock()
	var out []freezeDigest
	for _, x := range z.m {
		out = append(out, x.digest())
	}
	return out
}

// learn takes up what a peer tells, and sends it what it lacks. What does not hold ends the reading: one envelope costs one bad signature.
func (z *Freezer) learn(ctx context.Context, env transport.Envelope) {
	if !z.sent.allow(z.core.cfg.Clock(), refusedTo{peer: env.From}, freezesMinute) {
		return
	}
	var b freezeBody
	err := canon.UnmarshalVersion(env.Body, freezeVersion, &b)
	if err != nil || len(b.Have) > freezesHave || len(b.Records) > freezePart {
		z.core.remark(env.From, "what a peer tells of freezes cannot be read", cmp.Or(err, errors.New("it is too much")))
		return
	}
	for _, r := range b.Records {
		if _, err := z.take(ctx, r, ""); err != nil {
			z.core.remark(env.From, "a freeze, or a thaw, that a peer brings is not taken up", err, "of", r.Signed.Freeze.Node)
			break
		}
	}
	if b.Has {
		z.supply(env.From, b.Have)
	}
}

// supply sends a peer what it lacks, a part at a time, and asks for what it has more.
func (z *Freezer) supply(peer transport.NodeID, have []freezeDigest) {
	theirs := map[freezeDigest]bool{}
	for _, x := range have {
		theirs[x] = true
	}
	z.mu.Lock()
	now := z.core.cfg.Clock()
	if now.Sub(z.given[peer]) < freezeEvery/2 {
		z.mu.Unlock()
		return
	}
	z.given[peer] = now
	var lacks []freezeRecord
	mine := map[freezeDigest]bool{}
	for _, x := range z.m {
		at := x.digest()
		if mine[at] = true; !theirs[at] {
			lacks = append(lacks, x.freezeRecord)
		}
	}
	z.mu.Unlock()
	slices.SortFunc(lacks, func(a, b freezeRecord) int { // what is in force first
		return cmp.Or(cmp.Compare(a.ThawedAt, b.ThawedAt), cmp.Compare(a.Signed.Freeze.Created, b.Signed.Freeze.Created))
	})
	b := freezeBody{Records: lacks[:min(len(lacks), freezePart)]}
	b.Has = slices.ContainsFunc(have, func(x freezeDigest) bool { return !mine[x] })
	if len(b.Records) == 0 && !b.Has {
		return
	}
	if b.Has {
		b.Have = z.have()
	}
	z.send([]transport.NodeID{peer}, b)
}

// tend is called with each beat: it tells the others now and then what this node has, and stores what could not be stored.
func (z *Freezer) tend(ctx context.Context, start func(func())) {
	now := z.core.cfg.Clock()
	if now.Sub(z.told) < freezeEvery {
		return
	}
	z.told = now
	if have := z.have(); len(have) > 0 {
		z.send(nil, freezeBody{Has: true, Have: have})
	}
	start(func() {
		if err := z.keep(ctx); err != nil && ctx.Err() == nil {
			z.core.cfg.Logger.Error("a freeze is in force that could not be stored: it is tried again", "error", err)
		}
	})
}
