package threshold

import (
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
)

// A Proven abort is passed on, so that every honest party ends with the same verdict and not only the one that was cheated:
// an Accusation carries the evidence, and each receiver judges it by itself. One that does not convince is dropped. [X]

// accusation is the body of an Accusation message; its round is the message's.
type accusation struct {
	Check    string    `cbor:"1,keyasint"`
	Culprits []PartyID `cbor:"2,keyasint"`
	Evidence []exhibit `cbor:"3,keyasint"`
}

// exhibit is one message of the evidence, data or originals; our own have no proof.
type exhibit struct {
	From  PartyID `cbor:"1,keyasint"`
	Bytes []byte  `cbor:"2,keyasint"` // Message.Encode
	Proof []byte  `cbor:"3,keyasint,omitempty"`
}

// accuse makes the message that passes our abort on, if it is one that can be.
func (x *Session[R]) accuse() []Message {
	if x.abort == nil || x.abort.Kind != Proven || !x.active || x.setup.Authentic == nil {
		return nil
	}
	a := accusation{Check: x.abort.Check, Culprits: x.abort.Culprits}
	for _, m := range x.abort.Evidence {
		a.Evidence = append(a.Evidence, exhibit{m.From, m.Encode(), m.Proof})
	}
	body := canon.MustMarshal(a)
	if len(body) > MaxAccusation {
		return nil
	}
	m := Message{Ceremony: x.setup.Ceremony, Session: x.id, Round: uint8(x.abort.Round), Kind: Accusation, From: x.setup.Self,
		To: Everybody, Body: body}
	x.outbox = append(x.outbox, m)
	return []Message{m}
}

// accused judges a peer's accusation. Each peer has one, so that judging costs no more than the ceremony did.
func (x *Session[R]) accused(m Message) error {
	if x.setup.Authentic == nil || x.heard[m.From] {
		return nil
	}
	x.heard[m.From] = true
	a, err := decodeAccusation(x.setup.Ceremony, m.Round, m.Body)
	if err != nil || slices.Contains(a.Culprits, x.setup.Self) {
		return nil
	}
	if VerifyConduct(x.setup, a) == nil || x.opening.Judge != nil && x.opening.Judge(a) == nil {
		return x.fail(a)
	}
	return x.compare(a.Evidence)
}

// compare holds the evidence of a peer against what we have: who said something else to us convicts itself, whatever it is accused of.
func (x *Session[R]) compare(evidence []Message) error {
	for _, m := range evidence {
		in := x.in[m.Round][m.From]
		if in == nil {
			continue
		}
		held := in.broadcast
		if m.To != Everybody {
			held = in.direct
		}
		if held != nil && VerifyEquivocation(x.setup.Authentic, *held, m) {
			return x.fail(equivocated(*held, m))
		}
	}
	return nil
}

func decodeAccusation(ceremony [32]byte, round uint8, body []byte) (*Abort, error) {
	var v accusation
	if err := canon.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	if len(v.Culprits) == 0 || len(v.Culprits) > MaxParties || len(v.Evidence) > MaxParties*(MaxRounds+1) || len(v.Check) > 64 {
		return nil, ErrEvidence
	}
	a := &Abort{Kind: Proven, Check: v.Check, Round: int(round), Culprits: v.Culprits, Err: errAccused}
	for _, e := range v.Evidence {
		m, err := DecodeMessage(e.Bytes)
		if err != nil {
			return nil, err
		}
		m.Ceremony, m.From, m.Proof = ceremony, e.From, e.Proof
		a.Evidence = append(a.Evidence, m)
	}
	return a, nil
}
