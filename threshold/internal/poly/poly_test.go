package poly

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/group"
)

// stream is repeatable randomness.
type stream struct{ state [32]byte }

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		s.state = sha256.Sum256(s.state[:])
		b[i] = s.state[0]
	}
	return len(b), nil
}

var groups = []group.Group{group.Ed25519, group.Secp256k1}

// Goal: values, commitments and interpolation agree at every kind of point. Method: for random polynomials, f(x)·G is what
// the commitments give, t values give f(0), t-1 do not.
func TestSharing(t *testing.T) {
	for _, g := range groups {
		for n := 2; n <= 5; n++ {
			f, err := New(g, n, nil, &stream{state: [32]byte{byte(n)}})
			if err != nil {
				t.Fatal(err)
			}
			xs := []uint16{1, 2, 3, 255, 256, 32768, 65535}
			for _, x := range append([]uint16{0}, xs...) {
				if !g.NewPoint().ScalarBaseMult(f.Eval(x)).Equal(EvalCommitments(g, f.Commit(), x)) {
					t.Errorf("%s, t=%d: the commitments do not give f(%d)", g.Name(), n, x)
				}
			}
			for k := 1; k <= len(xs); k++ {
				sum := g.NewScalar()
				for _, x := range xs[:k] {
					l := Lagrange(g, x, xs[:k])
					sum.Add(sum, l.Mul(l, f.Eval(x)))
				}
				if got := sum.Equal(f.Constant()); got != (k >= n) {
					t.Errorf("%s, t=%d: %d values give f(0): %v", g.Name(), n, k, got)
				}
			}
		}
	}
}

// Goal: a given constant term is kept as a copy, Wipe leaves zeroes, a failing generator leaves nothing. Method: look.
func TestConstantAndWipe(t *testing.T) {
	for _, g := range groups {
		seven := g.NewScalar().SetUint64(7)
		f, err := New(g, 3, seven, &stream{})
		if err != nil {
			t.Fatal(err)
		}
		if !f.Constant().Equal(seven) || f.Constant() == seven || !f.Eval(0).Equal(seven) {
			t.Error("the constant term is not a copy of what was given")
		}
		f.Wipe()
		f.Wipe()
		if !f.Eval(5).IsZero() || seven.IsZero() {
			t.Error("Wipe left something, or took what is not its own")
		}
		if _, err := New(g, 3, nil, io.LimitReader(&stream{}, 100)); err == nil {
			t.Error("a polynomial without randomness")
		}
		zero, err := New(g, 3, g.NewScalar(), &stream{})
		if err != nil {
			t.Fatal(err)
		}
		if !zero.Commit()[0].IsIdentity() || !EvalCommitments(g, zero.Commit(), 0).IsIdentity() {
			t.Error("a polynomial with constant term zero commits to another")
		}
		if bytes.Equal(zero.Commit()[1].Bytes(), f.Commit()[1].Bytes()) {
			t.Error("one coefficient in two polynomials")
		}
	}
}
