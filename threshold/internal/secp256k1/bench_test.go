// Goal: the cost of every operation a protocol counts. Method: one benchmark each, on pseudo-random operands.
package secp256k1

import (
	"math/rand"
	"testing"
)

func benchScalar(seed int64) *Scalar {
	var b [64]byte
	rand.New(rand.NewSource(seed)).Read(b[:])
	s, err := new(Scalar).SetUniformBytes(b[:])
	if err != nil {
		panic(err)
	}
	return s
}

func benchPoint(seed int64) *Point { return new(Point).ScalarBaseMult(benchScalar(seed)) }

func BenchmarkFieldMul(b *testing.B) {
	x, y := benchPoint(1).x, benchPoint(2).x
	for b.Loop() {
		x.Mul(&x, &y)
	}
}

func BenchmarkFieldMulThroughput(b *testing.B) {
	x, y := benchPoint(1).x, benchPoint(2).x
	var z [4]FieldElement
	for b.Loop() {
		z[0].Mul(&x, &y)
		z[1].Mul(&x, &y)
		z[2].Mul(&x, &y)
		z[3].Mul(&x, &y)
	}
}

func BenchmarkFieldSquare(b *testing.B) {
	x := benchPoint(1).x
	for b.Loop() {
		x.Square(&x)
	}
}

func BenchmarkFieldAdd(b *testing.B) {
	x, y := benchPoint(1).x, benchPoint(2).x
	for b.Loop() {
		x.Add(&x, &y)
	}
}

func BenchmarkFieldInvert(b *testing.B) {
	x := benchPoint(1).x
	for b.Loop() {
		x.Invert(&x)
	}
}

func BenchmarkFieldSqrt(b *testing.B) {
	x := benchPoint(1).x
	x.Square(&x)
	var r FieldElement
	for b.Loop() {
		r.Sqrt(&x)
	}
}

func BenchmarkScalarAdd(b *testing.B) {
	x, y := benchScalar(1), benchScalar(2)
	for b.Loop() {
		x.Add(x, y)
	}
}

func BenchmarkScalarMul(b *testing.B) {
	x, y := benchScalar(1), benchScalar(2)
	for b.Loop() {
		x.Mul(x, y)
	}
}

func BenchmarkScalarMulAdd(b *testing.B) {
	x, y := benchScalar(1), benchScalar(2)
	for b.Loop() {
		x.MulAdd(x, y, y)
	}
}

func BenchmarkScalarInvert(b *testing.B) {
	x := benchScalar(1)
	for b.Loop() {
		x.Invert(x)
	}
}

func BenchmarkPointAdd(b *testing.B) {
	p, q := benchPoint(1), benchPoint(2)
	for b.Loop() {
		p.Add(p, q)
	}
}

func BenchmarkPointDouble(b *testing.B) {
	p := benchPoint(1)
	for b.Loop() {
		p.Double(p)
	}
}

func BenchmarkScalarBaseMult(b *testing.B) {
	k, p := benchScalar(1), new(Point)
	for b.Loop() {
		p.ScalarBaseMult(k)
	}
}

func BenchmarkScalarMult(b *testing.B) {
	k, p := benchScalar(1), benchPoint(2)
	for b.Loop() {
		p.ScalarMult(k, p)
	}
}

func BenchmarkVarTimeDoubleScalarBaseMult(b *testing.B) {
	k, l, p := benchScalar(1), benchScalar(2), benchPoint(2)
	for b.Loop() {
		p.VarTimeDoubleScalarBaseMult(k, p, l)
	}
}

func BenchmarkVarTimeMultiScalarMult8(b *testing.B) {
	var scalars []*Scalar
	var points []*Point
	for i := range int64(8) {
		scalars, points = append(scalars, benchScalar(i)), append(points, benchPoint(i))
	}
	p := new(Point)
	for b.Loop() {
		p.VarTimeMultiScalarMult(scalars, points)
	}
}

func BenchmarkPointSetBytes(b *testing.B) {
	enc, p := benchPoint(1).Bytes(), new(Point)
	for b.Loop() {
		if _, err := p.SetBytes(enc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPointBytes(b *testing.B) {
	p := benchPoint(1)
	for b.Loop() {
		p.Bytes()
	}
}

func BenchmarkBatchBytes16(b *testing.B) {
	var points []*Point
	for i := range int64(16) {
		points = append(points, benchPoint(i))
	}
	for b.Loop() {
		BatchBytes(points)
	}
}

func BenchmarkBaseTable(b *testing.B) {
	for b.Loop() {
		newBaseTable()
	}
}

func BenchmarkInnerProduct416(b *testing.B) {
	x, y := make([]Scalar, 416), make([]Scalar, 416)
	for i := range x {
		x[i], y[i] = *benchScalar(int64(i)), *benchScalar(int64(-i))
	}
	var s Scalar
	for b.Loop() {
		s.InnerProduct(x, y)
	}
}

func BenchmarkSelfTest(b *testing.B) {
	for b.Loop() {
		if err := SelfTest(); err != nil {
			b.Fatal(err)
		}
	}
}
