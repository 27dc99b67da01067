package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/presign"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// batcher joins concurrent requests for one quorum, scheme and committee into ceremonies. A request that finds a free lane starts at
// once, and those that arrive while all lanes are busy go together with the next. Only where the token is slow, a short wait gathers
// what arrives at the same time: each ceremony costs the coordinator's token three signatures, however many requests are in it.
type batcher struct {
	*core
	signing *signing
	others  *others
	pool    *presign.Pool

	mu     sync.Mutex
	lanes  map[laneID]*lane
	queued int
	active int           // ceremonies
	quiet  chan struct{} // closed while nothing is queued or in work
	since  time.Time     // of quiet
}

type laneID struct {
	scheme    threshold.SchemeID
	committee [32]byte
	signers   string
	suspect   bool
}

type lane struct {
	queue  []*signJob
	busy   int
	timer  bool // runs: what came in is gathered
	gather bool // is over
}

// signJob is one request on its way through one or more ceremonies.
type signJob struct {
	ctx     context.Context
	req     SignRequest
	key     keys.Key
	tweaks  []threshold.Tweak   // of req.Path; a refresh changes neither key nor chain code
	signers []threshold.PartyID // of this try
	tries
	done   chan error
	ended  func() // called once, when nothing is done for the request any more
	answer *Signature
}

func newBatcher(c *core) *batcher {
	b := &batcher{core: c, lanes: map[laneID]*lane{}, quiet: make(chan struct{})}
	close(b.quiet)
	return b
}

// quietFor is how long nobody must have asked for a signature before work begins that can wait: who asks again and again without a
// pause is not slowed down by it.
const quietFor = 25 * time.Millisecond

// idle waits until no request is queued or in work, and none was for quietFor; at most for the time given.
func (b *batcher) idle(ctx context.Context, most time.Duration) error {
	end := b.cfg.Clock().Add(most)
	for {
		b.mu.Lock()
		quiet, busy, waits, left := b.quiet, b.active > 0, b.queued > 0, quietFor-b.cfg.Clock().Sub(b.since)
		b.mu.Unlock()
		if rest := end.Sub(b.cfg.Clock()); rest <= 0 || !busy && !waits && left <= 0 {
			return ctx.Err()
		} else if busy {
			left = rest // until quiet
		} else {
			left, quiet = min(max(left, time.Millisecond), rest), nil
		}
		t := time.NewTimer(left)
		select {
		case <-quiet:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (j *signJob) lane() laneID {
	return laneID{j.key.Scheme.ID(), j.key.Record.Info.Committee.Digest(), fmt.Sprint(j.signers), j.suspect}
}

// submit queues a job and returns when it is answered or its context ends.
func (b *batcher) submit(j *signJob) error {
	j.done = make(chan error, 1)
	if len(b.enqueue(j)) > 0 {
		j.ended()
		return b.tooMany()
	}
	select {
	case err := <-j.done:
		return err
	case <-j.ctx.Done():
		return j.ctx.Err()
	}
}

// finish answers the job. Its caller may have gone; its session_id is free only now.
func (j *signJob) finish(err error) {
	j.ended()
	j.done <- err
}

// enqueue queues requests, those of one lane together, and returns those that find no room.
func (b *batcher) enqueue(jobs ...*signJob) (left []*signJob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	grown := map[laneID]*lane{}
	for _, j := range jobs {
		if b.queued >= b.cfg.Limits.Queue {
			left = append(left, j)
			continue
		}
		id := j.lane()
		l := b.lanes[id]
		if l == nil {
			l = &lane{}
			b.lanes[id] = l
		}
		l.queue = append(l.queue, j)
		b.queued++
		grown[id] = l
	}
	for id, l := range grown {
		b.start(id, l)
	}
	return left
}

// tooMany is what is said to a request that found no room.
func (b *batcher) tooMany() error {
	return problem.New(problem.Overload, "repeat the request later", "%d requests wait to be signed, no more are taken", b.cfg.Limits.Queue)
}

// start begins a ceremony if a lane is free and somebody waits. The caller holds mu.
func (b *batcher) start(id laneID, l *lane) {
	for l.busy < b.cfg.Limits.Lanes && len(l.queue) > 0 {
		most := batchMax(b.cfg.Limits, l.queue[0].key.Scheme)
		k := fitting(l.queue, most)
		if i := slices.IndexFunc(l.queue[:k], func(j *signJob) bool { return j.alone }); i >= 0 {
			k = max(i, 1)
		} else if wait := b.gathering(); wait > 0 && k < most && k == len(l.queue) && !l.gather {
			if !l.timer {
				l.timer = true
				b.wg.Go(func() { b.startAfter(wait, id, l) })
			}
			return
		}
		l.gather = false
		jobs := slices.Clone(l.queue[:k])
		l.queue = slices.Delete(l.queue, 0, k)
		b.queued -= k
		l.busy++
		if b.active++; b.active == 1 {
			b.quiet = make(chan struct{})
		}
		b.wg.Go(func() {
			b.run(jobs)
			b.mu.Lock()
			defer b.mu.Unlock()
			l.busy--
			if b.start(id, l); l.busy == 0 && !l.timer {
				delete(b.lanes, id)
			}
			if b.active--; b.active == 0 {
				b.since = b.cfg.Clock()
				close(b.quiet)
			}
		})
	}
}

// batchBytes is how many bytes of messages and payloads one ceremony signs, where they are of several requests: a proposal holds all
// its intents.
const batchBytes = transport.BodyMax / 2

// fitting is how many of the requests that wait go into one ceremony together, at most so many.
func fitting(queue []*signJob, most int) int {
	most = min(most, len(queue))
	size := 0
	for i, j := range queue[:most] {
		if size += j.req.size(); size > batchBytes && i > 0 {
			return i
		}
	}
	return most
}

const (
	gatherFrom = time.Millisecond // a token that signs faster is not waited for
	gatherMax  = 20 * time.Millisecond
)

// gathering is how long a batch that is not full waits for more: a fifth of what the token takes for a signature, of which a ceremony
// needs three.
func (b *batcher) gathering() time.Duration {
	token := b.token.slowness()
	if token < gatherFrom {
		return 0
	}
	return min(token/5, gatherMax)
}

// startAfter starts the lane once what comes in was gathered.
func (b *batcher) startAfter(wait time.Duration, id laneID, l *lane) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.base.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l.timer, l.gather = false, true
	if b.start(id, l); l.busy == 0 {
		delete(b.lanes, id)
	}
}

// batchMax is how many signatures of a scheme one ceremony makes.
func batchMax(l Limits, s threshold.Scheme) int { return min(l.Batch, s.MaxBatch()) }

// run leads one ceremony for jobs and answers them, or sends them on to another try.
func (b *batcher) run(jobs []*signJob) {
	jobs = slices.DeleteFunc(jobs, func(j *signJob) bool {
		gone := j.ctx.Err() != nil
		if gone {
			j.finish(j.ctx.Err())
		}
		return gone
	})
	if len(jobs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(b.base, b.cfg.Limits.Request)
	defer cancel()
	a := asked{op: attest.OpSign, again: slices.ContainsFunc(jobs, func(j *signJob) bool { return j.again }),
		signers: jobs[0].signers, intents: make([]*attest.Intent, len(jobs)), keys: make([]keys.Key, len(jobs)),
		only:   !slices.ContainsFunc(jobs, func(j *signJob) bool { return !j.fixed && b.peers.Spare(j.key.Record.Info.Committee, j.avoid) }),
		before: func(ctx context.Context) error { return b.accept(ctx, jobs) }}
	for i, j := range jobs {
		in := b.token.intent(attest.OpSign, j.req.SessionID, j.req.Requester, j.signers)
		j.req.into(in, j.key)
		in.Scheme, in.Epoch, in.Tweaks, in.Vault = j.key.Scheme.ID(), j.key.Record.Info.Epoch, j.tweaks, j.key.Record.Group
		in.Initiation, in.Approvals = j.req.Initiation, j.req.Approvals
		b.under(in)
		a.intents[i], a.keys[i] = in, j.key
	}
	a.pres = b.reserve(jobs)
	defer presign.Burn(a.pres)
	out, err := b.signing.lead(ctx, a)
	if err != nil {
		b.retry(jobs, err)
		return
	}
	if dear(jobs[0].key.Scheme) {
		b.pool.Used(b.groups(jobs))
	}
	err = b.settle(ctx, jobs, out)
	for _, j := range jobs {
		j.finish(b.members.Explain(err)) // never again: the signature was made
	}
}

// dear tells whether presigning with the scheme is dear enough for a pool.
func dear(s threshold.Scheme) bool {
	_, ok := s.(threshold.Pooler)
	return ok
}

// groups are where the pool has presignatures for jobs.
func (b *batcher) groups(jobs []*signJob) []presign.Group {
	out := make([]presign.Group, len(jobs))
	for i, j := range jobs {
		out[i] = presign.Group{Coordinator: b.cfg.Node, Key: j.key.ID, Epoch: j.key.Record.Info.Epoch, Scheme: j.key.Scheme.ID(),
			Signers: j.signers}
	}
	return out
}

// reserve takes presignatures for jobs out of the pool, one each, or none.
func (b *batcher) reserve(jobs []*signJob) []*threshold.Presignature {
	if !dear(jobs[0].key.Scheme) || slices.ContainsFunc(jobs, func(j *signJob) bool { return j.direct }) {
		return nil
	}
	return b.pool.Reserve(b.groups(jobs), b.peers.Boots(b.members.Nodes(jobs[0].signers)))
}

// accept stores requests, durably, before the first message about them leaves.
func (b *batcher) accept(ctx context.Context, jobs []*signJob) error {
	puts := make([]vault.Pair, len(jobs))
	for i, j := range jobs {
		puts[i] = b.ops.Pending(string(attest.OpSign), j.req.SessionID, j.req.BodyHash)
	}
	return storeAll(ctx, b.cfg.Store, puts)
}

// settle attests the outcome, stores the receipts with the answers, and only then lets the callers have them.
func (b *batcher) settle(ctx context.Context, jobs []*signJob, out []*signed) error {
	hdr := b.token.header(attest.KindSettlement)
	receipts := make([]*attest.Receipt, len(out))
	leaves := make([][]byte, len(out))
	for i, s := range out {
		receipts[i] = b.receipt(s, hdr.Time)
		d := receipts[i].Digest()
		leaves[i] = d[:]
	}
	var batch *attest.Batch
	err := persist(ctx, func() (err error) {
		batch, err = attest.Attest(ctx, b.token.hsm, b.token.attest, hdr, leaves)
		return err
	})
	if err != nil {
		return tokenFailed("the token did not attest the outcome", err)
	}
	var puts []vault.Pair
	events := make([]audit.Event, len(jobs))
	for i, j := range jobs {
		r := receipts[i]
		r.Settlement.Attestation = batch.Proof(i)
		puts = append(puts, vault.Pair{Key: receiptKey(r.ID), Value: canon.MustMarshal(r)},
			b.ops.Answered(string(attest.OpSign), j.req.SessionID, j.req.BodyHash, []byte(r.ID)))
		if j.answer, err = b.signature(r); err != nil {
			return err
		}
		facts := intentFacts(out[i].item.intent, out[i].item.hash)
		facts["receipt"] = r.ID
		events[i] = audit.Event{Name: audit.SignDone, Facts: facts}
	}
	errs := make(chan error, 1)
	go func() { errs <- persist(ctx, func() error { return b.cfg.AuditLog.Append(ctx, events...) }) }()
	err = persist(ctx, func() error { return storeAll(ctx, b.cfg.Store, puts) })
	if b.ledger.counts() {
		b.wg.Go(func() { b.ledger.settled(b.base, receipts) })
	}
	return errors.Join(err, <-errs)
}

// persist tries f again, twice: what it does belongs to signatures that are made already.
func persist(ctx context.Context, f func() error) error {
	err := f()
	for pause := 50 * time.Millisecond; err != nil && pause < time.Second; pause *= 8 {
		select {
		case <-time.After(pause):
			err = f()
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// storeAll writes pairs in as many batches as the store's limit asks for, at once; it returns when all are durable.
func storeAll(ctx context.Context, s vault.Store, puts []vault.Pair) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all error
	for chunk := range slices.Chunk(puts, vault.MaxBatch) {
		wg.Go(func() {
			if err := s.Batch(ctx, chunk, nil); err != nil {
				mu.Lock()
				all = errors.Join(all, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}
