package tpm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// flushWait bounds what is done for tidiness after the caller's time is over.
const flushWait = 2 * time.Second

// op is one operation. It is go-tpm's transport: every command of it ends with its context.
type op struct {
	t     *Token
	ctx   context.Context
	loose []tpm2.TPMHandle // transient objects and sessions to be flushed at the end
}

// Send is transport.TPM.
func (o *op) Send(command []byte) ([]byte, error) { return o.t.link.send(o.ctx, command) }

// run does an operation that may be done twice: once more after a reconnection, or with a fresh look at what the TPM holds.
func run[T any](ctx context.Context, t *Token, f func(*op) (T, error)) (T, error) {
	return do(ctx, t, true, f)
}

// runOnce does an operation that must not be done twice. The connection is tried first.
func runOnce[T any](ctx context.Context, t *Token, f func(*op) (T, error)) (T, error) {
	return do(ctx, t, false, f)
}

func do[T any](ctx context.Context, t *Token, twice bool, f func(*op) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	defer func() { <-t.turn }()
	if t.closed {
		return zero, fmt.Errorf("tpm: %w: %s is closed", hsm.ErrUnavailable, t.path)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	if t.link != nil && !twice {
		if _, err := (&op{t: t, ctx: ctx}).properties(tpm2.TPMPTPermanent, 1); err != nil {
			t.drop()
		}
	}
	v, err := attempt(ctx, t, f)
	if err != nil && twice {
		switch {
		case errors.Is(err, errLost):
			t.log.Warn("TPM lost, reconnecting", "device", t.path, "error", err)
			v, err = attempt(ctx, t, f)
		case stale(err):
			t.drop()
			v, err = attempt(ctx, t, f)
		}
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

// attempt runs f on a connection, which is given up after errors that may have left something in the TPM.
func attempt[T any](ctx context.Context, t *Token, f func(*op) (T, error)) (T, error) {
	var zero T
	if t.link == nil {
		if err := t.connect(ctx); err != nil {
			return zero, err
		}
	}
	o := &op{t: t, ctx: ctx}
	v, err := f(o)
	o.tidy()
	if t.link.broken || (err != nil && messy(err)) {
		t.drop()
	}
	return v, err
}

// tidy flushes what the operation loaded, even if its time is over.
func (o *op) tidy() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), flushWait)
	defer cancel()
	late := &op{t: o.t, ctx: ctx}
	for _, h := range o.loose {
		if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(late); err != nil {
			o.t.link.close() // the next connection sweeps
			break
		}
	}
	o.loose = nil
}

// sweep flushes all transient objects and sessions: on a TPM that serves one client at a time they are nobody's.
func (o *op) sweep() error {
	for _, first := range []tpm2.TPMHandle{0x80000000, 0x02000000} { // transient; loaded sessions (part 2, 7.2)
		handles, err := o.handles(first, 254)
		if err != nil {
			return err
		}
		for _, h := range handles {
			if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// handles lists the handles from first on that have its type.
func (o *op) handles(first tpm2.TPMHandle, most uint32) ([]tpm2.TPMHandle, error) {
	var all []tpm2.TPMHandle
	for next := first; ; {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(next), PropertyCount: most}.Execute(o)
		if err != nil {
			return nil, err
		}
		list, err := r.CapabilityData.Data.Handles()
		if err != nil {
			return nil, err
		}
		all = append(all, list.Handle...)
		if !r.MoreData || len(list.Handle) == 0 || len(all) >= int(most) {
			return all, nil
		}
		next = all[len(all)-1] + 1
	}
}

// properties reads n properties from first on (TPM_CAP_TPM_PROPERTIES). One that the TPM does not have is absent.
func (o *op) properties(first tpm2.TPMPT, n uint32) (map[tpm2.TPMPT]uint32, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(first), PropertyCount: n}.Execute(o)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.TPMProperties()
	if err != nil {
		return nil, err
	}
	m := map[tpm2.TPMPT]uint32{}
	for _, p := range list.TPMProperty {
		m[p.Property] = p.Value
	}
	return m, nil
}
