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

// VerifyPresigning implements threshold.Judge for presigning: C3, C5, C9 of the broadcasts.
func (Scheme) VerifyPresigning(s threshold.Setup, keys []threshold.KeyInfo, reqs []threshold.SignRequest, a *threshold.Abort) error {
	s.Self = 0 // an observer needs no secrets
	of := make([]threshold.PresignKey, len(keys))
	for i, k := range keys {
		of[i].Info = k
	}
	p, err := Scheme{}.newPresigning(s, of, reqs)
	if err != nil {
		return err
	}
	return p.verify(a)
}

func lengthError(what string, got, want int) error {
	return fmt.Errorf("%s of %d bytes, want %d", what, got, want)
}

// judgeOpen is the judgement of an OPEN whose payload has another length than the protocol's.
func judgeOpen(s threshold.Setup, payloadLen int, t *threshold.Transcript, culprit threshold.PartyID) error {
	_, err := threshold.JudgeOpen(s, payloadLen, t.Body(0, culprit))
	return err
}

// verify judges the Proven faults of a presigning session, those of the broadcasts: a form that is wrong, or an R_j that is not the one
// committed to. Pairwise faults convince nobody else; they ban.
func (p *presigning) verify(a *threshold.Abort) error {
	return threshold.Rejudge(p.setup, a, func(t *threshold.Transcript, culprit threshold.PartyID) error {
		switch a.Round {
		case 0:
			return judgeOpen(p.setup, epochLen, t, culprit)
		case 1:
			return judgeCommitment(t.Body(1, culprit))
		case 2:
			_, err := judgeOpening(t.Session, culprit, len(p.entries), t.Body(1, culprit), t.Body(2, culprit))
			return err
		}
		return nil
	})
}

// verify judges the Proven faults of a pair setup: an OPEN or a P3 of a wrong length.
func (p *pairSetup) verify(a *threshold.Abort) error {
	return threshold.Rejudge(p.setup, a, func(t *threshold.Transcript, culprit threshold.PartyID) error {
		switch a.Round {
		case 0:
			return judgeOpen(p.setup, 0, t, culprit)
		case 3:
			return p.judgeConfirmation(t.Body(3, culprit))
		}
		return nil
	})
}
