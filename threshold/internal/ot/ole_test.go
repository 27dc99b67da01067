// Goal: the vector OLE multiplies. Method: honest runs on real pair states.
package ot

import (
	"crypto/sha256"
	"encoding/binary"
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

// thePair is one honest setup that tests share; nobody changes it.
var thePair = sync.OnceValues(func() (*Sender, *Receiver) {
	sid := sidOf("pair")
	setup, msg1, err := NewSetup(sid, newSeeded("A"))
	if err != nil {
		panic(err)
	}
	r, msg2, err := RespondSetup(sid, msg1, newSeeded("B"))
	if err != nil {
		panic(err)
	}
	s, err := setup.Finish(msg2)
	if err != nil {
		panic(err)
	}
	return s, r
})

// Goal: c_i + d_i = a_i·b. Method: runs with random inputs.
func TestVectorOLE(t *testing.T) {
	s, r := thePair()
	rand := newSeeded("ole")
	for range 1000 {
		var sid [32]byte
		rand.Read(sid[:])
		var a [2]secp256k1.Scalar
		randomScalar(&a[0], rand)
		randomScalar(&a[1], rand)
		x, b, msg1, err := r.Start(sid, rand)
		if err != nil {
			t.Fatal(err)
		}
		c, msg2, err := s.Reply(sid, msg1, &a, rand)
		if err != nil {
			t.Fatal(err)
		}
		d, err := x.Finish(msg2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a {
			var sum, product secp256k1.Scalar
			if sum.Add(&c[i], &d[i]).Equal(product.Mul(&a[i], b)) == 0 {
				t.Fatalf("c_%d + d_%d is not a_%d·b", i, i, i)
			}
		}
	}
}
