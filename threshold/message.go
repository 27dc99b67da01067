package threshold

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/internal/canon"
)

// Limits of a message.
const (
	// MaxBody is the largest body of data, in bytes.
	MaxBody = 1 << 20
	// MaxOriginals is the largest body of originals, in bytes: everybody's broadcasts of a round, with their proofs.
	MaxOriginals = 3 << 19
	// MaxAccusation is the largest body of an accusation, in bytes: whatever convicts fits in, two messages of data, or one and originals.
	MaxAccusation = 7 << 19
	// MaxProof is the longest Message.Proof, in bytes.
	MaxProof = 9 << 10
	// MaxRounds is the highest round number a session may reach.
	MaxRounds = 15
)

// Everybody as a recipient makes a message a broadcast: every party of the session gets the same bytes.
const Everybody PartyID = 0

// MessageKind tells data of a round from what settles a dispute.
type MessageKind uint8

// The kinds of message.
const (
	Data      MessageKind = 1
	Originals MessageKind = 2 // the signed broadcasts of round Round, as the sender received them
	// Accusation passes on the evidence of a Proven abort in round Round.
	Accusation MessageKind = 3
)

// maxBody is the largest body of the kind, in bytes.
func (k MessageKind) maxBody() int {
	return map[MessageKind]int{Data: MaxBody, Originals: MaxOriginals, Accusation: MaxAccusation}[k]
}

// Message is what sessions exchange. The caller moves it, signed by the sender, and fills From, Ceremony and Proof from
// what was authenticated, never from the body.
type Message struct {
	Ceremony [32]byte  // which ceremony
	Session  SessionID // zero in round 0, where it is still being made
	Round    uint8
	Kind     MessageKind
	From     PartyID
	To       PartyID
	Echo     [32]byte // what the sender saw as broadcasts of the round before
	Body     []byte
	Proof    []byte // proves to third parties that From sent this; opaque here, judged by Setup.Authentic
}

// wire is the part of a message that is encoded; the rest travels in the authenticated envelope.
type wire struct {
	Session SessionID   `cbor:"1,keyasint"`
	Round   uint8       `cbor:"2,keyasint"`
	Kind    MessageKind `cbor:"3,keyasint"`
	To      PartyID     `cbor:"4,keyasint"`
	Echo    [32]byte    `cbor:"5,keyasint"`
	Body    []byte      `cbor:"6,keyasint"`
}

// Encode gives the bytes that the sender signs and sends. Ceremony, From and Proof are the envelope's.
func (m Message) Encode() []byte {
	return canon.MustMarshal(wire{m.Session, m.Round, m.Kind, m.To, m.Echo, m.Body})
}

// DecodeMessage reads what Encode wrote; the caller then sets Ceremony, From and Proof from the envelope.
func DecodeMessage(b []byte) (Message, error) {
	var w wire
	if err := canon.Unmarshal(b, &w); err != nil {
		return Message{}, fmt.Errorf("threshold: message: %w", err)
	}
	switch {
	case w.Round > MaxRounds:
		return Message{}, fmt.Errorf("threshold: message of round %d, at most %d", w.Round, MaxRounds)
	case w.Kind != Data && w.Kind != Originals && w.Kind != Accusation:
		return Message{}, fmt.Errorf("threshold: message of unknown kind %d", w.Kind)
	case len(w.Body) > w.Kind.maxBody():
		return Message{}, fmt.Errorf("threshold: message of %d bytes, at most %d", len(w.Body), w.Kind.maxBody())
	}
	return Message{Session: w.Session, Round: w.Round, Kind: w.Kind, To: w.To, Echo: w.Echo, Body: w.Body}, nil
}

type slot struct {
	round uint8
	kind  MessageKind
	to    PartyID
}

func (m Message) slot() slot { return slot{m.Round, m.Kind, m.To} }

func (m Message) sameContent(o Message) bool {
	return m.Session == o.Session && m.Echo == o.Echo && bytes.Equal(m.Body, o.Body)
}

// original is one broadcast inside an Originals message.
type original struct {
	From  PartyID `cbor:"1,keyasint"`
	Bytes []byte  `cbor:"2,keyasint"` // Message.Encode
	Proof []byte  `cbor:"3,keyasint"`
}

func encodeOriginals(ms []Message) []byte {
	os := make([]original, len(ms))
	for i, m := range ms {
		os[i] = original{m.From, m.Encode(), m.Proof}
	}
	return canon.MustMarshal(os)
}

var errOriginals = errors.New("originals are not the broadcasts of the round")

func decodeOriginals(ceremony [32]byte, round uint8, body []byte) ([]Message, error) {
	var os []original
	if err := canon.Unmarshal(body, &os); err != nil {
		return nil, err
	}
	if os == nil || len(os) > MaxParties {
		return nil, errOriginals
	}
	ms := make([]Message, len(os))
	for i, o := range os {
		m, err := DecodeMessage(o.Bytes)
		if err != nil {
			return nil, err
		}
		if m.Round != round || m.Kind != Data || m.To != Everybody || (i > 0 && o.From <= os[i-1].From) {
			return nil, errOriginals
		}
		m.Ceremony, m.From, m.Proof = ceremony, o.From, o.Proof
		ms[i] = m
	}
	return ms, nil
}
