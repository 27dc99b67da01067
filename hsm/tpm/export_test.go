package tpm

import (
	"context"
	"sync"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/luxfi/mpcd/internal/canon"
)

// Raw gives a test the token's connection, between its operations.
func (t *Token) Raw(ctx context.Context, f func(transport.TPM) error) error {
	_, err := run(ctx, t, func(o *op) (struct{}, error) { return struct{}{}, f(o) })
	return err
}

// ForgetRefusals stands for a new process.
func ForgetRefusals() { refusedPINs = sync.Map{} }

// SealKey seals a key of the test's choice, as Wrap does with a random one.
func (t *Token) SealKey(ctx context.Context, keyID string, key []byte) ([]byte, error) {
	return run(ctx, t, func(o *op) ([]byte, error) {
		e, err := o.typed(keyID, kindWrap)
		if err != nil {
			return nil, err
		}
		w, err := o.seal(e, key)
		if err != nil {
			return nil, err
		}
		return canon.Marshal(w)
	})
}

// UnsealKey gives back what SealKey sealed, as Unwrap does before it decrypts.
func (t *Token) UnsealKey(ctx context.Context, keyID string, b []byte) ([]byte, error) {
	return run(ctx, t, func(o *op) ([]byte, error) {
		e, err := o.typed(keyID, kindWrap)
		if err != nil {
			return nil, err
		}
		w, sel, err := decodeWrapped(b)
		if err != nil {
			return nil, err
		}
		return o.unseal(e, w, sel)
	})
}

// Index is where a key is.
func (t *Token) Index(ctx context.Context, keyID string) (uint32, error) {
	return run(ctx, t, func(o *op) (uint32, error) {
		e, err := o.key(keyID)
		if err != nil {
			return 0, err
		}
		return uint32(e.index), nil
	})
}

// Blob is what is stored of a key: TPM2B_PUBLIC and TPM2B_PRIVATE contents.
func (t *Token) Blob(ctx context.Context, keyID string) (public, private []byte, err error) {
	_, err = run(ctx, t, func(o *op) (struct{}, error) {
		e, err := o.key(keyID)
		if err == nil {
			public, private = e.Public, e.Private
		}
		return struct{}{}, err
	})
	return public, private, err
}

// StoreTwice stores a copy of a key's record, as a race of two processes would.
func (t *Token) StoreTwice(ctx context.Context, keyID string) error {
	_, err := runOnce(ctx, t, func(o *op) (struct{}, error) {
		e, err := o.key(keyID)
		if err != nil {
			return struct{}{}, err
		}
		b := e.encode()
		index, err := o.define(len(b))
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, o.writeNV(index, b)
	})
	return err
}

// StoreTorn stores a copy of a key's record under another ID, but for the last bytes, as an interrupted GenerateKey would.
func (t *Token) StoreTorn(ctx context.Context, keyID string, missing int) error {
	_, err := runOnce(ctx, t, func(o *op) (struct{}, error) {
		e, err := o.key(keyID)
		if err != nil {
			return struct{}{}, err
		}
		r := e.record
		r.ID = "torn"
		b := r.encode()
		index, err := o.define(len(b))
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, o.writeNV(index, b[:len(b)-missing])
	})
	return err
}

// StoreAtOnce makes a counter's record while another process, which started later, makes one of the same ID.
func (t *Token) StoreAtOnce(ctx context.Context, id string) (inner, outer error) {
	_, outer = runOnce(ctx, t, func(o *op) (*entry, error) {
		r := record{Version: recordVersion, Kind: kindCounter, ID: id}
		return o.store(r, func(int) error {
			_, inner = o.store(r, nil)
			return nil
		})
	})
	return inner, outer
}
