package group

import (
	"bytes"
	"crypto/sha512"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"

	"github.com/luxfi/mpcd/internal/canon"
)

// Ed25519 is the prime-order subgroup of edwards25519 (RFC 8032), with little-endian encodings.
var Ed25519 Group = edGroup{}

type edGroup struct{}

func (edGroup) Name() string      { return "ed25519" }
func (edGroup) ScalarLen() int    { return 32 }
func (edGroup) PointLen() int     { return 32 }
func (edGroup) NewScalar() Scalar { return &edScalar{} }
func (edGroup) NewPoint() Point   { p := &edPoint{}; p.p.Set(edwards25519.NewIdentityPoint()); return p }

func (edGroup) HashToScalar(tag string, fields ...[]byte) Scalar {
	wide := expand(tag, fields)
	defer clear(wide)
	return new(edScalar).SetUniform(wide)
}

// expand stretches the transcript hash to 64 bytes, for reductions without bias.
func expand(tag string, fields [][]byte) []byte {
	h := canon.Hash(tag, fields...)
	w := sha512.Sum512(h[:])
	clear(h[:])
	return w[:]
}

func (edGroup) VarTimeMultiScalarMult(scalars []Scalar, points []Point) Point {
	ss := make([]*edwards25519.Scalar, len(scalars))
	ps := make([]*edwards25519.Point, len(points))
	for i := range scalars {
		ss[i], ps[i] = &scalars[i].(*edScalar).s, &points[i].(*edPoint).p
	}
	r := &edPoint{}
	r.p.VarTimeMultiScalarMult(ss, ps)
	return r
}

// ProperEd25519 tells whether 32 bytes are the canonical encoding of a point that is not of small order. It may have a part of small order
// all the same, which no point of Ed25519 has.
func ProperEd25519(b []byte) bool {
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil || !bytes.Equal(p.Bytes(), b) {
		return false
	}
	return new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0
}

type edScalar struct{ s edwards25519.Scalar }

func (x *edScalar) Set(a Scalar) Scalar { x.s.Set(&a.(*edScalar).s); return x }
func (x *edScalar) SetUint64(v uint64) Scalar {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
	if _, err := x.s.SetCanonicalBytes(b[:]); err != nil {
		panic(err)
	}
	return x
}
func (x *edScalar) SetCanonical(b []byte) (Scalar, error) {
	if _, err := x.s.SetCanonicalBytes(b); err != nil {
		return nil, ErrScalar
	}
	return x, nil
}
func (x *edScalar) SetUniform(b []byte) Scalar {
	if _, err := x.s.SetUniformBytes(b); err != nil {
		panic(err)
	}
	return x
}
func (x *edScalar) Add(a, b Scalar) Scalar {
	x.s.Add(&a.(*edScalar).s, &b.(*edScalar).s)
	return x
}
func (x *edScalar) Sub(a, b Scalar) Scalar {
	x.s.Subtract(&a.(*edScalar).s, &b.(*edScalar).s)
	return x
}
func (x *edScalar) Mul(a, b Scalar) Scalar {
	x.s.Multiply(&a.(*edScalar).s, &b.(*edScalar).s)
	return x
}
func (x *edScalar) Negate(a Scalar) Scalar { x.s.Negate(&a.(*edScalar).s); return x }
func (x *edScalar) Invert(a Scalar) Scalar { x.s.Invert(&a.(*edScalar).s); return x }
func (x *edScalar) IsZero() bool           { return x.s.Equal(edwards25519.NewScalar()) == 1 }
func (x *edScalar) Equal(a Scalar) bool    { return x.s.Equal(&a.(*edScalar).s) == 1 }
func (x *edScalar) Bytes() []byte          { return x.s.Bytes() }
func (x *edScalar) Wipe()                  { x.s = edwards25519.Scalar{} }

type edPoint struct{ p edwards25519.Point }

func (x *edPoint) Set(a Point) Point { x.p.Set(&a.(*edPoint).p); return x }

// SetCanonical refuses what edwards25519 alone accepts: encodings that are not canonical, the identity, and points with a
// torsion component (RFC 9591 §6.1, DeserializeElement).
func (x *edPoint) SetCanonical(b []byte) (Point, error) {
	if _, err := x.p.SetBytes(b); err != nil {
		return nil, ErrPoint
	}
	if !edCanonicalY(b) || !edTorsionFree(&x.p) {
		return nil, ErrPoint
	}
	return x, nil
}

// edCanonicalY tells whether y, the 255 low bits of the 32 bytes, is below p. The other second encodings, those of x = 0, are
// of points that edTorsionFree refuses.
func edCanonicalY(b []byte) bool {
	y, err := new(field.Element).SetBytes(b)
	if err != nil {
		return false
	}
	again := y.Bytes()
	again[31] |= b[31] & 0x80
	return bytes.Equal(again, b)
}

func (x *edPoint) Add(a, b Point) Point {
	x.p.Add(&a.(*edPoint).p, &b.(*edPoint).p)
	return x
}
func (x *edPoint) Sub(a, b Point) Point {
	x.p.Subtract(&a.(*edPoint).p, &b.(*edPoint).p)
	return x
}
func (x *edPoint) Negate(a Point) Point { x.p.Negate(&a.(*edPoint).p); return x }
func (x *edPoint) ScalarBaseMult(s Scalar) Point {
	x.p.ScalarBaseMult(&s.(*edScalar).s)
	return x
}
func (x *edPoint) ScalarMult(s Scalar, a Point) Point {
	x.p.ScalarMult(&s.(*edScalar).s, &a.(*edPoint).p)
	return x
}
func (x *edPoint) IsIdentity() bool   { return x.p.Equal(edwards25519.NewIdentityPoint()) == 1 }
func (x *edPoint) Equal(a Point) bool { return x.p.Equal(&a.(*edPoint).p) == 1 }
func (x *edPoint) Bytes() []byte      { return x.p.Bytes() }
func (x *edPoint) Wipe()              { x.p = edwards25519.Point{} }
