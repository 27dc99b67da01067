package threshold

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AbortKind says what an abort means for the peers it names (PROTOCOLS 1.6).
type AbortKind uint8

// The kinds of abort.
const (
	Retry  AbortKind = iota + 1 // nobody is to blame: other views, a missing peer; try again
	Ban                         // we know it, without evidence for others: this peer is not trusted again in this pair-epoch
	Proven                      // the evidence convinces third parties
	Local                       // our own state or input is at fault
)

func (k AbortKind) String() string {
	switch k {
	case Retry:
		return "retry"
	case Ban:
		return "ban"
	case Proven:
		return "proven"
	case Local:
		return "local"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Abort is how a session ends without a result. Blame is data: Culprits is empty unless Kind is Ban or Proven.
type Abort struct {
	Kind     AbortKind
	Check    string // the check of PROTOCOLS that failed, as "echo", "dkg-share"
	Round    int
	Culprits []PartyID
	Evidence []Message // for Proven: what VerifyConduct and the scheme's Judge go by; our own messages in it have no proof
	Err      error
}

func (a *Abort) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "threshold: %s abort in round %d, check %s", a.Kind, a.Round, a.Check)
	if len(a.Culprits) > 0 {
		fmt.Fprintf(&b, ", culprits %v", a.Culprits)
	}
	if a.Err != nil {
		fmt.Fprintf(&b, ": %v", a.Err)
	}
	return b.String()
}

func (a *Abort) Unwrap() error { return a.Err }

// fault is what a Check returns to name the kind of a failure; the session adds culprit, round and evidence.
type fault struct {
	kind  AbortKind
	check string
	err   error
}

func (f *fault) Error() string { return fmt.Sprintf("%s: %v", f.check, f.err) }
func (f *fault) Unwrap() error { return f.err }

// Fault makes the error with which a round's Check refuses a message: the session blames its sender.
func Fault(kind AbortKind, check string, err error) error { return &fault{kind, check, err} }

// Faultf is Fault with a message.
func Faultf(kind AbortKind, check, format string, a ...any) error {
	return &fault{kind, check, fmt.Errorf(format, a...)}
}

// asAbort turns what Check or Advance returned into an Abort; from is the sender if there is one.
func asAbort(err error, round int, from PartyID) *Abort {
	var a *Abort
	if errors.As(err, &a) {
		if a.Round == 0 {
			a.Round = round
		}
		return a
	}
	var f *fault
	if errors.As(err, &f) {
		a = &Abort{Kind: f.kind, Check: f.check, Round: round, Err: f.err}
		if from != 0 && (f.kind == Ban || f.kind == Proven) {
			a.Culprits = []PartyID{from}
		}
		return a
	}
	return &Abort{Kind: Local, Check: "internal", Round: round, Err: err}
}

// Convicts tells whether err, as a protocol's judgement returns it, finds the party guilty beyond doubt, and by which check:
// for those who repeat a judgement on evidence. from is the sender of the message that was judged.
func Convicts(err error, from PartyID) (check string, guilty bool) {
	if err == nil {
		return "", false
	}
	a := asAbort(err, 0, from)
	return a.Check, a.Kind == Proven && slices.Contains(a.Culprits, from)
}
