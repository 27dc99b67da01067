package appliance

import (
	"context"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// tries is what a request has behind it.
type tries struct {
	fixed   bool                       // the caller named the signers
	avoid   map[threshold.PartyID]bool // who was to blame before
	alone   bool                       // was in a batch that was refused: try by itself
	renewed bool                       // the key was refreshed since the first try
	direct  bool                       // not from the pool of presignatures: that is for the first try
	spared  int                        // batches that failed because of another request
	count   int                        // all others that failed
	again   bool                       // another node holds the session_id, and has no answer
}

// step is what a failed ceremony means to one of its requests.
type step int

const (
	giveUp    step = iota
	direct         // the same again, without the pool: a signer was restarted, or dropped the presignature
	spare          // again, in another batch: another request was at fault
	look           // see whether our key, or the committee's pair state, has changed by now; then decide
	separate       // again, by itself: one of the batch was refused, perhaps not this one
	elsewhere      // again, without who is to blame. A refusal too: where all policies agree, the next quorum refuses as well
)

// next decides what the failure of a ceremony means to the request i of its batch. looked tells that what step look asks for was done,
// and nothing has changed.
func next(f ceremony.Failure, i, batch int, t tries, looked bool) step {
	code, item := f.Code(), f.Item()
	switch {
	case code == problem.Presig && !t.direct:
		return direct
	case item > 0 && item <= batch && item != i+1:
		return spare
	case (code == problem.Conflict || code == problem.PairState) && !looked:
		return look
	case batch > 1 && item == 0 && code != "" && !code.Retryable():
		return separate
	case f.Own != nil && !f.Own.Code.Retryable(), t.fixed:
		return giveUp
	}
	return elsewhere
}

// sparedMax is how many batches a request may fail with because of others before it is tried alone.
const sparedMax = 8

// again answers the request i of a batch whose ceremony failed, or sends it on to another try.
func (b *batcher) again(j *signJob, err error, i, batch int) {
	if f := ceremony.FailureOf(err); f.Code() == problem.Held && (f.Item() == i+1 || batch == 1) && !j.again {
		b.elsewhere(j, f.Holder())
		return
	}
	if j.ctx.Err() != nil || !b.prepare(j, ceremony.FailureOf(err), i, batch) {
		if j.ctx.Err() != nil {
			err = j.ctx.Err()
		}
		j.finish(b.members.Explain(err))
		return
	}
	b.counts.retries.Add(1)
	if err := b.enqueue(j); err != nil {
		j.finish(b.members.Explain(err))
	}
}

// elsewhere answers a request whose session_id another node holds with that node's answer, or, where it has none, tries it again.
func (b *batcher) elsewhere(j *signJob, holder string) {
	b.others.yield(j.ctx, holder)
	purpose := purposeOf(&attest.Intent{Operation: attest.OpSign, KeyID: j.key.ID, Message: j.req.Message, Path: j.req.Path})
	found, _, err := b.others.find(j.ctx, attest.OpSign, j.req.SessionID, j.req.BodyHash, purpose, func(h heard) (err error) {
		j.answer, err = b.others.adoptSignature(j.ctx, j.req, j.key, h)
		return err
	})
	if err == nil && !found {
		j.again, j.alone = true, true
		if err = b.enqueue(j); err == nil {
			return
		}
	}
	j.finish(b.members.Explain(err))
}

// prepare readies a request for its next try; it is false if there is none.
func (b *batcher) prepare(j *signJob, f ceremony.Failure, i, batch int) bool {
	what := next(f, i, batch, j.tries, false)
	if what == look && !b.renewed(j, f.Code()) {
		what = next(f, i, batch, j.tries, true)
	}
	j.direct = true
	switch what {
	case giveUp:
		return false
	case spare:
		j.spared++
		j.alone = j.alone || j.spared > sparedMax
	case separate:
		j.alone = true
	case elsewhere:
		for _, p := range b.blamed(j, f) {
			j.avoid[p] = true
		}
	}
	if what != spare {
		j.count++
	}
	committee := j.key.Record.Info.Committee
	if j.count > committee.N() {
		return false
	}
	if j.fixed {
		return true
	}
	signers, err := b.peers.Quorum(committee, j.avoid)
	if err != nil || what == elsewhere && slices.Equal(signers, j.signers) && !j.alone && !j.renewed {
		return false
	}
	j.signers = signers
	return true
}

// pairsLateFor is how long a request waits for new pair state before its next try.
const pairsLateFor = 300 * time.Millisecond

// renewed tells whether a conflict came from a refresh that has reached us by now, and takes the new record.
func (b *batcher) renewed(j *signJob, code problem.Code) bool {
	old := j.key.Record.Info.Epoch
	newer := func(r keys.Record) bool { return r.Info.Epoch > old }
	ctx := j.ctx
	if code == problem.PairState {
		// A refresh, of this key or of another of the committee, has made new pair state that has not reached us, or the peer. The
		// next try names what we have then.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pairsLateFor)
		defer cancel()
	}
	key, err := b.keys.KeyWhen(ctx, j.key.ID, j.key.Scheme.ID(), newer)
	moved := err == nil && newer(key.Record)
	if moved {
		j.key = key
	}
	if moved = moved || code == problem.PairState; moved {
		j.renewed = true
	}
	return moved && j.ctx.Err() == nil
}

// blamed lists the parties without whom a failed ceremony should be tried again. Where nobody is named, a different signer is
// left out at each try.
func (b *batcher) blamed(j *signJob, f ceremony.Failure) []threshold.PartyID {
	switch {
	case f.Abort != nil && len(f.Abort.Culprits) > 0:
		return f.Abort.Culprits
	case f.Silent != nil:
		return f.Silent.Missing
	case f.Refused != nil:
		return []threshold.PartyID{b.members.Party(f.Refused.From)}
	}
	clear(j.avoid)
	others, _ := b.members.Others(j.signers)
	if len(others) == 0 {
		return nil
	}
	return []threshold.PartyID{others[j.count%len(others)]}
}
