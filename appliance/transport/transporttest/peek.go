package transporttest

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Peek reads what anybody on a raw network sees of a secured envelope: all but the body of a private one, which it leaves sealed.
func Peek(raw transport.Envelope) (transport.Envelope, error) {
	var s struct {
		Header struct {
			From    transport.NodeID   `cbor:"4,keyasint"`
			To      []transport.NodeID `cbor:"5,keyasint"`
			Kind    uint8              `cbor:"6,keyasint"`
			Topic   [32]byte           `cbor:"7,keyasint"`
			Private bool               `cbor:"13,keyasint"`
		} `cbor:"1,keyasint"`
		Body []byte `cbor:"3,keyasint"`
	}
	if err := cbor.Unmarshal(sealedIn(raw.Body), &s); err != nil {
		return transport.Envelope{}, fmt.Errorf("transporttest: no secured envelope: %w", err)
	}
	h := s.Header
	return transport.Envelope{From: h.From, To: h.To, Kind: h.Kind, Topic: h.Topic, Private: h.Private, Body: s.Body}, nil
}
