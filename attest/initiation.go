package attest

import (
	"fmt"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
)

// Initiation is an initiator's word that it wants what an intent asks for. It stands in the intent, so that every signer judges it for
// itself and every receipt has it.
type Initiation struct {
	By        string `cbor:"1,keyasint" json:"by"`         // Initiator.Name
	Expires   int64  `cbor:"2,keyasint" json:"expires_ms"` // Unix milliseconds; no ceremony begins later
	Signature Hex    `cbor:"3,keyasint" json:"signature"`  // 64 bytes over Intent.InitiationMessage, or as Parameters say
	// Parameters are those of an HTTP message signature, where it is one: see ParseParameters.
	Parameters string `cbor:"4,keyasint,omitempty" json:"parameters,omitempty"`
}

// InitiationBytes is how long the signature of an initiation is.
const InitiationBytes = 64

// MaxInitiation is how far ahead an initiation may expire.
const MaxInitiation = 7 * 24 * time.Hour

// Initiated tells whether nothing is done for an operation without an initiator's signature.
func Initiated(op Operation) bool { return op == OpSign || op == OpKeygen || op == OpRefresh }

// initiation is what an initiator signs: what is asked for, and nothing that only nodes know or choose, as epoch, scheme and signers.
type initiation struct {
	Tag       string        `cbor:"1,keyasint"`
	Cluster   string        `cbor:"2,keyasint"`
	Operation Operation     `cbor:"3,keyasint"`
	RequestID string        `cbor:"4,keyasint"`
	KeyID     string        `cbor:"5,keyasint"`
	Message   Hex           `cbor:"6,keyasint"` // empty with a payload, from which it follows
	Path      []uint32      `cbor:"7,keyasint"`
	Chain     string        `cbor:"8,keyasint"`
	Keygen    *KeygenParams `cbor:"9,keyasint"`
	Parties   int           `cbor:"10,keyasint"` // of the key to make; 0 elsewhere
	By        string        `cbor:"11,keyasint"`
	Expires   int64         `cbor:"12,keyasint"`
	Payload   *Payload      `cbor:"13,keyasint"` // null where there is none
}

// InitiationMessage is what an initiator signs: deterministic CBOR (RFC 8949 §4.2.1) of what the intent asks for, under a tag of its own.
// It is the same whichever node leads, with whatever signers, at whatever epoch of the key.
func (i Intent) InitiationMessage(by string, expires int64) []byte {
	m := initiation{Tag: InitiationTag, Cluster: i.Cluster, Operation: i.Operation, RequestID: i.RequestID, KeyID: i.KeyID,
		Message: append(Hex{}, i.Message...), Path: append([]uint32{}, i.Path...), Chain: i.Chain, Keygen: i.Keygen, By: by, Expires: expires,
		Payload: i.Payload}
	switch {
	case i.Operation == OpKeygen:
		m.Parties = len(i.Signers)
	case i.Payload != nil:
		m.Message = Hex{} // which follows from it
	}
	return canon.MustMarshal(m)
}

// asks is the operation of the grant that an intent needs.
func (i Intent) asks() Operation {
	if i.Operation == OpSign && i.Payload == nil {
		return OpSignRaw
	}
	return i.Operation
}

// Initiate signs what an intent asks for, in an initiator's name.
func (i Intent) Initiate(by string, expires time.Time, sign SignFunc) (*Initiation, error) {
	ms := expires.UnixMilli()
	sig, err := sign(i.InitiationMessage(by, ms))
	if err != nil {
		return nil, fmt.Errorf("attest: initiate: %w", err)
	}
	return &Initiation{By: by, Expires: ms, Signature: sig}, nil
}

// CheckInitiation judges whether an initiator of the authority asked for what the intent says, and may. The caller has found the authority
// by the digest that the intent names. at is when, and the error what does not hold; an InitiationError.
func (a Authority) CheckInitiation(i Intent, at time.Time) error {
	x, vault, op := i.Initiation, i.Vault, i.asks()
	if i.Keygen != nil {
		vault = i.Keygen.Group
	}
	if x == nil {
		return notInitiated(nextInitiator+": `--initiator NAME@CLUSTER --initiator-key FILE`", "no initiator has signed it")
	}
	who, ok := a.Initiator(x.By)
	switch {
	case i.Cluster != a.Cluster:
		return notInitiated("bring the node the authority of its own cluster", "the authority is of another cluster")
	case !ok:
		return notInitiated("sign the request as one that it has: `mpcd authority show` prints them",
			"the authority of serial %d has no initiator %q", a.Serial, clip(x.By))
	case !who.Allows(op, vault):
		return notInitiated(nextInitiator+", or have the officers grant it: `mpcd authority change`",
			"initiator %q may not ask for %s in vault %q", x.By, op, clip(vault))
	case at.UnixMilli() > x.Expires:
		return notInitiated("sign the request again, under the same session_id: its signature has expired",
			"it has expired, at %s", time.UnixMilli(x.Expires).UTC().Format(time.RFC3339))
	case x.Expires-i.Created > MaxInitiation.Milliseconds():
		return notInitiated("sign the request again, with an expiry at most a week ahead", "it expires more than %s after the request",
			MaxInitiation)
	}
	if err := x.check(i, who.Key); err != nil {
		return notInitiated(fmt.Sprintf("sign exactly this request, as %s@%s, with the key that the authority has for that name: "+
			"`mpcd authority show` prints it", x.By, a.Cluster), "the signature of initiator %q: %w", x.By, err)
	}
	return nil
}

// nextInitiator is what to do where nobody has signed who may.
const nextInitiator = "sign the request as an initiator who may"

// InitiationError says why nobody has asked for it who may, and what to do. It is ErrNotInitiated.
type InitiationError struct {
	Err  error
	Next string // a clause
}

func (e *InitiationError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *InitiationError) Unwrap() error { return e.Err }

func notInitiated(next, format string, a ...any) error {
	return &InitiationError{fmt.Errorf("%w: "+format, append([]any{ErrNotInitiated}, a...)...), next}
}
