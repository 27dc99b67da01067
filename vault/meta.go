package vault

import (
	"bytes"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
)

// Limits of what is stored, in bytes.
const (
	// MaxSecret is the largest share or secret.
	MaxSecret = 1 << 20
	// MaxMeta is the largest header: all of the metadata, encoded.
	MaxMeta = 256 << 10
	// MaxEpoch keeps epoch arithmetic from overflowing.
	MaxEpoch = 1 << 62
)

// KeyShareMeta is what the vault tells of a share without opening it. None of it is secret; all of it is authenticated.
type KeyShareMeta struct {
	KeyKind      string // what the key is, as the engine names it, for example "ed25519"
	KeyID        string // the id it is stored under; Store fills it in
	Index        uint16 // of our party in the committee
	Threshold    int    // signers needed
	TotalParties int
	PublicShare  []byte
	GroupKey     []byte
	Epoch        uint64
	Created      time.Time // Store fills it in if zero; UTC
	Info         []byte    // opaque to the vault: the appliance's canonical key record
}

// Meta is the short name of KeyShareMeta.
type Meta = KeyShareMeta

// header is what a record says of itself: stored in the clear, the AAD of the body, and by its hash the AAD of the wrapped
// DEK. It never changes once written; the state of an epoch therefore stands in the pointer.
type header struct {
	Version      uint64 `cbor:"1,keyasint"`
	Vault        []byte `cbor:"2,keyasint"` // 16 bytes, random
	Node         string `cbor:"3,keyasint"`
	Kind         string `cbor:"4,keyasint"`
	ID           string `cbor:"5,keyasint"`
	Epoch        uint64 `cbor:"6,keyasint"`
	Created      int64  `cbor:"7,keyasint"` // nanoseconds since 1970
	KeyKind      string `cbor:"8,keyasint,omitempty"`
	Index        uint16 `cbor:"9,keyasint,omitempty"`
	Threshold    uint32 `cbor:"10,keyasint,omitempty"`
	TotalParties uint32 `cbor:"11,keyasint,omitempty"`
	PublicShare  []byte `cbor:"12,keyasint,omitempty"`
	GroupKey     []byte `cbor:"13,keyasint,omitempty"`
	Info         []byte `cbor:"14,keyasint,omitempty"`
}

// recordVersion is the version of header, envelope and pointer.
const recordVersion = 1

func (v *Vault) newHeader(r ref, m Meta) header {
	return header{
		Version: recordVersion, Vault: v.id[:], Node: v.node, Kind: r.kind, ID: r.id, Epoch: m.Epoch, Created: m.Created.UnixNano(),
		KeyKind: m.KeyKind, Index: m.Index, Threshold: uint32(m.Threshold), TotalParties: uint32(m.TotalParties),
		PublicShare: m.PublicShare, GroupKey: m.GroupKey, Info: m.Info,
	}
}

func (h *header) meta() *Meta {
	return &Meta{
		KeyKind: h.KeyKind, KeyID: h.ID, Index: h.Index, Threshold: int(h.Threshold), TotalParties: int(h.TotalParties),
		PublicShare: h.PublicShare, GroupKey: h.GroupKey, Epoch: h.Epoch, Created: time.Unix(0, h.Created).UTC(), Info: h.Info,
	}
}

// parseHeader decodes a stored header and checks that it is the one of r at epoch in this vault.
func (v *Vault) parseHeader(b []byte, r ref, epoch uint64) (*header, error) {
	h, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(h.Vault, v.id[:]) || h.Node != v.node || h.Kind != r.kind || h.ID != r.id || h.Epoch != epoch {
		return nil, fmt.Errorf("header is of %s %q epoch %d of node %q: %w", h.Kind, h.ID, h.Epoch, h.Node, ErrIntegrity)
	}
	return h, nil
}

func decodeHeader(b []byte) (*header, error) {
	h := new(header)
	if len(b) > MaxMeta {
		return nil, fmt.Errorf("header of %d bytes: %w", len(b), ErrIntegrity)
	}
	if err := canon.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("header: %w: %w", ErrIntegrity, err)
	}
	if h.Version != recordVersion {
		return nil, fmt.Errorf("header of version %d, this program reads %d: %w", h.Version, recordVersion, ErrIntegrity)
	}
	return h, nil
}

// checkMeta holds the arguments of Store against their limits.
func checkMeta(id string, secret []byte, m Meta) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("vault: share %q: "+format+": %w", append(append([]any{id}, args...), ErrInvalid)...)
	}
	switch {
	case m.KeyID != "" && m.KeyID != id:
		return bad("metadata is of key %q", m.KeyID)
	case m.KeyKind == "" || len(m.KeyKind) > MaxID:
		return bad("kind of key must be 1 to %d bytes", MaxID)
	case m.Threshold < 1 || m.TotalParties < m.Threshold || m.TotalParties > 1<<16:
		return bad("threshold %d of %d parties", m.Threshold, m.TotalParties)
	case m.Epoch > MaxEpoch:
		return bad("epoch %d", m.Epoch)
	case len(secret) < 1 || len(secret) > MaxSecret:
		return bad("%d bytes of secret, 1 to %d allowed", len(secret), MaxSecret)
	case len(m.PublicShare)+len(m.GroupKey)+len(m.Info) > MaxMeta/2:
		return bad("%d bytes of metadata, at most %d", len(m.PublicShare)+len(m.GroupKey)+len(m.Info), MaxMeta/2)
	}
	return nil
}

// sameMeta compares all but the time.
func sameMeta(a, b header) bool {
	a.Created, b.Created = 0, 0
	return bytes.Equal(canon.MustMarshal(a), canon.MustMarshal(b))
}
