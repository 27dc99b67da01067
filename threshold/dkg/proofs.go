package dkg

import (
	"io"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// provePossession is a Schnorr proof (J. Cryptology 4, 1991) of knowledge of the constant term, bound to session, party and
// all commitments: R ‖ z with z = k + c·a_0.
func provePossession(g group.Group, id threshold.SessionID, p threshold.PartyID, secret group.Scalar, commitments []byte,
	rand io.Reader) ([]byte, error) {
	k, err := randomScalar(g, rand)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	r := g.NewPoint().ScalarBaseMult(k).Bytes()
	c := possessionChallenge(g, id, p, commitments, r)
	z := c.Mul(c, secret)
	z.Add(z, k)
	return append(r, z.Bytes()...), nil
}

func possessionChallenge(g group.Group, id threshold.SessionID, p threshold.PartyID, commitments, r []byte) group.Scalar {
	return g.HashToScalar("mpcd/v1/dkg/possession", id[:], []byte(g.Name()), partyBytes(p), commitments, r)
}

// verifyPossession checks z·G = R + c·C_0.
func verifyPossession(g group.Group, id threshold.SessionID, p threshold.PartyID, public group.Point, commitments, proof []byte) bool {
	rb := proof[:g.PointLen()]
	r, err := g.NewPoint().SetCanonical(rb)
	if err != nil {
		return false
	}
	z, err := g.NewScalar().SetCanonical(proof[g.PointLen():])
	if err != nil {
		return false
	}
	c := possessionChallenge(g, id, p, commitments, rb)
	want := r.Add(r, g.NewPoint().ScalarMult(c, public))
	return g.NewPoint().ScalarBaseMult(z).Equal(want)
}

// proveEqualLogs proves log_G(P) = log_E(K) for the secret e: c ‖ z (Chaum and Pedersen, CRYPTO '92).
func proveEqualLogs(g group.Group, context [32]byte, e group.Scalar, p, base, k group.Point, rand io.Reader) ([]byte, error) {
	r, err := randomScalar(g, rand)
	if err != nil {
		return nil, err
	}
	defer r.Wipe()
	a := g.NewPoint().ScalarBaseMult(r)
	b := g.NewPoint().ScalarMult(r, base)
	c := equalLogsChallenge(g, context, p, base, k, a, b)
	z := g.NewScalar().Mul(c, e)
	z.Add(z, r)
	return append(c.Bytes(), z.Bytes()...), nil
}

func equalLogsChallenge(g group.Group, context [32]byte, p, base, k, a, b group.Point) group.Scalar {
	return g.HashToScalar("mpcd/v1/dkg/equal-logs", context[:], []byte(g.Name()), p.Bytes(), base.Bytes(), k.Bytes(), a.Bytes(), b.Bytes())
}

// verifyEqualLogs recomputes A = z·G - c·P and B = z·E - c·K and compares the challenge.
func verifyEqualLogs(g group.Group, context [32]byte, p, base, k group.Point, proof []byte) bool {
	c, err := g.NewScalar().SetCanonical(proof[:g.ScalarLen()])
	if err != nil {
		return false
	}
	z, err := g.NewScalar().SetCanonical(proof[g.ScalarLen():])
	if err != nil {
		return false
	}
	a := g.NewPoint().ScalarBaseMult(z)
	a.Sub(a, g.NewPoint().ScalarMult(c, p))
	b := g.NewPoint().ScalarMult(z, base)
	b.Sub(b, g.NewPoint().ScalarMult(c, k))
	return equalLogsChallenge(g, context, p, base, k, a, b).Equal(c)
}
