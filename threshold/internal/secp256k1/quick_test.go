package secp256k1

import (
	"bytes"
	dcr "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"math/big"
	"math/rand"
	"testing"
)

func TestQuick(t *testing.T) {
	N, _ := new(big.Int).SetString("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16)
	P, _ := new(big.Int).SetString("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F", 16)
	r := rand.New(rand.NewSource(1))
	rb := func() []byte {
		b := make([]byte, 32)
		r.Read(b)
		for i := range b {
			if r.Intn(4) == 0 {
				b[i] = 0
			} else if r.Intn(4) == 0 {
				b[i] = 255
			}
		}
		if r.Intn(3) == 0 {
			for i := 0; i < 24; i++ {
				b[i] = 255
			}
		}
		return b
	}
	for i := 0; i < 100000; i++ {
		x, y := rb(), rb()
		var a, b, c Scalar
		a.SetBytesReduced(x)
		b.SetBytesReduced(y)
		c.Mul(&a, &b)
		w := new(big.Int).Mul(new(big.Int).SetBytes(x), new(big.Int).SetBytes(y))
		w.Mod(w, N)
		if !bytes.Equal(c.Bytes(), w.FillBytes(make([]byte, 32))) {
			t.Fatal("smul", i)
		}
		fx, fy, fz := FieldElement{limbsOf(x)}, FieldElement{limbsOf(y)}, FieldElement{}
		fz.Mul(&fx, &fy)
		w = new(big.Int).Mul(new(big.Int).SetBytes(x), new(big.Int).SetBytes(y))
		w.Mod(w, P)
		if !bytes.Equal(fz.Bytes(), w.FillBytes(make([]byte, 32))) {
			t.Fatal("fmul", i)
		}
		fz.Square(&fx)
		w = new(big.Int).Mul(new(big.Int).SetBytes(x), new(big.Int).SetBytes(x))
		w.Mod(w, P)
		if !bytes.Equal(fz.Bytes(), w.FillBytes(make([]byte, 32))) {
			t.Fatal("fsq", i)
		}
		fz.Invert(&fx)
		fz.Mul(&fz, &fx)
		if fz.Bytes()[31] != 1 && fx.IsZero() == 0 {
			t.Fatal("inv")
		}
		if i%50 == 0 {
			c.Invert(&a)
			c.Mul(&c, &a)
			if c.Equal(new(Scalar).SetOne()) == 0 {
				t.Fatal("sinv")
			}
		}
	}
	for i := 0; i < 500; i++ {
		x, y := rb(), rb()
		var a, b Scalar
		a.SetBytesReduced(x)
		b.SetBytesReduced(y)
		if i == 0 {
			a.SetZero()
		}
		if i == 1 {
			a.SetOne()
			a.Negate(&a)
		}
		p := new(Point).ScalarBaseMult(&a)
		var d dcr.ModNScalar
		d.SetByteSlice(a.Bytes())
		if i > 0 {
			got := dcr.NewPrivateKey(&d).PubKey().SerializeCompressed()
			if !bytes.Equal(got, p.Bytes()) {
				t.Fatalf("base %d %x %x", i, got, p.Bytes())
			}
		} else if p.IsIdentity() != 1 {
			t.Fatal("id")
		}
		q := new(Point).ScalarMult(&b, p)
		var ab Scalar
		ab.Mul(&a, &b)
		if q.Equal(new(Point).ScalarBaseMult(&ab)) != 1 {
			t.Fatal("mult", i)
		}
		if i > 0 {
			z, err := new(Point).SetBytes(p.Bytes())
			if err != nil || z.Equal(p) != 1 {
				t.Fatal(err)
			}
			z, err = new(Point).SetUncompressedBytes(p.UncompressedBytes())
			if err != nil || z.Equal(p) != 1 {
				t.Fatal(err)
			}
		}
	}
}
