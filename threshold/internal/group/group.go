// Package group gives the two prime-order groups of the engine one face: scalars, points, strict encodings.
//
// Scalars and points of different groups never mix: doing so panics, because only our own mistake can cause it. Operations
// on scalars, ScalarBaseMult and ScalarMult are constant time; what is called VarTime is for public data only.
package group

import "errors"

// Errors of the decoders. A stranger's bytes cause them, so they carry no detail a stranger could steer.
var (
	ErrScalar = errors.New("group: not a canonical scalar")
	ErrPoint  = errors.New("group: not a canonical point of the prime-order group")
)

// Group is a group of prime order with a generator G.
type Group interface {
	Name() string
	ScalarLen() int // bytes
	PointLen() int  // bytes
	NewScalar() Scalar
	NewPoint() Point // the identity
	// HashToScalar reduces SHA-512 of the transcript hash's expansion to a scalar: the bias is below 2^-128.
	HashToScalar(tag string, fields ...[]byte) Scalar
	// VarTimeMultiScalarMult returns the sum of scalars[i]·points[i], of public data.
	VarTimeMultiScalarMult(scalars []Scalar, points []Point) Point
}

// Scalar is an integer modulo the group order. Methods set the receiver and return it.
type Scalar interface {
	Set(Scalar) Scalar
	SetUint64(uint64) Scalar
	SetCanonical([]byte) (Scalar, error) // exactly ScalarLen bytes in the group's own encoding, less than the order
	SetUniform([]byte) Scalar            // 64 uniform bytes, reduced
	Add(a, b Scalar) Scalar
	Sub(a, b Scalar) Scalar
	Mul(a, b Scalar) Scalar
	Negate(a Scalar) Scalar
	Invert(a Scalar) Scalar
	IsZero() bool
	Equal(Scalar) bool
	Bytes() []byte
	Wipe()
}

// Point is an element of the group. Methods set the receiver and return it.
type Point interface {
	Set(Point) Point
	SetCanonical([]byte) (Point, error) // exactly PointLen bytes; refuses the identity and points outside the group
	Add(a, b Point) Point
	Sub(a, b Point) Point
	Negate(a Point) Point
	ScalarBaseMult(Scalar) Point
	ScalarMult(Scalar, Point) Point
	IsIdentity() bool
	Equal(Point) bool
	Bytes() []byte
	Wipe() // for points that are secret, as those of ECDH
}
