package secp256k1

// VarTimeDoubleScalarBaseMult sets v = a·p + b·G and returns v, in variable time: a, p and b must be public.
func (v *Point) VarTimeDoubleScalarBaseMult(a *Scalar, p *Point, b *Scalar) *Point {
	var ap, bg Point
	ap.ScalarMult(a, p)
	bg.ScalarBaseMult(b)
	return v.Add(&ap, &bg)
}

// VarTimeMultiScalarMult sets v to the sum of scalars[i]·points[i] and returns v, in variable time: all of them must be public. It
// panics if the lengths differ. The empty sum is the identity.
func (v *Point) VarTimeMultiScalarMult(scalars []*Scalar, points []*Point) *Point {
	if len(scalars) != len(points) {
		panic("secp256k1: as many scalars as points are needed")
	}
	var sum, t Point
	sum.setIdentity()
	for i := range points {
		sum.add(&sum, t.ScalarMult(scalars[i], points[i]))
	}
	return v.Set(&sum)
}
