package secp256k1

import (
	"errors"
	"fmt"
	"math/bits"
)

// Scalar is an integer modulo the group order n. The zero value is 0. All methods run in constant time. A scalar is often a share
// or a nonce, so fmt prints it redacted, and its owner calls Wipe. Beware that fmt reads past Format in unexported fields: a type that
// holds scalars by value must redact itself.
type Scalar struct {
	n [4]uint64 // limbs, least significant first, always below the order
}

// The limbs of n = FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFE BAAEDCE6 AF48A03B BFD25E8C D0364141.
const (
	order0 = 0xbfd25e8cd0364141
	order1 = 0xbaaedce6af48a03b
	order2 = 0xfffffffffffffffe
	order3 = 0xffffffffffffffff
)

// The limbs of 2²⁵⁶ - n; the third is 1, the fourth 0.
const (
	orderFold0 = 0x402da1732fc9bebf
	orderFold1 = 0x4551231950b75fc4
)

// Format writes a placeholder for every verb.
func (s Scalar) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted scalar]")) }

// Set sets s = a and returns s.
func (s *Scalar) Set(a *Scalar) *Scalar {
	*s = *a
	return s
}

// SetZero sets s = 0 and returns s.
func (s *Scalar) SetZero() *Scalar {
	s.n = [4]uint64{}
	return s
}

// SetOne sets s = 1 and returns s.
func (s *Scalar) SetOne() *Scalar { return s.SetUint64(1) }

// SetUint64 sets s = x and returns s.
func (s *Scalar) SetUint64(x uint64) *Scalar {
	s.n = [4]uint64{x}
	return s
}

// Wipe overwrites s with 0.
func (s *Scalar) Wipe() { s.n = [4]uint64{} }

// SetBytes sets s to b, exactly 32 bytes, big-endian, below n. On failure s keeps its value.
func (s *Scalar) SetBytes(b []byte) (*Scalar, error) {
	if len(b) != 32 {
		return nil, fmt.Errorf("secp256k1: scalar is %d bytes long, want 32", len(b))
	}
	x := limbsOf(b)
	if _, below := subtractOrder(&x); below == 0 {
		return nil, errors.New("secp256k1: scalar is not below the group order")
	}
	s.n = x
	return s, nil
}

// SetBytesReduced sets s to b, 32 bytes big-endian, modulo n. It panics if b has another length. A uniform 256-bit string gives a
// scalar within 2⁻¹²⁷ of uniform.
func (s *Scalar) SetBytesReduced(b []byte) *Scalar {
	if len(b) != 32 {
		panic("secp256k1: SetBytesReduced wants 32 bytes")
	}
	x := limbsOf(b)
	s.reduceOnce(&x)
	return s
}

// SetUniformBytes sets s to b, 48 or 64 bytes big-endian, modulo n; uniform bytes give a scalar within 2⁻¹²⁸ of uniform.
func (s *Scalar) SetUniformBytes(b []byte) (*Scalar, error) {
	if len(b) != 48 && len(b) != 64 {
		return nil, fmt.Errorf("secp256k1: uniform bytes are %d long, want 48 or 64", len(b))
	}
	var wide [64]byte
	copy(wide[64-len(b):], b)
	hi, lo := limbsOf(wide[:32]), limbsOf(wide[32:])
	s.reduceWide(lo[0], lo[1], lo[2], lo[3], hi[0], hi[1], hi[2], hi[3])
	clear(wide[:])
	return s, nil
}

// Bytes returns the 32 bytes of s, big-endian.
func (s *Scalar) Bytes() []byte {
	var out [32]byte
	s.PutBytes(&out)
	return out[:]
}

// PutBytes writes the 32 bytes of s, big-endian, to memory the caller owns.
func (s *Scalar) PutBytes(dst *[32]byte) { putLimbs(dst, &s.n) }

// IsZero returns 1 if s = 0 and 0 otherwise.
func (s *Scalar) IsZero() int { return int(isZero64(s.n[0] | s.n[1] | s.n[2] | s.n[3])) }

// Equal returns 1 if s = a and 0 otherwise.
func (s *Scalar) Equal(a *Scalar) int {
	return int(isZero64((s.n[0] ^ a.n[0]) | (s.n[1] ^ a.n[1]) | (s.n[2] ^ a.n[2]) | (s.n[3] ^ a.n[3])))
}

// IsHigh returns 1 if s > n/2 and 0 otherwise: the s that BIP 62 and BIP 146 call high.
func (s *Scalar) IsHigh() int {
	// s is high exactly if (n-1)/2 - s borrows.
	const half0, half1, half2, half3 = 0xdfe92f46681b20a0, 0x5d576e7357a4501d, 0xffffffffffffffff, 0x7fffffffffffffff
	_, c := bits.Sub64(half0, s.n[0], 0)
	_, c = bits.Sub64(half1, s.n[1], c)
	_, c = bits.Sub64(half2, s.n[2], c)
	_, c = bits.Sub64(half3, s.n[3], c)
	return int(c)
}

// Select sets s = a if cond is 1 and s = b if cond is 0, and returns s.
func (s *Scalar) Select(a, b *Scalar, cond int) *Scalar {
	m := maskOf(cond)
	for i := range s.n {
		s.n[i] = b.n[i] ^ (m & (a.n[i] ^ b.n[i]))
	}
	return s
}

// CondNegate sets s = -s if cond is 1, keeps s if cond is 0, and returns s.
func (s *Scalar) CondNegate(cond int) *Scalar {
	var neg Scalar
	neg.Negate(s)
	return s.Select(&neg, s, cond)
}
