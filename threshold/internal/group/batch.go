package group

import (
	"filippo.io/edwards25519/field"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// BatchBytes returns Bytes of every point for the price of one inversion. The points are of one group; it panics if they are
// not.
func BatchBytes(points []Point) [][]byte {
	if len(points) == 0 {
		return nil
	}
	if _, ok := points[0].(*SkPoint); ok {
		sk := make([]*secp256k1.Point, len(points))
		for i, p := range points {
			sk[i] = &p.(*SkPoint).P
		}
		return secp256k1.BatchBytes(sk)
	}
	return edBatchBytes(points)
}

// edBatchBytes is RFC 8032 §5.1.2 with Montgomery's trick: products of the Z of all points before i, one inversion, and the
// way back. Z is never zero.
func edBatchBytes(points []Point) [][]byte {
	out := make([][]byte, len(points))
	before := make([]field.Element, len(points))
	acc := new(field.Element).One()
	for i, p := range points {
		_, _, z, _ := p.(*edPoint).p.ExtendedCoordinates()
		before[i].Set(acc)
		acc.Multiply(acc, z)
	}
	acc.Invert(acc)
	var inverse field.Element
	for i := len(points) - 1; i >= 0; i-- {
		x, y, z, _ := points[i].(*edPoint).p.ExtendedCoordinates()
		inverse.Multiply(acc, &before[i])
		acc.Multiply(acc, z)
		out[i] = y.Multiply(y, &inverse).Bytes()
		out[i][31] |= byte(x.Multiply(x, &inverse).IsNegative() << 7)
	}
	return out
}
