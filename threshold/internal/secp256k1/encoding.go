package secp256k1

import (
	"errors"
	"fmt"
)

// Decoding tells valid from invalid bytes in variable time; which of the two they were is never a secret.

var (
	errNotOnCurve = errors.New("secp256k1: point is not on the curve")
	errPointRange = errors.New("secp256k1: point coordinate is not below p")
)

// curveSeven is the b of the curve equation.
var curveSeven = FieldElement{[4]uint64{7}}

// SetBytes sets v to the point with the compressed encoding b of SEC 1, section 2.3.4: exactly 33 bytes, 02 or 03 and then x < p.
// The identity has no such encoding. On failure v keeps its value.
func (v *Point) SetBytes(b []byte) (*Point, error) {
	if len(b) != 33 {
		return nil, fmt.Errorf("secp256k1: compressed point is %d bytes long, want 33", len(b))
	}
	if b[0] != 2 && b[0] != 3 {
		return nil, fmt.Errorf("secp256k1: compressed point begins with %#02x, want 0x02 or 0x03", b[0])
	}
	return v.lift(b[1:], int(b[0]&1))
}

// SetXOnly sets v to the point with x = b, exactly 32 bytes below p, and even y: lift_x of BIP 340. On failure v keeps its value.
func (v *Point) SetXOnly(b []byte) (*Point, error) {
	if len(b) != 32 {
		return nil, fmt.Errorf("secp256k1: x-only point is %d bytes long, want 32", len(b))
	}
	return v.lift(b, 0)
}

// lift sets v to the point with the given x and parity of y.
func (v *Point) lift(xBytes []byte, odd int) (*Point, error) {
	var x, y FieldElement
	if _, err := x.SetBytes(xBytes); err != nil {
		return nil, errPointRange
	}
	if _, ok := y.Sqrt(y.rightSide(&x)); ok == 0 {
		return nil, errNotOnCurve
	}
	y.CondNegate(y.IsOdd() ^ odd)
	return v.setAffine(&affinePoint{x, y}), nil
}

// rightSide sets z = x³ + 7 and returns z.
func (z *FieldElement) rightSide(x *FieldElement) *FieldElement {
	var t FieldElement
	t.Square(x)
	t.Mul(&t, x)
	return z.Add(&t, &curveSeven)
}

// SetUncompressedBytes sets v to the point with the encoding b of SEC 1, section 2.3.4: exactly 65 bytes, 04 and then x and y, both
// below p and on the curve. On failure v keeps its value.
func (v *Point) SetUncompressedBytes(b []byte) (*Point, error) {
	if len(b) != 65 {
		return nil, fmt.Errorf("secp256k1: uncompressed point is %d bytes long, want 65", len(b))
	}
	if b[0] != 4 {
		return nil, fmt.Errorf("secp256k1: uncompressed point begins with %#02x, want 0x04", b[0])
	}
	var x, y, left, right FieldElement
	if _, err := x.SetBytes(b[1:33]); err != nil {
		return nil, errPointRange
	}
	if _, err := y.SetBytes(b[33:]); err != nil {
		return nil, errPointRange
	}
	if left.Square(&y).Equal(right.rightSide(&x)) == 0 {
		return nil, errNotOnCurve
	}
	return v.setAffine(&affinePoint{x, y}), nil
}

// affine returns x and y of v, or zeros for the identity, whose inverse of Z is 0.
func (v *Point) affine() (a affinePoint) {
	mustBePoints(v)
	var inverse FieldElement
	inverse.Invert(&v.z)
	a.x.Mul(&v.x, &inverse)
	a.y.Mul(&v.y, &inverse)
	return a
}

// compressed writes 02 or 03 and x, or 33 zero bytes if real is 0.
func (a *affinePoint) compressed(dst *[33]byte, real int) {
	dst[0] = byte((2 | a.y.IsOdd()) & -real)
	a.x.putBytes((*[32]byte)(dst[1:]))
}

// Bytes returns the 33 bytes of the compressed encoding. The identity, which SEC 1 cannot compress, gives 33 zero bytes, the
// cbytes_ext of BIP 445; SetBytes refuses them.
func (v *Point) Bytes() []byte {
	var out [33]byte
	a := v.affine()
	a.compressed(&out, 1^v.IsIdentity())
	return out[:]
}

// UncompressedBytes returns the 65 bytes of the uncompressed encoding, or 65 zero bytes for the identity.
func (v *Point) UncompressedBytes() []byte {
	var out [65]byte
	a := v.affine()
	out[0] = byte(4 & -(1 ^ v.IsIdentity()))
	a.x.putBytes((*[32]byte)(out[1:33]))
	a.y.putBytes((*[32]byte)(out[33:]))
	return out[:]
}

// XBytes returns the 32 bytes of x, big-endian: the public key of BIP 340. The identity gives 32 zero bytes.
func (v *Point) XBytes() []byte {
	a := v.affine()
	return a.x.Bytes()
}

// YIsOdd returns 1 if y is odd, 0 if it is even or v is the identity.
func (v *Point) YIsOdd() int {
	a := v.affine()
	return a.y.IsOdd()
}

// HasEvenY returns 1 if y is even, 0 if it is odd or v is the identity, which has no y.
func (v *Point) HasEvenY() int {
	a := v.affine()
	return (1 ^ a.y.IsOdd()) & (1 ^ v.IsIdentity())
}

// BatchBytes returns Bytes of every point for the price of one inversion and six multiplications a point.
func BatchBytes(points []*Point) [][]byte {
	affine := batchAffine(points)
	backing := make([][33]byte, len(points))
	out := make([][]byte, len(points))
	for i := range affine {
		affine[i].compressed(&backing[i], 1^points[i].IsIdentity())
		out[i] = backing[i][:]
	}
	return out
}

// batchAffine returns affine of every point by Montgomery's trick: products of the Z of all points before i, one inversion, and the
// way back. A Z of 0 counts as 1 so that it does not spoil the others.
func batchAffine(points []*Point) []affinePoint {
	mustBePoints(points...)
	out := make([]affinePoint, len(points))
	var one, z, acc FieldElement
	one.SetOne()
	acc.SetOne()
	for i, p := range points {
		out[i].x = acc
		acc.Mul(&acc, z.Select(&one, &p.z, p.z.IsZero()))
	}
	acc.Invert(&acc)
	for i := len(points) - 1; i >= 0; i-- {
		p := points[i]
		isIdentity := p.z.IsZero()
		var inverse, zero FieldElement
		inverse.Mul(&acc, &out[i].x)
		inverse.Select(&zero, &inverse, isIdentity)
		acc.Mul(&acc, z.Select(&one, &p.z, isIdentity))
		out[i].x.Mul(&p.x, &inverse)
		out[i].y.Mul(&p.y, &inverse)
	}
	return out
}
