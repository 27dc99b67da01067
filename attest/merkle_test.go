package attest

import (
	"encoding/hex"
	"fmt"
	"testing"
)

// Goal: the tree is RFC 9162's. Method: the roots of the Certificate Transparency reference leaves, and the RFC's recursion.
func TestMerkleVectors(t *testing.T) {
	inputs := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var leaves [][]byte
	for i, in := range inputs {
		b, err := hex.DecodeString(in)
		must(t, err)
		leaves = append(leaves, b)
		if got := newTree(leaves).root(); hex.EncodeToString(got[:]) != roots[i] {
			t.Errorf("%d leaves: root %s, want %s", i+1, got, roots[i])
		}
	}
	for n := 1; n <= 70; n++ {
		leaves := testLeaves(n)
		if newTree(leaves).root() != recursiveRoot(leaves) {
			t.Errorf("%d leaves: root differs from the RFC's recursion", n)
		}
	}
}

// recursiveRoot is MTH of RFC 9162 §2.1.1 as it is written.
func recursiveRoot(d [][]byte) Hash {
	if len(d) == 1 {
		return leafHash(d[0])
	}
	k := 1
	for k*2 < len(d) {
		k *= 2
	}
	return nodeHash(recursiveRoot(d[:k]), recursiveRoot(d[k:]))
}

func testLeaves(n int) [][]byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = fmt.Appendf(nil, "leaf %d", i)
	}
	return leaves
}

// Goal: a path proves its leaf at its place and nothing else. Method: every size to 40, every leaf; then each way to bend it.
func TestMerklePaths(t *testing.T) {
	for n := 1; n <= 40; n++ {
		leaves := testLeaves(n)
		tree := newTree(leaves)
		for i := range leaves {
			at, count, path := uint32(i), uint32(n), tree.path(i)
			is := func(leaf []byte, index, count uint32, path []Hash) bool {
				r, ok := rootFromPath(leaf, index, count, path)
				return ok && r == tree.root()
			}
			if !is(leaves[i], at, count, path) {
				t.Fatalf("leaf %d of %d: path refused", i, n)
			}
			if is([]byte("another"), at, count, path) || is(leaves[i], count, count, path) || is(leaves[i], at, count, append(path, Hash{})) {
				t.Fatalf("leaf %d of %d: bent proof accepted", i, n)
			}
			for j := range leaves {
				if j != i && is(leaves[i], uint32(j), count, path) {
					t.Fatalf("leaf %d of %d accepted as leaf %d", i, n, j)
				}
			}
			for j := range path {
				bad := append([]Hash{}, path...)
				bad[j][0] ^= 1
				if is(leaves[i], at, count, bad) || is(leaves[i], at, count, append(append([]Hash{}, path[:j]...), path[j+1:]...)) {
					t.Fatalf("leaf %d of %d: bent path accepted", i, n)
				}
			}
		}
	}
	if _, ok := rootFromPath(nil, 0, 1, []Hash{{}}); ok {
		t.Error("path longer than the tree is high accepted")
	}
	if _, ok := rootFromPath(nil, 0, 2, nil); ok {
		t.Error("path shorter than the tree is high accepted")
	}
	if _, ok := rootFromPath(nil, 0, MaxLeaves+1, nil); ok {
		t.Error("tree larger than MaxLeaves accepted")
	}
	if _, ok := rootFromPath(nil, MaxLeaves, MaxLeaves+1, []Hash{{}}); ok {
		t.Error("the last leaf of a tree larger than MaxLeaves, whose path is short, accepted")
	}
	if got := len(newTree(make([][]byte, MaxLeaves)).path(0)); got != maxPath {
		t.Errorf("longest path is %d, maxPath says %d", got, maxPath)
	}
}

// Goal: no leaf passes as a node and no node as a leaf: else whoever has two hashes attested can show a tree of other leaves beneath the
// same root. Method: the leaf that is the concatenation of two nodes, with and without a prefix.
func TestLeafIsNoNode(t *testing.T) {
	leaves := testLeaves(2)
	left, right := leafHash(leaves[0]), leafHash(leaves[1])
	for _, prefix := range [][]byte{nil, {0}, {1}} {
		leaf := append(append(append([]byte{}, prefix...), left[:]...), right[:]...)
		if leafHash(leaf) == nodeHash(left, right) {
			t.Errorf("the leaf %x ‖ left ‖ right is the node", prefix)
		}
	}
	// A leaf of 64 bytes, taken for two hashes.
	forged := testLeaves(1)[0]
	for len(forged) < 64 {
		forged = append(forged, 0)
	}
	if nodeHash(Hash(forged[:32]), Hash(forged[32:64])) == leafHash(forged[:64]) {
		t.Error("a node of two pieces of a leaf is the leaf")
	}
}
