package hsmtest

import (
	"context"
	"crypto"
	"fmt"
	"sync"

	"github.com/luxfi/mpcd/hsm"
)

// Op names an operation of a token.
type Op string

// The operations that can be made to fail.
const (
	OpSign        Op = "Sign"
	OpVerify      Op = "Verify"
	OpInfo        Op = "Info"
	OpWrap        Op = "Wrap"
	OpUnwrap      Op = "Unwrap"
	OpPublicKey   Op = "PublicKey"
	OpGenerateKey Op = "GenerateKey"
	OpKeys        Op = "Keys"
	OpRandom      Op = "Random"
	OpCreate      Op = "CreateCounter"
	OpIncrement   Op = "Increment"
	OpRead        Op = "Read"
	OpAttestKey   Op = "AttestKey"
)

// Faulty is a token that passes calls on to another, and fails on cue. It has every ability in its type; one that the inner token
// lacks answers ErrUnsupported. It is safe for concurrent use.
type Faulty struct {
	hsm.Token

	mu    sync.Mutex
	calls map[Op]int
	cues  map[Op][]cue
	began chan struct{} // closed and replaced at every call
}

// cue is what happens to the calls from to to of an operation, counted from 1.
type cue struct {
	from, to int
	fail     func(ctx context.Context) error
}

// always is a last call that never comes.
const always = int(^uint(0) >> 1)

// NewFaulty puts a Faulty before a token.
func NewFaulty(inner hsm.Token) *Faulty {
	return &Faulty{Token: inner, calls: map[Op]int{}, cues: map[Op][]cue{}, began: make(chan struct{})}
}

// Fail lets the nth call of op from now on (1 is the next) return err, before it reaches the token.
func (f *Faulty) Fail(op Op, nth int, err error) { f.cue(op, nth, nth, failWith(err)) }

// FailAlways lets every call of op from now on return err.
func (f *Faulty) FailAlways(op Op, err error) { f.cue(op, 1, always, failWith(err)) }

// Block lets the nth call of op from now on wait until its context is done.
func (f *Faulty) Block(op Op, nth int) {
	f.cue(op, nth, nth, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
}

// Pause lets the nth call of op from now on wait until release is called or its context is done; then it goes on.
func (f *Faulty) Pause(op Op, nth int) (release func()) {
	gate := make(chan struct{})
	f.cue(op, nth, nth, func(ctx context.Context) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return sync.OnceFunc(func() { close(gate) })
}

// Heal takes all cues back.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.cues)
}

// Calls counts the calls of op so far, the failed ones too.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Await returns when op was called n times in all, or with the error of ctx.
func (f *Faulty) Await(ctx context.Context, op Op, n int) error {
	for {
		f.mu.Lock()
		calls, began := f.calls[op], f.began
		f.mu.Unlock()
		if calls >= n {
			return nil
		}
		select {
		case <-began:
		case <-ctx.Done():
			return fmt.Errorf("hsmtest: %s was called %d times, not %d: %w", op, calls, n, ctx.Err())
		}
	}
}

func failWith(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func (f *Faulty) cue(op Op, from, to int, fail func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.calls[op]
	if to != always {
		to += now
	}
	f.cues[op] = append(f.cues[op], cue{now + from, to, fail})
}

// enter counts the call and does what its cue says.
func (f *Faulty) enter(ctx context.Context, op Op) error {
	f.mu.Lock()
	f.calls[op]++
	n := f.calls[op]
	close(f.began)
	f.began = make(chan struct{})
	var fail func(context.Context) error
	for _, c := range f.cues[op] {
		if n >= c.from && n <= c.to {
			fail = c.fail
			break
		}
	}
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(ctx)
}

// pass is a call of an ability that every token has.
func pass[T any](ctx context.Context, f *Faulty, op Op, call func() (T, error)) (T, error) {
	if err := f.enter(ctx, op); err != nil {
		var zero T
		return zero, err
	}
	return call()
}

// passTo is a call of an ability that the inner token may lack.
func passTo[A, T any](ctx context.Context, f *Faulty, op Op, call func(A) (T, error)) (T, error) {
	return pass(ctx, f, op, func() (T, error) {
		a, ok := hsm.As[A](f.Token)
		if !ok {
			var zero T
			return zero, fmt.Errorf("hsmtest: %w: %s", hsm.ErrUnsupported, op)
		}
		return call(a)
	})
}

// Sign is hsm.Signer.
func (f *Faulty) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	return pass(ctx, f, OpSign, func() ([]byte, error) { return f.Token.Sign(ctx, keyID, message) })
}

// Verify is hsm.Signer.
func (f *Faulty) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	return pass(ctx, f, OpVerify, func() (bool, error) { return f.Token.Verify(ctx, keyID, message, signature) })
}

// Info is hsm.Token.
func (f *Faulty) Info(ctx context.Context) (hsm.TokenInfo, error) {
	return pass(ctx, f, OpInfo, func() (hsm.TokenInfo, error) { return f.Token.Info(ctx) })
}

// Wrap is hsm.KeyWrapper.
func (f *Faulty) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	return passTo(ctx, f, OpWrap, func(w hsm.KeyWrapper) ([]byte, error) { return w.Wrap(ctx, keyID, dek, aad) })
}

// Unwrap is hsm.KeyWrapper.
func (f *Faulty) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	return passTo(ctx, f, OpUnwrap, func(w hsm.KeyWrapper) ([]byte, error) { return w.Unwrap(ctx, keyID, wrapped, aad) })
}

// PublicKey is hsm.PublicKeyer.
func (f *Faulty) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	return passTo(ctx, f, OpPublicKey, func(p hsm.PublicKeyer) (crypto.PublicKey, error) { return p.PublicKey(ctx, keyID) })
}

// GenerateKey is hsm.KeyGenerator.
func (f *Faulty) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	_, err := passTo(ctx, f, OpGenerateKey, func(g hsm.KeyGenerator) (struct{}, error) { return struct{}{}, g.GenerateKey(ctx, keyID, kind) })
	return err
}

// Keys is hsm.KeyLister.
func (f *Faulty) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	return passTo(ctx, f, OpKeys, func(l hsm.KeyLister) ([]hsm.KeyInfo, error) { return l.Keys(ctx) })
}

// Random is hsm.RandomSource.
func (f *Faulty) Random(ctx context.Context, n int) ([]byte, error) {
	return passTo(ctx, f, OpRandom, func(r hsm.RandomSource) ([]byte, error) { return r.Random(ctx, n) })
}

// CreateCounter is hsm.MonotonicCounter.
func (f *Faulty) CreateCounter(ctx context.Context, counterID string) (uint64, error) {
	return passTo(ctx, f, OpCreate, func(c hsm.MonotonicCounter) (uint64, error) { return c.CreateCounter(ctx, counterID) })
}

// Increment is hsm.MonotonicCounter.
func (f *Faulty) Increment(ctx context.Context, counterID string) (uint64, error) {
	return passTo(ctx, f, OpIncrement, func(c hsm.MonotonicCounter) (uint64, error) { return c.Increment(ctx, counterID) })
}

// Read is hsm.MonotonicCounter.
func (f *Faulty) Read(ctx context.Context, counterID string) (uint64, error) {
	return passTo(ctx, f, OpRead, func(c hsm.MonotonicCounter) (uint64, error) { return c.Read(ctx, counterID) })
}

// AttestKey is hsm.KeyAttester.
func (f *Faulty) AttestKey(ctx context.Context, keyID string, nonce []byte) (hsm.KeyEvidence, error) {
	return passTo(ctx, f, OpAttestKey, func(a hsm.KeyAttester) (hsm.KeyEvidence, error) { return a.AttestKey(ctx, keyID, nonce) })
}
