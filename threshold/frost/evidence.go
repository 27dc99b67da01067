package frost

import (
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
)

// VerifyEvidence implements threshold.Judge for key generation and refresh.
func (s *rfcScheme) VerifyEvidence(set threshold.Setup, old *threshold.KeyInfo, a *threshold.Abort) error {
	return dkg.VerifyEvidence(s.params(), set, old, a)
}

// VerifyEvidence implements threshold.Judge for key generation and refresh.
func (t taproot) VerifyEvidence(set threshold.Setup, old *threshold.KeyInfo, a *threshold.Abort) error {
	return dkg.VerifyEvidence(t.params(), set, old, a)
}

// VerifyPresigning implements threshold.Judge for presigning; no request is bound into it.
func (s *rfcScheme) VerifyPresigning(set threshold.Setup, keys []threshold.KeyInfo, _ []threshold.SignRequest, a *threshold.Abort) error {
	return verifyPresigning(s.suite(), set, keys, a)
}

// VerifyPresigning implements threshold.Judge for presigning; no request is bound into it.
func (t taproot) VerifyPresigning(set threshold.Setup, keys []threshold.KeyInfo, _ []threshold.SignRequest, a *threshold.Abort) error {
	return verifyPresigning(t.suite(), set, keys, a)
}

func verifyPresigning(x suite, s threshold.Setup, keys []threshold.KeyInfo, a *threshold.Abort) error {
	s.Self = 0 // an observer needs no secrets
	of := make([]threshold.PresignKey, len(keys))
	for i, k := range keys {
		of[i].Info = k
	}
	p, err := newPresigning(x, s, of)
	if err != nil {
		return err
	}
	return p.verify(a)
}

// verify judges the Proven faults of a presigning session: an OPEN of a wrong length, or with commitments that are none.
func (p *presigning) verify(a *threshold.Abort) error {
	return threshold.Rejudge(p.setup, a, func(t *threshold.Transcript, culprit threshold.PartyID) error {
		payload, err := threshold.JudgeOpen(p.setup, p.payloadLen(), t.Body(0, culprit))
		if err != nil {
			return err
		}
		_, err = p.check(culprit, payload)
		return err
	})
}

var (
	_ threshold.Judge = (*rfcScheme)(nil)
	_ threshold.Judge = taproot{}
)
