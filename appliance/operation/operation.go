// Package operation keeps requests that outlive their caller: what was asked under a session_id, and its answer. A request is on record,
// durably, before the first message about it leaves, so that the same session_id never stands for two things, also after a restart.
package operation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Operations keeps, per session_id, the hash of the request and its answer, so that a repeated request has the same answer, also after
// a restart, and another request under the same session_id is refused. It is safe for concurrent use.
type Operations struct {
	store vault.Store
	clock func() time.Time

	mu      sync.Mutex
	running map[string]*running
}

type running struct {
	body   [32]byte
	acting bool // it was not answered elsewhere, and is being done
	done   chan struct{}
}

type record struct {
	Version uint8    `cbor:"1,keyasint"`
	Body    [32]byte `cbor:"2,keyasint"`
	Answer  []byte   `cbor:"3,keyasint,omitempty"` // empty: accepted, no answer yet; the request may be repeated
	At      int64    `cbor:"4,keyasint,omitempty"` // ms
}

// version is the version of record and of the answers in it.
const version = 2

// Prefix is what the keys of the records begin with.
const Prefix = "node/session/"

// New keeps them in a store, under keys that begin with Prefix, from the time on that clock says.
func New(s vault.Store, clock func() time.Time) *Operations {
	return &Operations{store: s, clock: clock, running: map[string]*running{}}
}

func key(op, session string) []byte { return []byte(Prefix + op + "/" + session) }

// Claim reserves a session. If the request was answered before, answer is that answer. Otherwise the caller runs it and calls
// the returned release when it is over. A second caller with the same body waits for the first. Where another request is on record that has
// no answer, the error is Reused, and there is a release too: the caller does nothing itself, and may store what another node has answered.
func (s *Operations) Claim(ctx context.Context, op, session string, body [32]byte) (answer []byte, release func(), err error) {
	name := op + "/" + session
	for {
		s.mu.Lock()
		r := s.running[name]
		if r == nil {
			r = &running{body: body, acting: true, done: make(chan struct{})}
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
			return nil, nil, Reused(session)
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	rec, err := s.get(ctx, op, session)
	switch {
	case err == nil && (rec == nil || rec.Body == body && len(rec.Answer) == 0):
		return nil, release, nil
	case err == nil && rec.Body != body && len(rec.Answer) == 0:
		return nil, release, Reused(session)
	case err == nil && rec.Body != body:
		err = Reused(session)
	}
	release()
	if err != nil {
		return nil, nil, err
	}
	return rec.Answer, nil, nil
}

// Forget takes off the record a request that came to nothing, if it has no answer. The caller has claimed its session.
func (s *Operations) Forget(ctx context.Context, op, session string, body [32]byte) error {
	rec, err := s.get(ctx, op, session)
	if err != nil || rec == nil || rec.Body != body || len(rec.Answer) > 0 {
		return err
	}
	return s.store.Batch(ctx, nil, [][]byte{key(op, session)})
}

// Act notes that a claimed session is being done by this node, or, with false, that the node is asking others about it.
func (s *Operations) Act(op, session string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.running[op+"/"+session]; r != nil {
		r.acting = yes
	}
}

// State is what a node knows of a session of its own callers.
type State struct {
	Asked  bool     // it was asked for it, and has no answer yet
	Acting bool     // it is doing it; otherwise it asks others
	Body   [32]byte // of the request
	Answer []byte
}

// State tells what this node knows of a session.
func (s *Operations) State(ctx context.Context, op, session string) (st State, err error) {
	s.mu.Lock()
	if r := s.running[op+"/"+session]; r != nil {
		st = State{Asked: true, Acting: r.acting, Body: r.body}
	}
	s.mu.Unlock()
	rec, err := s.get(ctx, op, session)
	if rec != nil && len(rec.Answer) > 0 {
		st = State{Body: rec.Body, Answer: rec.Answer}
	}
	return st, err
}

func (s *Operations) get(ctx context.Context, op, session string) (*record, error) {
	b, err := s.store.Get(ctx, key(op, session))
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(session, b)
}

func parse(session string, b []byte) (*record, error) {
	var rec record
	if err := canon.UnmarshalVersion(b, version, &rec); err != nil {
		return nil, problem.Unreadable("the record of session "+session, "use another session_id", err)
	}
	return &rec, nil
}

// Parse reads a stored record, whose key ends with name, and returns the request's operation and its answer, none if there is none yet.
func Parse(name string, stored []byte) (op string, answer []byte, err error) {
	op, session, _ := strings.Cut(name, "/")
	rec, err := parse(session, stored)
	if err != nil {
		return "", nil, err
	}
	return op, rec.Answer, nil
}

// Reused is the refusal of a session_id that stands for another request.
func Reused(session string) error {
	return &problem.Error{Code: problem.Conflict, Field: "session_id",
		Message: fmt.Sprintf("session_id %q was used before with another request", session), Next: problem.Taken}
}

// Pending is what to store when a request is accepted, before it is acted on.
func (s *Operations) Pending(op, session string, body [32]byte) vault.Pair {
	return vault.Pair{Key: key(op, session), Value: canon.MustMarshal(record{Version: version, Body: body,
		At: s.clock().UnixMilli()})}
}

// Answered is what to store with its answer.
func (s *Operations) Answered(op, session string, body [32]byte, answer []byte) vault.Pair {
	return vault.Pair{Key: key(op, session), Value: canon.MustMarshal(record{Version: version, Body: body, Answer: answer,
		At: s.clock().UnixMilli()})}
}

// MaxSessionID is the longest session_id, in bytes.
const MaxSessionID = 128

// CheckSession refuses a session_id that is too long or has other than printable ASCII characters.
func CheckSession(id string) error {
	if len(id) > MaxSessionID {
		return problem.Field("session_id", "use a UUID", "session_id has %d bytes, at most %d", len(id), MaxSessionID)
	}
	for _, r := range id {
		if r < 0x21 || r > 0x7e {
			return problem.Field("session_id", "use a UUID", "session_id has characters other than printable ASCII")
		}
	}
	return nil
}

// Kept is how long a session_id stands for its request, and a receipt is kept.
const Kept = 400 * 24 * time.Hour

// errEnough ends an iteration.
var errEnough = errors.New("enough")

// Expired calls f with the keys of what is older than Kept at the time now, of a session_id and of its use, and with the answer that goes
// with it, as long as f wants more.
func (s *Operations) Expired(ctx context.Context, now time.Time, f func(key []byte, op string, answer []byte) (more bool)) error {
	before := now.Add(-Kept).UnixMilli()
	found := func(k []byte, op string, answer []byte) error {
		if !f(bytes.Clone(k), op, answer) {
			return errEnough
		}
		return nil
	}
	err := s.store.Iterate(ctx, []byte(Prefix), func(k, value []byte) error {
		op, session, _ := strings.Cut(strings.TrimPrefix(string(k), Prefix), "/")
		if rec, err := parse(session, value); err == nil && rec.At > 0 && rec.At < before { // what cannot be read, doctor tells of
			return found(k, op, rec.Answer)
		}
		return nil
	})
	if err == nil {
		err = s.store.Iterate(ctx, []byte(UsePrefix), func(k, value []byte) error {
			if u, err := ParseUse(strings.TrimPrefix(string(k), UsePrefix), value); err == nil && u.At < before {
				return found(k, "", nil)
			}
			return nil
		})
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
