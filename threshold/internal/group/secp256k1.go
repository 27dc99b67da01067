package group

import (
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// Secp256k1 is the group of SEC 2 §2.4.1, with big-endian scalars and compressed points.
var Secp256k1 Group = skGroup{}

type skGroup struct{}

func (skGroup) Name() string      { return "secp256k1" }
func (skGroup) ScalarLen() int    { return 32 }
func (skGroup) PointLen() int     { return 33 }
func (skGroup) NewScalar() Scalar { return &SkScalar{} }
func (skGroup) NewPoint() Point   { return &SkPoint{P: *secp256k1.NewIdentity()} }

func (skGroup) HashToScalar(tag string, fields ...[]byte) Scalar {
	wide := expand(tag, fields)
	defer clear(wide)
	return new(SkScalar).SetUniform(wide)
}

func (skGroup) VarTimeMultiScalarMult(scalars []Scalar, points []Point) Point {
	ss := make([]*secp256k1.Scalar, len(scalars))
	ps := make([]*secp256k1.Point, len(points))
	for i := range scalars {
		ss[i], ps[i] = &scalars[i].(*SkScalar).S, &points[i].(*SkPoint).P
	}
	r := &SkPoint{}
	r.P.VarTimeMultiScalarMult(ss, ps)
	return r
}

// SkScalar is a scalar of Secp256k1; schemes that need more than Scalar offers use S.
type SkScalar struct{ S secp256k1.Scalar }

func (x *SkScalar) Set(a Scalar) Scalar       { x.S.Set(&a.(*SkScalar).S); return x }
func (x *SkScalar) SetUint64(v uint64) Scalar { x.S.SetUint64(v); return x }
func (x *SkScalar) SetCanonical(b []byte) (Scalar, error) {
	if _, err := x.S.SetBytes(b); err != nil {
		return nil, ErrScalar
	}
	return x, nil
}
func (x *SkScalar) SetUniform(b []byte) Scalar {
	if _, err := x.S.SetUniformBytes(b); err != nil {
		panic(err)
	}
	return x
}
func (x *SkScalar) Add(a, b Scalar) Scalar {
	x.S.Add(&a.(*SkScalar).S, &b.(*SkScalar).S)
	return x
}
func (x *SkScalar) Sub(a, b Scalar) Scalar {
	x.S.Sub(&a.(*SkScalar).S, &b.(*SkScalar).S)
	return x
}
func (x *SkScalar) Mul(a, b Scalar) Scalar {
	x.S.Mul(&a.(*SkScalar).S, &b.(*SkScalar).S)
	return x
}
func (x *SkScalar) Negate(a Scalar) Scalar { x.S.Negate(&a.(*SkScalar).S); return x }
func (x *SkScalar) Invert(a Scalar) Scalar { x.S.Invert(&a.(*SkScalar).S); return x }
func (x *SkScalar) IsZero() bool           { return x.S.IsZero() == 1 }
func (x *SkScalar) Equal(a Scalar) bool    { return x.S.Equal(&a.(*SkScalar).S) == 1 }
func (x *SkScalar) Bytes() []byte          { return x.S.Bytes() }
func (x *SkScalar) Wipe()                  { x.S.Wipe() }

// SkPoint is a point of Secp256k1; schemes that need more than Point offers use P.
type SkPoint struct{ P secp256k1.Point }

func (x *SkPoint) Set(a Point) Point { x.P.Set(&a.(*SkPoint).P); return x }
func (x *SkPoint) SetCanonical(b []byte) (Point, error) {
	if _, err := x.P.SetBytes(b); err != nil {
		return nil, ErrPoint
	}
	return x, nil
}
func (x *SkPoint) Add(a, b Point) Point {
	x.P.Add(&a.(*SkPoint).P, &b.(*SkPoint).P)
	return x
}
func (x *SkPoint) Sub(a, b Point) Point {
	x.P.Sub(&a.(*SkPoint).P, &b.(*SkPoint).P)
	return x
}
func (x *SkPoint) Negate(a Point) Point          { x.P.Negate(&a.(*SkPoint).P); return x }
func (x *SkPoint) ScalarBaseMult(s Scalar) Point { x.P.ScalarBaseMult(&s.(*SkScalar).S); return x }
func (x *SkPoint) ScalarMult(s Scalar, a Point) Point {
	x.P.ScalarMult(&s.(*SkScalar).S, &a.(*SkPoint).P)
	return x
}
func (x *SkPoint) IsIdentity() bool   { return x.P.IsIdentity() == 1 }
func (x *SkPoint) Equal(a Point) bool { return x.P.Equal(&a.(*SkPoint).P) == 1 }

// Bytes is the compressed encoding; 33 zero bytes for the identity, which SetCanonical refuses.
func (x *SkPoint) Bytes() []byte { return x.P.Bytes() }

// Wipe leaves no trace of a secret point.
func (x *SkPoint) Wipe() { x.P = secp256k1.Point{} }
