package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// counterSize is the size of an NV counter, in bytes (part 2, 13.2).
const counterSize = 8

// CreateCounter makes an NV counter and counts once. Its first value is above every counter that this TPM ever had (part 3, 31.3.1),
// so that one which is removed and made anew does not go back.
func (t *Token) CreateCounter(ctx context.Context, counterID string) (uint64, error) {
	if counterID == "" {
		return 0, fmt.Errorf("tpm: %w: no counter ID", hsm.ErrNoKey)
	}
	return runOnce(ctx, t, func(o *op) (uint64, error) {
		if err := o.scan(false); err != nil {
			return 0, err
		}
		if len(t.dir.all(counters, counterID)) > 0 {
			return 0, fmt.Errorf("tpm: %w: counter %q in %s; choose another ID", hsm.ErrKeyExists, counterID, t.path)
		}
		e, err := o.store(record{Version: recordVersion, Kind: kindCounter, ID: counterID}, o.makeCounter)
		if err != nil {
			return 0, err
		}
		return o.count(e, false)
	})
}

// makeCounter makes the NV counter of a place, over one that an interrupted CreateCounter left.
func (o *op) makeCounter(place int) error {
	index := counterFirst + tpm2.TPMHandle(place)
	public := tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: counterSize,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, OwnerWrite: true, OwnerRead: true, AuthRead: true, NoDA: true}}
	err := o.defineNV(public)
	if is(err, tpm2.TPMRCNVDefined) {
		if err = o.undefine(index); err == nil {
			err = o.defineNV(public)
		}
	}
	if err != nil {
		return err
	}
	name, err := o.counting(index)
	if err != nil {
		return err
	}
	return o.increment(index, name)
}

// counting is the name of an NV index that can only count up (part 2, 13.4: TPMA_NV, TPM_NT_COUNTER). Whoever has the owner's
// authorization can put an ordinary one in its place, which holds any number.
func (o *op) counting(index tpm2.TPMHandle) (tpm2.TPM2BName, error) {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(o)
	if err != nil {
		return tpm2.TPM2BName{}, err
	}
	public, err := r.NVPublic.Contents()
	if err != nil {
		return tpm2.TPM2BName{}, err
	}
	if public.NVIndex != index || public.Attributes.NT != tpm2.TPMNTCounter || public.DataSize != counterSize {
		return tpm2.TPM2BName{}, fmt.Errorf("tpm: %w: NV index 0x%08x is no counter (type %d, %d bytes): somebody put it there; whatever it "+
			"anchored must be checked by hand",
			hsm.ErrKeyType, uint32(index), public.Attributes.NT, public.DataSize)
	}
	return r.NVName, nil
}

func (o *op) increment(index tpm2.TPMHandle, name tpm2.TPM2BName) error {
	return o.owner(func(owner tpm2.AuthHandle) error {
		_, err := tpm2.NVIncrement{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: index, Name: name}}.Execute(o)
		return err
	})
}

// count adds one if up is set, and reads the value.
func (o *op) count(e *entry, up bool) (uint64, error) {
	index := e.index - recordFirst + counterFirst
	name, err := o.counting(index)
	if err == nil && up {
		err = o.increment(index, name)
	}
	if err != nil {
		return 0, o.counterError(e, err)
	}
	b, err := o.readNV(index)
	if err != nil {
		return 0, o.counterError(e, err)
	}
	if len(b) != counterSize {
		return 0, fmt.Errorf("tpm: counter %q has %d bytes", e.ID, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// counterError names what happened to a counter whose record is there.
func (o *op) counterError(e *entry, err error) error {
	if stale(err) {
		o.t.drop() // look anew the next time
		return fmt.Errorf("tpm: %w: the NV index of counter %q was removed: %w; whatever it anchored must be checked by hand",
			hsm.ErrNoKey, e.ID, err)
	}
	return explain(fmt.Sprintf("counter %q", e.ID), err)
}

func (o *op) counter(id string) (*entry, error) {
	e, err := o.lookup(counters, id)
	if err == nil && e == nil {
		return nil, fmt.Errorf("tpm: %w: counter %q in %s, which holds %v", hsm.ErrNoKey, id, o.t.path, o.t.dir)
	}
	return e, err
}

// Increment adds one, durably, and returns the new value. After an error of the connection it is unknown whether it did: Read tells.
func (t *Token) Increment(ctx context.Context, counterID string) (uint64, error) {
	v, err := runOnce(ctx, t, func(o *op) (uint64, error) {
		e, err := o.counter(counterID)
		if err != nil {
			return 0, err
		}
		return o.count(e, true)
	})
	if errors.Is(err, errLost) {
		err = fmt.Errorf("%w; whether counter %q counted is unknown: read it", err, counterID)
	}
	return v, err
}

// Read returns the value of a counter.
func (t *Token) Read(ctx context.Context, counterID string) (uint64, error) {
	return run(ctx, t, func(o *op) (uint64, error) {
		e, err := o.counter(counterID)
		if err != nil {
			return 0, err
		}
		return o.count(e, false)
	})
}
