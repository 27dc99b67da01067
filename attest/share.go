package attest

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
)

// AttestedShare is a signature share with the hardware's word on what it is for. CBOR as the tags say; JSON in hex.
type AttestedShare struct {
	Share       threshold.SignatureShare `cbor:"1,keyasint"`
	Statement   Statement                `cbor:"2,keyasint"`
	Attestation Attestation              `cbor:"3,keyasint"`
}

type attestedShareJSON struct {
	Share struct {
		From    threshold.PartyID `json:"from"`
		Pre     Hash              `json:"presignature"`
		Payload Hex               `json:"payload"`
	} `json:"share"`
	Statement   Statement   `json:"statement"`
	Attestation Attestation `json:"attestation"`
}

// MarshalJSON writes hashes and bytes as 0x….
func (s AttestedShare) MarshalJSON() ([]byte, error) {
	v := attestedShareJSON{Statement: s.Statement, Attestation: s.Attestation}
	v.Share.From, v.Share.Pre, v.Share.Payload = s.Share.From, s.Share.Pre, s.Share.Payload
	return json.Marshal(v)
}

// UnmarshalJSON reads what MarshalJSON writes, strictly.
func (s *AttestedShare) UnmarshalJSON(b []byte) error {
	var v attestedShareJSON
	if err := unmarshalStrict(b, &v); err != nil {
		return err
	}
	s.Statement, s.Attestation = v.Statement, v.Attestation
	s.Share = threshold.SignatureShare{From: v.Share.From, Pre: v.Share.Pre, Payload: v.Share.Payload}
	return nil
}

// ShareExpect is what the receiver of a share knows without it: every field of the Statement but ShareHash and Time, which
// are ignored, and the time allowed.
type ShareExpect struct {
	Statement
	NotBefore time.Time
	NotAfter  time.Time
}

// VerifyShare judges a share offline with the sender's attestation key, pinned in the roster. The errors tell apart:
// ErrUnattested, ErrMalformed, ErrWrongNode, ErrForged, ErrStale, and MisboundError with the field's name.
func VerifyShare(pub crypto.PublicKey, want ShareExpect, share *AttestedShare) error {
	if share == nil || len(share.Attestation.Cose) == 0 {
		return ErrUnattested
	}
	e := Expect{Kind: KindShare, Cluster: want.Cluster, Node: want.Node, NotBefore: want.NotBefore, NotAfter: want.NotAfter}
	t, err := Verify(pub, e, share.Statement.Leaf(), share.Attestation)
	if err != nil {
		return err
	}
	return bound(want.Statement, share, t)
}

// bound compares a genuine statement with the one expected, and with the share it came with.
func bound(want Statement, share *AttestedShare, at time.Time) error {
	want.ShareHash, want.Time = ShareHash(share.Share), at.UnixMilli()
	switch field := share.Statement.diff(want); {
	case field == "node":
		return fmt.Errorf("%w: %s, not %s", ErrWrongNode, clip(share.Statement.Node), clip(want.Node))
	case field != "":
		return misbound(field)
	case share.Share.From != want.Party:
		return misbound("party")
	case share.Share.Pre != want.Presignature:
		return misbound("presignature")
	}
	return nil
}

// VerifyAttestation is VerifyShare for those who have the sender's token at hand and expect nothing of the share but that the key keyID
// attested it: signature, path, statement and share fit together. What the share is for it does not know. The error is for what could
// not be judged: no attestation (ErrUnattested), or a token that does not tell the key.
func VerifyAttestation(ctx context.Context, h hsm.Signer, keyID string, share *AttestedShare) (bool, error) {
	if share == nil || len(share.Attestation.Cose) == 0 {
		return false, ErrUnattested
	}
	key, err := keyOf(ctx, h, keyID)
	if err != nil {
		return false, err
	}
	want := ShareExpect{Statement: share.Statement}
	want.Version = StatementVersion
	return VerifyShare(key.Public, want, share) == nil, nil
}
