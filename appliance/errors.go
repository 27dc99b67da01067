package appliance

import (
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Code says what went wrong, for the HTTP status, the exit code and the client's decision to retry.
type Code string

// The codes.
const (
	CodeInvalid     Code = "invalid"     // the request is wrong; 400 or 422
	CodeDenied      Code = "denied"      // role or policy refuses; 403
	CodeNotFound    Code = "not_found"   // 404
	CodeConflict    Code = "conflict"    // a session_id with another body, a key in the wrong state; 409
	CodeQuorum      Code = "quorum"      // too few live nodes; 503
	CodeOverload    Code = "overload"    // queue full; 429
	CodeTimeout     Code = "timeout"     // 504
	CodeHSM         Code = "hsm"         // the token failed; 503
	CodeIntegrity   Code = "integrity"   // stored data or a peer's data is not what it should be; 500
	CodeUnsupported Code = "unsupported" // not in this build; 422
	CodeBlame       Code = "blame"       // peers misbehaved and no other quorum was left; 502
	CodeInternal    Code = "internal"    // 500
	CodeProvision   Code = "provision"   // the parties' pair states differ; 503
	CodeAttempt     Code = "attempt"     // a refresh of this epoch was tried before; 503
	CodeStarting    Code = "not_ready"   // boot has not finished; 503
	CodePresig      Code = "presig"      // a party does not have a presignature of the pool; between nodes only
)

// Error is what every line of the node fails with: what, why, what to do next.
type Error struct {
	Code     Code
	Message  string             // what and why; lower case
	Next     string             // what to do; a sentence
	Field    string             // the request's field at fault, if one is
	Culprits []transport.NodeID // who is proven or accused
	Err      error
	item     int    // of a batch: the number of the intent at fault, from 1; 0 if it is none of them or not known
	epoch    uint64 // of the node that refuses: for CodeProvision its pair-epoch, for CodeAttempt the highest it has a share of
}

func (e *Error) Error() string {
	s := e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Next != "" {
		s += " (" + e.Next + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Retryable tells whether the same request may succeed later without a change.
func (e *Error) Retryable() bool {
	switch e.Code {
	case CodeQuorum, CodeOverload, CodeTimeout, CodeHSM, CodeStarting, CodeBlame, CodeProvision, CodeAttempt, CodePresig:
		return true
	}
	return false
}

func fail(code Code, next, format string, a ...any) *Error {
	return &Error{Code: code, Next: next, Message: fmt.Sprintf(format, a...)}
}

// at says that an error is about the intent i of a batch.
func at(i int, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.item = i + 1
	return &c
}

func invalid(field, next, format string, a ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Next: next, Message: fmt.Sprintf(format, a...)}
}

// AsError finds the Error in err, or wraps err as internal.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: "the node failed", Next: "see the node's log", Err: err}
}
