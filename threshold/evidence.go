package threshold

import (
	"errors"
	"slices"
)

// ErrEvidence is returned for evidence that does not convict the party it is held against.
var ErrEvidence = errors.New("threshold: the evidence does not convict")

var errAccused = errors.New("a peer passed on evidence that convicts")

// Judge is implemented by schemes whose Proven aborts third parties can verify, while the session runs and after. The setup is that of the
// ceremony (Self is of no matter, Authentic is needed). A nil error means that every culprit the abort names is guilty.
type Judge interface {
	// VerifyEvidence judges an abort of a key generation, or of the refresh of old.
	VerifyEvidence(s Setup, old *KeyInfo, a *Abort) error
	// VerifyPresigning judges an abort of Presign with these keys or, if there are requests, of PresignFor.
	VerifyPresigning(s Setup, keys []KeyInfo, reqs []SignRequest, a *Abort) error
}

// VerifyEquivocation tells whether the two messages prove that their sender said two things in one place: data of the same ceremony
// and round to the same recipient, both authentic, different content.
func VerifyEquivocation(authentic func(Message) bool, a, b Message) bool {
	return a.Kind == Data && a.slot() == b.slot() && a.From == b.From && a.Ceremony == b.Ceremony &&
		!a.sameContent(b) && authentic(a) && authentic(b)
}

// equivocated blames the sender of two messages that VerifyEquivocation holds against it.
func equivocated(a, b Message) *Abort {
	return &Abort{Kind: Proven, Check: checkEquivocation, Round: int(a.Round), Culprits: []PartyID{a.From}, Evidence: []Message{a, b},
		Err: errors.New("two messages in one place")}
}

// VerifyConduct judges the Proven aborts that are the same in every protocol: equivocation, and lies about what was seen.
// It is a pure function of what it is given; nil means that the abort's one culprit is guilty. The context of s is the one that the
// session was given. The evidence is two messages of equivocation; bad originals and their sender's OPEN; or a claim, the originals and
// the broadcast that refute it, and their sender's OPEN.
func VerifyConduct(s Setup, a *Abort) error {
	if err := s.validate(); err != nil {
		return err
	}
	if a.Kind != Proven || len(a.Culprits) != 1 || s.Authentic == nil {
		return ErrEvidence
	}
	culprit, ev := a.Culprits[0], a.Evidence
	for _, m := range ev {
		if m.Ceremony != s.Ceremony {
			return ErrEvidence
		}
	}
	guilty := false
	switch a.Check {
	case checkEquivocation:
		guilty = len(ev) == 2 && ev[0].From == culprit && VerifyEquivocation(s.Authentic, ev[0], ev[1])
	case checkOriginals:
		guilty = len(ev) == 2 && ev[0].From == culprit && badOriginals(s, ev[0], ev[1])
	case checkEcho:
		guilty = len(ev) == 4 && ev[0].From == culprit && liedEcho(s, ev[0], ev[1], ev[2]) && believed(s, ev[1], ev[3])
	}
	if !guilty || !slices.Contains(s.Signers, culprit) {
		return ErrEvidence
	}
	return nil
}

// The checks of VerifyConduct.
const (
	checkEquivocation = "equivocation"
	checkOriginals    = "originals"
	checkEcho         = "echo"
)

// OfConduct tells whether VerifyConduct judges the check, and not the scheme.
func OfConduct(check string) bool {
	return check == checkEquivocation || check == checkOriginals || check == checkEcho
}

// Rejudge judges a Proven abort by its evidence: VerifyConduct what is the same in every protocol, judge what the one culprit said in the
// abort's round, by the broadcasts that its echo binds. The error of judge convicts as Convicts says, and must be of the abort's check. The
// context of s is the one that the session was given.
func Rejudge(s Setup, a *Abort, judge func(t *Transcript, culprit PartyID) error) error {
	if OfConduct(a.Check) {
		return VerifyConduct(s, a)
	}
	if a.Kind != Proven || len(a.Culprits) != 1 {
		return ErrEvidence
	}
	culprit := a.Culprits[0]
	t, err := ReadTranscript(s, a.Evidence, culprit, a.Round)
	if err != nil {
		return err
	}
	if check, guilty := Convicts(judge(t, culprit), culprit); !guilty || check != a.Check {
		return ErrEvidence
	}
	return nil
}

// believed tells whether the message claims a session, and its sender's OPEN says that it was one with the view of s: only then do
// the signers and the lengths of s bind it.
func believed(s Setup, m, open Message) bool {
	return m.Session != (SessionID{}) && open.From == m.From && open.Kind == Data && open.Round == 0 && open.To == Everybody &&
		len(open.Body) >= openFixedLen && [32]byte(open.Body[openNonceLen:openFixedLen]) == contextHash(s) && s.Authentic(open)
}

// badOriginals tells whether originals of a finished round are not the broadcasts of that round.
func badOriginals(s Setup, m, open Message) bool {
	if m.Kind != Originals || !s.Authentic(m) || !believed(s, m, open) {
		return false
	}
	_, err := readOriginals(s, m)
	return err != nil
}

// liedEcho tells whether the claim, a message of round r+1, echoes something else than its sender's own broadcast of round
// r and the originals of round r which it shows.
func liedEcho(s Setup, claim, shown, own Message) bool {
	round := int(shown.Round)
	if claim.Kind != Data || shown.Kind != Originals || own.Kind != Data || own.To != Everybody ||
		int(claim.Round) != round+1 || int(own.Round) != round || claim.From != shown.From || claim.From != own.From {
		return false
	}
	if !s.Authentic(claim) || !s.Authentic(shown) || !s.Authentic(own) {
		return false
	}
	originals, err := readOriginals(s, shown)
	if err != nil {
		return false // guilty of something else
	}
	bodies := make([][]byte, len(s.Signers))
	for i, p := range s.Signers {
		if p == own.From {
			bodies[i] = own.Body
			continue
		}
		bodies[i], originals = originals[0].Body, originals[1:]
	}
	if round == 0 {
		for _, b := range bodies {
			if len(b) < openFixedLen {
				return false
			}
		}
		return claim.Session != sessionID(s, [32]byte(own.Body[openNonceLen:openFixedLen]), bodies)
	}
	before := own.Echo
	if round == 1 {
		before = own.Session
	}
	return claim.Session != own.Session || claim.Echo != echoHash(own.Session, round, before, bodies)
}

// Transcript is the broadcasts that one party had seen when it sent a message, bound by that message's echo.
type Transcript struct {
	Session SessionID
	Accused Message // authentic
	bodies  [MaxRounds + 1]map[PartyID][]byte
}

// Body is the broadcast of p in a round before the accused message's, or in that round if p is the accused.
func (t *Transcript) Body(round int, p PartyID) []byte { return t.bodies[round][p] }

// ReadTranscript takes the accused party's broadcast of the given round out of the evidence and checks that it is authentic,
// belongs to the ceremony, names the session ID that s (with the Context that the session was given) and the OPENs in the
// evidence make, and echoes exactly the broadcasts of rounds 1 to round-1 in the evidence. So nobody can be accused with a
// transcript it has not seen, nor by the rules of another ceremony.
func ReadTranscript(s Setup, evidence []Message, accused PartyID, round int) (*Transcript, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if s.Authentic == nil || round < 0 || round > MaxRounds || !slices.Contains(s.Signers, accused) {
		return nil, ErrEvidence
	}
	t := &Transcript{}
	for r := range t.bodies {
		t.bodies[r] = map[PartyID][]byte{}
	}
	found := false
	for _, m := range evidence {
		if m.Kind != Data || m.To != Everybody || int(m.Round) > round || !slices.Contains(s.Signers, m.From) {
			continue
		}
		if int(m.Round) < round {
			t.bodies[m.Round][m.From] = m.Body
		} else if m.From == accused {
			t.Accused, found = m, true
			t.bodies[round][accused] = m.Body
		}
	}
	if !found || t.Accused.Ceremony != s.Ceremony || !s.Authentic(t.Accused) {
		return nil, ErrEvidence
	}
	if round == 0 {
		return t, nil
	}
	t.Session = t.Accused.Session
	var echo [32]byte
	for r := range round {
		bodies := make([][]byte, len(s.Signers))
		for i, p := range s.Signers {
			bodies[i] = t.bodies[r][p]
			if r == 0 && len(bodies[i]) < openFixedLen {
				return nil, ErrEvidence
			}
		}
		if r > 0 {
			echo = echoHash(t.Session, r, echo, bodies)
		} else if echo = sessionID(s, contextHash(s), bodies); echo != t.Session {
			return nil, ErrEvidence
		}
	}
	if round > 1 && echo != t.Accused.Echo {
		return nil, ErrEvidence
	}
	return t, nil
}

// JudgeOpen repeats the judgement of an OPEN message's form: a body of another length than the protocol's payloadLen asks
// for is a Proven fault only if its sender believed in the ceremony that s describes, with the Context that the session
// was given. It returns the payload.
func JudgeOpen(s Setup, payloadLen int, body []byte) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if err := judgeOpen(contextHash(s), payloadLen, body); err != nil {
		return nil, err
	}
	return body[openFixedLen:], nil
}
