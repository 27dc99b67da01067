package vault

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
)

// State of an epoch.
type State uint8

// The states, in the order of a life.
const (
	Staged  State = 1 // stored, not yet in use
	Active  State = 2 // the one that Load opens; at most one per id
	Retired State = 3 // metadata only; its secret is erased. Only the latest is kept
)

// String is the word for logs.
func (s State) String() string {
	switch s {
	case Staged:
		return "staged"
	case Active:
		return "active"
	case Retired:
		return "retired"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MaxStaged is the largest number of staged epochs of an id.
const MaxStaged = 64

// macLen is the length of the MAC behind a stored pointer.
const macLen = sha256.Size

// pointer says which epochs an id has and in which state, and pins their records by hash. Stored as canonical CBOR | MAC.
type pointer struct {
	Version uint64  `cbor:"1,keyasint"`
	Vault   []byte  `cbor:"2,keyasint"`
	Node    string  `cbor:"3,keyasint"`
	Kind    string  `cbor:"4,keyasint"`
	ID      string  `cbor:"5,keyasint"`
	Floor   uint64  `cbor:"6,keyasint"` // the lowest epoch that may still be staged
	Entries []entry `cbor:"7,keyasint"` // ascending by epoch
}

type entry struct {
	Epoch  uint64 `cbor:"1,keyasint"`
	State  State  `cbor:"2,keyasint"`
	Header []byte `cbor:"3,keyasint"`           // hash of the header
	Sealed []byte `cbor:"4,keyasint,omitempty"` // hash of wrapped DEK and body; none once retired
}

func (p *pointer) find(epoch uint64) *entry {
	for i := range p.Entries {
		if p.Entries[i].Epoch == epoch {
			return &p.Entries[i]
		}
	}
	return nil
}

func (p *pointer) active() *entry {
	for i := range p.Entries {
		if p.Entries[i].State == Active {
			return &p.Entries[i]
		}
	}
	return nil
}

func (p *pointer) staged() int {
	n := 0
	for _, e := range p.Entries {
		if e.State == Staged {
			n++
		}
	}
	return n
}

func (p *pointer) add(e entry) {
	p.Entries = append(p.Entries, e)
	slices.SortFunc(p.Entries, func(a, b entry) int {
		if a.Epoch < b.Epoch {
			return -1
		}
		return 1
	})
}

func (p *pointer) remove(epoch uint64) {
	p.Entries = slices.DeleteFunc(p.Entries, func(e entry) bool { return e.Epoch == epoch })
}

// encodePointer returns the stored form, with its MAC at the end.
func (v *Vault) encodePointer(p *pointer) []byte {
	b := canon.MustMarshal(p)
	return append(b, v.keys.pointerMAC(v.wrapping.pointerKey(ref{p.Kind, p.ID}), b)...)
}

// decodePointer checks the MAC before anything else; the MAC covers the key the value is stored under.
func (v *Vault) decodePointer(r ref, b []byte) (*pointer, error) {
	if _, err := v.pointerTag(v.wrapping.pointerKey(r), b); err != nil {
		return nil, fmt.Errorf("vault: %s: %w", r, err)
	}
	p := new(pointer)
	if err := canon.Unmarshal(b[:len(b)-macLen], p); err != nil {
		return nil, fmt.Errorf("vault: %s: pointer: %w: %w", r, ErrIntegrity, err)
	}
	if p.Version != recordVersion || !bytes.Equal(p.Vault, v.id[:]) || p.Node != v.node || p.Kind != r.kind || p.ID != r.id {
		return nil, fmt.Errorf("vault: %s: pointer is of another place: %w", r, ErrIntegrity)
	}
	return p, nil
}

// pointerTag returns the MAC of a stored pointer after checking it.
func (v *Vault) pointerTag(key, b []byte) ([]byte, error) {
	if len(b) <= macLen {
		return nil, fmt.Errorf("pointer of %d bytes: %w", len(b), ErrIntegrity)
	}
	body, mac := b[:len(b)-macLen], b[len(b)-macLen:]
	if !v.keys.checkPointerMAC(key, body, mac) {
		return nil, fmt.Errorf("pointer: MAC does not fit: %w", ErrIntegrity)
	}
	return mac, nil
}
