package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// bindingWrapper is a token that checks the AAD, and only that.
type bindingWrapper struct{}

func (bindingWrapper) Wrap(_ context.Context, _ string, dek, aad []byte) ([]byte, error) {
	return append(bytes.Clone(aad), dek...), nil
}

func (bindingWrapper) Unwrap(_ context.Context, _ string, wrapped, aad []byte) ([]byte, error) {
	dek, ok := bytes.CutPrefix(wrapped, aad)
	if !ok {
		return nil, hsm.ErrIntegrity
	}
	return bytes.Clone(dek), nil
}

// Goal: header, DEK and body are bound to each other without the pointer's help: the token sees the header's hash, the body
// the header. Method: flip every byte of each, under a token that checks the binding and under one that does not.
func TestEnvelopeBinding(t *testing.T) {
	v := &Vault{node: "node-1"}
	h := v.newHeader(ref{kindShare, "a"}, Meta{KeyKind: "s", Threshold: 2, TotalParties: 3, Epoch: 1})
	for name, w := range map[string]hsm.KeyWrapper{"binding token": bindingWrapper{}, "echoing token": echoWrapper{}} {
		s := sealer{wrapper: w, kek: "kek", rand: rand.Reader}
		e, err := s.seal(t.Context(), h, []byte("share"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.open(t.Context(), e); err != nil || !b.Equal([]byte("share")) {
			t.Fatalf("%s: %v", name, err)
		}
		for part, p := range map[string]*[]byte{"header": &e.header, "DEK": &e.dek, "body": &e.body} {
			good := *p
			for i := range good {
				*p = bytes.Clone(good)
				(*p)[i] ^= 1
				if _, err := s.open(t.Context(), e); !errors.Is(err, ErrIntegrity) {
					t.Errorf("%s: byte %d of %s flipped: %v", name, i, part, err)
				}
			}
			for _, cut := range [][]byte{nil, good[:len(good)-1], append(bytes.Clone(good), 0)} {
				*p = cut
				if _, err := s.open(t.Context(), e); !errors.Is(err, ErrIntegrity) {
					t.Errorf("%s: %s of %d bytes: %v", name, part, len(cut), err)
				}
			}
			*p = good
		}
	}
	// Every record has a key of its own: two bodies under one key would need one nonce each, and erasing one would not erase it.
	fresh := sealer{wrapper: bindingWrapper{}, kek: "kek", rand: rand.Reader}
	one, err := fresh.seal(t.Context(), h, []byte("share"), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := fresh.seal(t.Context(), h, []byte("share"), nil)
	if err != nil || bytes.Equal(one.dek, two.dek) {
		t.Errorf("two records have one key: %v", err)
	}
	// The body is bound to the header even where the DEK is not: a token that ignores the AAD moves no body.
	s := sealer{wrapper: echoWrapper{}, kek: "kek", rand: rand.Reader}
	e, _ := s.seal(t.Context(), h, []byte("share"), nil)
	h.Epoch = 2
	other, _ := s.seal(t.Context(), h, []byte("share"), nil)
	e.header = other.header
	if _, err := s.open(t.Context(), e); !errors.Is(err, ErrIntegrity) {
		t.Errorf("body under another header: %v", err)
	}
	// And the DEK is, where the token keeps its duty: the token never yields it for another header.
	s.wrapper = bindingWrapper{}
	e, _ = s.seal(t.Context(), h, []byte("share"), nil)
	e.header = append(bytes.Clone(e.header), 0)
	if _, err := s.open(t.Context(), e); !errors.Is(err, hsm.ErrIntegrity) {
		t.Errorf("DEK under another header: %v", err)
	}
}
