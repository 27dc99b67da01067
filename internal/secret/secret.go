// Package secret holds bytes that must not be copied, printed or kept: one owner, who wipes them.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
)

const redacted = "[redacted]"

// ErrRedacted is returned by every encoder that is asked to write a secret.
var ErrRedacted = errors.New("secret: refused to encode a secret")

// Bytes is a secret of fixed length in pages of its own: outside the Go heap, locked into memory and kept out of core dumps
// where the system allows, redacted in every fmt verb and encoder. It is not safe for concurrent Wipe and use.
type Bytes struct {
	m *memory // behind a pointer: fmt looks through one when it meets a wrong verb in another type's unexported field
}

type memory struct {
	b      []byte
	pages  []byte // the whole mapping that b lies in
	locked bool
	wiped  bool
}

// New returns n zero bytes of secret memory. It panics if n is negative or the system has no memory.
func New(n int) *Bytes {
	pages, locked := alloc(n)
	return &Bytes{&memory{b: pages[:n:n], pages: pages, locked: locked}}
}

// From moves b into secret memory and wipes b.
func From(b []byte) *Bytes {
	s := New(len(b))
	copy(s.m.b, b)
	Wipe(b)
	return s
}

// Bytes lends the secret; the owner's Wipe, and nothing else, ends the loan: the collector does not see who still reads the pages, so it
// gives back none that nobody wiped. It panics after Wipe: a use after the end is our own mistake.
func (s *Bytes) Bytes() []byte {
	if s.m.wiped {
		panic("secret: used after wipe")
	}
	return s.m.b
}

// Len is the length in bytes.
func (s *Bytes) Len() int { return len(s.m.b) }

// Equal compares in constant time.
func (s *Bytes) Equal(other []byte) bool { return subtle.ConstantTimeCompare(s.Bytes(), other) == 1 }

// Wipe zeroes the secret and gives the pages back. It is idempotent, and does nothing on nil.
func (s *Bytes) Wipe() {
	if s == nil || s.m.wiped {
		return
	}
	m := s.m
	m.wiped = true
	Wipe(m.b)
	release(m.pages, m.locked)
	m.b, m.pages = nil, nil
}

// Wipe zeroes b in a way the compiler keeps.
func Wipe(b []byte) {
	clear(b)
	runtime.KeepAlive(b)
}

// Format redacts under every verb, %x and %v included.
func (s *Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String redacts.
func (s *Bytes) String() string { return redacted }

// GoString redacts.
func (s *Bytes) GoString() string { return redacted }

// LogValue redacts in log/slog.
func (s *Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON refuses.
func (s *Bytes) MarshalJSON() ([]byte, error) { return nil, ErrRedacted }

// MarshalText refuses.
func (s *Bytes) MarshalText() ([]byte, error) { return nil, ErrRedacted }

// MarshalBinary refuses.
func (s *Bytes) MarshalBinary() ([]byte, error) { return nil, ErrRedacted }

// MarshalCBOR refuses.
func (s *Bytes) MarshalCBOR() ([]byte, error) { return nil, ErrRedacted }

// MarshalYAML refuses.
func (s *Bytes) MarshalYAML() (any, error) { return nil, ErrRedacted }

// GobEncode refuses.
func (s *Bytes) GobEncode() ([]byte, error) { return nil, ErrRedacted }
