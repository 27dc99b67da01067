package secp256k1

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// FieldElement is an integer modulo p = 2²⁵⁶ - 2³² - 977. The zero value is 0. All methods run in constant time.
type FieldElement struct {
	// n holds four 64-bit limbs, least significant first, of some representative below 2²⁵⁶; it may be p or more.
	// Only normalise makes it canonical.
	n [4]uint64
}

// fieldFold is 2²⁵⁶ - p: a carry out of 256 bits comes back as this much.
const fieldFold = 1<<32 + 977

var errFieldRange = errors.New("secp256k1: field element is not below p")

// maskOf is all ones for cond = 1 and zero for cond = 0.
func maskOf(cond int) uint64 { return -uint64(cond & 1) }

// isZero64 returns 1 if x is 0 and 0 otherwise.
func isZero64(x uint64) uint64 { return ((x | -x) >> 63) ^ 1 }

// Set sets z = x and returns z.
func (z *FieldElement) Set(x *FieldElement) *FieldElement {
	*z = *x
	return z
}

// SetZero sets z = 0 and returns z.
func (z *FieldElement) SetZero() *FieldElement {
	z.n = [4]uint64{}
	return z
}

// SetOne sets z = 1 and returns z.
func (z *FieldElement) SetOne() *FieldElement {
	z.n = [4]uint64{1}
	return z
}

// SetUint64 sets z = x and returns z.
func (z *FieldElement) SetUint64(x uint64) *FieldElement {
	z.n = [4]uint64{x}
	return z
}

// SetBytes sets z to b, exactly 32 bytes, big-endian, below p. On failure z keeps its value.
func (z *FieldElement) SetBytes(b []byte) (*FieldElement, error) {
	if len(b) != 32 {
		return nil, errors.New("secp256k1: field element is not 32 bytes long")
	}
	x := limbsOf(b)
	if _, over := fieldSubtractP(&x); over == 1 {
		return nil, errFieldRange
	}
	z.n = x
	return z, nil
}

// Bytes returns the canonical 32 bytes of z, big-endian.
func (z *FieldElement) Bytes() []byte {
	var out [32]byte
	z.putBytes(&out)
	return out[:]
}

func (z *FieldElement) putBytes(dst *[32]byte) {
	x := z.normalised()
	putLimbs(dst, &x)
}

// limbsOf reads 32 big-endian bytes.
func limbsOf(b []byte) [4]uint64 {
	return [4]uint64{
		binary.BigEndian.Uint64(b[24:32]), binary.BigEndian.Uint64(b[16:24]),
		binary.BigEndian.Uint64(b[8:16]), binary.BigEndian.Uint64(b[0:8]),
	}
}

func putLimbs(dst *[32]byte, x *[4]uint64) {
	binary.BigEndian.PutUint64(dst[0:8], x[3])
	binary.BigEndian.PutUint64(dst[8:16], x[2])
	binary.BigEndian.PutUint64(dst[16:24], x[1])
	binary.BigEndian.PutUint64(dst[24:32], x[0])
}

// fieldSubtractP returns x - p modulo 2²⁵⁶, and 1 if x was p or more.
func fieldSubtractP(x *[4]uint64) (r [4]uint64, over uint64) {
	var c uint64
	r[0], c = bits.Add64(x[0], fieldFold, 0)
	r[1], c = bits.Add64(x[1], 0, c)
	r[2], c = bits.Add64(x[2], 0, c)
	r[3], c = bits.Add64(x[3], 0, c)
	return r, c
}

// normalised returns the canonical limbs of z.
func (z *FieldElement) normalised() [4]uint64 {
	r, over := fieldSubtractP(&z.n)
	m := -over
	for i := range r {
		r[i] = z.n[i] ^ (m & (z.n[i] ^ r[i]))
	}
	return r
}

// IsZero returns 1 if z = 0 and 0 otherwise.
func (z *FieldElement) IsZero() int {
	x := z.normalised()
	return int(isZero64(x[0] | x[1] | x[2] | x[3]))
}

// IsOdd returns 1 if the canonical integer of z is odd and 0 otherwise.
func (z *FieldElement) IsOdd() int {
	x := z.normalised()
	return int(x[0] & 1)
}

// Equal returns 1 if z = x and 0 otherwise.
func (z *FieldElement) Equal(x *FieldElement) int {
	a, b := z.normalised(), x.normalised()
	return int(isZero64((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])))
}

// Select sets z = a if cond is 1 and z = b if cond is 0, and returns z.
func (z *FieldElement) Select(a, b *FieldElement, cond int) *FieldElement {
	m := maskOf(cond)
	z.n[0] = b.n[0] ^ (m & (a.n[0] ^ b.n[0]))
	z.n[1] = b.n[1] ^ (m & (a.n[1] ^ b.n[1]))
	z.n[2] = b.n[2] ^ (m & (a.n[2] ^ b.n[2]))
	z.n[3] = b.n[3] ^ (m & (a.n[3] ^ b.n[3]))
	return z
}

// CondNegate sets z = -z if cond is 1, keeps z if cond is 0, and returns z.
func (z *FieldElement) CondNegate(cond int) *FieldElement {
	var neg FieldElement
	neg.Negate(z)
	return z.Select(&neg, z, cond)
}

// Add sets z = x + y and returns z.
func (z *FieldElement) Add(x, y *FieldElement) *FieldElement {
	r0, c := bits.Add64(x.n[0], y.n[0], 0)
	r1, c := bits.Add64(x.n[1], y.n[1], c)
	r2, c := bits.Add64(x.n[2], y.n[2], c)
	r3, c := bits.Add64(x.n[3], y.n[3], c)
	r0, c = bits.Add64(r0, fieldFold&-c, 0)
	r1, c = bits.Add64(r1, 0, c)
	r2, c = bits.Add64(r2, 0, c)
	r3, c = bits.Add64(r3, 0, c)
	r0 += fieldFold & -c // a second carry leaves r below fieldFold: no third
	z.n = [4]uint64{r0, r1, r2, r3}
	return z
}

// Sub sets z = x - y and returns z.
func (z *FieldElement) Sub(x, y *FieldElement) *FieldElement {
	r0, c := bits.Sub64(x.n[0], y.n[0], 0)
	r1, c := bits.Sub64(x.n[1], y.n[1], c)
	r2, c := bits.Sub64(x.n[2], y.n[2], c)
	r3, c := bits.Sub64(x.n[3], y.n[3], c)
	r0, c = bits.Sub64(r0, fieldFold&-c, 0)
	r1, c = bits.Sub64(r1, 0, c)
	r2, c = bits.Sub64(r2, 0, c)
	r3, c = bits.Sub64(r3, 0, c)
	r0 -= fieldFold & -c // a second borrow leaves r above 2²⁵⁶ - fieldFold: no third
	z.n = [4]uint64{r0, r1, r2, r3}
	return z
}

// Negate sets z = -x and returns z.
func (z *FieldElement) Negate(x *FieldElement) *FieldElement {
	var zero FieldElement
	return z.Sub(&zero, x)
}
