package group

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"testing"
)

var both = []Group{Ed25519, Secp256k1}

func scalarOf(g Group, label string) Scalar {
	w := sha512.Sum512([]byte(label))
	return g.NewScalar().SetUniform(w[:])
}

// Goal: both faces are rings and groups of prime order, and every operation sets its receiver. Method: the laws, on random
// elements and on the edges.
func TestLaws(t *testing.T) {
	for _, g := range both {
		zero, one := g.NewScalar(), g.NewScalar().SetUint64(1)
		scalars := []Scalar{zero, one, g.NewScalar().Negate(one), g.NewScalar().SetUint64(1<<63 + 5)}
		for i := range 4 {
			scalars = append(scalars, scalarOf(g, fmt.Sprint(i)))
		}
		for _, a := range scalars {
			pa := g.NewPoint().ScalarBaseMult(a)
			if !g.NewScalar().Add(a, g.NewScalar().Negate(a)).IsZero() || !g.NewScalar().Sub(a, a).IsZero() {
				t.Errorf("%s: a - a is not 0", g.Name())
			}
			if !a.IsZero() && !g.NewScalar().Mul(a, g.NewScalar().Invert(a)).Equal(one) {
				t.Errorf("%s: a / a is not 1", g.Name())
			}
			if !g.NewPoint().Sub(pa, pa).IsIdentity() || !g.NewPoint().Add(pa, g.NewPoint().Negate(pa)).IsIdentity() ||
				pa.IsIdentity() != a.IsZero() {
				t.Errorf("%s: P - P is not O", g.Name())
			}
			if back, err := g.NewScalar().SetCanonical(a.Bytes()); err != nil || !back.Equal(a) || len(a.Bytes()) != g.ScalarLen() {
				t.Errorf("%s: a scalar came back different", g.Name())
			}
			if back, err := g.NewPoint().SetCanonical(pa.Bytes()); (err == nil) != !a.IsZero() || err == nil && !back.Equal(pa) ||
				len(pa.Bytes()) != g.PointLen() {
				t.Errorf("%s: a point came back different, or the identity came back", g.Name())
			}
			for _, b := range scalars {
				pb := g.NewPoint().ScalarBaseMult(b)
				sum, product := g.NewScalar().Add(a, b), g.NewScalar().Mul(a, b)
				if !g.NewPoint().Add(pa, pb).Equal(g.NewPoint().ScalarBaseMult(sum)) ||
					!g.NewPoint().ScalarMult(a, pb).Equal(g.NewPoint().ScalarBaseMult(product)) {
					t.Errorf("%s: scalars and points disagree", g.Name())
				}
				if !g.VarTimeMultiScalarMult([]Scalar{a, b}, []Point{pb, pa}).Equal(g.NewPoint().ScalarBaseMult(g.NewScalar().Add(product, product))) {
					t.Errorf("%s: sums of products disagree", g.Name())
				}
			}
		}
		s := scalarOf(g, "secret")
		s.Wipe()
		p := g.NewPoint().ScalarBaseMult(one)
		before := p.Bytes()
		q := g.NewPoint().Set(p)
		q.Wipe()
		if !s.IsZero() || !bytes.Equal(p.Bytes(), before) {
			t.Errorf("%s: Wipe left something, or reached a copy", g.Name())
		}
	}
}

// Goal: the scalar decoder takes one encoding of each scalar below the order. Method: the order, its neighbours, lengths.
func TestScalarEncodings(t *testing.T) {
	for _, g := range both {
		top := g.NewScalar().Negate(g.NewScalar().SetUint64(1)).Bytes() // order - 1
		last := len(top) - 1
		at := func(i int) int { // i-th byte from the least significant
			if g == Ed25519 {
				return i
			}
			return last - i
		}
		order := bytes.Clone(top)
		order[at(0)]++
		above := bytes.Clone(top)
		above[at(16)]++
		for name, b := range map[string][]byte{"the order": order, "above": above, "all ones": bytes.Repeat([]byte{0xff}, 32), "short": top[1:],
			"long": append(bytes.Clone(top), 0), "none": nil} {
			if _, err := g.NewScalar().SetCanonical(b); err == nil {
				t.Errorf("%s: %s accepted", g.Name(), name)
			}
		}
		if _, err := g.NewScalar().SetCanonical(top); err != nil {
			t.Errorf("%s: order - 1 refused", g.Name())
		}
	}
}

// Goal: hashing to scalars separates tags, fields and their boundaries, and fills the whole range. Method: compare.
func TestHashToScalar(t *testing.T) {
	for _, g := range both {
		seen := map[string]bool{}
		for _, s := range []Scalar{g.HashToScalar("t", []byte("ab")), g.HashToScalar("t", []byte("a"), []byte("b")),
			g.HashToScalar("u", []byte("ab")), g.HashToScalar("t")} {
			if seen[string(s.Bytes())] || s.IsZero() {
				t.Errorf("%s: two inputs, one scalar", g.Name())
			}
			seen[string(s.Bytes())] = true
		}
		if !g.HashToScalar("t", []byte("x")).Equal(g.HashToScalar("t", []byte("x"))) {
			t.Errorf("%s: not a function", g.Name())
		}
	}
}

// Goal: no bytes make the decoders panic, and what they take they give back. Method: fuzz both groups.
func FuzzDecode(f *testing.F) {
	for _, g := range both {
		f.Add(g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(3)).Bytes())
		f.Add(scalarOf(g, "x").Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, g := range both {
			if p, err := g.NewPoint().SetCanonical(b); err == nil && (!bytes.Equal(p.Bytes(), b) || p.IsIdentity()) {
				t.Errorf("%s: a point with two encodings, or the identity", g.Name())
			}
			if s, err := g.NewScalar().SetCanonical(b); err == nil && !bytes.Equal(s.Bytes(), b) {
				t.Errorf("%s: a scalar with two encodings", g.Name())
			}
		}
	})
}
