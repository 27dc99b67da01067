package transport

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"

	"github.com/luxfi/mpcd/internal/canon"
)

// Tags of PROTOCOLS 1.1. A test asserts that they are distinct.
const (
	tagEnvelope = "mpcd/v1/transport/envelope"
	tagBody     = "mpcd/v1/transport/body"
	tagHPKE     = "mpcd/v1/transport/hpke"
	tagKey      = "mpcd/v1/transport/key"
	tagPair     = "mpcd/v1/transport/pair"
	tagWitness  = "mpcd/v1/transport/witness" // of HKDF
)

const (
	wireVersion = 2  // all nodes of a cluster run releases of one
	encLen      = 32 // an X25519 public key
	saltLen     = 16
	tagLen      = 16 // of AES-GCM
)

var errMalformed = errors.New("transport: malformed envelope")

// header is everything about an envelope but its body, in the clear and signed.
type header struct {
	Version  uint8    `cbor:"1,keyasint"`
	Cluster  string   `cbor:"2,keyasint"`
	Channel  string   `cbor:"3,keyasint"`
	From     NodeID   `cbor:"4,keyasint"`
	To       []NodeID `cbor:"5,keyasint,omitempty"`
	Kind     uint8    `cbor:"6,keyasint"`
	Topic    [32]byte `cbor:"7,keyasint"`
	Boot     [16]byte `cbor:"8,keyasint"`  // Run.ID
	BootMS   uint64   `cbor:"9,keyasint"`  // Run.Number
	Seq      uint64   `cbor:"10,keyasint"` // from 1, per boot and channel
	TimeMS   uint64   `cbor:"11,keyasint"` // Unix milliseconds
	BodyHash [32]byte `cbor:"12,keyasint"` // hashBody(salt, body)
	Private  bool     `cbor:"13,keyasint"`
	Enc      []byte   `cbor:"14,keyasint,omitempty"` // private: the encapsulated key
	Count    uint64   `cbor:"15,keyasint,omitempty"` // private: from 1, the nonce under the key of Enc
}

// sealed is what a frame has behind its front. Body is the plaintext, or if private AES-256-GCM(salt || body) with the header's
// digest as additional data.
type sealed struct {
	Header    header   `cbor:"1,keyasint"`
	Signature [64]byte `cbor:"2,keyasint"`
	Body      []byte   `cbor:"3,keyasint,omitempty"`
}

// digest is what is signed and what private bodies are bound to.
func (h *header) digest() [32]byte {
	to := make([]byte, 0, 16*len(h.To))
	for _, n := range h.To {
		to = append(to, byte(len(n)))
		to = append(to, n...)
	}
	flags := []byte{h.Version, h.Kind, 0}
	if h.Private {
		flags[2] = 1
	}
	var numbers [40]byte
	for i, n := range []uint64{h.BootMS, h.Seq, h.TimeMS, h.Count, uint64(len(h.To))} {
		binary.BigEndian.PutUint64(numbers[8*i:], n)
	}
	return canon.Hash(tagEnvelope, flags, []byte(h.Cluster), []byte(h.Channel), []byte(h.From), to, h.Topic[:], h.Boot[:],
		numbers[:], h.BodyHash[:], h.Enc)
}

// check holds the rules between fields that the encoding cannot express.
func (h *header) check() error {
	if h.Version != wireVersion || len(h.To) > RecipientsMax || h.Seq == 0 {
		return errMalformed
	}
	if CheckName("cluster", h.Cluster) != nil || CheckName("channel", h.Channel) != nil || CheckName("node", string(h.From)) != nil {
		return errMalformed
	}
	for _, n := range h.To {
		if CheckName("node", string(n)) != nil {
			return errMalformed
		}
	}
	if h.Private != (len(h.Enc) == encLen) || h.Private != (h.Count != 0) || (!h.Private && len(h.Enc) != 0) {
		return errMalformed
	}
	if h.Private && len(h.To) != 1 {
		return errMalformed
	}
	return nil
}

// hashBody commits to a body. The salt hides a guessable private body from those who see the header; public bodies have none.
func hashBody(salt, body []byte) [32]byte { return canon.Hash(tagBody, salt, body) }

func (h *header) verify(pub ed25519.PublicKey, signature []byte) bool {
	d := h.digest()
	return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, d[:], signature)
}

// decode reads what is sealed, of which the signature is not verified yet.
func decode(b []byte) (*sealed, error) {
	var s sealed
	if err := canon.Unmarshal(b, &s); err != nil {
		return nil, errMalformed
	}
	if err := s.Header.check(); err != nil {
		return nil, err
	}
	return &s, nil
}
