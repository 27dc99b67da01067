// Goal: exactly one encoding of each point is accepted, and what is accepted comes back. Method: tables at the edges, then fuzzing
// with decred as the judge; its parser also takes hybrid and (by SEC 1) other forms, which are excluded by length and first byte.
package secp256k1

import (
	"bytes"
	"errors"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

func TestBytesOfTheIdentity(t *testing.T) {
	id := NewIdentity()
	if !bytes.Equal(id.Bytes(), make([]byte, 33)) || !bytes.Equal(id.UncompressedBytes(), make([]byte, 65)) ||
		!bytes.Equal(id.XBytes(), make([]byte, 32)) {
		t.Error("the identity is not written as zeros")
	}
	for _, set := range []func([]byte) (*Point, error){id.SetBytes, id.SetUncompressedBytes, id.SetXOnly} {
		for n := range 70 {
			if _, err := set(make([]byte, n)); err == nil {
				t.Errorf("%d zero bytes are taken for a point", n)
			}
		}
	}
}

func TestBatchBytesIsBytes(t *testing.T) {
	points := edgePoints(t)
	affine := batchAffine(points)
	for i, got := range BatchBytes(points) {
		if !bytes.Equal(got, points[i].Bytes()) {
			t.Errorf("point %d of a batch is %x, alone %x", i, got, points[i].Bytes())
		}
		if alone := points[i].affine(); affine[i].x.Equal(&alone.x)&affine[i].y.Equal(&alone.y) == 0 {
			t.Errorf("point %d of a batch has other coordinates than alone", i)
		}
	}
	if got := BatchBytes(nil); len(got) != 0 {
		t.Errorf("an empty batch gives %d encodings", len(got))
	}
}

func TestPointDecodingRefuses(t *testing.T) {
	g := NewGenerator()
	full, compressed, x := g.UncompressedBytes(), g.Bytes(), g.XBytes()
	with := func(b []byte, at int, value byte) []byte {
		c := bytes.Clone(b)
		c[at] = value
		return c
	}
	plusP := func(x int64) []byte { return new(big.Int).Add(fieldP, big.NewInt(x)).FillBytes(make([]byte, 32)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	one, err := new(Point).SetXOnly(append(make([]byte, 31), 1)) // x = 1 is on the curve, so 1 + p is its second spelling
	if err != nil {
		t.Fatal(err)
	}
	var v Point
	for _, c := range []struct {
		name string
		set  func([]byte) (*Point, error)
		in   []byte
		want error // nil: any
	}{
		{"compressed, first byte 0", v.SetBytes, with(compressed, 0, 0), nil},
		{"compressed, first byte 1", v.SetBytes, with(compressed, 0, 1), nil},
		{"compressed, first byte 4", v.SetBytes, with(compressed, 0, 4), nil},
		{"compressed, first byte 5", v.SetBytes, with(compressed, 0, 5), nil},
		{"compressed, short", v.SetBytes, compressed[:32], nil},
		{"compressed, long", v.SetBytes, append(bytes.Clone(compressed), 0), nil},
		{"compressed, full instead", v.SetBytes, full, nil},
		{"compressed, x + p", v.SetBytes, join([]byte{2}, plusP(1)), errPointRange},
		{"compressed, x = p", v.SetBytes, join([]byte{2}, plusP(0)), errPointRange},
		{"compressed, on the twist", v.SetBytes, join([]byte{2}, make([]byte, 31), []byte{5}), errNotOnCurve},
		{"x-only, x + p", v.SetXOnly, plusP(1), errPointRange},
		{"x-only, on the twist", v.SetXOnly, join(make([]byte, 31), []byte{5}), errNotOnCurve},
		{"x-only, short", v.SetXOnly, x[:31], nil},
		{"x-only, compressed instead", v.SetXOnly, compressed, nil},
		{"full, hybrid first byte", v.SetUncompressedBytes, with(full, 0, 6), nil},
		{"full, hybrid odd first byte", v.SetUncompressedBytes, with(full, 0, 7), nil},
		{"full, short", v.SetUncompressedBytes, full[:64], nil},
		{"full, compressed instead", v.SetUncompressedBytes, compressed, nil},
		{"full, wrong y", v.SetUncompressedBytes, with(full, 64, full[64]^1), errNotOnCurve},
		{"full, wrong x", v.SetUncompressedBytes, with(full, 1, full[1]^1), errNotOnCurve},
		{"full, x + p", v.SetUncompressedBytes, join([]byte{4}, plusP(1), one.UncompressedBytes()[33:]), errPointRange},
		{"full, y = p", v.SetUncompressedBytes, join([]byte{4}, x, plusP(0)), errPointRange},
	} {
		v.Set(g)
		if p, err := c.set(c.in); err == nil || p != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		} else if v != *g {
			t.Errorf("%s: the receiver changed", c.name)
		}
	}
}

// encodingSeeds gives a fuzzer valid encodings of n bytes, one-byte changes of them, and wrong lengths.
func encodingSeeds(f *testing.F, encode func(p *Point) []byte) {
	f.Helper()
	for _, p := range []*Point{NewIdentity(), NewGenerator(), benchPoint(1), benchPoint(2)} {
		b := encode(p)
		f.Add(b)
		f.Add(b[1:])
		f.Add(append(bytes.Clone(b), 0))
		b[0] ^= 1
		f.Add(bytes.Clone(b))
		b[len(b)-1] ^= 1
		f.Add(b)
	}
	f.Add(bytes.Repeat([]byte{0xff}, len(encode(NewGenerator()))))
}

// judge holds our verdict and encoding against decred's on the same bytes.
func judge(t *testing.T, p *Point, err error, sec1 []byte) {
	t.Helper()
	key, want := secp256k1.ParsePubKey(sec1)
	if (err == nil) != (want == nil) {
		t.Fatalf("we say %v, decred %v", err, want)
	}
	if err == nil && !bytes.Equal(p.UncompressedBytes(), key.SerializeUncompressed()) {
		t.Fatalf("decoded as %x, decred says %x", p.UncompressedBytes(), key.SerializeUncompressed())
	}
}

func FuzzPointSetBytes(f *testing.F) {
	encodingSeeds(f, (*Point).Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := new(Point).SetBytes(b)
		if len(b) == 33 {
			judge(t, p, err, b)
		} else if err == nil {
			t.Fatalf("%d bytes are taken", len(b))
		}
		if err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Fatalf("comes back as %x", p.Bytes())
		}
	})
}

func FuzzPointSetUncompressedBytes(f *testing.F) {
	encodingSeeds(f, (*Point).UncompressedBytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := new(Point).SetUncompressedBytes(b)
		if len(b) == 65 && b[0] != 6 && b[0] != 7 {
			judge(t, p, err, b)
		} else if err == nil {
			t.Fatalf("%d bytes with another first byte or length are taken", len(b))
		}
		if err == nil && !bytes.Equal(p.UncompressedBytes(), b) {
			t.Fatalf("comes back as %x", p.UncompressedBytes())
		}
	})
}

func FuzzPointSetXOnly(f *testing.F) {
	encodingSeeds(f, (*Point).XBytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := new(Point).SetXOnly(b)
		if len(b) == 32 {
			judge(t, p, err, append([]byte{2}, b...))
		} else if err == nil {
			t.Fatalf("%d bytes are taken", len(b))
		}
		if err == nil && (!bytes.Equal(p.XBytes(), b) || p.HasEvenY() != 1) {
			t.Fatalf("comes back as %x", p.Bytes())
		}
	})
}

func FuzzScalarSetBytes(f *testing.F) {
	for _, x := range edges(orderN) {
		f.Add(x.FillBytes(make([]byte, 32)))
	}
	f.Add(make([]byte, 31))
	f.Add(make([]byte, 33))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := new(Scalar).SetBytes(b)
		var d secp256k1.ModNScalar
		overflow := d.SetByteSlice(b)
		if accept := len(b) == 32 && !overflow; accept != (err == nil) {
			t.Fatalf("we say %v, decred overflow is %v", err, overflow)
		}
		if err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Fatalf("comes back as %x", s.Bytes())
		}
	})
}
