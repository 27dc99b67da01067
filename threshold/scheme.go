package threshold

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// SchemeID names a scheme: a protocol together with the kind of key that it makes and signs with.
type SchemeID string

// The FROST schemes of this engine.
const (
	FrostEd25519 SchemeID = "frost-ed25519" // RFC 9591 FROST(Ed25519, SHA-512)
	FrostTaproot SchemeID = "frost-bip340"  // BIP 445: FROST signing for BIP-340 public keys
)

// KeyInfo is the public record of a key at one epoch, the same for every party but for Party. It says what the key is, not which
// protocol signs with it: any of its kind does.
type KeyInfo struct {
	Kind         KindID    `cbor:"1,keyasint"`
	Epoch        uint64    `cbor:"2,keyasint"` // 1 after keygen, one more after every refresh
	Party        PartyID   `cbor:"3,keyasint"`
	Committee    Committee `cbor:"4,keyasint"`
	GroupKey     []byte    `cbor:"5,keyasint"` // 32 bytes Ed25519 (RFC 8032), 33 bytes compressed secp256k1 (SEC 1)
	PublicShares [][]byte  `cbor:"6,keyasint"` // X_j = x_j·G in the order of Committee.Parties
	ChainCode    [32]byte  `cbor:"7,keyasint"` // BIP-32
}

// PublicShare is X_p, nil if p is no member.
func (k KeyInfo) PublicShare(p PartyID) []byte {
	if i := k.Committee.Position(p); i >= 0 && i < len(k.PublicShares) {
		return k.PublicShares[i]
	}
	return nil
}

// Digest binds everything all parties agree on: KeyInfo without Party.
func (k KeyInfo) Digest() [32]byte {
	k.Party = 0
	return canon.Hash("mpcd/v2/key", canon.MustMarshal(k))
}

// KeyShare is one party's share of a key. Its owner calls Destroy.
type KeyShare struct {
	KeyInfo
	secret *secret.Bytes
}

// NewKeyShare takes over the scalar (32 bytes in the scheme's encoding) and wipes its source.
func NewKeyShare(info KeyInfo, scalar []byte) *KeyShare {
	return &KeyShare{KeyInfo: info, secret: secret.From(scalar)}
}

// Secret lends the scalar until Destroy.
func (k *KeyShare) Secret() []byte { return k.secret.Bytes() }

// Destroy wipes the share. It is idempotent.
func (k *KeyShare) Destroy() {
	if k != nil {
		k.secret.Wipe()
	}
}

// String names the share without its secret.
func (k KeyShare) String() string {
	return fmt.Sprintf("%s share of party %d, epoch %d, %d-of-%d", k.Kind, k.Party, k.Epoch, k.Committee.Threshold, k.Committee.N())
}

// GoString is String: no verb prints the secret.
func (k KeyShare) GoString() string { return k.String() }

// Format is String for every verb.
func (k KeyShare) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

type keyShareBytes struct {
	Version uint8   `cbor:"1,keyasint"`
	Info    KeyInfo `cbor:"2,keyasint"`
	Scalar  []byte  `cbor:"3,keyasint"`
}

// keyShareVersion is the version of the record: version 1 named the scheme where this one names the kind of the key.
const keyShareVersion = 2

// Bytes encodes the share, secret included, for the vault. The caller wipes what it is given.
func (k *KeyShare) Bytes() *secret.Bytes {
	scalar := make([]byte, k.secret.Len())
	copy(scalar, k.secret.Bytes())
	b := canon.MustMarshal(keyShareBytes{keyShareVersion, k.KeyInfo, scalar})
	secret.Wipe(scalar)
	return secret.From(b)
}

// DecodeKeyShare reads what Bytes wrote, without any judgement of kind and curve: schemes' ParseKeyShare does that.
func DecodeKeyShare(b []byte) (*KeyShare, error) {
	var v keyShareBytes
	err := canon.UnmarshalVersion(b, keyShareVersion, &v)
	defer secret.Wipe(v.Scalar)
	var other *canon.VersionError
	if errors.As(err, &other) {
		return nil, fmt.Errorf("threshold: key share %w", other)
	}
	if err != nil {
		return nil, errors.New("threshold: key share record is malformed")
	}
	if err := v.Info.Committee.Validate(); err != nil {
		return nil, err
	}
	if len(v.Info.PublicShares) != v.Info.Committee.N() || !v.Info.Committee.Contains(v.Info.Party) || len(v.Scalar) != 32 ||
		v.Info.Epoch == 0 {
		return nil, errors.New("threshold: key share record does not fit its committee")
	}
	return NewKeyShare(v.Info, v.Scalar), nil
}

// Tweak adds T·G to the key a signature is for (BIP 445, BIP-341 for x-only).
type Tweak struct {
	T     Scalar `cbor:"1,keyasint" json:"t"`
	XOnly bool   `cbor:"2,keyasint" json:"x_only"`
}

// Scalar is a public scalar, big-endian. In JSON it reads as 0x and 64 lower-case digits of hex.
type Scalar [32]byte

// MarshalText writes lower-case hex with 0x.
func (s Scalar) MarshalText() ([]byte, error) { return hex.AppendEncode([]byte("0x"), s[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Scalar) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	if err != nil || len(b) != len(s) {
		return errors.New("threshold: a scalar is 0x and 64 digits of hex")
	}
	*s = Scalar(b)
	return nil
}

// SignRequest is one signature to make.
type SignRequest struct {
	Message []byte // EdDSA: the message itself; BIP-340: the 32-byte digest
	Tweaks  []Tweak
	Pre     *Presignature
	// Agreement holds, where presignatures are made before the request is known, the fresh nonces by which all signers agreed
	// on this request, in the order of Pre.Signers (PROTOCOLS A.3.5). Schemes that need none ignore it.
	Agreement [][32]byte
}

// Presignature is the outcome of presigning for one signature: the quorum's commitments, and, on a signer, its own secret
// nonces. It signs once: SignShare burns it. It lives in memory only.
type Presignature struct {
	ID          [32]byte // H(session, index)
	Scheme      SchemeID // that made it, and alone signs with it
	Session     SessionID
	Signers     []PartyID
	Commitments [][]byte // in the order of Signers; scheme's encoding
	Nonces      Burner   // nil on an observer
	Prepared    any      // the scheme's decoded form; public
}

// Burner is secret state for one use.
type Burner interface {
	Burn() // wipes; idempotent
}

// Burn destroys the presignature unused.
func (p *Presignature) Burn() {
	if p != nil && p.Nonces != nil {
		p.Nonces.Burn()
	}
}

// SignatureShare is one signer's part of a signature.
type SignatureShare struct {
	From    PartyID  `cbor:"1,keyasint"`
	Pre     [32]byte `cbor:"2,keyasint"` // Presignature.ID
	Payload []byte   `cbor:"3,keyasint"` // scheme's encoding: a scalar of 32 bytes for FROST
}

// Signature is what the chain takes.
type Signature struct {
	Bytes      []byte
	RecoveryID int // ECDSA; -1 elsewhere
}

// ErrBurnt is returned for a presignature that has signed before, or was destroyed.
var ErrBurnt = errors.New("threshold: presignature is already burnt")

// Scheme is one protocol for one kind of key. It makes such keys, and it signs with every key of its kind, whichever scheme made
// it: what it judges in a share or a record is the kind.
//
// Further abilities are further interfaces: Deriver, Pairer, Pooler, Judge.
type Scheme interface {
	ID() SchemeID
	// Kind is what its keys are.
	Kind() Kind
	// Protocol is its name in requests beside the curve of its kind.
	Protocol() string
	// Keygen makes a key; the result is this party's share at epoch 1.
	Keygen(s Setup, rand io.Reader) (*Session[*KeyShare], error)
	// Refresh gives every party of the same committee a new share of the same key, at the next epoch. All must take part.
	Refresh(s Setup, share *KeyShare, rand io.Reader) (*Session[*KeyShare], error)
	// Presign makes one presignature per entry of keys, for the signers of s. An observer passes key infos with nil shares.
	Presign(s Setup, keys []PresignKey, rand io.Reader) (*Session[[]*Presignature], error)
	// MaxBatch is the most presignatures of one session, and the most requests of one Pooler.Agree.
	MaxBatch() int
	NewSigner(share *KeyShare) (Signer, error)
	// Combine makes and verifies the signature from the signers' shares, which are in the order of req.Pre.Signers. A bad share makes an
	// *Abort of kind Ban that names its sender: what proves it to others is the share with its attestation, which is the caller's, and
	// VerifyShare. Nothing unverified is ever returned.
	Combine(key KeyInfo, req SignRequest, shares []*SignatureShare) (Signature, error)
	// VerifyShare judges one share by its sender's public share.
	VerifyShare(key KeyInfo, req SignRequest, share *SignatureShare) error
	// Verify judges a signature as an outsider would, with the key that Tweaks make of groupKey.
	Verify(groupKey []byte, tweaks []Tweak, message, sig []byte) error
	ParseKeyShare(b []byte) (*KeyShare, error)
	// CheckSharing shows from the public record that t parties hold the key and that t-1 do not.
	CheckSharing(info KeyInfo) error
}

// PresignKey is a key to presign for; Share is nil on an observer.
type PresignKey struct {
	Info  KeyInfo
	Share *KeyShare
}

// Signer makes signature shares with one key share, which stays its owner's.
type Signer interface {
	// SignShare burns req.Pre before it computes anything from it. ErrBurnt if it is used twice.
	SignShare(req SignRequest) (*SignatureShare, error)
}

// NoSchemeError says that a build has no scheme for the key that a request names.
type NoSchemeError struct {
	Field string // "curve" or "protocol": which of them is at fault
	Known bool   // it names what there is elsewhere, or will be; false: nothing that we know
	What  string
	Next  string // what to ask for instead
}

func (e *NoSchemeError) Error() string { return e.What }
