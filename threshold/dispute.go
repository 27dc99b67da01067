package threshold

import (
	"errors"
	"maps"
	"slices"
)

// A dispute begins when a peer's echo, or session ID, is not ours: somebody told us two things, or somebody lies about what
// it was told. Everybody then shows the signed originals of the round in question, once. Two authentic originals of one
// sender that differ convict that sender; a peer whose originals do not give the echo it claimed, or are not the broadcasts of a round
// that it says it has finished, convicts itself (Goldwasser and Lindell, J. Cryptology 18, 2005: echo broadcast with abort; the exchange
// of originals is [X]). A peer that shows none, or names no session, stays in Missing.

// showOriginals sends, once, what we received as broadcasts of a finished round.
func (x *Session[R]) showOriginals(round int) []Message {
	ms := x.broadcasts(round)
	if x.shown[round] || !x.active || len(ms) == 0 {
		return nil
	}
	x.shown[round] = true
	m := Message{Ceremony: x.setup.Ceremony, Session: x.id, Round: uint8(round), Kind: Originals, From: x.setup.Self,
		To: Everybody, Body: encodeOriginals(ms)}
	x.outbox = append(x.outbox, m)
	return []Message{m}
}

// earlyOriginals judges what came before we had finished the round it is about.
func (x *Session[R]) earlyOriginals() ([]Message, error) {
	early := x.early
	x.early = map[PartyID]Message{}
	var out []Message
	for _, p := range slices.Sorted(maps.Keys(early)) {
		more, err := x.originals(early[p])
		out = append(out, more...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// originals compares a peer's originals with ours and answers with ours.
func (x *Session[R]) originals(m Message) ([]Message, error) {
	round := int(m.Round)
	if x.setup.Authentic == nil || round > x.round || m.Session == (SessionID{}) {
		return nil, nil
	}
	if round == x.round && !x.done {
		if _, ok := x.early[m.From]; !ok {
			x.early[m.From] = m
		}
		return nil, nil
	}
	proven := func(check string, culprit PartyID, evidence []Message, why string) error {
		return x.fail(&Abort{Kind: Proven, Check: check, Round: round, Culprits: []PartyID{culprit}, Evidence: evidence, Err: errors.New(why)})
	}
	theirs, err := readOriginals(x.setup, m)
	if err != nil {
		return nil, proven(checkOriginals, m.From, []Message{m, *x.in[0][m.From].broadcast}, err.Error())
	}
	// Whatever follows, the others can judge it only if they see what we saw.
	out := x.showOriginals(round)
	for _, o := range theirs {
		if in := x.in[round][o.From]; in != nil && in.broadcast != nil && VerifyEquivocation(x.setup.Authentic, *in.broadcast, o) {
			return out, x.fail(equivocated(*in.broadcast, o))
		}
		if o.From == x.setup.Self && x.own[round] != nil && !x.own[round].sameContent(o) {
			return out, x.fail(&Abort{Kind: Local, Check: "identity", Round: round,
				Err: errors.New("a peer holds a broadcast under our identity that this process did not send: the identity key is used elsewhere")})
		}
	}
	if x.done || round != x.round-1 {
		return out, nil
	}
	if claim := x.claim(m.From); claim != nil {
		// Their originals are ours, so they cannot have seen what they claim.
		return out, proven(checkEcho, m.From, []Message{*claim, m, *x.in[round][m.From].broadcast, *x.in[0][m.From].broadcast},
			"its echo is not the hash of the broadcasts it shows")
	}
	return out, nil
}

// readOriginals decodes an Originals message, which an honest party fills with the authentic broadcast of every other
// signer.
func readOriginals(s Setup, m Message) ([]Message, error) {
	ms, err := decodeOriginals(m.Ceremony, m.Round, m.Body)
	if err != nil {
		return nil, err
	}
	want := slices.DeleteFunc(slices.Clone(s.Signers), func(p PartyID) bool { return p == m.From })
	if len(ms) != len(want) {
		return nil, errOriginals
	}
	for i, o := range ms {
		if o.From != want[i] || !s.Authentic(o) {
			return nil, errOriginals
		}
	}
	return ms, nil
}
