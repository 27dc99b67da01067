package group

import (
	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// Whether a point lies in the subgroup of order L is asked of every nonce commitment, so it must be cheap. The curve's group
// E is cyclic of order 8·L, and the subgroup is 8·E. So we halve the point once and ask a pairing whether the half is in 4·E
// (Pornin, "Point-Halving and Subgroup Membership in Twisted Edwards Curves", ePrint 2022/1164; Koshelev, ePrint 2022/037):
// three exponentiations instead of 252 doublings.
//
// We work on v² = u(u² + A·u + 1) with u = (1+y)/(1-y), x = √(-(A+2))·u/v (RFC 7748 §4.1). Its only rational point of order 2
// is (0, 0), so a point is a double if and only if its u is a square. Half of a double has u = q with q + 1/q = w, for that
// root w of w² - 4u·w - 4u·A - 4 = 0, that is of w = 2u ± 2·√(u² + A·u + 1), that makes w + A a square; the product of both
// roots' w + A is A² - 4, no square, so that is one of them. Then v = q·√(w+A).
//
// T = (1, √(A+2)) has order 4, the function (v - √(A+2)·u)²/u has the divisor 4(T) - 4(O), and so a point is in 4·E if and
// only if the function's value there is a fourth power (the reduced Tate pairing with T is 1). At the half it is
// q·(√(w+A) - √(A+2))². Which half is taken makes no difference: they differ by (0, 0), which is in 4·E.

var (
	fieldOne  = new(field.Element).One()
	montA     = fieldInt(486662)
	sqrtOfM1  = mustSqrt(new(field.Element).Negate(fieldOne), fieldOne)         // i, the root SqrtRatio uses
	sqrtOfA2  = mustSqrt(fieldInt(486664), fieldOne)                            // √(A+2)
	sqrtOfMA2 = mustSqrt(new(field.Element).Negate(fieldInt(486664)), fieldOne) // √(-(A+2))
	// sqrtOther is √((A²-4)/i). Where w1 + A is no square, SqrtRatio gives √(i/(w1+A)), and the other root has
	// √(w2+A) = √((A²-4)/(w1+A)).
	sqrtOther = mustSqrt(new(field.Element).Multiply(fieldInt(486660), fieldInt(486664)), sqrtOfM1)
)

func fieldInt(v uint32) *field.Element {
	return new(field.Element).Mult32(new(field.Element).One(), v)
}

func mustSqrt(u, v *field.Element) *field.Element {
	r, ok := new(field.Element).SqrtRatio(u, v)
	if ok != 1 {
		panic("group: constant without a square root")
	}
	return r
}

// edTorsionFree tells whether p has order L. p is public and decoded, so that Z = 1; the identity and the point of order 2,
// for which the map to u is not defined, are refused.
func edTorsionFree(p *edwards25519.Point) bool {
	x, y, _, _ := p.ExtendedCoordinates()
	if x.Equal(new(field.Element)) == 1 {
		return false
	}
	var t, root, u, s, w, rootWA, a field.Element

	// u is a square exactly if 1 - y² is; t = 1/(x·√(1-y²)) gives √u and √(u²+A·u+1) = v/√u without another inversion.
	t.Square(y)
	t.Subtract(fieldOne, &t)
	a.Square(x)
	t.Multiply(&t, &a)
	if _, ok := t.SqrtRatio(fieldOne, &t); ok == 0 {
		return false
	}
	t.Multiply(&t, a.Add(fieldOne, y))
	root.Multiply(&t, x)
	u.Square(&root)
	s.Multiply(&t, sqrtOfMA2)

	// The root w for which w + A is a square, and √(w+A).
	w.Add(&u, &s)
	w.Add(&w, &w)
	a.Add(&w, montA)
	if _, ok := rootWA.SqrtRatio(fieldOne, &a); ok == 1 {
		rootWA.Multiply(&rootWA, &a)
	} else {
		rootWA.Multiply(&rootWA, sqrtOther)
		w.Subtract(&u, &s)
		w.Add(&w, &w)
	}

	// 2q = w + √(w²-4) = w + 2·√u·√(w+A). A factor of 16, a fourth power, saves the halving: a = 16·q·(√(w+A) - √(A+2))².
	a.Multiply(&root, &rootWA)
	a.Add(&a, &a)
	a.Add(&a, &w)
	a.Mult32(&a, 8)
	rootWA.Subtract(&rootWA, sqrtOfA2)
	a.Multiply(&a, rootWA.Square(&rootWA))

	// a^((p-1)/4) = (a^((p-5)/8))²·a.
	t.Pow22523(&a)
	t.Multiply(t.Square(&t), &a)
	return t.Equal(fieldOne) == 1
}
