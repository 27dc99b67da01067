package canon

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Hash is the transcript hash of PROTOCOLS 1.1:
//
//	H(tag; f1..fn) = SHA256( SHA256(tag) || SHA256(tag) || u32be(n) || for each f: u32be(len f) || f )
//
// Every field is length-prefixed and counted, so no two different field lists share a preimage (TSSHOCK alpha-shuffle,
// CVE-2022-47931). The tag is "mpcd/v1/<area>/<purpose>".
func Hash(tag string, fields ...[]byte) [32]byte {
	h := NewHasher(tag, len(fields))
	for _, f := range fields {
		h.Field(f)
	}
	return h.Sum()
}

// Hasher computes Hash field by field, without collecting the fields first. Exactly the announced number must follow.
type Hasher struct {
	h    hash.Hash
	left int
}

// NewHasher starts a hash of n fields under the tag.
func NewHasher(tag string, n int) *Hasher {
	t := sha256.Sum256([]byte(tag))
	h := sha256.New()
	h.Write(t[:])
	h.Write(t[:])
	var c [4]byte
	binary.BigEndian.PutUint32(c[:], uint32(n))
	h.Write(c[:])
	return &Hasher{h: h, left: n}
}

// Field adds the next field.
func (h *Hasher) Field(f []byte) {
	var c [4]byte
	binary.BigEndian.PutUint32(c[:], uint32(len(f)))
	h.h.Write(c[:])
	h.h.Write(f)
	h.left--
}

// Sum returns the hash. It panics if fewer or more fields were given than announced.
func (h *Hasher) Sum() [32]byte {
	if h.left != 0 {
		panic("canon: wrong number of fields hashed")
	}
	var out [32]byte
	h.h.Sum(out[:0])
	return out
}
