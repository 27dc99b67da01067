package secp256k1

import (
	"crypto/sha256"
	"encoding/binary"
)

// Hashing to the curve: the suite secp256k1_XMD:SHA-256_SSWU_RO_ of RFC 9380, section 8.7. It finds a point on the curve
// y² = x³ + A'x + B', which is 3-isogenous to ours, with the simplified map of Shallue, van de Woestijne and Ulas (section 6.6.2, in
// the straight-line form of appendix F.2), and carries it over the isogeny of appendix E.1. All of it runs in constant time.

const (
	hashFieldBytes = 48 // L of RFC 9380, section 5.1
	hashDSTMax     = 255
)

// The suite's A', B' and Z = -11, and the square root of -Z that sqrt_ratio wants (appendix F.2.1.2).
var (
	isoA        = FieldElement{[4]uint64{0x405447c01a444533, 0xe953d363cb6f0e5d, 0xa08a5558f0f5d272, 0x3f8731abdd661adc}}
	isoB        = FieldElement{[4]uint64{1771}}
	mapZ        = *new(FieldElement).Negate(&FieldElement{[4]uint64{11}})
	mapRootOf11 = rootOf(11)
)

func rootOf(x uint64) FieldElement {
	var z FieldElement
	if _, ok := z.Sqrt(z.SetUint64(x)); ok == 0 {
		panic("secp256k1: constant is not a square")
	}
	return z
}

// The coefficients of appendix E.1, constant term first. The denominators are monic: their leading one is not stored.
var (
	isoXNum = [4]FieldElement{
		{[4]uint64{0x8e38e38daaaaa8c7, 0x38e38e38e38e38e3, 0xe38e38e38e38e38e, 0x8e38e38e38e38e38}},
		{[4]uint64{0xdfff1044f17c6581, 0xd595d2fc0bf63b92, 0xb9f315cea7fd44c5, 0x07d3d4c80bc321d5}},
		{[4]uint64{0x4ecbd0b53d9dd262, 0xe4506144037c4031, 0xe2a413deca25caec, 0x534c328d23f234e6}},
		{[4]uint64{0x8e38e38daaaaa88c, 0x38e38e38e38e38e3, 0xe38e38e38e38e38e, 0x8e38e38e38e38e38}},
	}
	isoXDen = [2]FieldElement{
		{[4]uint64{0x9fe6b745781eb49b, 0x86cd409542f8487d, 0x9ca34ccbb7b640dd, 0xd35771193d94918a}},
		{[4]uint64{0xc52a56612a8c6d14, 0x06d36b641f5e41bb, 0xf7c4b2d51b542254, 0xedadc6f64383dc1d}},
	}
	isoYNum = [4]FieldElement{
		{[4]uint64{0xa12f684b8e38e23c, 0x2f684bda12f684bd, 0x684bda12f684bda1, 0x4bda12f684bda12f}},
		{[4]uint64{0xdffc90fc201d71a3, 0x647ab046d686da6f, 0xa9d0a54b12a0a6d5, 0xc75e0c32d5cb7c0f}},
		{[4]uint64{0xa765e85a9ecee931, 0x722830a201be2018, 0x715209ef6512e576, 0x29a6194691f91a73}},
		{[4]uint64{0x84bda12f38e38d84, 0xbda12f684bda12f6, 0xa12f684bda12f684, 0x2f684bda12f684bd}},
	}
	isoYDen = [3]FieldElement{
		{[4]uint64{0xfffffffefffff93b, 0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff}},
		{[4]uint64{0xdfb425d2685c2573, 0x9467c1bfc8e8d978, 0xd5e9e6632722c298, 0x7a06534bb8bdb49f}},
		{[4]uint64{0xa7bf8192bfd2a76f, 0x0a3d21162f0d6299, 0xf3a70c3fa8fe337e, 0x6484aa716545ca2c}},
	}
)

// HashToCurve sets v to the point that the suite secp256k1_XMD:SHA-256_SSWU_RO_ gives msg under the domain separation tag dst, of 1 to
// 255 bytes, and returns v. Nobody knows its discrete logarithm. It panics if dst has another length.
func (v *Point) HashToCurve(msg []byte, dst string) *Point {
	var uniform [2 * hashFieldBytes]byte
	expandMessageXMD(&uniform, msg, dst)
	var u0, u1 FieldElement
	u0.setUniform((*[hashFieldBytes]byte)(uniform[:hashFieldBytes]))
	u1.setUniform((*[hashFieldBytes]byte)(uniform[hashFieldBytes:]))
	var other Point
	return v.add(v.mapToCurve(&u0), other.mapToCurve(&u1)) // the cofactor is 1
}

// expandMessageXMD is section 5.3.1 with SHA-256 for 96 bytes, three blocks of output.
func expandMessageXMD(out *[2 * hashFieldBytes]byte, msg []byte, dst string) {
	if len(dst) == 0 || len(dst) > hashDSTMax {
		panic("secp256k1: domain separation tag is empty or longer than 255 bytes")
	}
	tag := make([]byte, 0, hashDSTMax+1)
	tag = append(append(tag, dst...), byte(len(dst)))

	h := sha256.New()
	var zeroBlock [sha256.BlockSize]byte
	h.Write(zeroBlock[:])
	h.Write(msg)
	h.Write([]byte{0, 2 * hashFieldBytes, 0})
	h.Write(tag)
	var b0, b [sha256.Size]byte
	h.Sum(b0[:0])

	for i := range 3 {
		h.Reset()
		for k := range b {
			b[k] ^= b0[k]
		}
		h.Write(b[:])
		h.Write([]byte{byte(i + 1)})
		h.Write(tag)
		h.Sum(b[:0])
		copy(out[32*i:], b[:])
	}
}

// setUniform sets z to b, big-endian, modulo p.
func (z *FieldElement) setUniform(b *[hashFieldBytes]byte) {
	low := limbsOf(b[16:])
	z.reduce(low[0], low[1], low[2], low[3], binary.BigEndian.Uint64(b[8:16]), binary.BigEndian.Uint64(b[:8]), 0, 0)
}

// mapToCurve sets v to the image of u and returns v: appendix F.2 with x kept as the fraction xn/xd, then the isogeny.
func (v *Point) mapToCurve(u *FieldElement) *Point {
	var one, tv1, tv2, xn, xd, xd2, xd3, gn, t, y, y1, x2 FieldElement
	one.SetOne()
	tv1.Square(u)
	tv1.Mul(&mapZ, &tv1)
	tv2.Square(&tv1)
	tv2.Add(&tv2, &tv1)
	xn.Add(&tv2, &one)
	xn.Mul(&isoB, &xn)
	xd.Negate(&tv2)
	xd.Select(&mapZ, &xd, tv2.IsZero())
	xd.Mul(&isoA, &xd)
	xd2.Square(&xd)
	xd3.Mul(&xd2, &xd)

	// gn/xd³ is the right side x³ + A'x + B' at xn/xd.
	gn.Square(&xn)
	gn.Add(&gn, t.Mul(&isoA, &xd2))
	gn.Mul(&gn, &xn)
	gn.Add(&gn, t.Mul(&isoB, &xd3))

	square := y1.sqrtRatio(&gn, &xd3)
	x2.Mul(&tv1, &xn)
	y.Mul(&tv1, u)
	y.Mul(&y, &y1)
	xn.Select(&xn, &x2, square)
	y.Select(&y1, &y, square)
	y.CondNegate(u.IsOdd() ^ y.IsOdd())
	return v.fromIsogenous(&xn, &xd, &y)
}

// sqrtRatio sets z to the root of u/v and returns 1 if there is one; otherwise it sets z to the root of Z·u/v and returns 0
// (appendix F.2.1.2, for p = 3 mod 4).
func (z *FieldElement) sqrtRatio(u, v *FieldElement) (square int) {
	var uv, r, r2, check FieldElement
	uv.Mul(u, v)
	r.Square(v)
	r.Mul(&r, &uv)
	r.powerP34(&r)
	r.Mul(&r, &uv)
	r2.Mul(&r, &mapRootOf11)
	check.Square(&r)
	check.Mul(&check, v)
	square = check.Equal(u)
	z.Select(&r, &r2, square)
	return square
}

// fromIsogenous sets v to the image of (xn/xd, y) under the isogeny and returns v; its kernel goes to the identity.
func (v *Point) fromIsogenous(xn, xd, y *FieldElement) *Point {
	// Polynomials in xn/xd of degree three, times xd³; the denominator of x has degree two and is multiplied by xd once more.
	var n2, n3, d2, d3, n2d, nd2 FieldElement
	n2.Square(xn)
	n3.Mul(&n2, xn)
	d2.Square(xd)
	d3.Mul(&d2, xd)
	n2d.Mul(&n2, xd)
	nd2.Mul(xn, &d2)

	cubic := func(k *[4]FieldElement) (sum FieldElement) {
		var t FieldElement
		sum.Mul(&k[0], &d3)
		sum.Add(&sum, t.Mul(&k[1], &nd2))
		sum.Add(&sum, t.Mul(&k[2], &n2d))
		sum.Add(&sum, t.Mul(&k[3], &n3))
		return sum
	}
	xNum, yNum := cubic(&isoXNum), cubic(&isoYNum)

	var xDen, yDen, t FieldElement
	xDen.Mul(&isoXDen[0], &d3)
	xDen.Add(&xDen, t.Mul(&isoXDen[1], &nd2))
	xDen.Add(&xDen, &n2d)
	yDen.Mul(&isoYDen[0], &d3)
	yDen.Add(&yDen, t.Mul(&isoYDen[1], &nd2))
	yDen.Add(&yDen, t.Mul(&isoYDen[2], &n2d))
	yDen.Add(&yDen, &n3)

	identity := NewIdentity()
	var image Point
	image.x.Mul(&xNum, &yDen)
	image.y.Mul(y, &yNum)
	image.y.Mul(&image.y, &xDen)
	image.z.Mul(&xDen, &yDen)
	atKernel := image.z.IsZero()
	v.x.Select(&identity.x, &image.x, atKernel)
	v.y.Select(&identity.y, &image.y, atKernel)
	v.z.Select(&identity.z, &image.z, atKernel)
	return v
}
