package secp256k1

// Point is an element of the group of order n, in homogeneous coordinates: (X : Y : Z) is (X/Z, Y/Z), the identity is (0 : 1 : 0).
// The zero value is not a point; methods panic on it, because a forgotten initialisation would swallow every later addition.
// Make points with NewIdentity, NewGenerator or new(Point) as the receiver of a method.
type Point struct {
	x, y, z FieldElement
}

// affinePoint is a point with Z = 1; it cannot be the identity.
type affinePoint struct {
	x, y FieldElement
}

// generator is G of SEC 2, section 2.4.1.
var generator = affinePoint{
	x: FieldElement{[4]uint64{0x59f2815b16f81798, 0x029bfcdb2dce28d9, 0x55a06295ce870b07, 0x79be667ef9dcbbac}},
	y: FieldElement{[4]uint64{0x9c47d08ffb10d4b8, 0xfd17b448a6855419, 0x5da4fbfc0e1108a8, 0x483ada7726a3c465}},
}

// NewIdentity returns the identity.
func NewIdentity() *Point { return new(Point).setIdentity() }

// NewGenerator returns the generator G.
func NewGenerator() *Point { return new(Point).setAffine(&generator) }

func (v *Point) setIdentity() *Point {
	v.x.SetZero()
	v.y.SetOne()
	v.z.SetZero()
	return v
}

func (v *Point) setAffine(a *affinePoint) *Point {
	v.x, v.y = a.x, a.y
	v.z.SetOne()
	return v
}

// mustBePoints panics on a zero value. No valid point has Y = 0: the group has no element of order two.
func mustBePoints(points ...*Point) {
	for _, p := range points {
		if p.y.n[0]|p.y.n[1]|p.y.n[2]|p.y.n[3] == 0 {
			panic("secp256k1: use of an uninitialised Point")
		}
	}
}

// Set sets v = p and returns v.
func (v *Point) Set(p *Point) *Point {
	*v = *p
	return v
}

// Wipe overwrites v; v is uninitialised afterwards.
func (v *Point) Wipe() { *v = Point{} }

// Add sets v = p + q and returns v.
func (v *Point) Add(p, q *Point) *Point {
	mustBePoints(p, q)
	return v.add(p, q)
}

// Sub sets v = p - q and returns v.
func (v *Point) Sub(p, q *Point) *Point {
	mustBePoints(p, q)
	neg := *q
	neg.y.Negate(&q.y)
	return v.add(p, &neg)
}

// Double sets v = 2p and returns v.
func (v *Point) Double(p *Point) *Point {
	mustBePoints(p)
	return v.double(p)
}

// Negate sets v = -p and returns v.
func (v *Point) Negate(p *Point) *Point {
	mustBePoints(p)
	v.x, v.z = p.x, p.z
	v.y.Negate(&p.y)
	return v
}

// Select sets v = a if cond is 1 and v = b if cond is 0, and returns v.
func (v *Point) Select(a, b *Point, cond int) *Point {
	mustBePoints(a, b)
	v.x.Select(&a.x, &b.x, cond)
	v.y.Select(&a.y, &b.y, cond)
	v.z.Select(&a.z, &b.z, cond)
	return v
}

// CondNegate sets v = -v if cond is 1, keeps v if cond is 0, and returns v.
func (v *Point) CondNegate(cond int) *Point {
	mustBePoints(v)
	v.y.CondNegate(cond)
	return v
}

// Equal returns 1 if v and p are the same group element and 0 otherwise.
func (v *Point) Equal(p *Point) int {
	mustBePoints(v, p)
	var a, b, c, d FieldElement
	a.Mul(&v.x, &p.z)
	b.Mul(&p.x, &v.z)
	c.Mul(&v.y, &p.z)
	d.Mul(&p.y, &v.z)
	return a.Equal(&b) & c.Equal(&d)
}

// IsIdentity returns 1 if v is the identity and 0 otherwise.
func (v *Point) IsIdentity() int {
	mustBePoints(v)
	return v.z.IsZero()
}

// add is the complete addition of ePrint 2015/1060, algorithm 7: 12 multiplications.
func (v *Point) add(p, q *Point) *Point {
	var t0, t1, t2, t3, t4, x3, y3, z3 FieldElement
	t0.Mul(&p.x, &q.x)
	t1.Mul(&p.y, &q.y)
	t2.Mul(&p.z, &q.z)
	t3.Add(&p.x, &p.y)
	t4.Add(&q.x, &q.y)
	t3.Mul(&t3, &t4)
	t4.Add(&t0, &t1)
	t3.Sub(&t3, &t4) // X1Y2 + X2Y1
	t4.Add(&p.y, &p.z)
	x3.Add(&q.y, &q.z)
	t4.Mul(&t4, &x3)
	x3.Add(&t1, &t2)
	t4.Sub(&t4, &x3) // Y1Z2 + Y2Z1
	x3.Add(&p.x, &p.z)
	y3.Add(&q.x, &q.z)
	x3.Mul(&x3, &y3)
	y3.Add(&t0, &t2)
	y3.Sub(&x3, &y3) // X1Z2 + X2Z1
	t2.mul21(&t2)
	return v.finishAdd(&t0, &t1, &t2, &t3, &t4, &y3, &z3)
}

// addAffine is the mixed addition of ePrint 2015/1060, algorithm 8: 11 multiplications, complete because q is not the identity.
func (v *Point) addAffine(p *Point, q *affinePoint) *Point {
	var t0, t1, t2, t3, t4, y3, z3 FieldElement
	t0.Mul(&p.x, &q.x)
	t1.Mul(&p.y, &q.y)
	t3.Add(&q.x, &q.y)
	t4.Add(&p.x, &p.y)
	t3.Mul(&t3, &t4)
	t4.Add(&t0, &t1)
	t3.Sub(&t3, &t4)
	t4.Mul(&q.y, &p.z)
	t4.Add(&t4, &p.y)
	y3.Mul(&q.x, &p.z)
	y3.Add(&y3, &p.x)
	t2.mul21(&p.z)
	return v.finishAdd(&t0, &t1, &t2, &t3, &t4, &y3, &z3)
}

// finishAdd is what both additions share, from t0 = X1X2, t1 = Y1Y2, t2 = 21·Z1Z2 and the mixed sums
// t3 = X1Y2 + X2Y1, t4 = Y1Z2 + Y2Z1, y3 = X1Z2 + X2Z1.
func (v *Point) finishAdd(t0, t1, t2, t3, t4, y3, z3 *FieldElement) *Point {
	var x3 FieldElement
	x3.Add(t0, t0)
	t0.Add(&x3, t0)
	z3.Add(t1, t2)
	t1.Sub(t1, t2)
	y3.mul21(y3)
	x3.Mul(t4, y3)
	t2.Mul(t3, t1)
	v.x.Sub(t2, &x3)
	y3.Mul(y3, t0)
	t1.Mul(t1, z3)
	v.y.Add(t1, y3)
	t0.Mul(t0, t3)
	z3.Mul(z3, t4)
	v.z.Add(z3, t0)
	return v
}

// double is the doubling of ePrint 2015/1060, algorithm 9: 6 multiplications and 2 squarings.
func (v *Point) double(p *Point) *Point {
	var t0, t1, t2, x3, y3, z3 FieldElement
	t0.Square(&p.y)
	z3.Add(&t0, &t0)
	z3.Add(&z3, &z3)
	z3.Add(&z3, &z3)
	t1.Mul(&p.y, &p.z)
	t2.Square(&p.z)
	t2.mul21(&t2)
	x3.Mul(&t2, &z3)
	y3.Add(&t0, &t2)
	z3.Mul(&t1, &z3)
	t1.Add(&t2, &t2)
	t2.Add(&t1, &t2)
	t0.Sub(&t0, &t2)
	y3.Mul(&t0, &y3)
	t1.Mul(&p.x, &p.y)
	v.y.Add(&x3, &y3)
	x3.Mul(&t0, &t1)
	v.x.Add(&x3, &x3)
	v.z = z3
	return v
}
