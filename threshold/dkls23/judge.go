package dkls23

import (
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
)

// VerifyEvidence implements threshold.Judge for key generation and refresh.
func (Scheme) VerifyEvidence(s threshold.Setup, old *threshold.KeyInfo, a *threshold.Abort) error {
	return dkg.VerifyEvidence(params(), s, old, a)
}

func lengthError(what string, got, want int) error {
	return fmt.Errorf("%s of %d bytes, want %d", what, got, want)
}

// verify judges the Proven faults of a presigning session, those of the broadcasts: a form that is wrong, or an R_j that is not the one
// committed to. Pairwise faults convince nobody else; they ban.
func (p *presigning) verify(a *threshold.Abort) error {
	if a.Kind != threshold.Proven || len(a.Culprits) != 1 {
		return threshold.ErrEvidence
	}
	culprit := a.Culprits[0]
	t, err := threshold.ReadTranscript(p.setup, a.Evidence, culprit, a.Round)
	if err != nil {
		return err
	}
	switch a.Round {
	case 1:
		err = judgeCommitment(t.Body(1, culprit))
	case 2:
		_, err = judgeOpening(t.Session, culprit, len(p.entries), t.Body(1, culprit), t.Body(2, culprit))
	}
	if check, guilty := threshold.Convicts(err, culprit); !guilty || check != a.Check {
		return threshold.ErrEvidence
	}
	return nil
}
