package threshold

import (
	"errors"
	"slices"
)

// A dispute begins when a peer's echo, or session ID, is not ours: somebody told us two things, or somebody lies about what
// it was told. Everybody then shows the signed originals of the round in question, once. Two authentic originals of one
// sender that differ convict that sender; a peer whose originals do not give the echo it claimed convicts itself. There is
// no third case (Goldwasser and Lindell, J. Cryptology 18, 2005: echo broadcast with abort; the exchange of originals is [X]).

// broadcasts lists the peers' broadcasts of a round.
func (x *Session[R]) broadcasts(round int) []Message {
	var ms []Message
	for _, p := range x.peers {
		if in := x.in[round][p]; in != nil && in.broadcast != nil {
			ms = append(ms, *in.broadcast)
		}
	}
	return ms
}

// showOriginals sends, once, what we received as broadcasts of the round.
func (x *Session[R]) showOriginals(round int) []Message {
	if x.disputed == round+1 || !x.active {
		return nil
	}
	x.disputed = round + 1
	m := Message{Ceremony: x.setup.Ceremony, Session: x.id, Round: uint8(round), Kind: Originals, From: x.setup.Self,
		To: Everybody, Body: encodeOriginals(x.broadcasts(round))}
	x.outbox = append(x.outbox, m)
	return []Message{m}
}

// originals compares a peer's originals with ours.
func (x *Session[R]) originals(m Message) ([]Message, error) {
	round := int(m.Round)
	if x.setup.Authentic == nil || round > x.round {
		return nil, nil
	}
	theirs, err := decodeOriginals(x.setup.Ceremony, m.Round, m.Body)
	if err != nil {
		return nil, x.fail(&Abort{Kind: Proven, Check: "echo", Round: round, Culprits: []PartyID{m.From}, Evidence: []Message{m}, Err: err})
	}
	for _, o := range theirs {
		if !slices.Contains(x.setup.Signers, o.From) || !x.setup.Authentic(o) {
			return nil, x.fail(&Abort{Kind: Proven, Check: "echo", Round: round, Culprits: []PartyID{m.From}, Evidence: []Message{m},
				Err: errors.New("an original that its sender did not sign")})
		}
		if in := x.in[round][o.From]; in != nil && in.broadcast != nil && VerifyEquivocation(x.setup.Authentic, *in.broadcast, o) {
			return nil, x.fail(&Abort{Kind: Proven, Check: "equivocation", Round: round, Culprits: []PartyID{o.From},
				Evidence: []Message{*in.broadcast, o}, Err: errors.New("two broadcasts in one round")})
		}
		if o.From == x.setup.Self && x.own[round] != nil && !x.own[round].sameContent(o) {
			return nil, x.fail(&Abort{Kind: Local, Check: "identity", Round: round,
				Err: errors.New("a peer holds a broadcast under our identity that this process did not send: the identity key is used elsewhere")})
		}
	}
	out := x.showOriginals(round)
	if claim := x.claim(m.From); claim != nil && round == x.round-1 {
		// Their originals are ours, so they cannot have seen what they claim.
		return out, x.fail(&Abort{Kind: Proven, Check: "echo", Round: round + 1, Culprits: []PartyID{m.From}, Evidence: []Message{*claim, m},
			Err: errors.New("its echo is not the hash of the broadcasts it shows")})
	}
	return out, nil
}
