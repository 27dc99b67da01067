// Goal: every hash is a random oracle of its own: two values of one input never have one output, so that what was sent in one session,
// transfer, tree or place is worth nothing in another, and H_0 and H_1 of the base transfers are two functions, as their proof asks.
// Method: each hash with each input changed by itself. The golden transcript sees such a loss too, but falls silent once it is written
// anew.
package ot

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

func TestHashesBindTheirInputs(t *testing.T) {
	sid, sid2 := sidOf("this"), sidOf("other")
	p, q := secp256k1.NewGenerator().Bytes(), new(secp256k1.Point).HashToCurve([]byte("q"), tagOblivious).Bytes()
	seed, seed2 := [seedLen]byte{1}, [seedLen]byte{2}
	half, half2 := [leaves][halfH]byte{}, [leaves][halfH]byte{1: {7: 1}}
	endemic := func(sid [32]byte, i int, b byte, r []byte) []byte { return endemicHash(&sid, i, b, r).Bytes() }
	key := func(sid [32]byte, i int, b byte, r0, r1, answer, shared []byte) []byte {
		k := baseKey(&sid, i, b, r0, r1, answer, shared)
		return k[:]
	}
	expand := func(sid [32]byte, j int, y byte, seed [seedLen]byte) []byte {
		a, b := expandSeed(&sid, j, y, &seed)
		return append(a[:], b[:]...)
	}
	leaf := func(sid [32]byte, j int, leaf [seedLen]byte) []byte { h := proofLeaf(&sid, j, &leaf); return h[:] }
	tree := func(sid [32]byte, j int, h [leaves][halfH]byte) []byte { d := proofTree(&sid, j, &h); return d[:] }
	session := func(sid [32]byte, salt string) []byte { k := sessionKey(&sid, []byte(salt)); return k[:] }
	name := func(sid [32]byte, m1, m2 string) []byte { d := setupID(&sid, []byte(m1), []byte(m2)); return d[:] }
	chi := func(session [32]byte, u string) []byte { return fmt.Append(nil, *newCheckHash(&session, []byte(u))) }
	random := func(session [32]byte, salt string, j, i int, column element) []byte {
		s := new(secp256k1.Scalar)
		newRandomiser(&session, []byte(salt)).scalar(s, j, i, column)
		return s.Bytes()
	}
	theta := func(session [32]byte, salt, tilde string) []byte {
		h := newRandomiser(&session, []byte(salt)).theta([]byte(tilde))
		if h[0].Equal(&h[1]) == 1 {
			t.Error("θ_1 is θ_2")
		}
		return append(h[0].Bytes(), h[1].Bytes()...)
	}
	mu := func(session [32]byte, salt, mu string) []byte {
		d := newRandomiser(&session, []byte(salt)).mu([]byte(mu))
		return d[:]
	}
	row := func(session [32]byte, seed [seedLen]byte) []byte {
		var prg rowPRG
		var r row
		prg.start(&session)
		prg.row(&r, newPRG(seed[:]))
		return fmt.Append(nil, r)
	}
	for _, h := range []struct {
		name   string
		output []byte
		others map[string][]byte // with one input changed
	}{
		{"endemic hash", endemic(sid, 1, 0, p), map[string][]byte{
			"sid": endemic(sid2, 1, 0, p), "transfer": endemic(sid, 2, 0, p), "bit": endemic(sid, 1, 1, p), "point": endemic(sid, 1, 0, q)}},
		{"base key", key(sid, 1, 0, p, p, p, p), map[string][]byte{
			"sid": key(sid2, 1, 0, p, p, p, p), "transfer": key(sid, 2, 0, p, p, p, p), "bit": key(sid, 1, 1, p, p, p, p),
			"R_0": key(sid, 1, 0, q, p, p, p), "R_1": key(sid, 1, 0, p, q, p, p), "answer": key(sid, 1, 0, p, p, q, p),
			"shared point": key(sid, 1, 0, p, p, p, q)}},
		{"generator", expand(sid, 1, 0, seed), map[string][]byte{
			"sid": expand(sid2, 1, 0, seed), "tree": expand(sid, 2, 0, seed), "node": expand(sid, 1, 1, seed), "seed": expand(sid, 1, 0, seed2)}},
		{"leaf of the proof", leaf(sid, 1, seed), map[string][]byte{
			"sid": leaf(sid2, 1, seed), "tree": leaf(sid, 2, seed), "leaf": leaf(sid, 1, seed2)}},
		{"proof of a tree", tree(sid, 1, half), map[string][]byte{
			"sid": tree(sid2, 1, half), "tree": tree(sid, 2, half), "leaves": tree(sid, 1, half2)}},
		{"session key", session(sid, "a"), map[string][]byte{"sid": session(sid2, "a"), "Bob's salt": session(sid, "b")}},
		{"setup's name", name(sid, "a", "b"), map[string][]byte{
			"sid": name(sid2, "a", "b"), "first message": name(sid, "c", "b"), "answer": name(sid, "a", "c")}},
		{"check coefficients", chi(sid, "u"), map[string][]byte{"session": chi(sid2, "u"), "U": chi(sid, "v")}},
		{"row", row(sid, seed), map[string][]byte{"session": row(sid2, seed), "leaf": row(sid, seed2)}},
		{"randomiser", random(sid, "s", 1, 1, element{1, 2}), map[string][]byte{
			"session": random(sid2, "s", 1, 1, element{1, 2}), "Alice's salt": random(sid, "t", 1, 1, element{1, 2}),
			"transfer": random(sid, "s", 2, 1, element{1, 2}), "place": random(sid, "s", 1, 2, element{1, 2}),
			"column": random(sid, "s", 1, 1, element{1, 3})}},
		{"theta", theta(sid, "s", "a"), map[string][]byte{
			"session": theta(sid2, "s", "a"), "Alice's salt": theta(sid, "t", "a"), "a~": theta(sid, "s", "b")}},
		{"mu", mu(sid, "s", "a"), map[string][]byte{"session": mu(sid2, "s", "a"), "Alice's salt": mu(sid, "t", "a"), "mu": mu(sid, "s", "b")}},
	} {
		for input, other := range h.others {
			if bytes.Equal(h.output, other) {
				t.Errorf("%s: %s does not count", h.name, input)
			}
		}
	}
	if l := leaf(sid, 1, seed); bytes.Equal(l[:digest], l[digest:]) {
		t.Error("both halves of h_x are one hash")
	}
	seen := map[[2]uint64]int{}
	for k, chi := range newCheckHash(&sid, []byte("u")) {
		x := [2]uint64{chi.lo.value(), chi.hi.value()}
		if l, twice := seen[x]; twice {
			t.Errorf("χ_%d is χ_%d", k+1, l+1)
		}
		seen[x] = k
	}
	var prg rowPRG
	prg.start(&sid)
	for k := range prgBlocks - 1 {
		if bytes.Equal(prg.in[16*k:16*k+16], prg.in[16*k+16:16*k+32]) {
			t.Errorf("blocks %d and %d of a row are one", k, k+1)
		}
	}
}

// Goal: a first message of another session is worth nothing to who kept its secrets: R_c is bound to sid by the endemic hash itself, before
// any key is. Method: what A would need to know the key is a·B_c; with R_0, R_1 of one session B must get another point in the next.
func TestReplayedChoiceHasNoKey(t *testing.T) {
	h, sid, next := theHandshake(), sidOf("pair"), sidOf("next session")
	for _, i := range []int{0, 50, baseOTs - 1} {
		c := h.setup.o.choice[i]
		r := [2][]byte{}
		r[0], r[1] = pairOf(h.msg1, i)
		known := new(secp256k1.Point).ScalarBaseMult(&h.setup.o.a[i])
		share := func(sid *[32]byte) *secp256k1.Point {
			p, err := new(secp256k1.Point).SetBytes(r[c])
			if err != nil {
				t.Fatal(err)
			}
			return p.Add(p, endemicHash(sid, i, c, r[1-c]))
		}
		if share(&sid).Equal(known) != 1 {
			t.Fatal("A does not know the logarithm of her own key share: the test shows nothing")
		}
		if share(&next).Equal(known) == 1 {
			t.Errorf("transfer %d: A knows the logarithm of her key share in a session that she never answered", i)
		}
	}
}

// Goal: nobody lowers a security parameter unnoticed. Method: PROTOCOLS A.3: 128 bits against computation, b hidden but for 2^-80, a gadget
// of κ + 2·λ_s, every bit of Δ in a tree.
func TestParameters(t *testing.T) {
	if lambdaC < 128 || lambdaS < 80 || xi < kappa+2*80 || trees*softK < 128 || rows < 128 || halfH*8 < 512 || ell < 2 || width <= ell {
		t.Errorf("λ_c %d, λ_s %d, ξ %d, %d trees of %d bits, %d rows, h_x of %d bytes, %d and %d inputs",
			lambdaC, lambdaS, xi, trees, softK, rows, halfH, ell, width-ell)
	}
}
