package secp256k1

// squareN sets z = x^(2^k), k ≥ 1, and returns z.
func (z *FieldElement) squareN(x *FieldElement, k int) *FieldElement {
	z.Square(x)
	for i := 1; i < k; i++ {
		z.Square(z)
	}
	return z
}

// powers holds x to the exponents 2ᵏ - 1 that open the addition chains of p - 2 and (p+1)/4.
type powers struct{ x2, x22, x223 FieldElement }

func (w *powers) set(x *FieldElement) {
	var x3, x6, x9, x11, x44, x88, x176, x220 FieldElement
	w.x2.Square(x).Mul(&w.x2, x)
	x3.Square(&w.x2).Mul(&x3, x)
	x6.squareN(&x3, 3).Mul(&x6, &x3)
	x9.squareN(&x6, 3).Mul(&x9, &x3)
	x11.squareN(&x9, 2).Mul(&x11, &w.x2)
	w.x22.squareN(&x11, 11).Mul(&w.x22, &x11)
	x44.squareN(&w.x22, 22).Mul(&x44, &w.x22)
	x88.squareN(&x44, 44).Mul(&x88, &x44)
	x176.squareN(&x88, 88).Mul(&x176, &x88)
	x220.squareN(&x176, 44).Mul(&x220, &x44)
	w.x223.squareN(&x220, 3).Mul(&w.x223, &x3)
}

// Invert sets z = 1/x, or 0 if x = 0, and returns z. It is x^(p-2).
func (z *FieldElement) Invert(x *FieldElement) *FieldElement {
	base := *x
	var w powers
	w.set(&base)
	z.squareN(&w.x223, 23).Mul(z, &w.x22)
	z.squareN(z, 5).Mul(z, &base)
	z.squareN(z, 3).Mul(z, &w.x2)
	return z.squareN(z, 2).Mul(z, &base)
}

// Sqrt sets z to the square root x^((p+1)/4) and ok to 1, or keeps z and sets ok to 0 if x is not a square.
// Of the two roots it is the one that is itself a square; it returns z.
func (z *FieldElement) Sqrt(x *FieldElement) (root *FieldElement, ok int) {
	var w powers
	w.set(x)
	var r, check FieldElement
	r.squareN(&w.x223, 23).Mul(&r, &w.x22)
	r.squareN(&r, 6).Mul(&r, &w.x2)
	r.squareN(&r, 2)
	ok = check.Square(&r).Equal(x)
	return z.Select(&r, z, ok), ok
}

// powerP34 sets z = x^((p-3)/4), the exponent of RFC 9380's sqrt_ratio, and returns z.
func (z *FieldElement) powerP34(x *FieldElement) *FieldElement {
	base := *x
	var w powers
	w.set(&base)
	z.squareN(&w.x223, 23).Mul(z, &w.x22)
	z.squareN(z, 5).Mul(z, &base)
	return z.squareN(z, 3).Mul(z, &w.x2)
}
