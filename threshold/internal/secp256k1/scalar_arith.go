package secp256k1

import "math/bits"

// subtractOrder returns x - n modulo 2²⁵⁶, and 1 if x was below n.
func subtractOrder(x *[4]uint64) (r [4]uint64, below uint64) {
	var c uint64
	r[0], c = bits.Sub64(x[0], order0, 0)
	r[1], c = bits.Sub64(x[1], order1, c)
	r[2], c = bits.Sub64(x[2], order2, c)
	r[3], c = bits.Sub64(x[3], order3, c)
	return r, c
}

// reduceOnce sets s to x modulo n, for any x below 2²⁵⁶ < 2n.
func (s *Scalar) reduceOnce(x *[4]uint64) {
	r, below := subtractOrder(x)
	m := -below
	s.n[0] = r[0] ^ (m & (r[0] ^ x[0]))
	s.n[1] = r[1] ^ (m & (r[1] ^ x[1]))
	s.n[2] = r[2] ^ (m & (r[2] ^ x[2]))
	s.n[3] = r[3] ^ (m & (r[3] ^ x[3]))
}

// Add sets s = a + b and returns s.
func (s *Scalar) Add(a, b *Scalar) *Scalar {
	// Add a to b - n; if that borrows even after a, put n back.
	r, _ := subtractOrder(&b.n)
	var c uint64
	r[0], c = bits.Add64(r[0], a.n[0], 0)
	r[1], c = bits.Add64(r[1], a.n[1], c)
	r[2], c = bits.Add64(r[2], a.n[2], c)
	r[3], c = bits.Add64(r[3], a.n[3], c)
	s.addOrder(&r, c-1)
	return s
}

// Sub sets s = a - b and returns s.
func (s *Scalar) Sub(a, b *Scalar) *Scalar {
	var r [4]uint64
	var c uint64
	r[0], c = bits.Sub64(a.n[0], b.n[0], 0)
	r[1], c = bits.Sub64(a.n[1], b.n[1], c)
	r[2], c = bits.Sub64(a.n[2], b.n[2], c)
	r[3], c = bits.Sub64(a.n[3], b.n[3], c)
	s.addOrder(&r, -c)
	return s
}

// addOrder sets s = x + (n masked with m), modulo 2²⁵⁶.
func (s *Scalar) addOrder(x *[4]uint64, m uint64) {
	var c uint64
	s.n[0], c = bits.Add64(x[0], order0&m, 0)
	s.n[1], c = bits.Add64(x[1], order1&m, c)
	s.n[2], c = bits.Add64(x[2], order2&m, c)
	s.n[3], _ = bits.Add64(x[3], order3&m, c)
}

// Negate sets s = -a and returns s.
func (s *Scalar) Negate(a *Scalar) *Scalar {
	var zero Scalar
	return s.Sub(&zero, a)
}

// Mul sets s = a·b and returns s.
func (s *Scalar) Mul(a, b *Scalar) *Scalar {
	t := mulWide(&a.n, &b.n)
	s.reduceWide(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7])
	return s
}

// MulAdd sets s = a·b + c and returns s.
func (s *Scalar) MulAdd(a, b, c *Scalar) *Scalar {
	t := mulWide(&a.n, &b.n)
	var k uint64
	t[0], k = bits.Add64(t[0], c.n[0], 0)
	t[1], k = bits.Add64(t[1], c.n[1], k)
	t[2], k = bits.Add64(t[2], c.n[2], k)
	t[3], k = bits.Add64(t[3], c.n[3], k)
	t[4], k = bits.Add64(t[4], 0, k)
	t[5], k = bits.Add64(t[5], 0, k)
	t[6], k = bits.Add64(t[6], 0, k)
	t[7] += k // (n-1)² + n - 1 is below 2⁵¹²
	s.reduceWide(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7])
	return s
}

// Square sets s = a² and returns s.
func (s *Scalar) Square(a *Scalar) *Scalar { return s.Mul(a, a) }

// mulWide returns the 512-bit product of two 256-bit integers.
func mulWide(x, y *[4]uint64) (t [8]uint64) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
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
	return [8]uint64{t0, t1, t2, t3, t4, t5, t6, t7}
}

// reduceWide sets s to a 512-bit integer modulo n. Three times the part above 2²⁵⁶ is replaced by its product with
// f = 2²⁵⁶ - n = f0 + f1·2⁶⁴ + 2¹²⁸, which leaves 386, 260 and 256 bits; then at most one carry and one n are left.
func (s *Scalar) reduceWide(t0, t1, t2, t3, t4, t5, t6, t7 uint64) {
	var c uint64

	// m = t mod 2²⁵⁶ + (t4..t7)·f, 7 limbs.
	h0, l0 := bits.Mul64(t4, orderFold0)
	h1, l1 := bits.Mul64(t5, orderFold0)
	h2, l2 := bits.Mul64(t6, orderFold0)
	h3, l3 := bits.Mul64(t7, orderFold0)
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	h3 += c
	t0, c = bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, l1, c)
	t2, c = bits.Add64(t2, l2, c)
	t3, c = bits.Add64(t3, l3, c)
	m4 := h3 + c

	h0, l0 = bits.Mul64(t4, orderFold1)
	h1, l1 = bits.Mul64(t5, orderFold1)
	h2, l2 = bits.Mul64(t6, orderFold1)
	h3, l3 = bits.Mul64(t7, orderFold1)
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	h3 += c
	t1, c = bits.Add64(t1, l0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, l2, c)
	m4, c = bits.Add64(m4, l3, c)
	m5 := h3 + c // the sum so far is below 2²⁵⁶·2¹²⁸

	t2, c = bits.Add64(t2, t4, 0)
	t3, c = bits.Add64(t3, t5, c)
	m4, c = bits.Add64(m4, t6, c)
	m5, c = bits.Add64(m5, t7, c)
	m6 := c

	// r = m mod 2²⁵⁶ + (m4, m5, m6)·f, 4 limbs and r4. m is below 1.28·2³⁸⁴, so m6 is a bit and, if set, m5 is below 0.28·2⁶⁴:
	// neither l2 carries.
	h0, l0 = bits.Mul64(m4, orderFold0)
	h1, l1 = bits.Mul64(m5, orderFold0)
	l1, c = bits.Add64(l1, h0, 0)
	l2 = orderFold0&-m6 + h1 + c
	t0, k := bits.Add64(t0, l0, 0)
	t1, k = bits.Add64(t1, l1, k)
	t2, k = bits.Add64(t2, l2, k)
	t3, k = bits.Add64(t3, 0, k)
	r4 := k

	h0, l0 = bits.Mul64(m4, orderFold1)
	h1, l1 = bits.Mul64(m5, orderFold1)
	l1, c = bits.Add64(l1, h0, 0)
	l2 = orderFold1&-m6 + h1 + c
	t1, k = bits.Add64(t1, l0, 0)
	t2, k = bits.Add64(t2, l1, k)
	t3, k = bits.Add64(t3, l2, k)
	r4 += k

	t2, c = bits.Add64(t2, m4, 0)
	t3, c = bits.Add64(t3, m5, c)
	r4 += m6 + c

	// r4·f, r4 of a few bits.
	h0, l0 = bits.Mul64(r4, orderFold0)
	h1, l1 = bits.Mul64(r4, orderFold1)
	l1, c = bits.Add64(l1, h0, 0)
	l2 = r4 + h1 + c
	t0, c = bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, l1, c)
	t2, c = bits.Add64(t2, l2, c)
	t3, c = bits.Add64(t3, 0, c)

	// The last carry leaves less than 2¹³⁴, so adding f once more does not reach t3.
	m := -c
	t0, c = bits.Add64(t0, orderFold0&m, 0)
	t1, c = bits.Add64(t1, orderFold1&m, c)
	t2 += 1&m + c
	s.reduceOnce(&[4]uint64{t0, t1, t2, t3})
}

// negated returns 2²⁵⁶ - x modulo 2²⁵⁶.
func negated(x *[4]uint64) (r [4]uint64) {
	var c uint64
	r[0], c = bits.Sub64(0, x[0], 0)
	r[1], c = bits.Sub64(0, x[1], c)
	r[2], c = bits.Sub64(0, x[2], c)
	r[3], _ = bits.Sub64(0, x[3], c)
	return r
}
