package dkls23

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

const (
	digestLen    = 32
	signatureLen = 64
	// maxTweaks bounds the tweaks of one request: a BIP-32 path has at most 255 steps.
	maxTweaks = 255
)

var (
	errVerify        = errors.New("dkls23: signature does not verify")
	errTweakCount    = fmt.Errorf("dkls23: more than %d tweaks", maxTweaks)
	errTweakXOnly    = errors.New("dkls23: x-only tweaks are for BIP-340 keys, not for ECDSA")
	errTweakRange    = errors.New("dkls23: the tweak value is out of range: want 1 to n-1")
	errTweakInfinity = errors.New("dkls23: the tweaks make the key the point at infinity; use another path")
)

// digestScalar is z of SEC 1 §4.1.3: the digest modulo n.
func digestScalar(digest []byte) (*secp256k1.Scalar, error) {
	if len(digest) != digestLen {
		return nil, fmt.Errorf("dkls23: message of %d bytes, want the digest of %d", len(digest), digestLen)
	}
	return new(secp256k1.Scalar).SetBytesReduced(digest), nil
}

// tweakedKey adds the tweaks to the key: child = key + τ·G with τ the sum of them. All of it is public.
func tweakedKey(key *secp256k1.Point, tweaks []threshold.Tweak) (child *secp256k1.Point, tau *secp256k1.Scalar, err error) {
	if len(tweaks) > maxTweaks {
		return nil, nil, errTweakCount
	}
	child, tau = new(secp256k1.Point).Set(key), new(secp256k1.Scalar)
	for _, t := range tweaks {
		var v secp256k1.Scalar
		if t.XOnly {
			return nil, nil, errTweakXOnly
		}
		if _, err := v.SetBytes(t.T[:]); err != nil || v.IsZero() == 1 {
			return nil, nil, errTweakRange
		}
		tau.Add(tau, &v)
	}
	if len(tweaks) > 0 {
		child.Add(child, new(secp256k1.Point).ScalarBaseMult(tau))
	}
	if child.IsIdentity() == 1 {
		return nil, nil, errTweakInfinity
	}
	return child, tau, nil
}

// coordinate is r = x(R) mod n and the recovery ID of (r, s): bit 0 is the parity of y(R), bit 1 tells that x(R) ≥ n. R is public.
func coordinate(point *secp256k1.Point) (r *secp256k1.Scalar, recovery int) {
	x := point.XBytes()
	r = new(secp256k1.Scalar).SetBytesReduced(x)
	recovery = point.YIsOdd()
	if !bytes.Equal(r.Bytes(), x) {
		recovery |= 2
	}
	return r, recovery
}

// verify is SEC 1 §4.1.4: R = (z/s)·G + (r/s)·Q has x = r mod n. Everything is public.
func verify(key *secp256k1.Point, z, r, s *secp256k1.Scalar) bool {
	_, ok := recoveryID(key, z, r, s)
	return ok
}

// recoveryID is the recovery ID of (r, s), if it is a signature under the key.
func recoveryID(key *secp256k1.Point, z, r, s *secp256k1.Scalar) (int, bool) {
	if r.IsZero() == 1 || s.IsZero() == 1 {
		return 0, false
	}
	var inverse, u1, u2 secp256k1.Scalar
	inverse.Invert(s)
	u1.Mul(z, &inverse)
	u2.Mul(r, &inverse)
	point := new(secp256k1.Point).VarTimeDoubleScalarBaseMult(&u2, key, &u1)
	if point.IsIdentity() == 1 {
		return 0, false
	}
	got, recovery := coordinate(point)
	return recovery, got.Equal(r) == 1
}
