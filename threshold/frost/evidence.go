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

var (
	_ threshold.Judge = (*rfcScheme)(nil)
	_ threshold.Judge = taproot{}
)
