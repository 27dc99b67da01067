package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// operation is what there is to know of one beside its arguments.
type operation struct {
	name string
	once bool // it makes or counts something: never repeated
	long bool // the limit is that of GenerateKey
}

func (o operation) limit(l Limits) time.Duration {
	if o.long {
		return l.Generate
	}
	return l.Call
}

type reply interface{ GetFailure() *wire.Failure }

// errBroken is the end of the child in the middle of a call.
var errBroken = errors.New("the driver process ended")

// errNoAnswer is an operation that took longer than its limit, while the child lives.
var errNoAnswer = errors.New("no answer")

// errWrong is an answer that cannot be: the child is not to be trusted with another call.
var errWrong = errors.New("the driver gave a wrong answer")

// call does an operation in the living child, and once more in the next one if the child ends in the middle and the operation may
// be repeated. f sends the request and judges the answer.
func call[R reply](ctx context.Context, t *Token, o operation, f func(context.Context, *session) (R, error)) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	t.host.calls.Add(1)
	for again := false; ; again = true {
		s, err := t.alive(ctx)
		if err != nil {
			return none, err
		}
		r, err := run(ctx, s, o, f)
		if !errors.Is(err, errBroken) {
			return r, err
		}
		if t.life.Err() != nil {
			return none, unavailable("the token was closed during %s", o.name)
		}
		if o.once {
			t.host.unknown.Add(1)
			return none, unavailable("%s: %w: whether it took effect is unknown; look with `mpcd hsm list` before it is repeated", o.name, err)
		}
		if again {
			return none, unavailable("%s: %w, twice", o.name, err)
		}
		t.host.retries.Add(1)
	}
}

// openingsMax is how many children in a row may end while they open the token, before a call that waits for it gives up.
const openingsMax = 5

// alive is live, for a token that was open before: a child that ends while it opens the token is no reason to give up yet.
func (t *Token) alive(ctx context.Context) (*session, error) {
	for n := 1; ; n++ {
		s, err := t.live(ctx)
		if err == nil || !errors.Is(err, errBroken) || n == openingsMax {
			return s, err
		}
	}
}

// run does an operation in a session. An error that wraps errBroken says that the child is dead.
func run[R reply](ctx context.Context, s *session, o operation, f func(context.Context, *session) (R, error)) (R, error) {
	var none R
	limit := o.limit(s.token.host.limits)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	finish := s.begin(limit)
	r, err := f(limited, s)
	var failed error
	if err == nil {
		failed = opened(r.GetFailure())
	}
	switch {
	case errors.Is(err, errWrong):
		s.token.host.wrong.Add(1)
		s.child.condemn(err.Error())
		return none, s.broken(ctx)
	case gaveUp(failed), status.Code(err) == codes.DeadlineExceeded, status.Code(err) == codes.Canceled:
		over := s.question() // the call stays pending until the doubt is over
		defer finish(false)
		if err := ctx.Err(); err != nil {
			return none, err
		}
		select {
		case <-over:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		if !s.child.usable() {
			return none, s.broken(ctx)
		}
		if failed != nil {
			return none, failed
		}
		return none, unavailable("%s: %w in %s, though others were answered; the token is slow or overloaded", o.name, errNoAnswer, limit)
	case err == nil:
		finish(true)
		answered := isPINError(failed) || errors.Is(failed, hsm.ErrKeyExists) // no want of files makes a token say so
		if failed != nil && !answered && s.token.host.outdated(s.child) {
			s.child.condemn("files of a token are others than when it began")
			return none, s.broken(ctx)
		}
		return r, failed
	case status.Code(err) == codes.Unimplemented:
		finish(true)
		return none, fmt.Errorf("hsm plugin: %w: the driver does not know %s", hsm.ErrUnsupported, o.name)
	case status.Code(err) == codes.ResourceExhausted:
		finish(true)
		return none, fmt.Errorf("hsm plugin: %s: request or answer of more than %d bytes", o.name, messageMax)
	case !isStatus(err): // of f, on an answer that it refused
		finish(true)
		return none, err
	}
	finish(false)
	s.child.disconnected(err)
	return none, s.broken(ctx)
}

// gaveUp tells that the driver ran out of time: then the library has not answered it.
func gaveUp(failed error) bool {
	return errors.Is(failed, context.DeadlineExceeded) || errors.Is(failed, context.Canceled)
}

func isStatus(err error) bool {
	_, ok := status.FromError(err)
	return ok
}

// broken waits for the end of the child, and says how it ended.
func (s *session) broken(ctx context.Context) error {
	select {
	case <-s.child.gone:
		return fmt.Errorf("%w (%s)", errBroken, s.child.why())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin notes a call that is within its limit for so long; finish ends that, with an answer or without.
func (s *session) begin(limit time.Duration) (finish func(answered bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	id := s.next
	s.pending[id] = time.Now().Add(limit)
	return func(answered bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, id)
		if answered {
			s.answered = time.Now()
		}
	}
}

// question opens a doubt about the child, unless there is one, and returns what is closed when it is over. The child then has until
// the last limit of a pending call, and the grace, to answer anything at all on this token; else it hangs, and is killed. An
// overloaded token answers something; a stopped process and a library that stands still do not.
func (s *session) question() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt != nil {
		return s.doubt
	}
	over := make(chan struct{})
	s.doubt = over
	since, until := time.Now(), time.Now()
	for _, limit := range s.pending {
		if limit.After(until) {
			until = limit
		}
	}
	go func() {
		s.probe(since, until.Add(s.token.host.limits.Grace))
		s.mu.Lock()
		s.doubt = nil
		s.mu.Unlock()
		close(over)
	}()
	return over
}

// probe asks the token something, and kills the child if until then neither this nor anything else is answered.
func (s *session) probe(since, until time.Time) {
	ctx, cancel := context.WithDeadline(s.token.life, until)
	defer cancel()
	r, err := s.child.rpc.Info(ctx, &wire.InfoRequest{Token: s.handle})
	if err == nil && !gaveUp(opened(r.GetFailure())) {
		return
	}
	s.mu.Lock()
	answered := s.answered.After(since)
	s.mu.Unlock()
	if answered || s.token.life.Err() != nil || !s.child.usable() {
		return
	}
	s.token.host.hangs.Add(1)
	s.child.condemn(fmt.Sprintf("it hangs: no answer in %s", time.Since(since).Round(time.Millisecond)))
	<-s.child.gone
}
