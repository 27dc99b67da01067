// Package poly is Shamir's sharing (CACM 22, 1979) with Feldman's commitments (FOCS 1987) over a group of prime order.
package poly

import (
	"io"
	"math/bits"

	"github.com/luxfi/mpcd/threshold/internal/group"
)

// Polynomial has secret coefficients, the constant term first.
type Polynomial struct {
	g group.Group
	c []group.Scalar
}

// New draws a polynomial of degree t-1. If constant is not nil, it is the constant term; the polynomial keeps a copy.
func New(g group.Group, t int, constant group.Scalar, rand io.Reader) (*Polynomial, error) {
	p := &Polynomial{g, make([]group.Scalar, t)}
	var wide [64]byte
	defer clear(wide[:])
	for i := range p.c {
		p.c[i] = g.NewScalar()
		if i == 0 && constant != nil {
			p.c[0].Set(constant)
			continue
		}
		if _, err := io.ReadFull(rand, wide[:]); err != nil {
			p.Wipe()
			return nil, err
		}
		p.c[i].SetUniform(wide[:])
	}
	return p, nil
}

// Constant lends the constant term.
func (p *Polynomial) Constant() group.Scalar { return p.c[0] }

// Eval returns f(x) by Horner's rule.
func (p *Polynomial) Eval(x uint16) group.Scalar {
	xs := p.g.NewScalar().SetUint64(uint64(x)) // public
	y := p.g.NewScalar()
	for i := len(p.c) - 1; i >= 0; i-- {
		y.Mul(y, xs)
		y.Add(y, p.c[i])
	}
	return y
}

// Commit returns c_k·G for every coefficient.
func (p *Polynomial) Commit() []group.Point {
	out := make([]group.Point, len(p.c))
	for i, c := range p.c {
		out[i] = p.g.NewPoint().ScalarBaseMult(c)
	}
	return out
}

// Wipe zeroes the coefficients. It is idempotent.
func (p *Polynomial) Wipe() {
	for _, c := range p.c {
		if c != nil {
			c.Wipe()
		}
	}
}

// EvalCommitments returns the sum of x^k·C_k: the public image of f(x).
func EvalCommitments(g group.Group, commitments []group.Point, x uint16) group.Point {
	y := g.NewPoint()
	// Horner with a short scalar costs at most 16 doublings a step; a multi-scalar product of full scalars costs more.
	for i := len(commitments) - 1; i >= 0; i-- {
		y = mulShort(g, y, x)
		y.Add(y, commitments[i])
	}
	return y
}

// mulShort multiplies by a public 16-bit integer, by doubling and adding; party numbers are mostly a few bits long.
func mulShort(g group.Group, p group.Point, x uint16) group.Point {
	out := g.NewPoint()
	for bit := bits.Len16(x) - 1; bit >= 0; bit-- {
		out.Add(out, out)
		if x>>bit&1 == 1 {
			out.Add(out, p)
		}
	}
	return out
}

// Lagrange returns the coefficient of x_i at 0 for the points xs, which contain x_i and are distinct and not zero. The
// points are public.
func Lagrange(g group.Group, xi uint16, xs []uint16) group.Scalar {
	num, den := g.NewScalar().SetUint64(1), g.NewScalar().SetUint64(1)
	t := g.NewScalar()
	xis := g.NewScalar().SetUint64(uint64(xi))
	for _, x := range xs {
		if x == xi {
			continue
		}
		xj := g.NewScalar().SetUint64(uint64(x))
		num.Mul(num, xj)
		den.Mul(den, t.Sub(xj, xis))
	}
	return num.Mul(num, t.Invert(den))
}
