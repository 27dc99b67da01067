package attest

import (
	"crypto/sha256"
)

// MaxLeaves is the most leaves one attestation covers; its paths have at most 14 nodes.
const MaxLeaves = 1 << 14

// maxPath is the length of the longest path in a tree of MaxLeaves.
const maxPath = 14

// tree is the Merkle tree of RFC 9162 §2.1.1 with every level kept: level 0 is the leaf hashes, the last level the root. A
// node without a sibling moves up as it is, which gives the same root as the RFC's split at the largest power of two.
type tree [][]Hash

func newTree(leaves [][]byte) tree {
	level := make([]Hash, len(leaves))
	for i, l := range leaves {
		level[i] = leafHash(l)
	}
	t := tree{level}
	for len(level) > 1 {
		up := make([]Hash, (len(level)+1)/2)
		for i := range up {
			if 2*i+1 < len(level) {
				up[i] = nodeHash(level[2*i], level[2*i+1])
			} else {
				up[i] = level[2*i]
			}
		}
		t = append(t, up)
		level = up
	}
	return t
}

func (t tree) root() Hash { return t[len(t)-1][0] }

// path is PATH(i, D[n]) of RFC 9162 §2.1.3.1: the siblings from the leaf up.
func (t tree) path(i int) []Hash {
	path := []Hash{}
	for _, level := range t[:len(t)-1] {
		if s := i ^ 1; s < len(level) {
			path = append(path, level[s])
		}
		i /= 2
	}
	return path
}

// rootFromPath is the root that leaf number index of count and its path lead to (RFC 9162 §2.1.3.2), false if the path
// cannot belong to that place.
func rootFromPath(leaf []byte, index, count uint32, path []Hash) (Hash, bool) {
	if index >= count || count > MaxLeaves || len(path) > maxPath {
		return Hash{}, false
	}
	fn, sn, r := index, count-1, leafHash(leaf)
	for _, p := range path {
		if sn == 0 {
			return Hash{}, false
		}
		if fn&1 == 1 || fn == sn {
			r = nodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = nodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	return r, sn == 0
}

// leafHash is SHA-256(0x00 ‖ leaf), nodeHash SHA-256(0x01 ‖ left ‖ right): no leaf is a node.
func leafHash(leaf []byte) (out Hash) {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	h.Sum(out[:0])
	return out
}

func nodeHash(left, right Hash) Hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}
