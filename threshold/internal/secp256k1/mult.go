package secp256k1

import "math/bits"

// Variable-base multiplication. The map φ(x, y) = (β·x, y) multiplies by λ, a cube root of one (Gallant, Lambert and Vanstone, CRYPTO
// 2001), so k·P = k1·P + k2·φ(P) with k1 and k2 of 128 bits halves the doublings.

// splitLambda is λ, and beta the cube root of one in the field that goes with it.
var (
	splitLambda = Scalar{[4]uint64{0xdf02967c1b23bd72, 0x122e22ea20816678, 0xa5261c028812645a, 0x5363ad4cc05c30e0}}
	beta        = FieldElement{[4]uint64{0xc1396c28719501ee, 0x9cf0497512f58995, 0x6e64479eac3434e9, 0x7ae96a2b657c0710}}
)

// The short basis (a1, b1), (a2, b2) of the lattice {(a, b) : a + b·λ = 0 mod n} is (a1, b1), (a2, a1) with a1 below 2¹²⁶ and a2 below
// 2¹²⁹. splitG1 and splitG2 are a1·2³⁸⁴/n and -b1·2³⁸⁴/n, rounded: they turn the division by n into a shift, with an error
// of at most one (Guide to Elliptic Curve Cryptography, algorithm 3.74).
var (
	splitMinusB1 = Scalar{[4]uint64{0x6f547fa90abfe4c3, 0xe4437ed6010e8828}}
	splitMinusB2 = Scalar{[4]uint64{0xd765cda83db1562c, 0x8a280ac50774346d, 0xfffffffffffffffe, 0xffffffffffffffff}}
	splitG1      = [4]uint64{0xe893209a45dbb031, 0x3daa8a1471e8ca7f, 0xe86c90e49284eb15, 0x3086d221a7d46bcd}
	splitG2      = [4]uint64{0x1571b4ae8ac47f71, 0x221208ac9df506c6, 0x6f547fa90abfe4c4, 0xe4437ed6010e8828}
)

// half is k1 or k2: its sign and its magnitude, below 2¹²⁸.
type half struct {
	lo, hi   uint64
	negative int
}

// split returns k1 and k2 with k = k1 + k2·λ mod n.
func (s *Scalar) split() (k1, k2 half) {
	var c1, c2, r1, r2 Scalar
	c1.setProductShift384(&s.n, &splitG1)
	c2.setProductShift384(&s.n, &splitG2)
	c1.Mul(&c1, &splitMinusB1)
	r2.MulAdd(&c2, &splitMinusB2, &c1)
	r1.Mul(&r2, &splitLambda)
	r1.Sub(s, &r1)
	return r1.half(), r2.half()
}

// setProductShift384 sets s = x·y / 2³⁸⁴, rounded to nearest: below 2¹²⁸ for the two constants and any x below n.
func (s *Scalar) setProductShift384(x, y *[4]uint64) {
	t := mulWide(x, y)
	var c uint64
	s.n[0], c = bits.Add64(t[6], t[5]>>63, 0)
	s.n[1] = t[7] + c
	s.n[2], s.n[3] = 0, 0
}

// half returns s as a signed number of 128 bits; split guarantees that it is one.
func (s *Scalar) half() half {
	negative := s.IsHigh()
	abs := *s
	abs.CondNegate(negative)
	return half{lo: abs.n[0], hi: abs.n[1], negative: negative}
}

const multEntries = 8

// ScalarMult sets v = k·p in constant time and returns v.
func (v *Point) ScalarMult(k *Scalar, p *Point) *Point {
	mustBePoints(p)
	k1, k2 := k.split()

	// Rows of the odd multiples 1, 3 .. 15 of ±P and ±φ(P).
	var row1, row2 [multEntries]Point
	row1[0] = *p
	row1[0].y.CondNegate(k1.negative)
	var twice Point
	twice.double(&row1[0])
	for i := 1; i < multEntries; i++ {
		row1[i].add(&row1[i-1], &twice)
	}
	flip := k1.negative ^ k2.negative
	for i := range row2 {
		row2[i] = row1[i]
		row2[i].x.Mul(&row1[i].x, &beta)
		row2[i].y.CondNegate(flip)
	}

	// As in ScalarBaseMult: B = k/2 + 2¹²⁷ of the odd k or k+1, 32 windows of four bits, each the odd digit 2w - 15.
	even1, even2 := k1.lo&1^1, k2.lo&1^1
	k1.signedBits()
	k2.signedBits()
	var acc, entry Point
	acc.setIdentity()
	for i := 31; i >= 0; i-- {
		acc.double(&acc)
		acc.double(&acc)
		acc.double(&acc)
		acc.double(&acc)
		entry.lookupSigned(&row1, k1.window4(i))
		acc.add(&acc, &entry)
		entry.lookupSigned(&row2, k2.window4(i))
		acc.add(&acc, &entry)
	}

	// Take back the one that made an even half odd.
	identity := NewIdentity()
	entry.Negate(&row1[0])
	acc.add(&acc, entry.Select(&entry, identity, int(even1)))
	entry.Negate(&row2[0])
	acc.add(&acc, entry.Select(&entry, identity, int(even2)))
	k1, k2 = half{}, half{}
	entry.Wipe()
	return v.Set(&acc)
}

// signedBits turns the magnitude k into B = k/2 + 2¹²⁷, whose bits are the signs of k, or of k+1 if k is even.
func (h *half) signedBits() {
	h.lo = h.lo>>1 | h.hi<<63
	h.hi = h.hi>>1 | 1<<63
}

// window4 returns bits 4i to 4i+3, i ≤ 31.
func (h *half) window4(i int) uint64 {
	limbs := [2]uint64{h.lo, h.hi}
	return limbs[i/16] >> (4 * uint(i%16)) & 15
}

// lookupSigned sets v to (2w-15) times the point of the row, reading every entry.
func (v *Point) lookupSigned(row *[multEntries]Point, w uint64) {
	negative := 1 ^ w>>3
	j := (w ^ -negative) & 7
	*v = Point{}
	for i := range row {
		e := &row[i]
		m := -isZero64(uint64(i) ^ j)
		for l := range 4 {
			v.x.n[l] |= m & e.x.n[l]
			v.y.n[l] |= m & e.y.n[l]
			v.z.n[l] |= m & e.z.n[l]
		}
	}
	v.y.CondNegate(int(negative))
}
