// Helpers: seeded randomness, honest runs, and states made without base transfers for tests that need many.
package ot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// seeded is a stream of bytes that follow from a name.
type seeded struct {
	seed [32]byte
	n    uint64
	left []byte
}

func newSeeded(name string) io.Reader { return &seeded{seed: sha256.Sum256([]byte(name))} }

func (s *seeded) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(s.left) == 0 {
			h := sha256.Sum256(binary.BigEndian.AppendUint64(s.seed[:], s.n))
			s.n++
			s.left = h[:]
		}
		k := copy(b[n:], s.left)
		s.left = s.left[k:]
		n += k
	}
	return len(b), nil
}

func sidOf(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// handshake is an honest setup up to B's answer.
type handshake struct {
	setup      *Setup
	receiver   *Receiver
	msg1, msg2 []byte
}

func newHandshake(name string) (h handshake, err error) {
	sid := sidOf(name)
	if h.setup, h.msg1, err = NewSetup(sid, newSeeded(name+" A")); err != nil {
		return h, err
	}
	h.receiver, h.msg2, err = RespondSetup(sid, h.msg1, newSeeded(name+" B"))
	return h, err
}

// again is the setup with its secrets, to finish more than once.
func (h handshake) again() *Setup {
	s, o := *h.setup, *h.setup.o
	s.o = &o
	return &s
}

// theHandshake and thePair are one honest setup that tests share; nobody changes it.
var theHandshake = sync.OnceValue(func() handshake {
	h, err := newHandshake("pair")
	if err != nil {
		panic(err)
	}
	return h
})

var thePair = sync.OnceValues(func() (*Sender, *Receiver) {
	h := theHandshake()
	s, err := h.again().Finish(h.msg2)
	if err != nil {
		panic(err)
	}
	return s, h.receiver
})

// pairWith makes both states from leaves out of rand and the given Δ, without base transfers.
func pairWith(delta element, rand io.Reader) (*Sender, *Receiver) {
	enc := make([]byte, receiverLen)
	rand.Read(enc)
	putHeader(enc, roleReceiver, new([32]byte))
	r, err := ParseReceiver(enc)
	if err != nil {
		panic(err)
	}
	half := make([]byte, senderLen)
	putHeader(half, roleSender, new([32]byte))
	delta.put(half[headerLen:])
	for j := range trees {
		dj := int(half[headerLen+j/4] >> (2 * (j % 4)) & 3)
		for y := 1; y < leaves; y++ {
			copy(half[headerLen+seedLen+(j*kept+y-1)*seedLen:], enc[headerLen+(j*leaves+y^dj)*seedLen:][:seedLen])
		}
	}
	s, err := ParseSender(half)
	if err != nil {
		panic(err)
	}
	return s, r
}

// inputs are Alice's for a name.
func inputs(name string) *[ell]secp256k1.Scalar {
	a := new([ell]secp256k1.Scalar)
	rand := newSeeded(name)
	for i := range a {
		_ = randomScalar(&a[i], rand)
	}
	return a
}

// isShared tells whether c_i + d_i = a_i·b.
func isShared(a *[ell]secp256k1.Scalar, b *secp256k1.Scalar, c, d [ell]secp256k1.Scalar) bool {
	for i := range a {
		var sum, product secp256k1.Scalar
		if sum.Add(&c[i], &d[i]).Equal(product.Mul(&a[i], b)) == 0 {
			return false
		}
	}
	return true
}

// wantError fails unless err wraps want and not its sibling.
func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || errors.Is(err, ErrCheat) && errors.Is(err, ErrMalformed) {
		t.Errorf("%s: error is %v, want one that wraps %q", what, err, want)
	}
}

// flipped is a copy of b with one bit changed.
func flipped(b []byte, bit int) []byte {
	out := append([]byte(nil), b...)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}
