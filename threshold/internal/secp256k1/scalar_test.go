// Goal: scalars agree with an independent implementation everywhere, decode canonically and never print. Method: the same operation
// on math/big, and on decred for a part, for all pairs of edge values and structured random pairs.
package secp256k1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand"
	"strings"
	"testing"
)

// sameScalar fails unless s is want modulo n, in canonical limbs. It leaves want reduced.
func sameScalar(t *testing.T, op string, s *Scalar, want *big.Int, x, y *big.Int) {
	if want.Mod(want, orderN); s.n != limbsOfBig(want) {
		t.Fatalf("%s of %x and %x is %x, want %x", op, x, y, s.Bytes(), want)
	}
}

func TestScalarAgainstBig(t *testing.T) {
	var s Scalar
	var want big.Int
	inputs(t, scalarInputs, orderN, func(x, y *big.Int) {
		a, b := scalarOfBig(x), scalarOfBig(y)
		sameScalar(t, "reduction", a, want.Set(x), x, y)
		sameScalar(t, "product", s.Mul(a, b), want.Mul(x, y), x, y)
		sameScalar(t, "a·b + a", s.MulAdd(a, b, a), want.Add(want.Mul(x, y), x), x, y)
		sameScalar(t, "sum", s.Add(a, b), want.Add(x, y), x, y)
		sameScalar(t, "difference", s.Sub(a, b), want.Sub(x, y), x, y)
		sameScalar(t, "negation", s.Negate(a), want.Neg(x), x, y)
	})
}

func TestScalarWideReduction(t *testing.T) {
	var s Scalar
	var want big.Int
	inputs(t, scalarInputs/10, orderN, func(x, y *big.Int) {
		var wide [64]byte
		x.FillBytes(wide[:32])
		y.FillBytes(wide[32:])
		for _, b := range [][]byte{wide[:], wide[:48]} {
			if _, err := s.SetUniformBytes(b); err != nil {
				t.Fatal(err)
			}
			sameScalar(t, "wide reduction", &s, want.SetBytes(b), x, y)
		}
	})
	for _, n := range []int{0, 32, 47, 49, 63, 65} {
		if _, err := s.SetUniformBytes(make([]byte, n)); err == nil {
			t.Errorf("SetUniformBytes takes %d bytes", n)
		}
	}
}

func TestScalarInvertAgainstDecred(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	values := edges(orderN)
	for len(values) < inversionInputs {
		values = append(values, runs(rng))
	}
	var s Scalar
	for i, x := range values {
		a := scalarOfBig(x)
		if s.Mul(s.Invert(a), a); s.IsZero() != a.IsZero() || a.IsZero() == 0 && s.Equal(new(Scalar).SetOne()) == 0 {
			t.Fatalf("inverse of %x is wrong", x)
		}
		d := decredScalar(a)
		if a.IsHigh() == 1 != d.IsOverHalfOrder() {
			t.Fatalf("IsHigh(%x) = %d", x, a.IsHigh())
		}
		if want := d.InverseNonConst().Bytes(); i%4 == 0 && !bytes.Equal(want[:], s.Invert(a).Bytes()) {
			t.Fatalf("inverse of %x is %x, decred says %x", x, s.Bytes(), want)
		}
	}
}

func TestScalarPredicatesAndSelection(t *testing.T) {
	for _, x := range edges(orderN) {
		a := scalarOfBig(x)
		canonical := new(big.Int).Mod(x, orderN)
		if got := a.IsZero(); (got == 1) != (canonical.Sign() == 0) {
			t.Errorf("IsZero(%x) = %d", x, got)
		}
		if got := a.IsHigh(); (got == 1) != (canonical.Cmp(new(big.Int).Rsh(orderN, 1)) > 0) {
			t.Errorf("IsHigh(%x) = %d", x, got)
		}
		var neg, kept Scalar
		kept.Set(a).CondNegate(0)
		neg.Set(a).CondNegate(1)
		if kept != *a || neg.Add(&neg, a).IsZero() != 1 {
			t.Errorf("CondNegate(%x) is wrong", x)
		}
		for _, y := range edges(orderN) {
			b := scalarOfBig(y)
			if got := a.Equal(b); (got == 1) != (canonical.Cmp(new(big.Int).Mod(y, orderN)) == 0) {
				t.Errorf("Equal(%x, %x) = %d", x, y, got)
			}
			var z Scalar
			if *z.Select(a, b, 1) != *a || *z.Select(a, b, 0) != *b {
				t.Errorf("Select(%x, %x) is wrong", x, y)
			}
		}
	}
}

func TestScalarSetBytesTakesExactlyTheCanonical(t *testing.T) {
	var buf, out [32]byte
	for _, x := range edges(orderN) {
		s := *new(Scalar).SetUint64(9)
		_, err := s.SetBytes(x.FillBytes(buf[:]))
		if canonical := x.Cmp(orderN) < 0; canonical != (err == nil) {
			t.Errorf("SetBytes(%x): %v", x, err)
		} else if s.PutBytes(&out); canonical && out != buf {
			t.Errorf("SetBytes(%x) gives %x", x, out)
		} else if !canonical && s != *new(Scalar).SetUint64(9) {
			t.Errorf("SetBytes(%x) changed its receiver", x)
		}
	}
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := new(Scalar).SetBytes(make([]byte, n)); err == nil {
			t.Errorf("SetBytes takes %d bytes", n)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("SetBytesReduced takes 31 bytes")
		}
	}()
	new(Scalar).SetBytesReduced(make([]byte, 31))
}

func TestScalarArgumentsMayAlias(t *testing.T) {
	a, b := benchScalar(1), benchScalar(2)
	for name, op := range map[string]func(s, x, y *Scalar){
		"Add":    func(s, x, y *Scalar) { s.Add(x, y) },
		"Sub":    func(s, x, y *Scalar) { s.Sub(x, y) },
		"Mul":    func(s, x, y *Scalar) { s.Mul(x, y) },
		"MulAdd": func(s, x, y *Scalar) { s.MulAdd(x, y, x) },
		"Invert": func(s, x, _ *Scalar) { s.Invert(x) },
		"two":    func(s, x, y *Scalar) { s.MulAddMulAdd(x, y, y, x, x) },
		"Select": func(s, x, y *Scalar) { s.Select(x, y, 1) },
	} {
		var want Scalar
		op(&want, a, b)
		left, right := *a, *b
		op(&left, &left, b)
		op(&right, a, &right)
		if left != want || right != want {
			t.Errorf("%s: an aliased receiver changes the result", name)
		}
		var twice Scalar
		op(&twice, a, new(Scalar).Set(a))
		both := *a
		if op(&both, &both, &both); both != twice {
			t.Errorf("%s: two aliased arguments change the result", name)
		}
	}
}

func TestScalarIsNeverPrinted(t *testing.T) {
	s, err := new(Scalar).SetBytes(bytes.Repeat([]byte{0xab}, 32))
	if err != nil {
		t.Fatal(err)
	}
	owner := struct{ Share Scalar }{*s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, v := range []any{s, *s, owner, &owner, []*Scalar{s}, []Scalar{*s}} {
			out := strings.ToLower(fmt.Sprintf(verb, v))
			if strings.Contains(out, "abab") || strings.Contains(out, "12370169") { // 0xabab… in decimal
				t.Errorf("%s of %T prints the scalar: %s", verb, v, out)
			}
		}
	}
	if out, err := json.Marshal(owner); err != nil || string(out) != `{"Share":{}}` {
		t.Errorf("encoded as %s, %v", out, err)
	}
	if s.Wipe(); s.IsZero() != 1 {
		t.Error("Wipe leaves a value behind")
	}
}

func TestInnerProduct(t *testing.T) {
	top := *new(Scalar).Negate(new(Scalar).SetOne())
	for _, n := range []int{0, 1, 2, 3, 416, 5000} {
		random, list, tops := make([]Scalar, n), make([]Scalar, n), make([]Scalar, n)
		var want, wantTops Scalar
		for i := range n {
			random[i], list[i], tops[i] = *benchScalar(int64(i)), *benchScalar(int64(-i)), top
			want.MulAdd(&random[i], &list[i], &want)
			wantTops.MulAdd(&top, &top, &wantTops)
		}
		if got := new(Scalar).InnerProduct(random, list); got.Equal(&want) == 0 {
			t.Errorf("inner product of %d terms is %x, want %x", n, got.Bytes(), want.Bytes())
		}
		if got := new(Scalar).InnerProduct(tops, tops); got.Equal(&wantTops) == 0 {
			t.Errorf("inner product of %d times n-1 is %x, want %x", n, got.Bytes(), wantTops.Bytes())
		}
		if n > 0 { // the receiver may be a term
			if random[0].InnerProduct(random, list); random[0].Equal(&want) == 0 {
				t.Errorf("an aliased receiver changes the inner product of %d terms", n)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("lists of different lengths are taken")
		}
	}()
	new(Scalar).InnerProduct(make([]Scalar, 2), make([]Scalar, 1))
}

// TestMulAddMulAdd holds the sum of two products to MulAdd, on the largest scalars and random ones.
func TestMulAddMulAdd(t *testing.T) {
	var list []Scalar
	for i := range 6 {
		list = append(list, *benchScalar(int64(i)))
	}
	for d := range uint64(3) {
		small := *new(Scalar).SetUint64(d)
		list = append(list, small, *new(Scalar).Sub(new(Scalar), &small))
	}
	for i := range list {
		for j := range list {
			for k := range list {
				a, b, c := &list[i], &list[j], &list[k]
				var want Scalar
				want.MulAdd(a, b, c)
				want.MulAdd(b, c, &want)
				if got := new(Scalar).MulAddMulAdd(a, b, b, c, c); got.Equal(&want) == 0 {
					t.Fatalf("%d, %d, %d: %x, want %x", i, j, k, got.Bytes(), want.Bytes())
				}
			}
		}
	}
}
