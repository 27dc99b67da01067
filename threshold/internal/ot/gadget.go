package ot

import (
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// gadget is the public vector g of DKLs23, the same for everybody: Bob's b is the sum of the g_j that his 416 random bits choose.
var gadget = newGadget()

func newGadget() *[xi]secp256k1.Scalar {
	g := new([xi]secp256k1.Scalar)
	for j := range g {
		h := canon.Hash(tagGadget, index16(j))
		g[j].SetBytesReduced(h[:])
	}
	return g
}

// gadgetSum sets b = <g, β>, bit j of β the j-th of the data of a row.
func gadgetSum(b *secp256k1.Scalar, beta *[words]uint64) {
	var zero, term secp256k1.Scalar
	b.SetZero()
	for j := range gadget {
		b.Add(b, term.Select(&gadget[j], &zero, bitOf(beta, j)))
	}
	term.Wipe()
}

// bitOf returns bit j of a row's data.
func bitOf(data *[words]uint64, j int) int { return int(data[j/64] >> (j % 64) & 1) }
