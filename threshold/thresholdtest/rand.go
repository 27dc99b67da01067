package thresholdtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Rand is a stream of pseudorandom bytes, a function of its label (AES-256 in counter mode).
type Rand struct{ stream cipher.Stream }

// NewRand makes the stream of a seed and a label, which keeps the streams of one seed apart.
func NewRand(seed uint64, label string) *Rand {
	key := sha256.Sum256(fmt.Appendf(nil, "%d/%s", seed, label))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return &Rand{cipher.NewCTR(block, make([]byte, aes.BlockSize))}
}

// Read fills b; it never fails.
func (r *Rand) Read(b []byte) (int, error) {
	clear(b)
	r.stream.XORKeyStream(b, b)
	return len(b), nil
}

// IntN is a number below n, with a bias that no test notices.
func (r *Rand) IntN(n int) int {
	var b [8]byte
	_, _ = r.Read(b[:])
	return int(binary.LittleEndian.Uint64(b[:]) % uint64(n))
}

// Chance is true in percent of 100 cases.
func (r *Rand) Chance(percent int) bool { return r.IntN(100) < percent }

// Bytes are n of them.
func (r *Rand) Bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}
