package group

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"filippo.io/edwards25519"
)

// slowTorsionFree computes [L]P = [L-1]P + P.
func slowTorsionFree(p *edwards25519.Point) bool {
	one := make([]byte, 32)
	one[0] = 1
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(one)
	if err != nil {
		panic(err)
	}
	q := new(edwards25519.Point).ScalarMult(s.Negate(s), p)
	return q.Add(q, p).Equal(edwards25519.NewIdentityPoint()) == 1
}

// torsion returns the eight points whose order divides 8.
func torsion(t testing.TB) []*edwards25519.Point {
	// A point of order 8 is L times almost any point of the curve.
	one := make([]byte, 32)
	one[0] = 1
	s, _ := new(edwards25519.Scalar).SetCanonicalBytes(one)
	s.Negate(s)
	for y := byte(2); y < 100; y++ {
		enc := make([]byte, 32)
		enc[0] = y
		p, err := new(edwards25519.Point).SetBytes(enc)
		if err != nil {
			continue
		}
		q := new(edwards25519.Point).ScalarMult(s, p)
		q.Add(q, p)
		var out []*edwards25519.Point
		acc := edwards25519.NewIdentityPoint()
		for range 8 {
			out = append(out, new(edwards25519.Point).Set(acc))
			acc.Add(acc, q)
		}
		if out[4].Equal(out[0]) == 0 {
			return out
		}
	}
	t.Fatal("no point of order 8")
	return nil
}

// Goal: the halving test accepts exactly the points of order L. Method: random points of the subgroup in all eight cosets,
// the eight torsion points themselves, and random encodings, judged by multiplication with L.
func TestTorsionFree(t *testing.T) {
	small := torsion(t)
	decode := func(b []byte) *edwards25519.Point {
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for i, p := range small {
		if edTorsionFree(decode(p.Bytes())) {
			t.Errorf("torsion point %d accepted", i)
		}
	}
	random := rand.NewChaCha8([32]byte{1})
	wide := make([]byte, 64)
	for range 500 {
		_, _ = random.Read(wide)
		s, _ := new(edwards25519.Scalar).SetUniformBytes(wide)
		p := new(edwards25519.Point).ScalarBaseMult(s)
		for i, q := range small {
			b := new(edwards25519.Point).Add(p, q).Bytes()
			if got := edTorsionFree(decode(b)); got != (i == 0) {
				t.Fatalf("coset %d: %x judged %v", i, b, got)
			}
		}
	}
	accepted := 0
	for range 2000 {
		_, _ = random.Read(wide)
		p, err := new(edwards25519.Point).SetBytes(wide[:32])
		if err != nil {
			continue
		}
		if got := edTorsionFree(p); got != slowTorsionFree(p) {
			t.Fatalf("%x judged %v", wide[:32], got)
		} else if got {
			accepted++
		}
	}
	if accepted < 50 {
		t.Errorf("only %d random points were of order L", accepted)
	}
}

// Goal: only one encoding of a point of order L decodes. Method: every encoding whose y is not below p, the eight torsion
// points with both signs, and the same with the sign of x = 0 set.
func TestSetCanonicalEncodings(t *testing.T) {
	refuse := func(b []byte) {
		t.Helper()
		if _, err := Ed25519.NewPoint().SetCanonical(b); err == nil {
			t.Errorf("%x accepted", b)
		}
	}
	for low := 0xed; low <= 0xff; low++ {
		for _, high := range []byte{0x7f, 0xff} {
			b := bytes.Repeat([]byte{0xff}, 32)
			b[0], b[31] = byte(low), high
			refuse(b)
		}
	}
	for _, p := range torsion(t) {
		b := p.Bytes()
		refuse(b)
		b[31] ^= 0x80
		refuse(b)
	}
	good := Ed25519.NewPoint().ScalarBaseMult(Ed25519.NewScalar().SetUint64(9)).Bytes()
	for _, b := range [][]byte{nil, good[:31], append(bytes.Clone(good), 0)} {
		refuse(b)
	}
	p, err := Ed25519.NewPoint().SetCanonical(good)
	if err != nil || !bytes.Equal(p.Bytes(), good) {
		t.Errorf("good point: %v", err)
	}
}

// FuzzTorsionFree compares with multiplication by L on any encoding.
func FuzzTorsionFree(f *testing.F) {
	for _, p := range torsion(f) {
		f.Add(p.Bytes())
		f.Add(p.Add(p, edwards25519.NewGeneratorPoint()).Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil {
			return
		}
		want := slowTorsionFree(p) && p.Equal(edwards25519.NewIdentityPoint()) == 0
		if got := edTorsionFree(p); got != want {
			t.Errorf("%x judged %v", b, got)
		}
	})
}

func BenchmarkSetCanonical(b *testing.B) {
	good := Ed25519.NewPoint().ScalarBaseMult(Ed25519.NewScalar().SetUint64(9)).Bytes()
	for b.Loop() {
		if _, err := Ed25519.NewPoint().SetCanonical(good); err != nil {
			b.Fatal(err)
		}
	}
}
