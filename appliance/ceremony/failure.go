package ceremony

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Refusal is what a party says when it leaves a ceremony. It holds no secret.
type Refusal struct {
	Code    problem.Code `cbor:"1,keyasint"`
	Message string       `cbor:"2,keyasint"`
	Epoch   uint64       `cbor:"3,keyasint,omitempty"` // the highest epoch or pair-epoch of the party that refuses, where that is why
	Item    int          `cbor:"4,keyasint,omitempty"` // the number of the intent that is refused, from 1, where it is one
	Holder  string       `cbor:"5,keyasint,omitempty"` // whose session_id it is: of problem.Held, or problem.Conflict
	Alike   []int        `cbor:"6,keyasint,omitempty"` // the numbers of others that are refused in the same words
	Also    []int        `cbor:"7,keyasint,omitempty"` // and of others that are refused, for other reasons
}

const refusalMax = 512 // bytes of Message

// RefusedError says that a peer left the ceremony, and why.
type RefusedError struct {
	From transport.NodeID
	Refusal
	Declined bool // it told us alone
}

func (e *RefusedError) Error() string { return fmt.Sprintf("node %s refuses: %s", e.From, e.Message) }

// SilenceError names who did not answer in time.
type SilenceError struct {
	Missing []threshold.PartyID
	Absent  []threshold.PartyID // those of Missing that were not heard at all lately; the others live, and are late
}

func (e *SilenceError) Error() string { return fmt.Sprintf("no answer from parties %v", e.Missing) }

// refusalOf reads a peer's refusal: the coordinator's word, and any signer's, ends the ceremony for us.
func refusalOf(env transport.Envelope) error {
	var r Refusal
	if canon.Unmarshal(env.Body, &r) != nil || len(r.Message) > refusalMax || len(r.Holder) > refusalMax {
		r = Refusal{Code: problem.Internal, Message: "an unreadable refusal"}
	}
	if !attest.Printable(r.Message) { // it goes to callers, logs and terminals
		r.Message = strconv.Quote(r.Message)
	}
	return &RefusedError{env.From, r, len(env.To) == 1}
}

// Failure is what ended a ceremony, told apart once. At most one of Abort, Silent and Refused is set, in this order of precedence;
// Own may be set beside them.
type Failure struct {
	Err     error
	Abort   *threshold.Abort
	Silent  *SilenceError
	Refused *RefusedError
	Own     *problem.Error // of this node
}

// FailureOf tells what err is.
func FailureOf(err error) Failure {
	f := Failure{Err: err}
	errors.As(err, &f.Own)
	if errors.As(err, &f.Abort) || errors.As(err, &f.Silent) {
		return f
	}
	errors.As(err, &f.Refused)
	return f
}

// Code is the code of who refused, a peer or this node; empty where nobody did.
func (f Failure) Code() problem.Code {
	switch {
	case f.Refused != nil:
		return f.Refused.Code
	case f.Own != nil:
		return f.Own.Code
	}
	return ""
}

// Epoch is the epoch that came with Code.
func (f Failure) Epoch() uint64 {
	switch {
	case f.Refused != nil:
		return f.Refused.Epoch
	case f.Own != nil:
		return f.Own.Epoch
	}
	return 0
}

// Holder is the coordinator that came with problem.Held.
func (f Failure) Holder() string {
	switch {
	case f.Refused != nil:
		return f.Refused.Holder
	case f.Own != nil:
		return f.Own.Holder
	}
	return ""
}

// Item is the number of the intent that Code is about, from 1; 0 if it is none of them or not known.
func (f Failure) Item() int {
	item, _, _ := f.items()
	return item
}

// Of tells whether Code is about the intent of a number, from 1, and whether that is refused too, for a reason that is not told.
func (f Failure) Of(number int) (about, also bool) {
	item, alike, others := f.items()
	return number == item || slices.Contains(alike, number), slices.Contains(others, number)
}

func (f Failure) items() (item int, alike, also []int) {
	switch {
	case f.Refused != nil:
		return f.Refused.Item, f.Refused.Alike, f.Refused.Also
	case f.Own != nil:
		return f.Own.Item, f.Own.Alike, f.Own.Also
	}
	return 0, nil, nil
}

// explainSilence tells who is gone from who is late.
func (m *Members) explainSilence(s *SilenceError) *problem.Error {
	if len(s.Absent) == 0 && len(s.Missing) > 0 {
		return problem.New(problem.Busy, "repeat the request when they have less to do; if that does not help, see their logs",
			"%v live, but did not answer in time", m.Nodes(s.Missing))
	}
	return problem.New(problem.Quorum, "start the missing nodes or choose other signers, then repeat the request",
		"no answer in time from %v", m.Nodes(s.Absent))
}

// Explain makes the caller's error of what ended a ceremony.
func (m *Members) Explain(err error) error {
	f := FailureOf(err)
	switch {
	case f.Own != nil:
		return f.Own
	case f.Abort != nil:
		e := &problem.Error{Code: problem.Blame, Message: "the ceremony was aborted",
			Next: "repeat the request; see `mpcd node list` for accused nodes", Err: err}
		if f.Abort.Kind == threshold.Local {
			e.Code, e.Next = problem.Integrity, "run mpcd doctor on this node"
		}
		e.Culprits = m.Nodes(f.Abort.Culprits)
		return e
	case f.Silent != nil:
		return m.explainSilence(f.Silent)
	case f.Refused != nil:
		code := f.Refused.Code
		if !code.Relayed() {
			code = problem.Quorum
		}
		e := problem.New(code, "see that node's log", "node %s refuses: %s", f.Refused.From, f.Refused.Message)
		switch {
		case code == problem.Conflict && f.Refused.Holder != "":
			e.Field, e.Next = "session_id", problem.Taken
		case code == problem.Conflict:
			e.Next = "repeat the request: a key is changed meanwhile"
		}
		return e
	case errors.Is(err, context.Canceled):
		return problem.New(problem.Starting, "repeat the request with the same session_id, at another node if this one does not come back",
			"the request was broken off: the node stops, or who asked has left")
	case errors.Is(err, context.DeadlineExceeded):
		return problem.New(problem.Timeout, "repeat the request with the same session_id", "the request did not end in time")
	}
	return err
}
