package attest

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/luxfi/mpcd/internal/canon"
)

// SignedRoster is a roster with the operator's word on it, as it stands in roster.json. It is not trusted until its root key
// or its fingerprint has been compared with what the reader was given by other means.
type SignedRoster struct {
	Roster    Roster `cbor:"1,keyasint" json:"roster"`
	Root      Hex    `cbor:"2,keyasint" json:"root"`      // Ed25519 public key of the operator, 32 bytes
	Signature Hex    `cbor:"3,keyasint" json:"signature"` // Ed25519 over rosterMessage, 64 bytes
}

// rosterMessage is what the root key signs: the canonical array of a tag and the roster.
func rosterMessage(r Roster) []byte {
	return canon.MustMarshal([]any{"mpcd/v1/roster", r})
}

// Sign makes the roster official. root is the operator's Ed25519 key: an ed25519.PrivateKey, or one in a token through
// hsm.NewCryptoSigner.
func (r Roster) Sign(root crypto.Signer) (*SignedRoster, error) {
	pub, ok := root.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("attest: the operator's root key must be Ed25519")
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	sig, err := root.Sign(nil, rosterMessage(r), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("attest: sign roster: %w", err)
	}
	s := &SignedRoster{Roster: r, Root: Hex(pub), Signature: sig}
	return s, s.Verify(pub)
}

// Verify checks roster and signature. A root of nil takes the roster's own word for who its operator is: then compare the
// fingerprint.
func (s *SignedRoster) Verify(root ed25519.PublicKey) error {
	if err := s.Roster.Validate(); err != nil {
		return err
	}
	if err := CheckEd25519(ed25519.PublicKey(s.Root)); err != nil {
		return fmt.Errorf("%w: root key: %w", ErrRoster, err)
	}
	if root != nil && !root.Equal(ed25519.PublicKey(s.Root)) {
		return fmt.Errorf("%w: its root key is %s, the pinned one is %s", ErrRoster, s.Root, Hex(root))
	}
	if !ed25519.Verify(ed25519.PublicKey(s.Root), rosterMessage(s.Roster), s.Signature) {
		return fmt.Errorf("%w: the operator's signature does not verify; fetch the roster again", ErrRoster)
	}
	return nil
}

// Fingerprint names this roster under this root: "r_" and 32 characters of base32. It is what verifiers pin and receipts
// carry.
func (s *SignedRoster) Fingerprint() string {
	return "r_" + short(canon.Hash("mpcd/v1/roster/fingerprint", s.Root, rosterMessage(s.Roster)))
}

// JSON is the file form, indented, with a line end.
func (s *SignedRoster) JSON() []byte {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // our own types always encode
	}
	return append(b, '\n')
}

// ParseRoster reads what JSON wrote, strictly, and verifies it under its own root key.
func ParseRoster(b []byte) (*SignedRoster, error) {
	var s SignedRoster
	if err := unmarshalStrict(b, &s); err != nil {
		return nil, fmt.Errorf("attest: roster: %w", err)
	}
	return &s, s.Verify(nil)
}

// LoadRoster reads a roster file. Compare Root or Fingerprint with what is pinned before trusting it.
func LoadRoster(path string) (*SignedRoster, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("attest: roster: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxJSON+1))
	if err != nil {
		return nil, fmt.Errorf("attest: roster: %w", err)
	}
	s, err := ParseRoster(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
