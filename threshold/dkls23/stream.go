package dkls23

import (
	"crypto/aes"
	"crypto/cipher"
	"io"
)

// stream is randomness for one task: AES-256 in counter mode under a key drawn ahead. So a round's Check, which is given none and may
// run in parallel, has some of its own.
type stream struct{ cipher.Stream }

const streamKeyLen = 32

func newStream(key [streamKeyLen]byte) stream {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // of a key of 32 bytes it cannot be
	}
	return stream{cipher.NewCTR(block, make([]byte, aes.BlockSize))}
}

// Read fills b; it never fails.
func (s stream) Read(b []byte) (int, error) {
	clear(b)
	s.XORKeyStream(b, b)
	return len(b), nil
}

var _ io.Reader = stream{}
