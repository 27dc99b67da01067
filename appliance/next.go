package appliance

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/threshold"
)

// tries is what a request has behind it.
type tries struct {
	fixed   bool                       // the caller named the signers
	avoid   map[threshold.PartyID]bool // who was to blame before
	alone   bool                       // was in a batch that was refused without a name, by all: try by itself
	suspect bool                       // was refused for a reason that was not told: try without those that were not
	renewed bool                       // the key was refreshed since the first try
	direct  bool                       // not from the pool of presignatures: that is for the first try
	spared  int                        // batches that peers refused because of other requests
	count   int                        // all others that failed
	again   bool                       // another node holds the session_id, and has no answer
}

// step is what a failed ceremony means to one of its requests.
type step int

const (
	giveUp    step = iota
	direct         // the same again, without the pool: a signer was restarted, or dropped the presignature
	spare          // the same again, without the requests at fault
	look           // see whether our key, or the committee's pair state, has changed by now; then decide
	separate       // again, by itself: one of the batch was refused, perhaps not this one, and nobody says which
	elsewhere      // again, without who is to blame. A refusal too: where all policies agree, the next quorum refuses as well
)

// next decides what the failure of a ceremony means to the request i of its batch. looked tells that what step look asks for was done,
// and nothing has changed.
func next(f ceremony.Failure, i, batch int, t tries, looked bool) step {
	code := f.Code()
	switch {
	case code == problem.Presig && !t.direct:
		return direct
	case another(f, i, batch) && (f.Refused == nil || t.spared < sparedMax):
		return spare
	case another(f, i, batch) && t.fixed:
		return separate
	case (code == problem.Conflict && f.Holder() == "" || code == problem.PairState) && !looked:
		return look
	case unnamed(f, batch) && (f.Refused == nil || t.fixed):
		return separate
	case f.Own != nil && !f.Own.Code.Retryable(), t.fixed:
		return giveUp
	}
	return elsewhere
}

// another tells whether a batch was refused because of another request than i.
func another(f ceremony.Failure, i, batch int) bool {
	about, _ := f.Of(i + 1)
	return f.Item() > 0 && f.Item() <= batch && !about
}

// unnamed tells whether a batch was refused for good, and nobody says because of which request.
func unnamed(f ceremony.Failure, batch int) bool {
	return batch > 1 && f.Item() == 0 && f.Code() != "" && !f.Code().Retryable()
}

// sparedMax is how many batches a request may fail with because peers refuse others. Who is honest names all that it refuses at once: the
// rest goes through with the next batch, unless another signer refuses more of it. After that, whoever refused is left out.
const sparedMax = 4

// retry answers the requests of a batch whose ceremony failed, or sends them on to other tries: together, but for those whose next try
// depends on what others answer.
func (b *batcher) retry(jobs []*signJob, err error) {
	f := ceremony.FailureOf(err)
	var ready, late []*signJob
	var looked sync.WaitGroup
	var mu sync.Mutex
	for i, j := range jobs {
		about, _ := f.Of(i + 1)
		switch {
		case f.Code() == problem.Held && (about || len(jobs) == 1) && !j.again:
			b.wg.Go(func() { b.elsewhere(j, f.Holder()) })
		case next(f, i, len(jobs), j.tries, false) != look:
			if b.again(j, err, i, len(jobs)) {
				ready = append(ready, j)
			}
		default:
			looked.Go(func() {
				if b.again(j, err, i, len(jobs)) {
					mu.Lock()
					defer mu.Unlock()
					late = append(late, j)
				}
			})
		}
	}
	b.requeue(ready)
	b.wg.Go(func() {
		looked.Wait()
		b.requeue(late)
	})
}

// again answers the request i of a batch whose ceremony failed, or readies it for another try and is true.
func (b *batcher) again(j *signJob, err error, i, batch int) bool {
	f := ceremony.FailureOf(err)
	if j.ctx.Err() == nil && b.prepare(j, f, i, batch) {
		b.counts.retries.Add(1)
		return true
	}
	switch {
	case j.ctx.Err() != nil:
		err = j.ctx.Err()
	case another(f, i, batch): // what is said of another request is not this caller's to know
		err = problem.New(problem.Overload, "repeat the request", "every ceremony that it was in was refused because of other requests")
	}
	j.finish(b.members.Explain(err))
	return false
}

// requeue queues requests again. Those that find no room are answered.
func (b *batcher) requeue(jobs []*signJob) {
	for _, j := range b.enqueue(jobs...) {
		j.finish(b.tooMany())
	}
}

// elsewhere answers a request whose session_id another node holds with that node's answer, or, where it has none, tries it again.
func (b *batcher) elsewhere(j *signJob, holder string) {
	if holder != string(b.cfg.Node) {
		b.others.yield(j.ctx, holder)
	}
	var err error
	j.answer, err = b.others.signatureOf(j.ctx, j.req, j.key)
	if err == nil && j.answer == nil {
		j.again, j.alone = true, true
		b.requeue([]*signJob{j})
		return
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
		if _, also := f.Of(i + 1); also {
			j.suspect = true
		}
		if f.Refused != nil {
			j.spared++
		}
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
		j.alone = unnamed(f, batch) // nobody else is left to ask
		return j.alone
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
