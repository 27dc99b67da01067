package attest

import (
	"encoding/base32"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// StatementVersion is the version of Statement this program makes and reads.
const StatementVersion = 1

// Statement is what a node's hardware says about one signature share. Its canonical bytes are the leaf.
type Statement struct {
	Version      uint8               `cbor:"1,keyasint" json:"version"`
	Cluster      string              `cbor:"2,keyasint" json:"cluster"`
	Node         string              `cbor:"3,keyasint" json:"node"`
	Party        threshold.PartyID   `cbor:"4,keyasint" json:"party"`
	KeyID        string              `cbor:"5,keyasint" json:"key_id"`
	Scheme       threshold.SchemeID  `cbor:"6,keyasint" json:"scheme"` // that made the presignature, and signs
	Epoch        uint64              `cbor:"7,keyasint" json:"epoch"`
	Session      Hash                `cbor:"8,keyasint" json:"session"`       // of the ceremony that made the presignature
	Signers      []threshold.PartyID `cbor:"9,keyasint" json:"signers"`       // ascending
	Digest       Hash                `cbor:"10,keyasint" json:"digest"`       // RequestDigest: message and tweaks
	Presignature Hash                `cbor:"11,keyasint" json:"presignature"` // threshold.Presignature.ID
	ShareHash    Hash                `cbor:"12,keyasint" json:"share_hash"`   // ShareHash
	Intent       Hash                `cbor:"13,keyasint" json:"intent"`       // Intent.Hash
	Time         int64               `cbor:"14,keyasint" json:"time_ms"`      // Unix milliseconds, the Header's
	KeyRecord    Hash                `cbor:"15,keyasint" json:"key_record"`   // threshold.KeyInfo.Digest: committee, threshold, public shares
}

// Leaf is the canonical encoding.
func (s Statement) Leaf() []byte { return canon.MustMarshal(s) }

// diff names the first field in which two statements differ, "" if there is none. Node comes first: it is whose key counts.
func (s Statement) diff(o Statement) string {
	switch {
	case s.Node != o.Node:
		return "node"
	case s.Version != o.Version:
		return "version"
	case s.Cluster != o.Cluster:
		return "cluster"
	case s.Party != o.Party:
		return "party"
	case s.KeyID != o.KeyID:
		return "key_id"
	case s.Scheme != o.Scheme:
		return "scheme"
	case s.Epoch != o.Epoch:
		return "epoch"
	case s.KeyRecord != o.KeyRecord:
		return "key_record"
	case s.Session != o.Session:
		return "session"
	case !slices.Equal(s.Signers, o.Signers):
		return "signers"
	case s.Digest != o.Digest:
		return "digest"
	case s.Presignature != o.Presignature:
		return "presignature"
	case s.Intent != o.Intent:
		return "intent"
	case s.ShareHash != o.ShareHash:
		return "share_hash"
	case s.Time != o.Time:
		return "time_ms"
	}
	return ""
}

// NewStatement is the statement of key.Party, a member on the named node, for one request, without ShareHash and Time. The
// signer fills these in; the receiver makes the same statement from what it expects. An empty keyID is derived from the key.
func NewStatement(cluster, node string, key threshold.KeyInfo, keyID string, req threshold.SignRequest, intent Hash) Statement {
	if keyID == "" {
		keyID = KeyID(key.Kind, key.GroupKey)
	}
	s := Statement{
		Version: StatementVersion, Cluster: cluster, Node: node, Party: key.Party,
		KeyID: keyID, Epoch: key.Epoch, KeyRecord: key.Digest(),
		Digest: RequestDigest(req.Message, req.Tweaks), Intent: intent,
	}
	if p := req.Pre; p != nil {
		s.Scheme, s.Session, s.Presignature, s.Signers = p.Scheme, Hash(p.Session), p.ID, p.Signers
	}
	return s
}

// RequestDigest binds what is signed: the message and the tweaks of the key.
func RequestDigest(message []byte, tweaks []threshold.Tweak) Hash {
	fields := make([][]byte, 1, 1+2*len(tweaks))
	fields[0] = message
	for _, t := range tweaks {
		x := []byte{0}
		if t.XOnly {
			x[0] = 1
		}
		fields = append(fields, t.T[:], x)
	}
	return canon.Hash("mpcd/v1/attest/request", fields...)
}

// ShareHash binds a signature share with its sender and presignature.
func ShareHash(s threshold.SignatureShare) Hash {
	return canon.Hash("mpcd/v1/attest/sigshare", []byte{byte(s.From >> 8), byte(s.From)}, s.Pre[:], s.Payload)
}

// KeyID names a key by what it is: "w_" and 32 characters of base32, 160 bits of a hash over its kind and group key. Which
// protocols sign with it is not in the name. So a
// record that claims another group key has another name.
func KeyID(kind threshold.KindID, groupKey []byte) string {
	return "w_" + short(canon.Hash("mpcd/v2/key/id", []byte(kind), groupKey))
}

// IsKeyID tells whether a word has the form of a KeyID; there may be no such key.
func IsKeyID(id string) bool {
	var h [32]byte
	b, _ := base32.StdEncoding.DecodeString(strings.ToUpper(strings.TrimPrefix(id, "w_")))
	copy(h[:], b)
	return id == "w_"+short(h)
}

// short is the first 160 bits of a hash in 32 lower-case characters of base32 (RFC 4648 §6).
func short(h [32]byte) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(h[:20]))
}
