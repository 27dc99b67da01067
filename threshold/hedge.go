package threshold

import (
	"crypto/aes"
	"crypto/cipher"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
)

// StreamKeyLen is the length of a stream's key, in bytes.
const StreamKeyLen = 32

// NewStream is randomness for one task: AES-256 in counter mode under a key drawn ahead. It never fails.
func NewStream(key [StreamKeyLen]byte) io.Reader {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // of a key of 32 bytes it cannot be
	}
	return stream{cipher.NewCTR(block, make([]byte, aes.BlockSize))}
}

type stream struct{ cipher.Stream }

func (s stream) Read(b []byte) (int, error) {
	clear(b)
	s.XORKeyStream(b, b)
	return len(b), nil
}

// hedged is a stream whose key is a hash of 32 fresh bytes and of what fields says, which is asked when it is first read.
type hedged struct {
	rand   io.Reader
	fields func() [][]byte
	s      io.Reader // from the first Read on
}

// Tap is randomness that sees what is made of it: a simulation's, which looks for secrets in places where none may be.
type Tap interface {
	// Tap returns a reader that gives what the derived one does.
	Tap(derived io.Reader) io.Reader
}

func (h *hedged) Read(b []byte) (int, error) {
	if h.s == nil {
		var fresh [32]byte
		if _, err := io.ReadFull(h.rand, fresh[:]); err != nil {
			return 0, err
		}
		key := canon.Hash("mpcd/v1/hedge", append([][]byte{fresh[:]}, h.fields()...)...)
		h.s = NewStream(key)
		clear(key[:])
		clear(fresh[:])
		if t, ok := h.rand.(Tap); ok {
			h.s = t.Tap(h.s)
		}
	}
	return h.s.Read(b)
}

// Hedged is randomness for one use, named by fields (PROTOCOLS 1.6): a stream whose key is a hash of them and of 32 fresh bytes. A
// generator that repeats itself gives nothing twice to two uses, and one that others know gives nothing away where there is a secret
// among the fields.
func Hedged(rand io.Reader, fields ...[]byte) io.Reader {
	return &hedged{rand: rand, fields: func() [][]byte { return fields }}
}

// randomness is what the current round draws from: named by the session, the round and the party, and the secrets that the protocol lends.
func (x *Session[R]) randomness() io.Reader {
	return &hedged{rand: x.rand, fields: func() [][]byte {
		fields := [][]byte{x.id[:], {byte(x.round)}, {byte(x.setup.Self >> 8), byte(x.setup.Self)}}
		if x.opening.Hedge != nil {
			fields = append(fields, x.opening.Hedge()...)
		}
		return fields
	}}
}
