package transport

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
)

// ErrProof is returned by OpenProof when the proof does not show what the envelope claims.
var ErrProof = errors.New("transport: proof does not hold for this envelope")

// proof is Envelope.Proof: the signed header, and the salt that opens the commitment to a private body.
type proof struct {
	Header    header   `cbor:"1,keyasint"`
	Signature [64]byte `cbor:"2,keyasint"`
	Salt      []byte   `cbor:"3,keyasint,omitempty"`
}

// Claim is what a proof shows beyond the envelope itself.
type Claim struct {
	Cluster, Channel string
	// Boot is the sender's process; Seq counts its envelopes on the channel, from 1.
	Boot [16]byte
	Seq  uint64
	// Time is the sender's clock at sending, in milliseconds.
	Time time.Time
}

// OpenProof checks that the holder of pub, the identity key of env.From, sent exactly (To, Kind, Topic, Private, Body), and
// returns what else it signed. It returns ErrProof if not. It needs no state; the caller compares the Claim with the cluster
// it judges. A recipient can thus show a private body to others, which it could leak anyway.
func OpenProof(pub ed25519.PublicKey, env Envelope) (Claim, error) {
	var p proof
	if len(env.Proof) > FrameMax || canon.Unmarshal(env.Proof, &p) != nil || p.Header.check() != nil {
		return Claim{}, ErrProof
	}
	h := &p.Header
	if h.Private != (len(p.Salt) == saltLen) || (!h.Private && len(p.Salt) != 0) {
		return Claim{}, ErrProof
	}
	if h.From != env.From || !slices.Equal(h.To, env.To) || h.Kind != env.Kind || h.Topic != env.Topic || h.Private != env.Private {
		return Claim{}, ErrProof
	}
	if h.BodyHash != hashBody(p.Salt, env.Body) || !h.verify(pub, p.Signature[:]) {
		return Claim{}, ErrProof
	}
	return Claim{Cluster: h.Cluster, Channel: h.Channel, Boot: h.Boot, Seq: h.Seq, Time: time.UnixMilli(int64(h.TimeMS))}, nil
}

// VerifyProof is OpenProof for callers who need only the answer.
func VerifyProof(pub ed25519.PublicKey, env Envelope) bool {
	_, err := OpenProof(pub, env)
	return err == nil
}
