// Goal: the field agrees with an independent implementation everywhere. Method: the same operation on math/big for all pairs of edge
// values and structured random pairs, representatives at and above p included.
package secp256k1

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand"
	"testing"
)

// sameField fails unless z is want modulo p. It leaves want reduced.
func sameField(t *testing.T, op string, z *FieldElement, want *big.Int, x, y *big.Int) {
	if want.Mod(want, fieldP); z.normalised() != limbsOfBig(want) {
		t.Fatalf("%s of %x and %x is %x, want %x", op, x, y, z.Bytes(), want)
	}
}

func TestFieldAgainstBig(t *testing.T) {
	var z FieldElement
	var want big.Int
	inputs(t, fieldInputs, fieldP, func(x, y *big.Int) {
		a, b := FieldElement{limbsOfBig(x)}, FieldElement{limbsOfBig(y)}
		sameField(t, "product", z.Mul(&a, &b), want.Mul(x, y), x, y)
		sameField(t, "square", z.Square(&a), want.Mul(x, x), x, y)
		sameField(t, "sum", z.Add(&a, &b), want.Add(x, y), x, y)
		sameField(t, "difference", z.Sub(&a, &b), want.Sub(x, y), x, y)
		sameField(t, "negation", z.Negate(&a), want.Neg(x), x, y)
		sameField(t, "21-fold", z.mul21(&a), want.Mul(x, big.NewInt(21)), x, y)
	})
}

func TestFieldPredicates(t *testing.T) {
	for _, x := range edges(fieldP) {
		a := FieldElement{limbsOfBig(x)}
		canonical := new(big.Int).Mod(x, fieldP)
		if got := a.IsOdd(); got != int(canonical.Bit(0)) {
			t.Errorf("IsOdd(%x) = %d", x, got)
		}
		if got := a.IsZero(); (got == 1) != (canonical.Sign() == 0) {
			t.Errorf("IsZero(%x) = %d", x, got)
		}
		for _, y := range edges(fieldP) {
			b := FieldElement{limbsOfBig(y)}
			if got := a.Equal(&b); (got == 1) != (canonical.Cmp(new(big.Int).Mod(y, fieldP)) == 0) {
				t.Errorf("Equal(%x, %x) = %d", x, y, got)
			}
			var z FieldElement
			if z.Select(&a, &b, 1) != &z || z != a || *z.Select(&a, &b, 0) != b {
				t.Errorf("Select(%x, %x) is wrong", x, y)
			}
		}
	}
}

func TestFieldInvertAndSqrt(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	values := edges(fieldP)
	for len(values) < inversionInputs {
		values = append(values, runs(rng))
	}
	var z, square FieldElement
	var want big.Int
	for i, x := range values {
		a := FieldElement{limbsOfBig(x)}
		if z.Mul(z.Invert(&a), &a); z.IsZero() != a.IsZero() || a.IsZero() == 0 && z.Equal(new(FieldElement).SetOne()) == 0 {
			t.Fatalf("inverse of %x is wrong", x)
		}
		square.Square(&a)
		if _, ok := z.Sqrt(&square); ok != 1 || (z.Equal(&a)|z.Negate(&z).Equal(&a)) != 1 {
			t.Fatalf("square root of (%x)² is wrong", x)
		}
		if i%10 == 0 {
			isSquare := big.Jacobi(want.Mod(x, fieldP), fieldP) >= 0
			before := z
			if _, ok := z.Sqrt(&a); (ok == 1) != isSquare || ok == 0 && z != before {
				t.Fatalf("Sqrt(%x) says %d, want %v", x, ok, isSquare)
			}
		}
	}
}

func TestFieldSetBytesTakesExactlyTheCanonical(t *testing.T) {
	var buf [32]byte
	for _, x := range edges(fieldP) {
		z := FieldElement{[4]uint64{9}}
		_, err := z.SetBytes(x.FillBytes(buf[:]))
		if canonical := x.Cmp(fieldP) < 0; canonical != (err == nil) {
			t.Errorf("SetBytes(%x): %v", x, err)
		} else if canonical && !bytes.Equal(z.Bytes(), buf[:]) {
			t.Errorf("SetBytes(%x) gives %x", x, z.Bytes())
		} else if !canonical && (z != FieldElement{[4]uint64{9}} || !errors.Is(err, errFieldRange)) {
			t.Errorf("SetBytes(%x) changed its receiver or failed for another reason: %v", x, err)
		}
	}
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := new(FieldElement).SetBytes(make([]byte, n)); err == nil {
			t.Errorf("SetBytes takes %d bytes", n)
		}
	}
}
