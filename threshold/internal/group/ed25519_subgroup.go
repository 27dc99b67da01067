package group

import (
	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// Whether a point lies in the subgroup of order L is asked of every nonce commitment, so it must be cheap. The curve's group
// is cyclic of order 8·L; the subgroup is what can be halved three times. So we halve (Pornin, "Point-Halving and Subgroup
// Membership in Twisted Edwards Curves", ePrint 2022/1164): four square roots instead of 252 doublings.
//
// We work on v² = u(u² + A·u + 1) with u = (1+y)/(1-y), x = √(-(A+2))·u/v (RFC 7748 §4.1). Its only rational point of order 2
// is (0, 0), so a point is a double if and only if its u is a square. Half of a double has u = q with q + 1/q = w, for that
// root w of w² - 4u·w - 4u·A - 4 = 0, that is of w = 2u ± 2·√(u² + A·u + 1), that makes w + A a square; and q is a square if
// and only if w + 2 is. Over both roots, the products of w + A and of w + 2 are A² - 4 and 4u(2 - A), which are no squares:
// each of w + A and w + 2 is a square for exactly one root, and q is a square if that is the same one.

var (
	montA     = fieldInt(486662)
	minusOne  = new(field.Element).Negate(fieldInt(1))
	sqrtOfM1  = mustSqrt(minusOne, fieldInt(1))                                    // i, the root SqrtRatio uses
	sqrtOfMA2 = mustSqrt(new(field.Element).Negate(fieldInt(486664)), fieldInt(1)) // √(-(A+2))
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
	one, zero := new(field.Element).One(), new(field.Element).Zero()
	if x.Equal(zero) == 1 {
		return false
	}
	var t, root, u, s, w, rootWA, m, n, a, b field.Element

	// u is a square exactly if 1 - y² is; t = 1/(x·√(1-y²)) gives √u and √(u²+A·u+1) = v/√u without another inversion.
	t.Square(y)
	t.Subtract(one, &t)
	a.Square(x)
	t.Multiply(&t, &a)
	if _, ok := t.SqrtRatio(one, &t); ok == 0 {
		return false
	}
	t.Multiply(&t, a.Add(one, y))
	root.Multiply(&t, x)
	u.Square(&root)
	s.Multiply(&t, sqrtOfMA2)

	// The root w for which w + A is a square, and √(w+A).
	w.Add(&u, &s)
	w.Add(&w, &w)
	a.Add(&w, montA)
	if _, ok := rootWA.SqrtRatio(one, &a); ok == 1 {
		rootWA.Multiply(&rootWA, &a)
	} else {
		rootWA.Multiply(&rootWA, sqrtOther)
		w.Subtract(&u, &s)
		w.Add(&w, &w)
	}

	// q is a square if w + 2 = m² is: √q = n/2m with n = w + 2 + 2·√u·√(w+A), because (√q ± 1/√q)² = w ± 2.
	a.Add(&w, one)
	a.Add(&a, one)
	if _, ok := m.SqrtRatio(&a, one); ok == 0 {
		return false
	}
	n.Multiply(&root, &rootWA)
	n.Add(&n, &n)
	n.Add(&n, &a)

	// The half of the half: w' = 2q + 2·√q·√(w+A) = b/2m² with b = n² + 2·m·n·√(w+A), because q² + A·q + 1 = q(w + A). Its u
	// is a square if w' + A and w' + 2 are squares together, whichever root w' is.
	b.Multiply(&m, &rootWA)
	b.Add(&b, &b)
	b.Add(&b, &n)
	b.Multiply(&b, &n)
	a.Add(&a, &a) // 2m²
	m.Multiply(&a, montA)
	m.Add(&m, &b)
	b.Add(&b, &a)
	b.Add(&b, &a)
	_, ok := m.SqrtRatio(m.Multiply(&m, &b), one)
	return ok == 1
}
