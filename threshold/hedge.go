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

// hedged is the randomness of one round (PROTOCOLS 1.6): a stream whose key is a hash of 32 fresh bytes, of the session, the round and
// the party, and of the secrets that the protocol lends. A generator that repeats itself gives nothing twice, and one that others know
// gives nothing away where there is a secret.
type hedged struct {
	rand io.Reader
	key  func(fresh []byte) [32]byte
	s    io.Reader // from the first Read on
}

func (h *hedged) Read(b []byte) (int, error) {
	if h.s == nil {
		var fresh [32]byte
		if _, err := io.ReadFull(h.rand, fresh[:]); err != nil {
			return 0, err
		}
		key := h.key(fresh[:])
		h.s = NewStream(key)
		clear(key[:])
		clear(fresh[:])
	}
	return h.s.Read(b)
}

// randomness is what the current round draws from.
func (x *Session[R]) randomness() io.Reader {
	return &hedged{rand: x.rand, key: func(fresh []byte) [32]byte {
		fields := [][]byte{fresh, x.id[:], {byte(x.round)}, {byte(x.setup.Self >> 8), byte(x.setup.Self)}}
		if x.opening.Hedge != nil {
			fields = append(fields, x.opening.Hedge()...)
		}
		return canon.Hash("mpcd/v1/hedge", fields...)
	}}
}
