package secp256k1

// orderMinus2 is n - 2 in nibbles, most significant first: the exponent of Fermat's inversion.
const orderMinus2 = "\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f" +
	"\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0e" +
	"\x0b\x0a\x0a\x0e\x0d\x0c\x0e\x06\x0a\x0f\x04\x08\x0a\x00\x03\x0b\x0b\x0f\x0d\x02\x05\x0e\x08\x0c\x0d\x00\x03\x06\x04\x01\x03\x0f"

// Invert sets s = 1/a, or 0 if a = 0, and returns s. It is a^(n-2) with a fixed window over a public exponent.
func (s *Scalar) Invert(a *Scalar) *Scalar {
	var table [16]Scalar
	table[0].SetOne()
	for i := 1; i < len(table); i++ {
		table[i].Mul(&table[i-1], a)
	}
	r := table[orderMinus2[0]]
	for i := 1; i < len(orderMinus2); i++ {
		r.Square(&r).Square(&r).Square(&r).Square(&r).Mul(&r, &table[orderMinus2[i]])
	}
	clear(table[:])
	return s.Set(&r)
}
