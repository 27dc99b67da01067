package secp256k1

// Sums of products for public values: interleaving, after Straus (Guide to Elliptic Curve Cryptography, algorithm 3.51) over halved scalars
// in width-w non-adjacent form, so that all terms share 128 doublings. Time and addresses depend on every argument.

const (
	nafLen       = 129 // digits of a 128-bit magnitude, with the carry
	pointWidth   = 5
	pointEntries = 1 << (pointWidth - 2)
	generWidth   = 8
	generEntries = 1 << (generWidth - 2)
)

// generatorOdd holds G, 3G .. 127G, and generatorOddPhi their images under φ: 8 KiB together.
var generatorOdd, generatorOddPhi = newGeneratorOdd()

func newGeneratorOdd() (odd, phi [generEntries]affinePoint) {
	points := make([]*Point, generEntries)
	points[0] = NewGenerator()
	twice := new(Point).double(points[0])
	for i := 1; i < len(points); i++ {
		points[i] = new(Point).add(points[i-1], twice)
	}
	copy(odd[:], batchAffine(points))
	phi = odd
	for i := range phi {
		phi[i].x.Mul(&phi[i].x, &beta)
	}
	return odd, phi
}

// strausTerm is one point of the sum: the digits of both halves of its scalar and the odd multiples they choose from.
type strausTerm struct {
	digits1, digits2 [nafLen]int8
	odd, oddPhi      [pointEntries]Point
}

func (t *strausTerm) set(k *Scalar, p *Point) {
	k1, k2 := k.split()
	k1.naf(&t.digits1, pointWidth)
	k2.naf(&t.digits2, pointWidth)
	t.odd[0] = *p
	var twice Point
	twice.double(p)
	for i := range t.odd {
		if i > 0 {
			t.odd[i].add(&t.odd[i-1], &twice)
		}
		t.oddPhi[i] = t.odd[i]
		t.oddPhi[i].x.Mul(&t.odd[i].x, &beta)
	}
}

// VarTimeDoubleScalarBaseMult sets v = a·p + b·G and returns v, in variable time: a, p and b must be public.
func (v *Point) VarTimeDoubleScalarBaseMult(a *Scalar, p *Point, b *Scalar) *Point {
	mustBePoints(p)
	var term [1]strausTerm
	term[0].set(a, p)
	return v.straus(term[:], b)
}

// VarTimeMultiScalarMult sets v to the sum of scalars[i]·points[i] and returns v, in variable time: all of them must be public. It
// panics if the lengths differ. The empty sum is the identity.
func (v *Point) VarTimeMultiScalarMult(scalars []*Scalar, points []*Point) *Point {
	if len(scalars) != len(points) {
		panic("secp256k1: as many scalars as points are needed")
	}
	mustBePoints(points...)
	terms := make([]strausTerm, len(points))
	for i := range terms {
		terms[i].set(scalars[i], points[i])
	}
	return v.straus(terms, new(Scalar))
}

// straus sets v to the sum of the terms and b·G, and returns v.
func (v *Point) straus(terms []strausTerm, b *Scalar) *Point {
	b1, b2 := b.split()
	var digits1, digits2 [nafLen]int8
	b1.naf(&digits1, generWidth)
	b2.naf(&digits2, generWidth)
	v.setIdentity()
	for i := nafLen - 1; i >= 0; i-- {
		v.double(v)
		for j := range terms {
			t := &terms[j]
			v.addDigit(&t.odd, t.digits1[i])
			v.addDigit(&t.oddPhi, t.digits2[i])
		}
		v.addGeneratorDigit(&generatorOdd, digits1[i])
		v.addGeneratorDigit(&generatorOddPhi, digits2[i])
	}
	return v
}

// addDigit adds d times the point of the table, d odd or zero.
func (v *Point) addDigit(odd *[pointEntries]Point, d int8) {
	switch {
	case d > 0:
		v.add(v, &odd[d>>1])
	case d < 0:
		entry := odd[-d>>1]
		entry.y.Negate(&entry.y)
		v.add(v, &entry)
	}
}

// addGeneratorDigit is addDigit for a table of affine points.
func (v *Point) addGeneratorDigit(odd *[generEntries]affinePoint, d int8) {
	switch {
	case d > 0:
		v.addAffine(v, &odd[d>>1])
	case d < 0:
		entry := odd[-d>>1]
		entry.y.Negate(&entry.y)
		v.addAffine(v, &entry)
	}
}

// naf writes the digits of h, each zero or odd and below 2^(width-1) in magnitude, no two non-zero ones closer than width.
func (h *half) naf(digits *[nafLen]int8, width int) {
	carry := uint64(0)
	for i := 0; i < nafLen; {
		if h.bits(i, 1) == carry {
			i++
			continue
		}
		d := int(h.bits(i, width) + carry)
		carry = uint64(d >> (width - 1))
		d -= int(carry) << width
		if h.negative == 1 {
			d = -d
		}
		digits[i] = int8(d)
		i += width
	}
}

// bits returns n bits of the magnitude from bit i, with zeros above bit 127.
func (h *half) bits(i, n int) uint64 {
	var w uint64
	switch {
	case i >= 64:
		w = h.hi >> (i - 64)
	case i == 0:
		w = h.lo
	default:
		w = h.lo>>i | h.hi<<(64-i)
	}
	return w & (1<<n - 1)
}
