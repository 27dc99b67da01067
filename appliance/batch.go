package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// batcher joins concurrent requests for one quorum, scheme and committee into ceremonies. A request that finds a free lane starts at
// once, and those that arrive while all lanes are busy go together with the next. Only where the token is slow, a short wait gathers
// what arrives at the same time: each ceremony costs the coordinator's token three signatures, however many requests are in it.
type batcher struct {
	n      *Node
	mu     sync.Mutex
	lanes  map[laneID]*lane
	queued int
	active int           // ceremonies
	token  time.Duration // what the token takes for a signature, lately
	quiet  chan struct{} // closed while nothing is queued or in work
	since  time.Time     // of quiet
}

type laneID struct {
	scheme    threshold.SchemeID
	committee [32]byte
	signers   string
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
	id      string // wallet
	rec     walletRecord
	tweaks  []attest.IntentTweak // of req.Path; a refresh changes neither key nor chain code
	signers []threshold.PartyID  // of this try
	fixed   bool                 // the caller named the signers
	avoid   map[threshold.PartyID]bool
	alone   bool // was in a batch that was refused: try by itself
	renewed bool // the key was refreshed since the last try
	direct  bool // not from the pool of presignatures
	spared  int  // batches that failed because of another request
	tries   int
	done    chan error
	ended   func() // called once, when nothing is done for the request any more
	answer  *Signature
}

func newBatcher(n *Node) *batcher {
	b := &batcher{n: n, lanes: map[laneID]*lane{}, quiet: make(chan struct{})}
	close(b.quiet)
	return b
}

// quietFor is how long nobody must have asked for a signature before work begins that can wait: who asks again and again without a
// pause is not slowed down by it.
const quietFor = 25 * time.Millisecond

// idle waits until no request is queued or in work, and none was for quietFor; at most for the time given.
func (b *batcher) idle(ctx context.Context, most time.Duration) error {
	end := time.Now().Add(most)
	for {
		b.mu.Lock()
		quiet, busy, waits, left := b.quiet, b.active > 0, b.queued > 0, quietFor-time.Since(b.since)
		b.mu.Unlock()
		if rest := time.Until(end); rest <= 0 || !busy && !waits && left <= 0 {
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
	return laneID{j.rec.Info.Scheme, j.rec.Info.Committee.Digest(), fmt.Sprint(j.signers)}
}

// submit queues a job and returns when it is answered or its context ends.
func (b *batcher) submit(j *signJob) error {
	j.done = make(chan error, 1)
	if err := b.enqueue(j); err != nil {
		j.ended()
		return err
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

func (b *batcher) enqueue(j *signJob) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queued >= b.n.Limits.Queue {
		return problem.New(problem.Overload, "repeat the request later", "%d requests wait to be signed, no more are taken", b.queued)
	}
	id := j.lane()
	l := b.lanes[id]
	if l == nil {
		l = &lane{}
		b.lanes[id] = l
	}
	l.queue = append(l.queue, j)
	b.queued++
	b.start(id, l)
	return nil
}

// start begins a ceremony if a lane is free and somebody waits. The caller holds mu.
func (b *batcher) start(id laneID, l *lane) {
	for l.busy < b.n.Limits.Lanes && len(l.queue) > 0 {
		k := min(len(l.queue), b.n.batchMax(id.scheme))
		if i := slices.IndexFunc(l.queue[:k], func(j *signJob) bool { return j.alone }); i >= 0 {
			k = max(i, 1)
		} else if wait := b.gathering(); wait > 0 && k < b.n.batchMax(id.scheme) && !l.gather {
			if !l.timer {
				l.timer = true
				b.n.wg.Go(func() { b.startAfter(wait, id, l) })
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
		b.n.wg.Go(func() {
			b.n.runBatch(jobs)
			b.mu.Lock()
			defer b.mu.Unlock()
			l.busy--
			if b.start(id, l); l.busy == 0 && !l.timer {
				delete(b.lanes, id)
			}
			if b.active--; b.active == 0 {
				b.since = time.Now()
				close(b.quiet)
			}
		})
	}
}

const (
	gatherFrom = time.Millisecond // a token that signs faster is not waited for
	gatherMax  = 20 * time.Millisecond
)

// gathering is how long a batch that is not full waits for more: a fifth of what the token takes for a signature, of which a ceremony
// needs three. The caller holds mu.
func (b *batcher) gathering() time.Duration {
	if b.token < gatherFrom {
		return 0
	}
	return min(b.token/5, gatherMax)
}

// startAfter starts the lane once what comes in was gathered.
func (b *batcher) startAfter(wait time.Duration, id laneID, l *lane) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.n.base.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l.timer, l.gather = false, true
	if b.start(id, l); l.busy == 0 {
		delete(b.lanes, id)
	}
}

// tokenTook notes how long the token took for a cosignature: a moving average over some ten.
func (b *batcher) tokenTook(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token += (d - b.token) / 8
}

// batchMax is how many signatures of a scheme one ceremony makes.
func (n *Node) batchMax(id threshold.SchemeID) int {
	if s, err := n.Schemes(id); err == nil {
		if p, ok := s.(threshold.Provisioner); ok {
			return min(n.Limits.Batch, p.MaxBatch())
		}
	}
	return n.Limits.Batch
}

// runBatch leads one ceremony for jobs and answers them, or sends them on to another try.
func (n *Node) runBatch(jobs []*signJob) {
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
	ctx, cancel := context.WithTimeout(n.base, n.Limits.Request)
	defer cancel()
	intents := make([]*attest.Intent, len(jobs))
	for i, j := range jobs {
		in := n.newIntent(attest.OpSign, j.req.SessionID, j.req.Requester, j.signers)
		in.KeyID, in.Scheme, in.Epoch, in.Message, in.Chain = j.id, j.rec.Info.Scheme, j.rec.Info.Epoch, j.req.Message, j.req.Chain
		in.Path, in.Tweaks = j.req.Path, j.tweaks
		intents[i] = in
	}
	pres := n.pool.reserve(jobs)
	defer burn(pres)
	out, err := n.leadSign(ctx, opSign, jobs[0].signers, intents, pres, func(ctx context.Context) error { return n.accept(ctx, jobs, intents) })
	if err != nil {
		for i, j := range jobs {
			n.wg.Go(func() { n.again(j, err, i, len(jobs)) })
		}
		return
	}
	n.pool.used(jobs)
	err = n.settle(ctx, jobs, out)
	for _, j := range jobs {
		j.finish(n.explain(err)) // never again: the signature was made
	}
}

// accept puts requests on record, durably, before the first message about them leaves.
func (n *Node) accept(ctx context.Context, jobs []*signJob, intents []*attest.Intent) error {
	puts := make([]vault.Pair, len(jobs))
	events := make([]audit.Event, len(jobs))
	for i, j := range jobs {
		puts[i] = n.ops.Pending(opSign, j.req.SessionID, j.req.BodyHash)
		events[i] = audit.Event{Name: "sign.accept", Facts: intentFacts(intents[i])}
	}
	errs := make(chan error, 1)
	go func() { errs <- n.AuditLog.Append(ctx, events...) }()
	err := storeAll(ctx, n.Store, puts)
	return errors.Join(err, <-errs)
}

// settle attests the outcome, stores the receipts with the answers, and only then lets the callers have them.
func (n *Node) settle(ctx context.Context, jobs []*signJob, out []*signed) error {
	hdr := n.header(attest.KindSettlement)
	receipts := make([]*attest.Receipt, len(out))
	leaves := make([][]byte, len(out))
	for i, s := range out {
		receipts[i] = n.receipt(s, hdr.Time)
		d := receipts[i].Digest()
		leaves[i] = d[:]
	}
	var batch *attest.Batch
	err := persist(ctx, func() (err error) { batch, err = attest.Attest(ctx, n.HSM, n.attestKey, hdr, leaves); return err })
	if err != nil {
		return &problem.Error{Code: problem.HSM, Message: "the token did not attest the outcome", Next: "run mpcd doctor; check the token", Err: err}
	}
	var puts []vault.Pair
	events := make([]audit.Event, len(jobs))
	for i, j := range jobs {
		r := receipts[i]
		r.Settlement.Attestation = batch.Proof(i)
		puts = append(puts, vault.Pair{Key: receiptKey(r.ID), Value: canon.MustMarshal(r)},
			n.ops.Answered(opSign, j.req.SessionID, j.req.BodyHash, []byte(r.ID)))
		j.answer = n.signature(r)
		facts := intentFacts(out[i].item.intent)
		facts["receipt"] = r.ID
		events[i] = audit.Event{Name: "sign.done", Facts: facts}
	}
	errs := make(chan error, 1)
	go func() { errs <- persist(ctx, func() error { return n.AuditLog.Append(ctx, events...) }) }()
	err = persist(ctx, func() error { return storeAll(ctx, n.Store, puts) })
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

// sparedMax is how many batches a request may fail with because of others before it is tried alone.
const sparedMax = 8

// again decides what a failed ceremony means for the request i of its batch: another quorum, another try alone, or the error.
func (n *Node) again(j *signJob, err error, i, batch int) {
	final := func(err error) { j.finish(n.explain(err)) }
	if j.ctx.Err() != nil {
		final(j.ctx.Err())
		return
	}
	var refused *refusedError
	var own *problem.Error
	missed := !j.direct && (errors.As(err, &refused) && refused.Code == problem.Presig || errors.As(err, &own) && own.Code == problem.Presig)
	j.direct = true // the pool is for the first try
	item := 0
	if errors.As(err, &refused) {
		item = refused.Item
	} else if errors.As(err, &own) {
		item = own.Item
	}
	spared := item > 0 && item <= batch && item != i+1
	switch {
	case missed:
		// That node was restarted, or dropped what it had: the same signers make a presignature of their own.
	case spared:
		if j.spared++; j.spared > sparedMax {
			j.alone = true
		}
	case n.renewed(j, err):
		// Our key changed while we asked: the same request at the new epoch.
	case batch > 1 && item == 0 && (errors.As(err, &refused) && !refused.Code.Retryable() || errors.As(err, &own) && !own.Code.Retryable()):
		j.alone = true // one of the batch was refused, perhaps not this one
	case errors.As(err, &own) && !own.Code.Retryable():
		final(err)
		return
	case j.fixed:
		final(err)
		return
	default:
		// A refusal too is tried elsewhere: where all policies agree, the next quorum refuses as well.
		for _, p := range n.blamed(j, err) {
			j.avoid[p] = true
		}
	}
	if !spared {
		j.tries++
	}
	if j.tries > j.rec.Info.Committee.N() {
		final(err)
		return
	}
	if !j.fixed {
		signers, qerr := n.quorum(j.rec.Info.Committee, j.avoid)
		if qerr != nil {
			final(err)
			return
		}
		if slices.Equal(signers, j.signers) && !j.alone && !j.renewed && !missed && !spared {
			final(err)
			return
		}
		j.signers = signers
	}
	n.counts.retries.Add(1)
	if err := n.sign.enqueue(j); err != nil {
		final(err)
	}
}

// pairsLateFor is how long a request waits for new pair state before its next try.
const pairsLateFor = 300 * time.Millisecond

// renewed tells whether a conflict came from a refresh that has reached us by now, and takes the new record.
func (n *Node) renewed(j *signJob, err error) bool {
	old := j.rec.Info.Epoch
	switch problem.As(n.explain(err)).Code {
	case problem.Conflict:
	case problem.PairState:
		// A refresh, of this key or of another of the committee, has made new pair state that has not reached us, or the peer. The
		// next try names what we have then.
		ctx, cancel := context.WithTimeout(j.ctx, pairsLateFor)
		defer cancel()
		if rec, err := n.keys.recordWhen(ctx, j.id, func(r walletRecord) bool { return r.Info.Epoch > old }); err == nil {
			j.rec = rec
		}
		j.renewed = true
		return j.ctx.Err() == nil
	default:
		return false
	}
	rec, err := n.keys.recordWhen(j.ctx, j.id, func(r walletRecord) bool { return r.Info.Epoch > old })
	if err != nil || rec.Info.Epoch == old {
		return false
	}
	j.rec, j.renewed = rec, true
	return true
}

// blamed lists the parties without whom a failed ceremony should be tried again. Where nobody is named, a different signer is
// left out at each try.
func (n *Node) blamed(j *signJob, err error) []threshold.PartyID {
	var abort *threshold.Abort
	var silent *silenceError
	var refused *refusedError
	switch {
	case errors.As(err, &abort) && len(abort.Culprits) > 0:
		return abort.Culprits
	case errors.As(err, &silent):
		return silent.missing
	case errors.As(err, &refused):
		return []threshold.PartyID{n.party(refused.from)}
	}
	clear(j.avoid)
	others := slices.DeleteFunc(slices.Clone(j.signers), func(p threshold.PartyID) bool { return p == n.self.Party })
	if len(others) == 0 {
		return nil
	}
	return []threshold.PartyID{others[j.tries%len(others)]}
}

// Sign makes one signature. The same session_id with the same body gives the same answer again.
func (n *Node) Sign(ctx context.Context, req SignRequest) (*Signature, error) {
	ctx, done, err := n.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := n.session(&req.SessionID); err != nil {
		return nil, err
	}
	id, err := n.keys.find(ctx, req.WalletID, req.PublicKey)
	if err != nil {
		return nil, err
	}
	rec, err := n.keys.record(ctx, id)
	if err != nil {
		return nil, err
	}
	if rec.State != StateActive {
		// The parties ask each other how keygen ended, so this passes.
		return nil, problem.New(problem.Starting, "repeat the request in a few seconds; if keygen itself was cut off, run `mpcd key prove-threshold`", "wallet %s is not active yet (%s)", id, rec.State)
	}
	if err := checkMessage(rec.Info, req.Message); err != nil {
		return nil, err
	}
	if len(req.Path) == 0 {
		req.Path = nil
	}
	_, tweaks, err := n.derive(rec.Info, req.Path)
	if err != nil {
		return nil, err
	}
	answer, release, err := n.ops.Claim(ctx, opSign, req.SessionID, req.BodyHash)
	if err != nil {
		return nil, n.explain(err)
	}
	if release == nil {
		r, err := n.Receipt(ctx, string(answer))
		if err != nil {
			return nil, err
		}
		return n.signature(r), nil
	}
	j := &signJob{ctx: ctx, req: req, id: id, rec: rec, tweaks: tweaks, avoid: map[threshold.PartyID]bool{}, ended: release}
	if len(req.Signers) > 0 {
		j.fixed = true
		j.signers, err = n.namedSigners(rec.Info.Committee, req.Signers)
	} else if err = n.avoidBanned(ctx, rec.Info, j.avoid); err == nil {
		j.signers, err = n.quorum(rec.Info.Committee, j.avoid)
	}
	if err != nil {
		release()
		return nil, err
	}
	if err := n.sign.submit(j); err != nil {
		return nil, n.explain(err)
	}
	return j.answer, nil
}
