package secp256k1

import "math/bits"

// Mul sets z = x·y and returns z.
func (z *FieldElement) Mul(x, y *FieldElement) *FieldElement {
	x0, x1, x2, x3 := x.n[0], x.n[1], x.n[2], x.n[3]
	y0, y1, y2, y3 := y.n[0], y.n[1], y.n[2], y.n[3]
	var c uint64

	h0, t0 := bits.Mul64(x0, y0)
	h1, t1 := bits.Mul64(x0, y1)
	h2, t2 := bits.Mul64(x0, y2)
	h3, t3 := bits.Mul64(x0, y3)
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, h1, c)
	t3, c = bits.Add64(t3, h2, c)
	t4 := h3 + c

	h0, l0 := bits.Mul64(x1, y0)
	h1, l1 := bits.Mul64(x1, y1)
	h2, l2 := bits.Mul64(x1, y2)
	h3, l3 := bits.Mul64(x1, y3)
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	h3 += c
	t1, c = bits.Add64(t1, l0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, l2, c)
	t4, c = bits.Add64(t4, l3, c)
	t5 := h3 + c

	h0, l0 = bits.Mul64(x2, y0)
	h1, l1 = bits.Mul64(x2, y1)
	h2, l2 = bits.Mul64(x2, y2)
	h3, l3 = bits.Mul64(x2, y3)
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	h3 += c
	t2, c = bits.Add64(t2, l0, 0)
	t3, c = bits.Add64(t3, l1, c)
	t4, c = bits.Add64(t4, l2, c)
	t5, c = bits.Add64(t5, l3, c)
	t6 := h3 + c

	h0, l0 = bits.Mul64(x3, y0)
	h1, l1 = bits.Mul64(x3, y1)
	h2, l2 = bits.Mul64(x3, y2)
	h3, l3 = bits.Mul64(x3, y3)
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	h3 += c
	t3, c = bits.Add64(t3, l0, 0)
	t4, c = bits.Add64(t4, l1, c)
	t5, c = bits.Add64(t5, l2, c)
	t6, c = bits.Add64(t6, l3, c)
	t7 := h3 + c

	z.reduce(t0, t1, t2, t3, t4, t5, t6, t7)
	return z
}

// Square sets z = x² and returns z.
func (z *FieldElement) Square(x *FieldElement) *FieldElement {
	x0, x1, x2, x3 := x.n[0], x.n[1], x.n[2], x.n[3]
	var c uint64

	t2, t1 := bits.Mul64(x0, x1)
	h1, l1 := bits.Mul64(x0, x2)
	h2, l2 := bits.Mul64(x0, x3)
	t2, c = bits.Add64(t2, l1, 0)
	t3, c := bits.Add64(h1, l2, c)
	t4 := h2 + c
	h0, l0 := bits.Mul64(x1, x2)
	h1, l1 = bits.Mul64(x1, x3)
	h2, l2 = bits.Mul64(x2, x3)
	l1, c = bits.Add64(l1, h0, 0)
	h1 += c
	t3, c = bits.Add64(t3, l0, 0)
	t4, c = bits.Add64(t4, l1, c)
	t5, c := bits.Add64(h1, l2, c)
	t6 := h2 + c

	t7 := t6 >> 63
	t6 = t6<<1 | t5>>63
	t5 = t5<<1 | t4>>63
	t4 = t4<<1 | t3>>63
	t3 = t3<<1 | t2>>63
	t2 = t2<<1 | t1>>63
	t1 <<= 1

	h0, t0 := bits.Mul64(x0, x0)
	h1, l1 = bits.Mul64(x1, x1)
	h2, l2 = bits.Mul64(x2, x2)
	h3, l3 := bits.Mul64(x3, x3)
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, h1, c)
	t4, c = bits.Add64(t4, l2, c)
	t5, c = bits.Add64(t5, h2, c)
	t6, c = bits.Add64(t6, l3, c)
	t7 += h3 + c

	z.reduce(t0, t1, t2, t3, t4, t5, t6, t7)
	return z
}

// reduce sets z to a 512-bit integer, folding its upper half with 2²⁵⁶ = fieldFold (mod p) and then what that carried out.
func (z *FieldElement) reduce(t0, t1, t2, t3, t4, t5, t6, t7 uint64) {
	var c uint64
	h0, l0 := bits.Mul64(t4, fieldFold)
	h1, l1 := bits.Mul64(t5, fieldFold)
	h2, l2 := bits.Mul64(t6, fieldFold)
	h3, l3 := bits.Mul64(t7, fieldFold)
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	h3 += c
	t0, c = bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, l1, c)
	t2, c = bits.Add64(t2, l2, c)
	t3, c = bits.Add64(t3, l3, c)

	h0, l0 = bits.Mul64(h3+c, fieldFold) // h3 + c is at most fieldFold
	t0, c = bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, h0, c)
	t2, c = bits.Add64(t2, 0, c)
	t3, c = bits.Add64(t3, 0, c)
	t0, c = bits.Add64(t0, fieldFold&-c, 0) // after a carry the rest is below 2⁶⁷, so t1 cannot overflow
	t1 += c
	z.n = [4]uint64{t0, t1, t2, t3}
}

// mul21 sets z = 21·x, 21 = 3b of the curve, and returns z.
func (z *FieldElement) mul21(x *FieldElement) *FieldElement {
	var c uint64
	h0, t0 := bits.Mul64(x.n[0], 21)
	h1, t1 := bits.Mul64(x.n[1], 21)
	h2, t2 := bits.Mul64(x.n[2], 21)
	h3, t3 := bits.Mul64(x.n[3], 21)
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, h1, c)
	t3, c = bits.Add64(t3, h2, c)
	t0, c = bits.Add64(t0, (h3+c)*fieldFold, 0) // h3 + c is at most 20
	t1, c = bits.Add64(t1, 0, c)
	t2, c = bits.Add64(t2, 0, c)
	t3, c = bits.Add64(t3, 0, c)
	t0 += fieldFold & -c
	z.n = [4]uint64{t0, t1, t2, t3}
	return z
}
