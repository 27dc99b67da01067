// Package canon gives every structure of mpcd exactly one encoding, so that what is hashed and signed is never ambiguous.
//
// It is deterministic CBOR (RFC 8949 §4.2.1) with a strict decoder: no duplicate keys, no indefinite lengths, no unknown
// fields, bounded nesting and sizes, no trailing bytes, and a decoded value must encode to the very bytes it came from. What people carry
// about is JSON; UnmarshalJSON reads that as strictly, but for the order of fields and white space.
package canon

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Limits of the decoder.
const (
	// MaxBytes is the largest encoding Unmarshal reads, in bytes.
	MaxBytes = 8 << 20
	// maxNested is the deepest nesting of arrays and maps.
	maxNested = 16
	// maxElements bounds every array and map.
	maxElements = 1 << 17
)

// ErrNotCanonical is returned for bytes that decode, but are not the one encoding of what they decode to.
var ErrNotCanonical = errors.New("canon: not the canonical encoding")

var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   maxNested,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxElements,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal returns the canonical encoding of v.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// MustMarshal is Marshal for values of our own types, which always encode; it panics when one does not.
func MustMarshal(v any) []byte { return must(encMode.Marshal(v)) }

// Unmarshal decodes b, which must be the canonical encoding of the value it yields, into the pointer v.
func Unmarshal(b []byte, v any) error {
	if len(b) > MaxBytes {
		return fmt.Errorf("canon: %d bytes, at most %d", len(b), MaxBytes)
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("canon: %w", err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("canon: %w", err)
	}
	if !bytes.Equal(again, b) {
		return ErrNotCanonical
	}
	return nil
}

// VersionError is of a record of another version than the one wanted.
type VersionError struct{ Got, Want uint8 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("of version %d, this program reads %d", e.Got, e.Want)
}

// UnmarshalVersion is Unmarshal for a record that says of which version it is, 1 to 255, in its first entry, under key 1: what is
// stored begins so. One of another version is refused as that, with a *VersionError, whatever else stands in it.
func UnmarshalVersion(b []byte, want uint8, v any) error {
	got := version(b)
	if got != 0 && got != want {
		return &VersionError{got, want}
	}
	if err := Unmarshal(b, v); err != nil {
		return err
	}
	if got == 0 {
		return errors.New("canon: a record that does not say its version")
	}
	return nil
}

// version is the small number under key 1 of a map, the first in its canonical encoding; 0 if there is none (RFC 8949 §3).
func version(b []byte) uint8 {
	const mapOf, oneByte = 0xa0, 0x18
	switch {
	case len(b) < 3 || b[0] < mapOf || b[0] >= mapOf+oneByte || b[1] != 1:
		return 0
	case b[2] < oneByte:
		return b[2]
	case b[2] == oneByte && len(b) > 3:
		return b[3]
	}
	return 0
}
