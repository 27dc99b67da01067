package appliance

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// idempotency keeps, per session_id, the hash of the request and its answer, so that a repeated request has the same answer,
// also after a restart, and another request under the same session_id is refused.
type idempotency struct {
	store vault.Store

	mu      sync.Mutex
	running map[string]*running
}

type running struct {
	body [32]byte
	done chan struct{}
}

type idemRecord struct {
	Body   [32]byte `cbor:"1,keyasint"`
	Answer []byte   `cbor:"2,keyasint,omitempty"` // empty: accepted, no answer yet; the request may be repeated
}

func newIdempotency(s vault.Store) *idempotency {
	return &idempotency{store: s, running: map[string]*running{}}
}

func idemKey(op, session string) []byte { return []byte("node/session/" + op + "/" + session) }

// claim reserves a session. If the request was answered before, answer is that answer. Otherwise the caller runs it and calls
// the returned release when it is over. A second caller with the same body waits for the first.
func (s *idempotency) claim(ctx context.Context, op, session string, body [32]byte) (answer []byte, release func(), err error) {
	name := op + "/" + session
	for {
		s.mu.Lock()
		r := s.running[name]
		if r == nil {
			r = &running{body: body, done: make(chan struct{})}
			s.running[name] = r
			s.mu.Unlock()
			release = func() {
				s.mu.Lock()
				delete(s.running, name)
				s.mu.Unlock()
				close(r.done)
			}
			break
		}
		s.mu.Unlock()
		if r.body != body {
			return nil, nil, reused(session)
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	rec, err := s.get(ctx, op, session)
	switch {
	case err != nil:
	case rec == nil:
		return nil, release, nil
	case rec.Body != body:
		err = reused(session)
	default:
		if len(rec.Answer) == 0 {
			return nil, release, nil
		}
	}
	release()
	if err != nil {
		return nil, nil, err
	}
	return rec.Answer, nil, nil
}

func (s *idempotency) get(ctx context.Context, op, session string) (*idemRecord, error) {
	b, err := s.store.Get(ctx, idemKey(op, session))
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec idemRecord
	if err := canon.Unmarshal(b, &rec); err != nil {
		return nil, &problem.Error{Code: problem.Integrity, Message: "the record of session " + session + " is damaged", Next: "use another session_id", Err: err}
	}
	return &rec, nil
}

func reused(session string) error {
	return &problem.Error{Code: problem.Conflict, Field: "session_id", Message: fmt.Sprintf("session_id %q was used before with another request", session),
		Next: "use a new session_id for a new request"}
}

// pending is the record of an accepted request; answered that of its answer.
func (s *idempotency) pending(op, session string, body [32]byte) vault.Pair {
	return vault.Pair{Key: idemKey(op, session), Value: canon.MustMarshal(idemRecord{Body: body})}
}

func (s *idempotency) answered(op, session string, body [32]byte, answer []byte) vault.Pair {
	return vault.Pair{Key: idemKey(op, session), Value: canon.MustMarshal(idemRecord{Body: body, Answer: answer})}
}
