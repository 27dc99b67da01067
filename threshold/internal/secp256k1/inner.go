package secp256k1

import "math/bits"

// InnerProduct sets s to the sum of a[i]·b[i], and returns s. It panics if the lengths differ. The products are summed unreduced, at less
// than half the cost of MulAdd: the gadget sums of DKLs23 have 416 terms.
func (s *Scalar) InnerProduct(a, b []Scalar) *Scalar {
	if len(a) != len(b) {
		panic("secp256k1: inner product of lists of different lengths")
	}
	var t [8]uint64
	var t8 uint64 // a sum of 2⁶⁴ products would overflow it
	for i := range a {
		p := mulWide(&a[i].n, &b[i].n)
		var c uint64
		t[0], c = bits.Add64(t[0], p[0], 0)
		t[1], c = bits.Add64(t[1], p[1], c)
		t[2], c = bits.Add64(t[2], p[2], c)
		t[3], c = bits.Add64(t[3], p[3], c)
		t[4], c = bits.Add64(t[4], p[4], c)
		t[5], c = bits.Add64(t[5], p[5], c)
		t[6], c = bits.Add64(t[6], p[6], c)
		t[7], c = bits.Add64(t[7], p[7], c)
		t8 += c
	}
	var high Scalar
	s.reduceWide(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7])
	return s.MulAdd(high.SetUint64(t8), &twoTo512, s)
}

// MulAddMulAdd sets s = a·b + c·d + e and returns s, reducing once.
func (s *Scalar) MulAddMulAdd(a, b, c, d, e *Scalar) *Scalar {
	t := mulWide(&a.n, &b.n)
	u := mulWide(&c.n, &d.n)
	var k, t8 uint64
	t[0], k = bits.Add64(t[0], e.n[0], 0)
	t[1], k = bits.Add64(t[1], e.n[1], k)
	t[2], k = bits.Add64(t[2], e.n[2], k)
	t[3], k = bits.Add64(t[3], e.n[3], k)
	t[4], k = bits.Add64(t[4], 0, k)
	t[5], k = bits.Add64(t[5], 0, k)
	t[6], k = bits.Add64(t[6], 0, k)
	t[7] += k // as in MulAdd
	t[0], k = bits.Add64(t[0], u[0], 0)
	t[1], k = bits.Add64(t[1], u[1], k)
	t[2], k = bits.Add64(t[2], u[2], k)
	t[3], k = bits.Add64(t[3], u[3], k)
	t[4], k = bits.Add64(t[4], u[4], k)
	t[5], k = bits.Add64(t[5], u[5], k)
	t[6], k = bits.Add64(t[6], u[6], k)
	t[7], t8 = bits.Add64(t[7], u[7], k)
	var over Scalar
	s.reduceWide(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7])
	return s.Add(s, over.Select(&twoTo512, &over, int(t8)))
}

// twoTo512 is 2⁵¹² modulo n, the square of 2²⁵⁶ - n.
var twoTo512 = *new(Scalar).Square(&Scalar{[4]uint64{orderFold0, orderFold1, 1}})
