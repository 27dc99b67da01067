package ot

import (
	"crypto/subtle"

	"github.com/luxfi/mpcd/internal/canon"
)

// The punctured PRF of SoftSpokenOT (ePrint 2022/192, figures 13 and 14) for k = 2: of each tree B knows all four leaves, A all but the
// one at Δ_j, by two base transfers. Leaf x has the index 2y + z: y is chosen by the first transfer, z by the second.

// tree is four leaves.
type tree [leaves][seedLen]byte

// growTree makes tree j from B's keys of its two transfers, and writes the corrections and the proof to out.
func growTree(sid *[32]byte, j int, keys *[2]baseKeys, out []byte) (t tree) {
	t[0], t[1] = expandSeed(sid, j, 0, &keys[0][2*j])
	t[2], t[3] = expandSeed(sid, j, 1, &keys[1][2*j])
	for z := range 2 {
		subtle.XORBytes(out[z*seedLen:(z+1)*seedLen], t[z][:], t[2+z][:])
		subtle.XORBytes(out[z*seedLen:(z+1)*seedLen], out[z*seedLen:], keys[z][2*j+1][:])
	}
	var h [leaves][halfH]byte
	for x := range h {
		h[x] = proofLeaf(sid, j, &t[x])
		subtle.XORBytes(out[2*seedLen:2*seedLen+halfH], out[2*seedLen:], h[x][:])
	}
	proof := proofTree(sid, j, &h)
	copy(out[2*seedLen+halfH:], proof[:])
	clear(h[:])
	return t
}

// punctureTree makes A's leaves of tree j from her keys and B's corrections, y-th the leaf at y^Δ_j for y = 1..3, and the bits of Δ_j; ok
// is 1 if B's proof holds. No time depends on choices, keys or leaves.
func punctureTree(sid *[32]byte, j int, choice *[baseOTs]byte, keys *baseKeys, msg []byte) (known [kept][seedLen]byte, delta byte, ok int) {
	c0, c1 := choice[2*j], choice[2*j+1]
	delta = 2*(1-c0) + (1 - c1)

	// The two leaves of the branch the first transfer chose, then the other branch's leaf that the second chose; the fourth stays zero.
	var t tree
	var leaf0, leaf1, chosen, far [seedLen]byte
	leaf0, leaf1 = expandSeed(sid, j, c0, &keys[2*j])
	selectBytes(chosen[:], leaf1[:], leaf0[:], c1)
	selectBytes(far[:], msg[seedLen:2*seedLen], msg[:seedLen], c1)
	subtle.XORBytes(far[:], far[:], keys[2*j+1][:])
	subtle.XORBytes(far[:], far[:], chosen[:])
	for x := range t {
		y, z := byte(x/2), byte(x%2)
		inBranch := equalByte(y, c0)
		for b := range seedLen {
			near := leaf0[b] ^ (-z & (leaf0[b] ^ leaf1[b]))
			t[x][b] = -inBranch&near | -(1-inBranch)&-equalByte(z, c1)&far[b]
		}
	}

	// The hash of the missing leaf is what makes the sum t~.
	var h [leaves][halfH]byte
	var missing [halfH]byte
	copy(missing[:], msg[2*seedLen:])
	for x := range h {
		h[x] = proofLeaf(sid, j, &t[x])
		away := -equalByte(byte(x), delta)
		for b := range missing {
			missing[b] ^= h[x][b] &^ away
		}
	}
	for x := range h {
		selectBytes(h[x][:], missing[:], h[x][:], equalByte(byte(x), delta))
	}
	proof := proofTree(sid, j, &h)
	ok = subtle.ConstantTimeCompare(proof[:], msg[2*seedLen+halfH:treeLen])

	for y := 1; y < leaves; y++ {
		for x := range t {
			m := -equalByte(byte(x)^byte(y), delta)
			for b := range seedLen {
				known[y-1][b] |= m & t[x][b]
			}
		}
	}
	clear(t[:])
	clear(h[:])
	clear(missing[:])
	clear(leaf0[:])
	clear(leaf1[:])
	clear(chosen[:])
	clear(far[:])
	return known, delta, ok
}

// equalByte returns 1 if a = b and 0 otherwise.
func equalByte(a, b byte) byte { return byte(subtle.ConstantTimeByteEq(a, b)) }

// expandSeed is the generator G at node y of tree j: two leaves of one seed.
func expandSeed(sid *[32]byte, j int, y byte, seed *[seedLen]byte) (leaf0, leaf1 [seedLen]byte) {
	h := canon.Hash(tagExpand, sid[:], index16(j), []byte{y}, seed[:])
	copy(leaf0[:], h[:seedLen])
	copy(leaf1[:], h[seedLen:])
	clear(h[:])
	return leaf0, leaf1
}

// proofLeaf is H'(leaf), 64 bytes.
func proofLeaf(sid *[32]byte, j int, leaf *[seedLen]byte) (h [halfH]byte) {
	for half := range 2 {
		d := canon.Hash(tagProofLeaf, sid[:], index16(j), []byte{byte(half)}, leaf[:])
		copy(h[half*digest:], d[:])
	}
	return h
}

// proofTree is s~ = H(h_0 .. h_3).
func proofTree(sid *[32]byte, j int, h *[leaves][halfH]byte) [digest]byte {
	return canon.Hash(tagProofTree, sid[:], index16(j), h[0][:], h[1][:], h[2][:], h[3][:])
}
