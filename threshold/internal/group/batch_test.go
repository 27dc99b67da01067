package group

import (
	"bytes"
	"testing"
)

// Goal: encoding many is encoding each. Method: multiples of G, their sums and the identity, in both groups.
func TestBatchBytes(t *testing.T) {
	for _, g := range []Group{Ed25519, Secp256k1} {
		var points []Point
		for i := range 9 {
			p := g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(uint64(i * i)))
			points = append(points, p, g.NewPoint().Add(p, g.NewPoint().Negate(p)), g.NewPoint().Negate(p))
		}
		for n := range len(points) {
			got := BatchBytes(points[:n])
			if len(got) != n {
				t.Fatalf("%s: %d encodings of %d points", g.Name(), len(got), n)
			}
			for i, b := range got {
				if !bytes.Equal(b, points[i].Bytes()) {
					t.Errorf("%s: point %d of %d is %x, want %x", g.Name(), i, n, b, points[i].Bytes())
				}
			}
		}
	}
}
