package attest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// ReceiptVersion is the version of Receipt this program makes and reads.
//
// Version 1 named scheme and purpose of the key where this one names its kind; the intent names the scheme that signed.
const ReceiptVersion = 2

// VerdictPermit is the only verdict under which a signature is made.
const VerdictPermit = "permit"

// Receipt is the evidence for one signature, from the intent to the signature itself, for somebody who trusts a roster and
// nothing else. Every value stands in it once; what can be derived is derived.
type Receipt struct {
	Version        uint8               `cbor:"1,keyasint" json:"version"`
	ID             string              `cbor:"2,keyasint" json:"id"` // ReceiptID of the intent
	Cluster        string              `cbor:"3,keyasint" json:"cluster"`
	Roster         string              `cbor:"4,keyasint" json:"roster"`     // SignedRoster.Fingerprint
	SessionID      string              `cbor:"5,keyasint" json:"session_id"` // the API's; the intent's request_id
	Time           int64               `cbor:"6,keyasint" json:"time_ms"`    // Unix milliseconds, when it was settled
	Key            KeyRecord           `cbor:"7,keyasint" json:"key"`
	Intent         Intent              `cbor:"8,keyasint" json:"intent"`
	Policy         Policy              `cbor:"9,keyasint" json:"policy"`
	Cosign         NodeAttestation     `cbor:"10,keyasint" json:"cosign"`          // leaf: Intent.Hash
	PresignSession Hash                `cbor:"11,keyasint" json:"presign_session"` // the ceremony that made the presignature
	Presignature   Hash                `cbor:"12,keyasint" json:"presignature"`
	Signers        []threshold.PartyID `cbor:"13,keyasint" json:"signers"` // ascending
	Shares         []ReceiptShare      `cbor:"14,keyasint" json:"shares"`  // in the order of Signers
	Signature      Hex                 `cbor:"15,keyasint" json:"signature"`
	RecoveryID     int                 `cbor:"16,keyasint" json:"recovery_id"` // ECDSA; -1 elsewhere
	Settlement     NodeAttestation     `cbor:"17,keyasint" json:"settlement"`  // leaf: Digest
	Logged         *Logged             `cbor:"-" json:"logged,omitempty"`      // added by whoever hands the receipt out; not under Digest
}

// Logged shows that the node that settled has put that on record: the entry of its audit log, a Merkle log (RFC 6962), under a checkpoint
// that its token has signed (C2SP tlog-checkpoint) and other nodes may have cosigned as witnesses (C2SP tlog-cosignature).
type Logged struct {
	Seq        uint64 `cbor:"1,keyasint" json:"seq"`        // of the entry, from 1
	Entry      Hex    `cbor:"2,keyasint" json:"entry"`      // as it is stored and hashed: canonical CBOR
	Inclusion  []Hash `cbor:"3,keyasint" json:"inclusion"`  // RFC 6962 §2.1.1, of leaf seq-1
	Checkpoint string `cbor:"4,keyasint" json:"checkpoint"` // a signed note
}

// KeyRecord is threshold.KeyInfo without what the roster says.
type KeyRecord struct {
	KeyID        string              `cbor:"1,keyasint" json:"key_id"`
	Kind         threshold.KindID    `cbor:"2,keyasint" json:"kind"`
	Epoch        uint64              `cbor:"3,keyasint" json:"epoch"`
	Threshold    int                 `cbor:"4,keyasint" json:"threshold"` // signers needed
	Parties      []threshold.PartyID `cbor:"5,keyasint" json:"parties"`   // ascending
	GroupKey     Hex                 `cbor:"6,keyasint" json:"group_key"`
	PublicShares []Hex               `cbor:"7,keyasint" json:"public_shares"` // in the order of Parties
	ChainCode    Hash                `cbor:"8,keyasint" json:"chain_code"`
}

// NewKeyRecord is the public record of a key.
func NewKeyRecord(k threshold.KeyInfo) KeyRecord {
	r := KeyRecord{
		KeyID: KeyID(k.Kind, k.GroupKey), Kind: k.Kind, Epoch: k.Epoch,
		Threshold: k.Committee.Threshold, Parties: k.Committee.Parties, GroupKey: k.GroupKey, ChainCode: k.ChainCode,
	}
	for _, x := range k.PublicShares {
		r.PublicShares = append(r.PublicShares, x)
	}
	return r
}

// info is the key as the engine knows it, with the identities the roster pins.
func (k KeyRecord) info(r Roster) (threshold.KeyInfo, error) {
	c, err := r.committee(k.Parties, k.Threshold)
	if err != nil {
		return threshold.KeyInfo{}, err
	}
	info := threshold.KeyInfo{Kind: k.Kind, Epoch: k.Epoch, Committee: c, GroupKey: k.GroupKey, ChainCode: k.ChainCode}
	for _, x := range k.PublicShares {
		info.PublicShares = append(info.PublicShares, x)
	}
	return info, nil
}

// Decode reads the payload of a receipt that was verified; nil where there is none.
func (r *Receipt) Decode(roster Roster, schemeByID func(threshold.SchemeID) (threshold.Scheme, error)) (*intent.Decoded, error) {
	scheme, err := schemeByID(r.Intent.Scheme)
	if err != nil {
		return nil, err
	}
	info, err := r.Key.info(roster)
	if err != nil {
		return nil, err
	}
	return r.Intent.Decode(scheme, info)
}

// Policy is what the proposing node's policy said.
type Policy struct {
	Verdict string `cbor:"1,keyasint" json:"verdict"` // VerdictPermit
	Rule    string `cbor:"2,keyasint" json:"rule"`    // which rule decided
}

// NodeAttestation is an attestation and the node whose it is.
type NodeAttestation struct {
	Node        string      `cbor:"1,keyasint" json:"node"`
	Attestation Attestation `cbor:"2,keyasint" json:"attestation"`
}

// ReceiptShare is an AttestedShare without what the receipt says elsewhere.
type ReceiptShare struct {
	Party       threshold.PartyID `cbor:"1,keyasint" json:"party"`
	Node        string            `cbor:"2,keyasint" json:"node"`
	Share       Hex               `cbor:"3,keyasint" json:"share"` // threshold.SignatureShare.Payload
	Attestation Attestation       `cbor:"4,keyasint" json:"attestation"`
}

// NewReceiptShares is the form of shares in a receipt, ascending by party.
func NewReceiptShares(shares []*AttestedShare) []ReceiptShare {
	out := make([]ReceiptShare, len(shares))
	for i, s := range shares {
		out[i] = ReceiptShare{Party: s.Share.From, Node: s.Statement.Node, Share: s.Share.Payload, Attestation: s.Attestation}
	}
	slices.SortFunc(out, func(a, b ReceiptShare) int { return int(a.Party) - int(b.Party) })
	return out
}

// ReceiptID names the receipt of an intent: there is one.
func ReceiptID(intent [32]byte) string {
	return "rc_" + short(canon.Hash("mpcd/v1/receipt/id", intent[:]))
}

// Digest is the leaf of the settlement: everything in the receipt but the settlement's own attestation.
func (r *Receipt) Digest() [32]byte {
	c := *r
	c.Settlement.Attestation = Attestation{}
	return canon.Hash("mpcd/v1/receipt", canon.MustMarshal(c))
}

// JSON is the form for the outside, indented, with a line end.
func (r *Receipt) JSON() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic(err) // our own types always encode
	}
	return append(b, '\n')
}

// ParseReceipt reads a receipt strictly: no field unknown, missing, repeated or differently spelled. It judges nothing.
func ParseReceipt(b []byte) (*Receipt, error) {
	var r Receipt
	if err := unmarshalStrict(b, &r); err != nil {
		var v struct{ Version uint8 }
		if json.Unmarshal(b[:min(len(b), MaxJSON)], &v) == nil && v.Version != ReceiptVersion && v.Version != 0 {
			return nil, receiptVersionError(v.Version) // another version may have other fields: they are not what is wrong with it
		}
		return nil, fmt.Errorf("attest: receipt: %w", err)
	}
	if r.Version != ReceiptVersion {
		return nil, receiptVersionError(r.Version)
	}
	return &r, nil
}

func receiptVersionError(v uint8) error {
	return fmt.Errorf("attest: receipt version %d, this program reads %d; check it with the release that made it", v, ReceiptVersion)
}
