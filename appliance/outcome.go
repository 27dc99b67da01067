package appliance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// outcomes remember how the last calls of a part of the node ended, by what was called.
type outcomes struct {
	clock   func() time.Time
	changed func() // from working to failing, or back

	mu   sync.Mutex
	last map[string]error
	at   time.Time
}

// note remembers an outcome and returns it. A caller that went away says nothing of the part.
func (o *outcomes) note(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	o.mu.Lock()
	was := o.last[what]
	if o.last == nil {
		o.last = map[string]error{}
	}
	o.last[what], o.at = err, o.clock()
	o.mu.Unlock()
	if (was == nil) != (err == nil) && o.changed != nil {
		o.changed()
	}
	return err
}

// failing are the calls whose last outcome was an error, with that; age is how long ago the last call ended.
func (o *outcomes) failing() (bad map[string]error, age time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bad = map[string]error{}
	for what, err := range o.last {
		if err != nil {
			bad[what] = err
		}
	}
	return bad, o.clock().Sub(o.at)
}

// check tells of it as a check of readiness.
func (o *outcomes) check(name, good string) Check {
	bad, _ := o.failing()
	for _, err := range bad {
		return wellIf(name, err, good)
	}
	return wellIf(name, nil, good)
}

// heededSigner remembers how a token's last signature with each key ended.
type heededSigner struct {
	hsm.Signer
	outcomes
	timed func(took time.Duration, err error) // is told of every signature; may be nil
}

func (s *heededSigner) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	began := time.Now()
	sig, err := s.Signer.Sign(ctx, keyID, message)
	if s.timed != nil {
		s.timed(time.Since(began), err)
	}
	return sig, s.note(keyID, err)
}

// probeAfter is how long a token is not asked for anything before it is asked whether it is there.
const probeAfter = time.Minute

// probe has the token sign with the keys that failed last, or with key if it was not asked for long: what it signs means nothing.
func (s *heededSigner) probe(ctx context.Context, key string) {
	bad, age := s.failing()
	if len(bad) == 0 && age < probeAfter {
		return
	}
	if len(bad) == 0 {
		bad[key] = nil
	}
	h := canon.Hash("mpcd/v1/probe")
	for id := range bad {
		_, _ = s.Sign(ctx, id, h[:]) // noted
	}
}

// heededStore remembers how a store's last write ended.
type heededStore struct {
	vault.Store
	outcomes
}

func (s *heededStore) Batch(ctx context.Context, puts []vault.Pair, deletes [][]byte) error {
	err := s.Store.Batch(ctx, puts, deletes)
	if errors.Is(err, vault.ErrTooLarge) {
		return err
	}
	return s.note("write", err)
}

// Writable returns why nothing can be written now, of a store that can tell.
func (s *heededStore) Writable() error {
	if w, ok := s.Store.(interface{ Writable() error }); ok {
		return w.Writable()
	}
	return nil
}
