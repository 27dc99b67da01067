// Package problem says what went wrong in a node and what to do about it: a code that programs branch on, a message, and the next
// step for whoever reads it at night. It is a leaf, so that the rooms of the appliance, its API and the program speak of a refusal
// in the same words. Texts hold no secret: they reach callers, peers and logs.
package problem

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Code says what went wrong, for the HTTP status, the exit code and the client's decision to retry.
type Code string

// The codes.
const (
	Invalid     Code = "invalid"     // the request is wrong; 400 or 422
	Denied      Code = "denied"      // role or policy refuses; 403
	Unapproved  Code = "unapproved"  // people must approve it first; 403
	Frozen      Code = "frozen"      // nobody may use it until the officers have thawed it; 403
	NotFound    Code = "not_found"   // 404
	Conflict    Code = "conflict"    // a session_id with another body, a key in the wrong state; 409
	Quorum      Code = "quorum"      // too few live nodes; 503
	Busy        Code = "busy"        // nodes live, and did not answer in time; 503
	Overload    Code = "overload"    // queue full; 429
	Timeout     Code = "timeout"     // 504
	HSM         Code = "hsm"         // the token failed; 503
	Storage     Code = "storage"     // the disk is full, or cannot be written; 503
	Integrity   Code = "integrity"   // stored data or a peer's data is not what it should be; 500
	Unsupported Code = "unsupported" // not in this build; 422
	Blame       Code = "blame"       // peers misbehaved and no other quorum was left; 502
	Internal    Code = "internal"    // 500
	PairState   Code = "pair_state"  // the parties' pair states differ; 503
	Attempt     Code = "attempt"     // a refresh of this epoch was tried before; 503
	Starting    Code = "not_ready"   // boot has not finished; 503
	Held        Code = "held"        // the session_id is another coordinator's, with the same purpose; between nodes only
	Presig      Code = "presig"      // a party does not have a presignature of the pool; between nodes only
)

// Retryable tells whether the same request may succeed later without a change.
func (c Code) Retryable() bool {
	switch c {
	case Quorum, Busy, Overload, Timeout, HSM, Storage, Starting, Blame, PairState, Attempt, Presig, Held:
		return true
	}
	return false
}

// Relayed tells whether the code, said by a peer that refuses, is the caller's too. Any other means that the quorum is short of a node.
func (c Code) Relayed() bool {
	switch c {
	case Invalid, Denied, Unapproved, Frozen, NotFound, Conflict, Busy, Overload, HSM, Starting, Integrity, PairState, Attempt, Presig, Held:
		return true
	}
	return false
}

// Error is what every line of the node fails with.
type Error struct {
	Code     Code
	Message  string             // what and why; lower case
	Next     string             // what to do; a clause without a full stop, may be empty
	Field    string             // the request's field at fault, if one is
	Culprits []transport.NodeID // who is proven or accused
	Err      error              // the cause, may be nil
	Item     int                // of a batch: the number of the intent at fault, from 1; 0 if it is none of them or not known
	Alike    []int              // others that are refused in the same words
	Also     []int              // and others that are refused, for other reasons
	Holder   string             // for Held: that coordinator; for a session_id of another request: whose it is
	Done     bool               // it is done all the same, and is not to be repeated
	Epoch    uint64             // of the node that refuses: for PairState its pair-epoch, for Attempt the highest it has a share of
}

// Error is what and why. What to do is in Next, for who has a place of its own for it.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an Error.
func New(code Code, next, format string, a ...any) *Error {
	return &Error{Code: code, Next: next, Message: fmt.Sprintf(format, a...)}
}

// Field makes an Error of code Invalid about a field of the request.
func Field(field, next, format string, a ...any) *Error {
	return &Error{Code: Invalid, Field: field, Next: next, Message: fmt.Sprintf(format, a...)}
}

// Restore is what to do about a node's own data where it is damaged.
const Restore = "keep the disk as it is and restore no older copy of the data directory; see docs/OPERATIONS.md"

// Taken is what to do where a session_id stands for another request: that one may have been done, and under a new one it would be again.
const Taken = "repeat the request that it stands for as it was; use a new session_id only for a new act"

// StopFirst is what to do about what does not open in a node that runs: beside it the doctor can open nothing.
const StopFirst = "stop the node, then run mpcd doctor there: it names all that is damaged"

// Unreadable is of something stored that does not decode: it is damaged, for which next is what to do, or of another version.
func Unreadable(what, next string, err error) *Error {
	if errors.As(err, new(*canon.VersionError)) {
		return &Error{Code: Integrity, Message: what + " is of another version", Next: "use the release that wrote it", Err: err}
	}
	return &Error{Code: Integrity, Message: what + " is damaged", Next: next, Err: err}
}

// At says that err is about the intent i of a batch, counted from 0. An error that is no Error is returned as it is.
func At(i int, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Item = i + 1
	return &c
}

// All makes one error of what is wrong with each intent of a batch, nil where nothing is: the first, which names the others.
func All(errs []error) error {
	first := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if first < 0 {
		return nil
	}
	err := At(first, errs[first])
	e, named := err.(*Error)
	for i := first + 1; named && i < len(errs); i++ {
		var o *Error
		switch {
		case errs[i] == nil:
		case errors.As(errs[i], &o) && o.Code == e.Code && o.Message == e.Message && o.Epoch == e.Epoch && o.Holder == e.Holder:
			e.Alike = append(e.Alike, i+1)
		default:
			e.Also = append(e.Also, i+1)
		}
	}
	return err
}

// Unwritten is of a node that cannot keep what it must keep before it acts. Nothing was done.
func Unwritten(err error) *Error {
	next := "see the node's log; what its disk says is there"
	switch {
	case errors.Is(err, durable.ErrInodes):
		next = "remove files from the node's disk, which has no more inodes; it goes on by itself"
	case durable.IsFull(err):
		next = "free space on the node's disk; it goes on by itself"
	case errors.Is(err, durable.ErrMoved):
		next = "put the data directory back that the node was started on, or the file of it that is away, which its log names; it goes on " +
			"by itself"
	}
	return &Error{Code: Storage, Message: "the node cannot write to its disk, so nothing may be done", Next: next, Err: err}
}

// Unkept is of what is done all the same, of which what a node cannot keep says what it is.
func Unkept(what string, err error) *Error {
	e := Unwritten(err)
	e.Message, e.Next, e.Done = what, "do not repeat it; "+e.Next, true
	return e
}

// As finds the Error in err, or wraps err as Unwritten where the disk is full or not where it was, as Storage where it cannot be read, as
// Integrity where what is stored there is damaged, as Internal else.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if durable.IsFull(err) || errors.Is(err, durable.ErrMoved) {
		return Unwritten(err)
	}
	if errors.Is(err, durable.ErrUnread) {
		return &Error{Code: Storage, Message: "the node cannot read its disk", Next: "look at its disk: the system's log says what failed",
			Err: err}
	}
	if errors.Is(err, durable.ErrCorrupt) {
		return &Error{Code: Integrity, Message: "what the node has stored is damaged", Next: StopFirst, Err: err}
	}
	return &Error{Code: Internal, Message: "the node failed", Next: "see the node's log", Err: err}
}

// packages are those of ours whose names stand before their errors, for the reader of a log. To who runs a command, or asks a node,
// they say nothing; the names of drivers do.
var packages = regexp.MustCompile(
	`(^|: |; )(?:(?:appliance|appraise|attest|badgerstore|canon|client|durable|hsm|natsnet|threshold|transport|vault|wire): )+`)

// Plain is an error on one line, where errors.Join writes several, and without the names of packages; "" of none.
func Plain(err error) string {
	if err == nil {
		return ""
	}
	return packages.ReplaceAllString(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "), "$1")
}
