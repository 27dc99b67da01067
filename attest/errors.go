package attest

import (
	"errors"
	"fmt"
)

// Why an attestation is refused. Callers branch on these with errors.Is; MisboundError with errors.As.
var (
	// ErrUnattested: there is no attestation at all.
	ErrUnattested = errors.New("attest: no attestation")
	// ErrMalformed: the bytes are no attestation, or not its one encoding.
	ErrMalformed = errors.New("attest: malformed attestation")
	// ErrWrongNode: another node, or another key than the one pinned for the node, made it.
	ErrWrongNode = errors.New("attest: made by another node")
	// ErrForged: the signature does not verify, or what it covers is something else.
	ErrForged = errors.New("attest: not what the node's key signed")
	// ErrStale: it was made outside the time allowed.
	ErrStale = errors.New("attest: made outside the time allowed")
	// ErrUnknownNode: the roster has no such node or party.
	ErrUnknownNode = errors.New("attest: not in the roster")
	// ErrRoster: the roster is not the one expected, or its signature does not verify.
	ErrRoster = errors.New("attest: roster refused")
	// ErrAuthority: the chain of authorities does not hold, or is not the one expected.
	ErrAuthority = errors.New("attest: authority refused")
	// ErrDenied: the rules of the authority do not permit it.
	ErrDenied = errors.New("attest: denied")
	// ErrNotInitiated: nobody who may has asked for it.
	ErrNotInitiated = errors.New("attest: not initiated")
	// ErrNotApproved: an approval does not hold.
	ErrNotApproved = errors.New("attest: not approved")
)

// MisboundError tells which field of a genuine attestation is for something else than the verifier expects.
type MisboundError struct {
	Field string // the field's JSON name
}

func (e *MisboundError) Error() string {
	return fmt.Sprintf("attest: genuine, but for another %s than expected", e.Field)
}

func misbound(field string) error { return &MisboundError{Field: field} }
