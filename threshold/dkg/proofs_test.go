package dkg

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: the proof of possession cannot be made without the secret. Method: the honest proof verifies; every forgery that
// would succeed if the challenge left something out does not.
func TestPossession(t *testing.T) {
	for _, g := range []group.Group{group.Ed25519, group.Secp256k1} {
		rand := tt.NewRand(1, g.Name())
		x, _ := randomScalar(g, rand)
		public := g.NewPoint().ScalarBaseMult(x)
		id, commitments := threshold.SessionID{1}, public.Bytes()
		proof, err := provePossession(g, id, 7, x, commitments, rand)
		if err != nil || !verifyPossession(g, id, 7, public, commitments, proof) {
			t.Fatalf("%s: an honest proof is refused: %v", g.Name(), err)
		}
		// R after the challenge: choose z, and R = z·G - c·C_0, with the challenge of some other R.
		z, _ := randomScalar(g, rand)
		c := possessionChallenge(g, id, 7, commitments, proof[:g.PointLen()])
		r := g.NewPoint().ScalarBaseMult(z)
		r.Sub(r, g.NewPoint().ScalarMult(c, public))
		if verifyPossession(g, id, 7, public, commitments, append(r.Bytes(), z.Bytes()...)) {
			t.Errorf("%s: forged by choosing R after the challenge", g.Name())
		}
		if verifyPossession(g, threshold.SessionID{2}, 7, public, commitments, proof) || verifyPossession(g, id, 8, public, commitments, proof) ||
			verifyPossession(g, id, 7, public, append(commitments, 1), proof) || verifyPossession(g, id, 7, r, commitments, proof) {
			t.Errorf("%s: a proof for another session, party or polynomial", g.Name())
		}
	}
}

// Goal: the proof that an ECDH point is the pair's cannot be made for another point. Method: as before.
func TestEqualLogs(t *testing.T) {
	for _, g := range []group.Group{group.Ed25519, group.Secp256k1} {
		rand := tt.NewRand(2, g.Name())
		e, _ := randomScalar(g, rand)
		d, _ := randomScalar(g, rand)
		p, base := g.NewPoint().ScalarBaseMult(e), g.NewPoint().ScalarBaseMult(d)
		k := g.NewPoint().ScalarMult(e, base)
		ctx := [32]byte{3}
		proof, err := proveEqualLogs(g, ctx, e, p, base, k, rand)
		if err != nil || !verifyEqualLogs(g, ctx, p, base, k, proof) {
			t.Fatalf("%s: an honest proof is refused: %v", g.Name(), err)
		}
		wrong := g.NewPoint().Add(k, base)
		if verifyEqualLogs(g, ctx, p, base, wrong, proof) || verifyEqualLogs(g, [32]byte{4}, p, base, k, proof) {
			t.Errorf("%s: a proof for another point or context", g.Name())
		}
		r, _ := randomScalar(g, rand)
		a, b := g.NewPoint().ScalarBaseMult(r), g.NewPoint().ScalarMult(r, base)
		answer := func(c group.Scalar) group.Scalar {
			z := g.NewScalar().Mul(c, e)
			return z.Add(z, r)
		}
		// B after the challenge.
		c := equalLogsChallenge(g, ctx, p, base, wrong, a, b)
		if verifyEqualLogs(g, ctx, p, base, wrong, append(c.Bytes(), answer(c).Bytes()...)) {
			t.Errorf("%s: forged by choosing B after the challenge", g.Name())
		}
		// K after the challenge: K = (z·E - B)/c for a B of no meaning.
		odd := g.NewPoint().Add(b, base)
		c = equalLogsChallenge(g, ctx, p, base, k, a, odd)
		forged := g.NewPoint().ScalarMult(answer(c), base)
		forged.Sub(forged, odd)
		forged.ScalarMult(g.NewScalar().Invert(c), forged)
		if verifyEqualLogs(g, ctx, p, base, forged, append(c.Bytes(), answer(c).Bytes()...)) {
			t.Errorf("%s: forged by choosing K after the challenge", g.Name())
		}
		// A after the challenge: B = β·E, and z = β + c·(e+1) for K = (e+1)·E.
		c = equalLogsChallenge(g, ctx, p, base, wrong, a, b)
		z := g.NewScalar().Add(e, g.NewScalar().SetUint64(1))
		z.Mul(z, c)
		z.Add(z, r)
		if verifyEqualLogs(g, ctx, p, base, wrong, append(c.Bytes(), z.Bytes()...)) {
			t.Errorf("%s: forged by choosing A after the challenge", g.Name())
		}
	}
}

// Goal: a sharing that makes a public share or the group key the identity is no key, and nobody's fault. Method: two dealers
// who cancel each other out.
func TestIdentityOutcome(t *testing.T) {
	for _, p := range []Params{edParams, skParams} {
		p.Finish = nil
		w := tt.NewWorld(1, 2, 2)
		g := p.Group
		for name, cancel := range map[string]func(c []group.Point) []group.Point{
			"group key": func(c []group.Point) []group.Point { return []group.Point{g.NewPoint().Negate(c[0]), c[1]} },
			"public share": func(c []group.Point) []group.Point { // f(x_1) + g(x_1) = 0
				at := g.NewPoint().ScalarMult(g.NewScalar().SetUint64(uint64(w.Committee.Parties[0])), c[1])
				at.Add(at, at)
				at.Add(at, c[0])
				return []group.Point{at.Negate(at), c[1]}
			},
		} {
			pub := newPublic(p, w.Committee, nil)
			c := []group.Point{g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(3)), g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(5))}
			pub.dealt[w.Committee.Parties[0]] = &dealing{commitments: c}
			pub.dealt[w.Committee.Parties[1]] = &dealing{commitments: cancel(c)}
			_, _, err := pub.outcome(g.NewScalar())
			var a *threshold.Abort
			if !errors.As(err, &a) || a.Kind != threshold.Retry || a.Check != "dkg-identity" || len(a.Culprits) > 0 {
				t.Errorf("%s, %s is the identity: %v", g.Name(), name, err)
			}
		}
	}
}
