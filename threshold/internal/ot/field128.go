package ot

import (
	"encoding/binary"
	"math/bits"
)

// element is of GF(2^128) = GF(2)[x]/(x^128 + x^7 + x^2 + x + 1), the field of the consistency check: bit k of lo, then of hi, is the
// coefficient of x^k. Its encoding is 16 bytes, little-endian.
type element struct{ lo, hi uint64 }

func elementOf(b []byte) element {
	return element{binary.LittleEndian.Uint64(b[0:8]), binary.LittleEndian.Uint64(b[8:16])}
}

func (e element) put(b []byte) {
	binary.LittleEndian.PutUint64(b[0:8], e.lo)
	binary.LittleEndian.PutUint64(b[8:16], e.hi)
}

// product is a sum of products of elements before reduction, 256 bits.
type product [4]uint64

// holes splits a word into the bits at 0, 4, 8 .., those at 1, 5, 9 .. and so on.
const holes = 0x1111111111111111

// factor is a public or secret multiplier, prepared: the four classes of its low 60 bits, and masks of its top four.
type factor struct {
	class [4]uint64
	top   [4]uint64
}

func newFactor(y uint64) (f factor) {
	low := y &^ (15 << 60)
	for i := range f.class {
		f.class[i] = low & (holes << i)
		f.top[i] = -(y >> (60 + i) & 1)
	}
	return f
}

// clmul is the product x·y of polynomials over GF(2). An integer product of two classes has at most 15 ones to add at any fourth bit,
// so their count does not reach the next, and its lowest bit is their sum in GF(2). No time depends on x or y.
func clmul(x uint64, y *factor) (hi, lo uint64) {
	x0, x1, x2, x3 := x&holes, x&(holes<<1), x&(holes<<2), x&(holes<<3)
	y0, y1, y2, y3 := y.class[0], y.class[1], y.class[2], y.class[3]

	ah, al := bits.Mul64(x0, y0)
	bh, bl := bits.Mul64(x1, y3)
	ch, cl := bits.Mul64(x2, y2)
	dh, dl := bits.Mul64(x3, y1)
	lo = (al ^ bl ^ cl ^ dl) & holes
	hi = (ah ^ bh ^ ch ^ dh) & holes

	ah, al = bits.Mul64(x0, y1)
	bh, bl = bits.Mul64(x1, y0)
	ch, cl = bits.Mul64(x2, y3)
	dh, dl = bits.Mul64(x3, y2)
	lo |= (al ^ bl ^ cl ^ dl) & (holes << 1)
	hi |= (ah ^ bh ^ ch ^ dh) & (holes << 1)

	ah, al = bits.Mul64(x0, y2)
	bh, bl = bits.Mul64(x1, y1)
	ch, cl = bits.Mul64(x2, y0)
	dh, dl = bits.Mul64(x3, y3)
	lo |= (al ^ bl ^ cl ^ dl) & (holes << 2)
	hi |= (ah ^ bh ^ ch ^ dh) & (holes << 2)

	ah, al = bits.Mul64(x0, y3)
	bh, bl = bits.Mul64(x1, y2)
	ch, cl = bits.Mul64(x2, y1)
	dh, dl = bits.Mul64(x3, y0)
	lo |= (al ^ bl ^ cl ^ dl) & (holes << 3)
	hi |= (ah ^ bh ^ ch ^ dh) & (holes << 3)

	lo ^= x<<60&y.top[0] ^ x<<61&y.top[1] ^ x<<62&y.top[2] ^ x<<63&y.top[3]
	hi ^= x>>4&y.top[0] ^ x>>3&y.top[1] ^ x>>2&y.top[2] ^ x>>1&y.top[3]
	return hi, lo
}

// multiplier is an element prepared for multiplication by Karatsuba's method.
type multiplier struct{ lo, hi, sum factor }

func (e element) multiplier() multiplier {
	return multiplier{newFactor(e.lo), newFactor(e.hi), newFactor(e.lo ^ e.hi)}
}

// add sets p = p + x·m.
func (p *product) add(x element, m *multiplier) {
	h1, h0 := clmul(x.hi, &m.hi)
	l1, l0 := clmul(x.lo, &m.lo)
	m1, m0 := clmul(x.lo^x.hi, &m.sum)
	m0 ^= h0 ^ l0
	m1 ^= h1 ^ l1
	p[0] ^= l0
	p[1] ^= l1 ^ m0
	p[2] ^= h0 ^ m1
	p[3] ^= h1
}

// addLow is add for an x of 64 bits.
func (p *product) addLow(x uint64, m *multiplier) {
	h1, h0 := clmul(x, &m.hi)
	l1, l0 := clmul(x, &m.lo)
	p[0] ^= l0
	p[1] ^= l1 ^ h0
	p[2] ^= h1
}

// reduce returns p modulo x^128 + x^7 + x^2 + x + 1.
func (p *product) reduce() element {
	// x^128 = x^7 + x^2 + x + 1, first for the top word, then for the next with what came over.
	a, b := p[3], p[2]
	b ^= a>>63 ^ a>>62 ^ a>>57
	hi := p[1] ^ a ^ a<<1 ^ a<<2 ^ a<<7
	hi ^= b>>63 ^ b>>62 ^ b>>57
	return element{p[0] ^ b ^ b<<1 ^ b<<2 ^ b<<7, hi}
}
