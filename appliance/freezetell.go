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
	if !z.pace.reads(z.core.cfg.Clock(), env.From, freezesMinute) {
		return
	}
	var b freezeBody
	err := canon.UnmarshalVersion(env.Body, freezeVersion, &b)
	if err != nil || len(b.Have) > freezesHave || len(b.Records) > exchangePart {
		z.core.remark(env.From, "what a peer tells of freezes cannot be read", cmp.Or(err, errors.New("it is too much")))
		return
	}
	for _, r := range b.Records {
		_, err := z.take(ctx, r, "")
		if errors.As(err, new(unstored)) { // it is in force, which the others that are brought are to be, too
			z.core.remark(env.From, "a freeze that a peer brings is in force, and could not be stored: it is tried again", err,
				"of", r.Signed.Freeze.Node)
			continue
		}
		if err != nil {
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
	if !z.pace.supplies(z.core.cfg.Clock(), peer) {
		return
	}
	ours := z.have()
	lacks, more := differ(ours, have)
	b := freezeBody{Has: more}
	z.mu.RLock()
	for _, x := range z.m {
		if lacks[x.digest()] {
			b.Records = append(b.Records, x.freezeRecord)
		}
	}
	z.mu.RUnlock()
	slices.SortFunc(b.Records, func(a, b freezeRecord) int { // what is in force first
		return cmp.Or(cmp.Compare(a.ThawedAt, b.ThawedAt), cmp.Compare(a.Signed.Freeze.Created, b.Signed.Freeze.Created))
	})
	if b.Records = b.Records[:min(len(b.Records), exchangePart)]; len(b.Records) == 0 && !more {
		return
	}
	if more {
		b.Have = ours
	}
	z.send([]transport.NodeID{peer}, b)
}

// tend is called with each beat: it tells the others now and then what this node has, and stores what could not be stored.
func (z *Freezer) tend(ctx context.Context, start func(func())) {
	if !z.pace.tells(z.core.cfg.Clock()) {
		return
	}
	if have := z.have(); len(have) > 0 {
		z.send(nil, freezeBody{Has: true, Have: have})
	}
	start(func() {
		if err := z.keep(ctx); err != nil && ctx.Err() == nil {
			z.core.cfg.Logger.Error("a freeze is in force that could not be stored: it is tried again", "error", err)
		}
	})
}
