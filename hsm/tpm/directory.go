package tpm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// Our NV indices, in the range of the owner (TCG Registry of Reserved TPM 2.0 Handles, 2.2.2).
const (
	recordFirst  = tpm2.TPMHandle(0x0184d000)
	recordSlots  = 128
	counterFirst = recordFirst + 0x100 // the counter of the record at recordFirst+n is at counterFirst+n
)

// directory is what our NV indices hold, by index.
type directory map[tpm2.TPMHandle]*entry

// class separates what may have one ID.
type class int

const (
	keys class = iota
	counters
	attestationKeys
)

func (e *entry) class() class {
	switch e.Kind {
	case kindCounter:
		return counters
	case kindAK:
		return attestationKeys
	}
	return keys
}

// scan reads which records there are; those it knows already are read again only if all is set.
func (o *op) scan(all bool) error {
	handles, err := o.recordHandles()
	if err != nil {
		return explain("list NV indices", err)
	}
	found := directory{}
	for _, h := range handles {
		if e := o.t.dir[h]; e != nil && !all {
			found[h] = e
			continue
		}
		b, err := o.readNV(h)
		if err != nil && !unreadable(err) {
			return explain(fmt.Sprintf("read NV index 0x%08x", h), err)
		}
		var e *entry
		if err == nil {
			e, err = decodeRecord(b)
		}
		if err != nil {
			o.t.log.Warn("an NV index in the range of mpcd is not a record of it; if it is an unfinished one, remove it with tpm2_nvundefine",
				"index", fmt.Sprintf("0x%08x", h), "error", err)
			continue
		}
		e.index = h
		found[h] = e
	}
	o.t.dir = found
	return nil
}

// errPrivate is an index that is not for everybody to read.
var errPrivate = errors.New("an NV index that needs an authorization to be read")

// unreadable tells that an index is not one of ours, or is gone, or has no content yet: not that the TPM failed.
func unreadable(err error) bool {
	return errors.Is(err, errPrivate) || is(err, tpm2.TPMRCNVUninitialized, tpm2.TPMRCNVLocked, tpm2.TPMRCHandle)
}

// recordHandles lists the defined indices in the range of records.
func (o *op) recordHandles() ([]tpm2.TPMHandle, error) {
	handles, err := o.handles(recordFirst, 2*recordSlots)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(handles, func(h tpm2.TPMHandle) bool { return h < recordFirst || h >= recordFirst+recordSlots }), nil
}

// lookup finds a record by its ID, with another look at the TPM where it is not known. No such record is nil.
func (o *op) lookup(c class, id string) (*entry, error) {
	for _, look := range []bool{false, true} {
		if look {
			if err := o.scan(false); err != nil {
				return nil, err
			}
		}
		found := o.t.dir.all(c, id)
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("tpm: %w: %q is in NV indices 0x%08x and 0x%08x; remove the wrong one with tpm2_nvundefine", hsm.ErrAmbiguous, id,
				found[0].index, found[1].index)
		}
	}
	return nil, nil
}

// all lists the records of a class and ID, by index.
func (d directory) all(c class, id string) []*entry {
	var list []*entry
	for _, e := range d {
		if e.class() == c && e.ID == id {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return int(a.index) - int(b.index) })
	return list
}

// String says what the TPM holds and where, for the one who must make room.
func (d directory) String() string {
	var list []string
	for h := recordFirst; h < recordFirst+recordSlots; h++ {
		if e := d[h]; e != nil {
			list = append(list, fmt.Sprintf("%s %q at 0x%08x", e.Kind, e.ID, h))
		}
	}
	if len(list) == 0 {
		return "nothing of mpcd"
	}
	return strings.Join(list, ", ")
}

// store writes a record to a free index. before runs while the index is defined but not written yet, with its place in the range.
func (o *op) store(r record, before func(place int) error) (*entry, error) {
	if len(r.ID) > nameMax {
		return nil, fmt.Errorf("tpm: an ID of %d bytes, at most %d", len(r.ID), nameMax)
	}
	b := r.encode()
	index, err := o.define(len(b))
	if err != nil {
		return nil, err
	}
	place := int(index - recordFirst)
	if before != nil {
		err = before(place)
	}
	if err == nil {
		err = o.writeNV(index, b)
	}
	var back []byte
	if err == nil {
		back, err = o.readNV(index)
	}
	if err == nil && !bytes.Equal(back, b) {
		err = errors.New("the TPM does not read back what it was given")
	}
	var e *entry
	if err == nil {
		e, err = decodeRecord(back)
	}
	if err == nil {
		e.index = index
		err = o.alone(e)
	}
	if err != nil {
		delete(o.t.dir, index)
		return nil, errors.Join(explain("store "+r.Kind, err), explain("remove it again", o.undefine(index)))
	}
	o.t.dir[index] = e
	return e, nil
}

// alone looks whether another process stored the same ID meanwhile. Both look after they wrote, so two never stay.
func (o *op) alone(e *entry) error {
	if err := o.scan(false); err != nil {
		return err
	}
	for _, other := range o.t.dir.all(e.class(), e.ID) {
		if other.index != e.index {
			return fmt.Errorf("tpm: %w: another process made %q at the same time; look, and try again", hsm.ErrKeyExists, e.ID)
		}
	}
	return nil
}

// define takes the first free index.
func (o *op) define(size int) (tpm2.TPMHandle, error) {
	taken, err := o.recordHandles()
	if err != nil {
		return 0, explain("list NV indices", err)
	}
	for h := recordFirst; h < recordFirst+recordSlots; h++ {
		if slices.Contains(taken, h) {
			continue
		}
		err := o.defineNV(tpm2.TPMSNVPublic{NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(size),
			Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, OwnerWrite: true, OwnerRead: true, AuthRead: true, NoDA: true}})
		if is(err, tpm2.TPMRCNVDefined) {
			continue // another process was faster
		}
		return h, err
	}
	return 0, fmt.Errorf("tpm: all %d places are taken by %v; remove one with tpm2_nvundefine", recordSlots, o.t.dir)
}

func (o *op) defineNV(public tpm2.TPMSNVPublic) error {
	err := o.owner(func(owner tpm2.AuthHandle) error {
		_, err := tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(public)}.Execute(o)
		return err
	})
	switch {
	case is(err, tpm2.TPMRCNVSpace, tpm2.TPMRCSize):
		return fmt.Errorf("tpm: no room for %d bytes in NV memory: %w; it holds %v; remove what is not needed with tpm2_nvundefine <index> "+
			"(tpm2_getcap handles-nv-index lists what others keep)",
			public.DataSize, err, o.t.dir)
	case is(err, tpm2.TPMRCNVDefined):
		return err
	}
	return explain("define an NV index", err)
}

func (o *op) undefine(index tpm2.TPMHandle) error {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(o)
	if err != nil {
		return err
	}
	return o.owner(func(owner tpm2.AuthHandle) error {
		_, err := tpm2.NVUndefineSpace{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: index, Name: r.NVName}}.Execute(o)
		return err
	})
}

func (o *op) writeNV(index tpm2.TPMHandle, b []byte) error {
	for at := 0; at < len(b); at += o.t.chip.nvChunk {
		r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(o) // its name changes with the first write
		if err != nil {
			return err
		}
		err = o.owner(func(owner tpm2.AuthHandle) error {
			_, err := tpm2.NVWrite{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: index, Name: r.NVName},
				Data: tpm2.TPM2BMaxNVBuffer{Buffer: b[at:min(at+o.t.chip.nvChunk, len(b))]}, Offset: uint16(at)}.Execute(o)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readNV reads a whole index that anybody may read. Others are left alone: a try without their authorization would count to the lockout.
func (o *op) readNV(index tpm2.TPMHandle) ([]byte, error) {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(o)
	if err != nil {
		return nil, err
	}
	public, err := r.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	if a := public.Attributes; !a.AuthRead || !a.NoDA {
		return nil, errPrivate
	}
	size := int(public.DataSize)
	var b []byte
	for len(b) < size {
		r, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: r.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: r.NVName},
			Size:       uint16(min(size-len(b), o.t.chip.nvChunk)),
			Offset:     uint16(len(b)),
		}.Execute(o)
		if err != nil {
			return nil, err
		}
		if len(r.Data.Buffer) == 0 {
			return nil, errors.New("the TPM gives no data")
		}
		b = append(b, r.Data.Buffer...)
	}
	return b, nil
}
