package dkg

import (
	"errors"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// VerifyEvidence judges a Proven abort of a key generation, or of the refresh of old, as a third party: from the broadcasts
// alone, by the same rules as the parties. s is the ceremony's setup; its Authentic judges the culprit's signature, and the
// culprit's own echo binds whatever else the evidence holds. Nil means that every culprit is guilty; threshold.ErrEvidence,
// or an error of the setup, that it is not shown.
func VerifyEvidence(p Params, s threshold.Setup, old *threshold.KeyInfo, a *threshold.Abort) error {
	if threshold.OfConduct(a.Check) {
		s.Context = newPublic(p, s.Committee, old).context(s.Context)
		return threshold.VerifyConduct(s, a)
	}
	if a.Kind != threshold.Proven || len(a.Culprits) == 0 {
		return threshold.ErrEvidence
	}
	for _, culprit := range a.Culprits {
		if err := verifyOne(p, s, old, a, culprit); err != nil {
			return err
		}
	}
	return nil
}

func (st *state) verify(a *threshold.Abort) error {
	return VerifyEvidence(st.Params, st.setup, st.old, a)
}

func verifyOne(p Params, s threshold.Setup, old *threshold.KeyInfo, a *threshold.Abort, culprit threshold.PartyID) error {
	round := a.Round
	if a.Check == "dkg-share" {
		round = 2 // the dealer's own D2 is what convicts it
	}
	pub := newPublic(p, s.Committee, old)
	s.Context = pub.context(s.Context)
	t, err := threshold.ReadTranscript(s, a.Evidence, culprit, round)
	if err != nil {
		return err
	}
	pub.id = t.Session
	err = pub.judge(s, t, culprit, round)
	if a.Check == "dkg-share" && err == nil {
		err = pub.findComplaint(a.Evidence, culprit)
	}
	check, guilty := threshold.Convicts(err, culprit)
	if !guilty || check != a.Check {
		return threshold.ErrEvidence
	}
	return nil
}

// judge repeats the protocol's judgement of the culprit's message of the round.
func (pub *public) judge(s threshold.Setup, t *threshold.Transcript, culprit threshold.PartyID, round int) error {
	body := t.Body(round, culprit)
	if round == 0 {
		_, err := threshold.JudgeOpen(s, 0, body)
		return err
	}
	if limit := []int{0, pub.d1Len(), pub.d2Len(), pub.verdictMax()}; round >= len(limit) {
		return threshold.ErrEvidence
	} else if len(body) > limit[round] {
		return threshold.Faultf(threshold.Proven, "length", "%d bytes, at most %d", len(body), limit[round])
	}
	if round == 1 {
		_, err := pub.judgeCommitment(body)
		return err
	}
	for _, q := range pub.committee.Parties {
		c, err := pub.judgeCommitment(t.Body(1, q))
		if err != nil {
			return threshold.ErrEvidence
		}
		pub.accept(q, c)
	}
	if round == 2 {
		d, err := pub.judgeDealing(culprit, body)
		pub.dealt[culprit] = d
		return err
	}
	for _, q := range pub.committee.Parties {
		d, err := pub.judgeDealing(q, t.Body(2, q))
		if err != nil {
			return threshold.ErrEvidence
		}
		pub.dealt[q] = d
	}
	_, info, err := pub.outcome(pub.Group.NewScalar())
	if err != nil {
		return threshold.ErrEvidence
	}
	return pub.judgeVerdict(culprit, body, info.Digest())
}

// findComplaint looks for a verdict that complains of the dealer and judges it. The complaint proves itself: it needs no
// signature.
func (pub *public) findComplaint(evidence []threshold.Message, dealer threshold.PartyID) error {
	for _, m := range evidence {
		var v verdict
		if m.Round != 3 || m.Kind != threshold.Data || !pub.committee.Contains(m.From) || canon.Unmarshal(m.Body, &v) != nil {
			continue
		}
		i := slices.IndexFunc(v.Complaints, func(c complaint) bool { return c.Dealer == dealer })
		if i < 0 {
			continue
		}
		var a *threshold.Abort
		if err := pub.judgeComplaint(m.From, v.Complaints[i]); errors.As(err, &a) {
			return err
		}
	}
	return threshold.ErrEvidence
}
