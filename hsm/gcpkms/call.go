package gcpkms

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/luxfi/mpcd/hsm"
)

// pace is how patient calls are.
type pace struct {
	first, max time.Duration // back-off: the first wait, doubled up to the longest
	attempt    time.Duration // longest attempt
	total      time.Duration // longest call, where the caller's context has no earlier end
	creation   time.Duration // longest wait until a new key is ready
	damaged    int           // most attempts that end in a damaged answer
}

// steady is the pace of production.
var steady = pace{first: 50 * time.Millisecond, max: 2 * time.Second, attempt: 10 * time.Second, total: 30 * time.Second,
	creation: 2 * time.Minute, damaged: 3}

// wait sleeps a random time around d, or until ctx is done.
func (p pace) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// act is what a call is for, as its errors tell it.
type act struct {
	verb, name string
	permission string
	missing    error // what NotFound means
	invalid    error // what InvalidArgument means, once the key's purpose is known
}

// call repeats f, one attempt, until it succeeds or fails for good. f returns errors of gRPC, damage, or another error for good.
func call[T any](ctx context.Context, t *Token, a act, f func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := t.ready(ctx); err != nil {
		return zero, a.errorf("%w", err)
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return zero, a.errorf("%w", ctx.Err())
	}
	within, cancel := context.WithTimeout(ctx, t.pace.total)
	defer cancel()
	damages := 0
	var cause error // the last error that is not of our own deadline, which the service keeps too
	for wait := t.pace.first; ; wait = min(2*wait, t.pace.max) {
		v, err := attempt(within, t.pace.attempt, f)
		if err == nil {
			return v, nil
		}
		if t.ready(ctx) == errClosed {
			return zero, errClosed
		}
		if ctx.Err() == nil && !transient(err, within) {
			if !isDamage(err) {
				return zero, a.explain(err)
			}
			if damages++; damages >= t.pace.damaged {
				return zero, a.errorf("%w: %w, %d times; nothing of it was used; check the network path, and tell Google if it stays",
					hsm.ErrUnavailable, err, damages)
			}
		}
		if cause == nil || within.Err() == nil && status.Code(err) != codes.DeadlineExceeded {
			cause = err
		}
		if t.pace.wait(within, wait) != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return zero, a.errorf("%w", ctx.Err())
			}
			late := context.Cause(within)
			if ctx.Err() == nil {
				late = fmt.Errorf("after %v", t.pace.total)
			}
			return zero, a.errorf("%w: given up (%w), the last attempt: %w", hsm.ErrUnavailable, late, a.meaning(cause))
		}
	}
}

func attempt[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// transient tells whether another attempt may help.
func transient(err error, within context.Context) bool {
	s, ok := status.FromError(err)
	if !ok || isDamage(err) {
		return errors.Is(err, context.DeadlineExceeded)
	}
	switch s.Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unknown:
		return true
	case codes.Canceled: // of the connection, not of the caller
		return within.Err() == nil
	}
	return false
}

// damage is an answer, or a request, that was not what was sent.
type damage struct{ what string }

func (d damage) Error() string { return "damaged: " + d.what }

func damaged(format string, args ...any) error { return damage{fmt.Sprintf(format, args...)} }

// isDamage also knows the service's own complaint, of a request that was damaged on its way: an InvalidArgument that names a
// checksum field. Its code alone would make Unwrap call the wrapped secret damaged, which it is not.
func isDamage(err error) bool {
	var d damage
	if errors.As(err, &d) {
		return true
	}
	s, ok := status.FromError(err)
	return ok && s.Code() == codes.InvalidArgument && strings.Contains(s.Message(), "_crc32c")
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc is the checksum of a field, CRC32C (RFC 3720 §12.1), as the service wants it.
func crc(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, castagnoli)))
}

// checkCRC holds a field of an answer against its checksum. No checksum is damage too.
func checkCRC(field string, b []byte, sum *wrapperspb.Int64Value) error {
	if sum == nil {
		return damaged("%s_crc32c is missing", field)
	}
	if sum.Value != crc(b).Value {
		return damaged("%s_crc32c does not match", field)
	}
	return nil
}

// verified wants the service's word that it checked a field of the request.
func verified(field string, ok bool) error {
	if !ok {
		return damaged("verified_%s is false: the service did not check what it got", field)
	}
	return nil
}

// same wants a field of the answer to be what was asked for.
func same[T comparable](field string, got, want T) error {
	if got != want {
		return damaged("%s is %q, not %q", field, clip(fmt.Sprint(got)), fmt.Sprint(want))
	}
	return nil
}

// firstError is the first of several checks that failed.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
