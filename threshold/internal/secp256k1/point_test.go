// Goal: group operations agree with an independent implementation, exceptional cases included. Method: decred's operations on the
// same points: chains of random multiples, equal, opposite and identity arguments, and scalars from the edge list.
package secp256k1

import (
	"bytes"
	"math/big"
	"math/rand"
	"slices"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// edgePoints returns the identity, small and large multiples of G, points of small and large x, and their opposites, each also in
// coordinates with Z ≠ 1.
func edgePoints(t *testing.T) []*Point {
	t.Helper()
	out := []*Point{NewIdentity(), NewGenerator()}
	for _, k := range []*Scalar{new(Scalar).SetUint64(2), new(Scalar).SetUint64(3), &splitLambda, scalarOfBig(new(big.Int).Rsh(orderN, 1))} {
		out = append(out, new(Point).ScalarBaseMult(k))
	}
	small, large := big.NewInt(0), new(big.Int).Sub(fieldP, big.NewInt(1))
	for len(out) < edgePointMembers/2 {
		for _, x := range []*big.Int{small, large} {
			if p, err := new(Point).SetXOnly(x.FillBytes(make([]byte, 32))); err == nil {
				out = append(out, p)
			}
		}
		small.Add(small, big.NewInt(1))
		large.Sub(large, big.NewInt(1))
	}
	for _, p := range slices.Clone(out) {
		q := new(Point).Negate(p)
		scale := benchPoint(7).x
		q.x.Mul(&q.x, &scale)
		q.y.Mul(&q.y, &scale)
		q.z.Mul(&q.z, &scale)
		out = append(out, q)
	}
	return out
}

func TestGroupLawAgainstDecred(t *testing.T) {
	check := func(p, q *Point) {
		t.Helper()
		dp, dq := decredPoint(t, p), decredPoint(t, q)
		var sum, double secp256k1.JacobianPoint
		secp256k1.AddNonConst(dp, dq, &sum)
		secp256k1.DoubleNonConst(dp, &double)
		got := BatchBytes([]*Point{new(Point).Add(p, q), new(Point).Double(p), new(Point).Sub(new(Point).Add(p, q), q)})
		if want := decredBytes(&sum); !bytes.Equal(got[0], want) {
			t.Fatalf("%x + %x is %x, want %x", p.Bytes(), q.Bytes(), got[0], want)
		}
		if want := decredBytes(&double); !bytes.Equal(got[1], want) {
			t.Fatalf("2·%x is %x, want %x", p.Bytes(), got[1], want)
		}
		if !bytes.Equal(got[2], p.Bytes()) {
			t.Fatalf("P + Q - Q is not P for %x and %x", p.Bytes(), q.Bytes())
		}
	}
	done, e := 0, edgePoints(t)
	for _, p := range e {
		for _, q := range e {
			check(p, q)
			done++
		}
	}
	p, q := benchPoint(1), benchPoint(2)
	for ; done < groupLawInputs; done++ {
		check(p, q)
		p, q = q, new(Point).Add(p, q)
		if done%1000 == 0 {
			q = new(Point).Negate(p)
		}
	}
}

func TestMixedAdditionIsComplete(t *testing.T) {
	var entries []affinePoint
	for _, q := range edgePoints(t) {
		if q.IsIdentity() == 0 {
			entries = append(entries, q.affine())
		}
	}
	for _, p := range edgePoints(t) {
		for i := range entries {
			var mixed, full, q Point
			if mixed.addAffine(p, &entries[i]).Equal(full.Add(p, q.setAffine(&entries[i]))) == 0 {
				t.Fatalf("mixed sum of %x and entry %d differs", p.Bytes(), i)
			}
		}
	}
}

// roundingEdges returns scalars at which the quotient of split is just below or above m·2⁶⁴ + ½ and m·2⁶⁴ - ½, where rounding carries from
// limb to limb.
func roundingEdges() []*big.Int {
	var out []*big.Int
	for _, g := range [][4]uint64{splitG1, splitG2} {
		divisor := limbsToBig(g)
		for _, m := range []int64{1, 2, 3, 1 << 40} {
			for _, half := range []int64{-1, 1} {
				quotient := new(big.Int).Lsh(big.NewInt(m), 65) // in halves
				quotient.Add(quotient, big.NewInt(half))
				k := quotient.Lsh(quotient, 383)
				k.Div(k, divisor)
				out = append(out, k, new(big.Int).Add(k, big.NewInt(1)), new(big.Int).Sub(orderN, k))
			}
		}
	}
	return out
}

// scalarsToTry returns edges and random scalars, count in all.
func scalarsToTry(seed int64, count int) []*Scalar {
	rng := rand.New(rand.NewSource(seed))
	var out []*Scalar
	for _, x := range append(edges(orderN), roundingEdges()...) {
		out = append(out, scalarOfBig(x))
	}
	for len(out) < count {
		out = append(out, scalarOfBig(runs(rng)))
	}
	return out
}

func TestScalarBaseMultAgainstDecred(t *testing.T) {
	for _, k := range scalarsToTry(4, baseMultInputs) {
		var want secp256k1.JacobianPoint
		secp256k1.ScalarBaseMultNonConst(decredScalar(k), &want)
		if got := new(Point).ScalarBaseMult(k).Bytes(); !bytes.Equal(got, decredBytes(&want)) {
			t.Fatalf("%x·G is %x, want %x", k.Bytes(), got, decredBytes(&want))
		}
	}
}

func TestScalarMultAgainstDecred(t *testing.T) {
	points := edgePoints(t)
	for i, k := range scalarsToTry(5, pointMultInputs) {
		p := points[i%len(points)]
		if i >= pointMultInputs/2 {
			p = benchPoint(int64(i))
		}
		var want secp256k1.JacobianPoint
		secp256k1.ScalarMultNonConst(decredScalar(k), decredPoint(t, p), &want)
		if got := new(Point).ScalarMult(k, p).Bytes(); !bytes.Equal(got, decredBytes(&want)) {
			t.Fatalf("%x·%x is %x, want %x", k.Bytes(), p.Bytes(), got, decredBytes(&want))
		}
	}
}

func TestVarTimeAgainstConstantTime(t *testing.T) {
	points := edgePoints(t)
	a, b := scalarsToTry(6, vartimeInputs), scalarsToTry(7, vartimeInputs)
	for i := range vartimeInputs {
		p, l := points[i%len(points)], b[vartimeInputs-1-i]
		var want, q Point
		want.Add(want.ScalarMult(a[i], p), q.ScalarBaseMult(l))
		if got := new(Point).VarTimeDoubleScalarBaseMult(a[i], p, l); got.Equal(&want) == 0 {
			t.Fatalf("%x·%x + %x·G is %x, want %x", a[i].Bytes(), p.Bytes(), l.Bytes(), got.Bytes(), want.Bytes())
		}
	}
	for n := range 12 {
		want := NewIdentity()
		for i := range n {
			want.Add(want, new(Point).ScalarMult(a[n*n+i], points[i]))
		}
		if got := new(Point).VarTimeMultiScalarMult(a[n*n:n*n+n], points[:n]); got.Equal(want) == 0 {
			t.Fatalf("sum of %d products is %x, want %x", n, got.Bytes(), want.Bytes())
		}
	}
}

// TestSplit holds the bound that the windows of ScalarMult rely on: both halves below 2¹²⁸, and k1 + k2·λ = k.
func TestSplit(t *testing.T) {
	bound := new(big.Int).Lsh(big.NewInt(1), 128)
	for _, k := range scalarsToTry(8, 50_000) {
		var r1, r2, sum Scalar
		k1, k2 := k.split()
		r1.n[0], r1.n[1], r2.n[0], r2.n[1] = k1.lo, k1.hi, k2.lo, k2.hi
		r1.CondNegate(k1.negative)
		r2.CondNegate(k2.negative)
		if sum.MulAdd(&r2, &splitLambda, &r1).Equal(k) == 0 {
			t.Fatalf("halves of %x do not make it: a half of 2¹²⁸ or more", k.Bytes())
		}
		if abs := new(Scalar).Set(&r1); abs.CondNegate(k1.negative).big().Cmp(bound) >= 0 {
			t.Fatalf("half of %x is too long", k.Bytes())
		}
	}
}

func TestPointPredicatesAndSelection(t *testing.T) {
	points := edgePoints(t)
	for i, p := range points {
		affine := p.UncompressedBytes()
		isIdentity := 0
		if affine[0] == 0 {
			isIdentity = 1
		}
		odd := int(affine[64] & 1)
		if p.IsIdentity() != isIdentity || p.YIsOdd() != odd || p.HasEvenY() != 1-odd-isIdentity || !bytes.Equal(p.XBytes(), affine[1:33]) {
			t.Errorf("predicates of %x are wrong", affine)
		}
		var kept, neg Point
		if kept.Set(p).CondNegate(0).Equal(p) != 1 || neg.Set(p).CondNegate(1).Equal(new(Point).Negate(p)) != 1 {
			t.Errorf("CondNegate of %x is wrong", affine)
		}
		for j, q := range points {
			same := bytes.Equal(p.Bytes(), q.Bytes())
			if got := p.Equal(q); (got == 1) != same {
				t.Errorf("Equal of points %d and %d is %d", i, j, got)
			}
			var z Point
			if *z.Select(p, q, 1) != *p || *z.Select(p, q, 0) != *q {
				t.Errorf("Select of points %d and %d is wrong", i, j)
			}
		}
	}
}

func TestPointArgumentsMayAlias(t *testing.T) {
	k, p, q := benchScalar(1), benchPoint(1), benchPoint(2)
	for name, op := range map[string]func(v, p, q *Point){
		"Add":                         func(v, p, q *Point) { v.Add(p, q) },
		"Sub":                         func(v, p, q *Point) { v.Sub(p, q) },
		"Double":                      func(v, p, _ *Point) { v.Double(p) },
		"Negate":                      func(v, p, _ *Point) { v.Negate(p) },
		"Select":                      func(v, p, q *Point) { v.Select(p, q, 0) },
		"ScalarMult":                  func(v, p, _ *Point) { v.ScalarMult(k, p) },
		"VarTimeDoubleScalarBaseMult": func(v, p, _ *Point) { v.VarTimeDoubleScalarBaseMult(k, p, k) },
		"VarTimeMultiScalarMult": func(v, p, q *Point) {
			v.VarTimeMultiScalarMult([]*Scalar{k, k}, []*Point{p, q})
		},
	} {
		var want Point
		op(&want, p, q)
		left, right := *p, *q
		op(&left, &left, q)
		op(&right, p, &right)
		if left.Equal(&want)&right.Equal(&want) != 1 {
			t.Errorf("%s: an aliased receiver changes the result", name)
		}
		var twice Point
		op(&twice, p, new(Point).Set(p))
		both := *p
		if op(&both, &both, &both); both.Equal(&twice) != 1 {
			t.Errorf("%s: two aliased arguments change the result", name)
		}
	}
}

func TestUninitialisedPointPanics(t *testing.T) {
	for name, use := range map[string]func(p *Point){
		"Add":            func(p *Point) { p.Add(NewGenerator(), p) },
		"Sub":            func(p *Point) { p.Sub(NewGenerator(), p) },
		"Double":         func(p *Point) { p.Double(p) },
		"Negate":         func(p *Point) { p.Negate(p) },
		"Equal":          func(p *Point) { p.Equal(NewGenerator()) },
		"Select":         func(p *Point) { p.Select(NewGenerator(), p, 1) },
		"CondNegate":     func(p *Point) { p.CondNegate(0) },
		"IsIdentity":     func(p *Point) { p.IsIdentity() },
		"Bytes":          func(p *Point) { p.Bytes() },
		"BatchBytes":     func(p *Point) { BatchBytes([]*Point{p}) },
		"ScalarMult":     func(p *Point) { p.ScalarMult(new(Scalar), p) },
		"MultiScalar":    func(p *Point) { p.VarTimeMultiScalarMult([]*Scalar{new(Scalar)}, []*Point{p}) },
		"DoubleScalar":   func(p *Point) { p.VarTimeDoubleScalarBaseMult(new(Scalar), p, new(Scalar)) },
		"after a Wipe":   func(p *Point) { p.Set(NewGenerator()).Wipe(); p.Double(p) },
		"uneven lengths": func(p *Point) { p.VarTimeMultiScalarMult(nil, []*Point{NewGenerator()}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes it", name)
				}
			}()
			use(new(Point))
		}()
	}
}
