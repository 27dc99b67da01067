package secp256k1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Known answers, computed with an affine implementation of its own on Python's integers.
const (
	selfK1      = "aa5e28d6a97a2479a65527f7290311a3624d4cc0fa1578598ee3c2613bf99522"
	selfK2      = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
	selfK1K2    = "c68c52b8b7a34bc3ed3bf05cb3d20b983fddd6a5559c048570ebd4a9024466e1"
	selfInverse = "a75d300d523be768a6ed713ee2a80886d8a6992fbfcebcfda5c8e598c3ec8835" // 1/k1
	selfPoint1  = "0234f9460f0e4f08393d192b3c5133a6ba099aa0ad9fd54ebccfacdfa239ff49c6"
	selfPoint12 = "03a6a3c3cc5752df9529665d7d626f9c7148363e6ef22c2458b5ed6c6fd0085df8" // k1·k2·G
	selfSum     = "0380313113d8750f836a4cc5230607fd02f3e5e47de57bc4bebb96ce8aa940c4e6" // k1·k2·G + k1·G
	selfMinusG  = "0379be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
	selfProduct = "fd3dc529c6eb60fb9d166034cf3c1a5a72324aa9dfd3428a56d7e1ce0179fd9b" // x(G)·y(G) mod p
	selfFieldIn = "237afdf1d2938d86870aaeb8ad77626a67b8e794abfb076be61d003687ca9ef6" // 1/x(G) mod p
)

// Answers of RFC 9380, appendix J.8.1, and the tag of all of them.
const (
	selfHashTag  = "QUUX-V01-CS02-with-secp256k1_XMD:SHA-256_SSWU_RO_"
	selfHashABC  = "023377e01eab42db296b512293120c6cee72b6ecf9f9205760bd9ff11fb3cb2c4b" // of "abc": both of its x³ + A'x + B' are squares
	selfHashLong = "03e2167bc785333a37aa562f021f1e881defb853839babf52a7f72b102e41890e9" // of "q128_qq…q", 133 bytes: one is not
)

// SelfTest computes known answers with every algorithm and table of the package, in half a millisecond. It is run at boot; a
// node whose SelfTest fails has a broken build or broken hardware and must not start.
func SelfTest() error {
	for _, t := range []struct {
		name string
		test func() bool
	}{
		{"field", selfTestField},
		{"scalar", selfTestScalar},
		{"group", selfTestGroup},
		{"generator tables", selfTestTables},
		{"decoding", selfTestDecoding},
		{"hashing to the curve", selfTestHash},
	} {
		if !t.test() {
			return fmt.Errorf("secp256k1: self-test of %s failed: do not use this build on this machine", t.name)
		}
	}
	return nil
}

func isHex(b []byte, want string) bool { return hex.EncodeToString(b) == want }

// knownScalar decodes a constant of this file.
func knownScalar(s string) *Scalar {
	b, err := hex.DecodeString(s)
	if err == nil {
		var k *Scalar
		if k, err = new(Scalar).SetBytes(b); err == nil {
			return k
		}
	}
	panic(err)
}

func selfTestField() bool {
	x, y := generator.x, generator.y
	var product, square, inverse, root FieldElement
	product.Mul(&x, &y)
	inverse.Invert(&x)
	_, ok := root.Sqrt(square.Square(&y))
	_, bad := root.Sqrt(new(FieldElement).Negate(&square)) // -1 is not a square, so neither is -y²
	return isHex(product.Bytes(), selfProduct) && isHex(inverse.Bytes(), selfFieldIn) &&
		ok == 1 && bad == 0 && (root.Equal(&y)|root.Equal(y.Negate(&y))) == 1
}

func selfTestScalar() bool {
	k1, k2 := knownScalar(selfK1), knownScalar(selfK2)
	var product, inverse, minusOne, one Scalar
	product.Mul(k1, k2)
	inverse.Invert(k1)
	one.Square(minusOne.Negate(minusOne.SetOne()))
	tops := []Scalar{minusOne, minusOne, minusOne} // their squares sum to more than 2⁵¹² and are 3 modulo n
	three := new(Scalar).InnerProduct(tops, tops)
	return isHex(product.Bytes(), selfK1K2) && three.Equal(new(Scalar).SetUint64(3)) == 1 &&
		new(Scalar).MulAddMulAdd(&minusOne, &minusOne, &minusOne, &minusOne, &one).Equal(three) == 1 && isHex(inverse.Bytes(), selfInverse) &&
		one.Equal(new(Scalar).SetOne()) == 1 && minusOne.IsHigh() == 1 && one.IsHigh() == 0
}

func selfTestGroup() bool {
	k1, k2 := knownScalar(selfK1), knownScalar(selfK2)
	p1 := new(Point).ScalarMult(k1, NewGenerator())
	p12 := new(Point).ScalarMult(k2, p1)
	sum := new(Point).Add(p12, p1)
	again := new(Point).VarTimeMultiScalarMult([]*Scalar{k2, new(Scalar).SetOne()}, []*Point{p1, p1})
	minusG := new(Point).Sub(NewGenerator(), new(Point).Double(NewGenerator()))
	zero := new(Point).Add(minusG, NewGenerator())
	return isHex(p1.Bytes(), selfPoint1) && isHex(p12.Bytes(), selfPoint12) && isHex(sum.Bytes(), selfSum) &&
		again.Equal(sum) == 1 && isHex(minusG.Bytes(), selfMinusG) && zero.IsIdentity() == 1 && sum.IsIdentity() == 0
}

// selfTestTables holds every entry of the tables against the next: doubling and adding reach all of them.
func selfTestTables() bool {
	power := NewGenerator()
	for i := range baseTable {
		if !isOddMultiples(baseTable[i][:], power) {
			return false
		}
		for range baseWindowBits {
			power.double(power)
		}
	}
	phi := NewGenerator()
	phi.x.Mul(&phi.x, &beta)
	k1, k2 := knownScalar(selfK1), knownScalar(selfK2)
	p12 := new(Point).VarTimeDoubleScalarBaseMult(k2, new(Point).ScalarBaseMult(k1), new(Scalar))
	sum := new(Point).VarTimeDoubleScalarBaseMult(k2, new(Point).ScalarBaseMult(k1), k1)
	return power.Equal(new(Point).setAffine(&baseStart)) == 1 &&
		phi.Equal(new(Point).ScalarBaseMult(&splitLambda)) == 1 &&
		isOddMultiples(generatorOdd[:], NewGenerator()) && isOddMultiples(generatorOddPhi[:], phi) &&
		isHex(p12.Bytes(), selfPoint12) && isHex(sum.Bytes(), selfSum)
}

// isOddMultiples reports whether row is p, 3p, 5p and so on.
func isOddMultiples(row []affinePoint, p *Point) bool {
	var want, twice, got Point
	want.Set(p)
	twice.double(p)
	for i := range row {
		if got.setAffine(&row[i]).Equal(&want) == 0 {
			return false
		}
		want.add(&want, &twice)
	}
	return true
}

func selfTestDecoding() bool {
	g := NewGenerator()
	compressed, err1 := new(Point).SetBytes(g.Bytes())
	full, err2 := new(Point).SetUncompressedBytes(g.UncompressedBytes())
	lifted, err3 := new(Point).SetXOnly(g.XBytes())
	if errors.Join(err1, err2, err3) != nil {
		return false
	}
	five := make([]byte, 33) // x = 5 is on the twist
	five[0], five[32] = 2, 5
	_, err := new(Point).SetBytes(five)
	return compressed.Equal(g)&full.Equal(g)&lifted.Equal(g) == 1 && errors.Is(err, errNotOnCurve)
}

func selfTestHash() bool {
	abc := new(Point).HashToCurve([]byte("abc"), selfHashTag)
	long := new(Point).HashToCurve([]byte("q128_"+strings.Repeat("q", 128)), selfHashTag)
	return isHex(abc.Bytes(), selfHashABC) && isHex(long.Bytes(), selfHashLong)
}
