package attest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// IntentVersion is the version of Intent this program makes and reads.
//
// Version 1 named the purpose of a key to make where this one names its kind.
const IntentVersion = 2

// MaxMessage is the longest message to sign, in bytes.
const MaxMessage = 64 << 10

// Operation is what an intent asks for.
type Operation string

// The operations.
const (
	OpSign    Operation = "sign"
	OpKeygen  Operation = "keygen"
	OpRefresh Operation = "refresh"
	OpPresign Operation = "presign" // presignatures of a key, for requests still to come; nothing is signed
	// OpSignRaw is in grants alone: to sign a message, or a digest, of which no signer can tell what it does.
	OpSignRaw Operation = "sign-raw"
)

// Intent is what somebody wants the cluster to do. Every node sees it whole, judges it by its own policy, and finds its hash
// in everything that follows: the cosignature, every share's statement, the receipt.
type Intent struct {
	Version   uint8               `cbor:"1,keyasint" json:"version"`
	Cluster   string              `cbor:"2,keyasint" json:"cluster"`
	Operation Operation           `cbor:"3,keyasint" json:"operation"`
	RequestID string              `cbor:"4,keyasint" json:"request_id"` // the session_id or Idempotency-Key of the API
	KeyID     string              `cbor:"5,keyasint" json:"key_id"`     // "" for keygen
	Scheme    threshold.SchemeID  `cbor:"6,keyasint" json:"scheme"`     // that signs, or makes the key; any of the key's kind may sign
	Epoch     uint64              `cbor:"7,keyasint" json:"epoch"`      // of the key; 0 for keygen
	Message   Hex                 `cbor:"8,keyasint" json:"message"`    // what is signed: EdDSA the message, BIP-340 the 32-byte digest
	Tweaks    []threshold.Tweak   `cbor:"9,keyasint,omitempty" json:"tweaks,omitempty"`
	Chain     string              `cbor:"10,keyasint" json:"chain"`
	Signers   []threshold.PartyID `cbor:"11,keyasint" json:"signers"` // ascending; who is to take part
	Requester string              `cbor:"12,keyasint" json:"requester"`
	Node      string              `cbor:"13,keyasint" json:"node"`       // who proposes, and cosigns
	Created   int64               `cbor:"14,keyasint" json:"created_ms"` // Unix milliseconds
	Keygen    *KeygenParams       `cbor:"15,keyasint,omitempty" json:"keygen,omitempty"`
	// Path leads by BIP 32's public derivation from the wallet key to the child that signs; none is the wallet key itself.
	Path []uint32 `cbor:"16,keyasint,omitempty" json:"path,omitempty"`
	// Initiation is an initiator's signature that it wants this; presignatures and threshold proofs have none.
	Initiation *Initiation `cbor:"17,keyasint,omitempty" json:"initiation,omitempty"`
	// Vault is the group of wallets that the wallet is of; the parameters of a keygen have their own.
	Vault string `cbor:"18,keyasint,omitempty" json:"vault,omitempty"`
	// Authority is the Digest of the one under which it is asked for: every signer has the same in force.
	Authority Hex `cbor:"19,keyasint,omitempty" json:"authority,omitempty"`
	// Payload is what the message is made of, where the caller gave that: every signer reads it, and computes the message for itself.
	Payload *Payload `cbor:"20,keyasint,omitempty" json:"payload,omitempty"`
	// Approvals are the words of people that it may be done, ascending by name, where the rules want them.
	Approvals []Approval `cbor:"21,keyasint,omitempty" json:"approvals,omitempty"`
}

// Payload is a transaction, or a message, as the network that Intent.Chain names writes it before it is signed.
type Payload struct {
	Format intent.Format `cbor:"1,keyasint" json:"format"`
	Bytes  Hex           `cbor:"2,keyasint" json:"bytes"`
	Input  int           `cbor:"3,keyasint" json:"input"` // that is signed, of a psbt; 0 elsewhere
}

// KeygenParams is the key that a keygen intent asks for. Its parties are the intent's Signers.
type KeygenParams struct {
	Threshold int              `cbor:"1,keyasint" json:"threshold"` // signers needed
	Kind      threshold.KindID `cbor:"2,keyasint" json:"kind"`
	Label     string           `cbor:"3,keyasint" json:"label"`
	Group     string           `cbor:"4,keyasint,omitempty" json:"vault,omitempty"` // the group of wallets it belongs to
	// Nodes are the names of the parties, ascending, where the initiator has named them: then it is no other's key.
	Nodes []string `cbor:"5,keyasint,omitempty" json:"nodes,omitempty"`
}

var errNotPrintable = errors.New("attest: intent: a text has characters that cannot be seen; use letters, digits, signs and single spaces")

// Printable tells whether a text is UTF-8 that people see as it is: no control characters (C0, C1), no separators of lines and
// paragraphs, none of the invisible ones that change how others are shown (bidirectional controls, joiners), none that may be shown as
// nothing (Unicode's Default_Ignorable_Code_Point) or as a blank, of spaces only U+0020, and no U+FFFD, which stands where a character was
// lost. What is not may forge what stands around it, or look like another text.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
			r == brailleBlank || r == utf8.RuneError
	})
}

// brailleBlank is the pattern of Braille without a dot.
const brailleBlank = '\u2800'

// CheckName refuses a text as the name of something new that people are to tell from others: what is not Printable, blanks at its ends or
// two in a row, and signs that are drawn as nothing though Unicode counts them among the visible. What has such a name already keeps it.
func CheckName(s string) error {
	switch {
	case !Printable(s), strings.ContainsAny(s, undrawn):
		return errors.New("has characters that cannot be seen")
	case strings.Trim(s, " ") != s, strings.Contains(s, "  "):
		return errors.New("has a blank at its beginning or end, or two in a row")
	}
	return nil
}

// undrawn are the musical null notehead, the filler of Khitan, the blanks and the mirror of Egyptian, the number joiner of Brahmi and what
// stands for an object.
const undrawn = "\U0001d159\U00016fe4\U00013440\U00013441\U00013442\U0001107f\ufffc"

// Validate checks the shape, not the wisdom, of an intent.
func (i Intent) Validate() error {
	if i.Version != IntentVersion {
		return fmt.Errorf("attest: intent version %d, this program reads %d", i.Version, IntentVersion)
	}
	if !name.MatchString(i.Cluster) || !name.MatchString(i.Node) {
		return errors.New("attest: intent names no cluster or no node")
	}
	for _, s := range []string{i.RequestID, i.KeyID, string(i.Scheme), i.Chain, i.Requester, i.Vault} {
		if len(s) > maxText {
			return fmt.Errorf("attest: intent: text of %d bytes, at most %d", len(s), maxText)
		}
		if !Printable(s) {
			return errNotPrintable
		}
	}
	switch {
	case i.RequestID == "":
		return errors.New("attest: intent has no request_id")
	case i.Scheme == "":
		return errors.New("attest: intent names no scheme")
	case i.Created <= 0:
		return errors.New("attest: intent has no time")
	case len(i.Message) > MaxMessage:
		return fmt.Errorf("attest: intent: message of %d bytes, at most %d", len(i.Message), MaxMessage)
	case len(i.Tweaks) > maxTweaks:
		return fmt.Errorf("attest: intent: %d tweaks, at most %d", len(i.Tweaks), maxTweaks)
	case len(i.Path) > MaxPath:
		return fmt.Errorf("attest: intent: path of %d indexes, at most %d", len(i.Path), MaxPath)
	case slices.ContainsFunc(i.Path, func(index uint32) bool { return index >= Hardened }):
		return errors.New("attest: intent: a hardened index in the path: nobody holds the private key that it needs")
	case len(i.Signers) < 2 || len(i.Signers) > threshold.MaxParties:
		return fmt.Errorf("attest: intent: %d signers, want 2 to %d", len(i.Signers), threshold.MaxParties)
	}
	if p := i.Payload; p != nil &&
		(i.Operation != OpSign || len(p.Bytes) == 0 || len(p.Bytes) > intent.MaxPayload || len(p.Format) > maxText) {
		return fmt.Errorf("attest: intent: a payload without bytes, of more than %d, or of what is no signature", intent.MaxPayload)
	}
	if n := len(i.Authority); n != 0 && n != len(Hash{}) || (n != 0) != (i.Initiation != nil) {
		return errors.New("attest: intent: an initiation, and the digest of the authority that it is under, go together")
	}
	if x := i.Initiation; x != nil &&
		(!name.MatchString(x.By) || x.Expires <= 0 || len(x.Signature) != InitiationBytes || !Initiated(i.Operation) ||
			len(x.Parameters) > maxParameters || !Printable(x.Parameters)) {
		return errors.New("attest: intent: an initiation without a name, an expiry or a signature of 64 bytes, or of what nobody initiates")
	}
	if err := i.validateApprovals(); err != nil {
		return err
	}
	for n, p := range i.Signers {
		if p == 0 || (n > 0 && p <= i.Signers[n-1]) {
			return errors.New("attest: intent: signers must ascend from 1 without repetition")
		}
	}
	return i.validateOperation()
}

func (i Intent) validateOperation() error {
	switch i.Operation {
	case OpSign, OpRefresh, OpPresign:
		switch {
		case i.KeyID == "" || i.Epoch == 0:
			return fmt.Errorf("attest: %s intent names no key or no epoch", i.Operation)
		case i.Keygen != nil:
			return fmt.Errorf("attest: %s intent with keygen parameters", i.Operation)
		case i.Operation != OpSign && (len(i.Message) > 0 || len(i.Tweaks) > 0 || len(i.Path) > 0):
			return fmt.Errorf("attest: %s intent with a message or a path", i.Operation)
		}
		return nil
	case OpKeygen:
		switch {
		case i.Keygen == nil:
			return errors.New("attest: keygen intent without parameters")
		case i.KeyID != "" || i.Vault != "" || i.Epoch != 0 || len(i.Message) > 0 || len(i.Tweaks) > 0 || len(i.Path) > 0:
			return errors.New("attest: keygen intent with a key, an epoch, a message or a path")
		case i.Keygen.Threshold < 2 || i.Keygen.Threshold > len(i.Signers):
			return fmt.Errorf("attest: keygen intent: threshold %d of %d", i.Keygen.Threshold, len(i.Signers))
		case len(i.Keygen.Label) > maxText || len(i.Keygen.Group) > maxText || len(i.Keygen.Kind) > maxText:
			return fmt.Errorf("attest: keygen intent: text longer than %d bytes", maxText)
		case !Printable(i.Keygen.Label) || !Printable(i.Keygen.Group) || !Printable(string(i.Keygen.Kind)):
			return errNotPrintable
		}
		return i.Keygen.validateNodes(len(i.Signers))
	}
	return fmt.Errorf("attest: intent: unknown operation %q; use sign, keygen or refresh", clip(string(i.Operation)))
}

// validateNodes checks the names of the parties, of which there are so many.
func (k KeygenParams) validateNodes(parties int) error {
	if len(k.Nodes) != 0 && len(k.Nodes) != parties {
		return fmt.Errorf("attest: keygen intent: %d nodes are named, of %d parties", len(k.Nodes), parties)
	}
	for n, x := range k.Nodes {
		if !name.MatchString(x) || n > 0 && x <= k.Nodes[n-1] {
			return errors.New("attest: keygen intent: the nodes that it names must ascend without repetition")
		}
	}
	return nil
}

// maxTweaks bounds the tweaks of one signature: one of a path, whose steps add up, and the Taproot commitment.
const maxTweaks = 16

const (
	// MaxPath is the longest path below a wallet key: BIP 32 counts the depth of a key in one byte.
	MaxPath = 255
	// Hardened is the first index that needs the private key (BIP 32), which is nowhere.
	Hardened = 1 << 31
)

var (
	// ErrNoDerivation is of a path below a key whose scheme derives nothing.
	ErrNoDerivation = errors.New("attest: keys of this scheme have no keys below them")
	// ErrTweaks is of tweaks that do not follow from the path.
	ErrTweaks = errors.New("attest: the tweaks are not those of the path")
)

// Derive follows a path below a key: the child's public key, and the tweaks of an intent that asks for its signature. Without a
// path these are the group key and none. ErrNoDerivation is returned for a scheme that is no threshold.Deriver.
func Derive(scheme threshold.Scheme, key threshold.KeyInfo, path []uint32) (pub []byte, tweaks []threshold.Tweak, err error) {
	if len(path) == 0 {
		return key.GroupKey, nil, nil
	}
	d, ok := scheme.(threshold.Deriver)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoDerivation, scheme.ID())
	}
	pub, _, tweaks, err = d.Derive(key, path)
	return pub, tweaks, err
}

// CheckTweaks holds the intent's tweaks to its path: exactly those that Derive gives, and none without a path. Whoever signs, or
// judges a signature, calls it and takes nobody's word: an additive tweak T that a coordinator may choose is a related-key attack,
// since ECDSA under x + T on the digest m is ECDSA under x on m + r·T, so that it would have signed what nobody was asked for
// (Groth and Shoup, ePrint 2021/1330, §5; PROTOCOLS A.3.5).
func (i Intent) CheckTweaks(scheme threshold.Scheme, key threshold.KeyInfo) error {
	_, want, err := Derive(scheme, key, i.Path)
	if err != nil {
		return err
	}
	if !slices.Equal(i.Tweaks, want) {
		return fmt.Errorf("%w: %d given, a path of %d indexes has %d", ErrTweaks, len(i.Tweaks), len(i.Path), len(want))
	}
	return nil
}

// ErrPayload is of a message that does not follow from the payload.
var ErrPayload = errors.New("attest: the message is not that of the payload")

// Decode reads the payload of an intent and holds the message to it; nil for one without. Whoever signs, or judges a signature, calls it
// and takes nobody's word for what a digest stands for.
func (i Intent) Decode(scheme threshold.Scheme, key threshold.KeyInfo) (*intent.Decoded, error) {
	if i.Payload == nil {
		return nil, nil
	}
	d, err := i.Payload.Decode(i.Chain, i.Path, scheme, key)
	if err == nil && !bytes.Equal(d.Digest, i.Message) {
		err = fmt.Errorf("%w: it gives %x", ErrPayload, d.Digest)
	}
	return d, err
}

// Decode reads a payload of a network for the key at a path below a wallet's.
func (p Payload) Decode(network string, path []uint32, scheme threshold.Scheme, key threshold.KeyInfo) (*intent.Decoded, error) {
	pub, _, err := Derive(scheme, key, path)
	if err != nil {
		return nil, err
	}
	if scheme.Kind().Forms[0] == threshold.FormXOnly {
		pub = scheme.Kind().Shown(pub)
	}
	return intent.Decode(intent.Payload{Network: network, Format: p.Format, Bytes: p.Bytes, Input: p.Input, Key: pub,
		Family: scheme.Kind().Addresses})
}

// Bytes is the canonical encoding.
func (i Intent) Bytes() []byte { return canon.MustMarshal(i) }

// ParseIntent reads what Bytes wrote, and validates it.
func ParseIntent(b []byte) (Intent, error) {
	var i Intent
	if err := canon.Unmarshal(b, &i); err != nil {
		return Intent{}, fmt.Errorf("attest: intent: %w", err)
	}
	return i, i.Validate()
}

// Hash names the intent everywhere.
func (i Intent) Hash() [32]byte { return canon.Hash("mpcd/v1/intent", i.Bytes()) }

// SignRequest is the engine's view of a sign intent, its presignature still to be given.
func (i Intent) SignRequest() threshold.SignRequest {
	return threshold.SignRequest{Message: i.Message, Tweaks: i.Tweaks}
}
