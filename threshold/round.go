package threshold

import "io"

// Round is one step of a protocol: which messages it needs, how each is judged, and what follows. R is the result of the
// whole session.
type Round[R any] interface {
	// Expect tells what this round waits for.
	Expect() Expect
	// Check judges what one party sent. It reads the round and never changes it, so calls may run in parallel. An error
	// made with Fault blames the sender; the returned payload is handed to Advance.
	Check(from PartyID, in Inbound) (Payload, error)
	// Advance is called once, when everything expected has passed Check; in is in ascending order of the parties. An
	// *Abort as the error names culprits itself.
	Advance(rand io.Reader, in []Received) (Step[R], error)
	// Erase wipes the secrets of the round that were not handed on to the next. It is called once, after Advance or when
	// the session ends early.
	Erase()
}

// Expect is what a round waits for from every other party of the session.
type Expect struct {
	Broadcast bool // one message to everybody, echoed in the next round
	Direct    bool // one message to this party alone
	MaxBytes  int  // the largest body, in bytes
}

// Inbound is what one party sent in a round.
type Inbound struct{ Broadcast, Direct []byte }

// Payload is what Check made of an Inbound.
type Payload any

// Received is a checked payload and its sender.
type Received struct {
	From    PartyID
	Payload Payload
}

// Outgoing is a message to send: to Everybody or to one party.
type Outgoing struct {
	To   PartyID
	Body []byte
}

// Step is what follows a round: messages for the next round and that round, or the result.
type Step[R any] struct {
	Out    []Outgoing
	Next   Round[R]
	Result R // when Next is nil
}

// Opening is round 0 as a protocol sees it: what it adds to the OPEN message, and how it goes on once the session ID is made.
type Opening[R any] struct {
	// Payload rides in our OPEN message and is bound into the session ID (for FROST: the nonce commitments).
	Payload []byte
	// PayloadLen is the exact length every party's payload must have.
	PayloadLen int
	// Check judges a peer's payload; nil if PayloadLen is 0.
	Check func(from PartyID, payload []byte) (Payload, error)
	// Hedge, if set, lends secrets of ours that last longer than the session. They are mixed into what rounds draw, with the session ID.
	Hedge func() [][]byte
	// Begin is Round.Advance for round 0; in holds the peers' checked payloads.
	Begin func(rand io.Reader, id SessionID, in []Received) (Step[R], error)
	// Erase wipes secrets behind Payload that Begin did not hand on.
	Erase func()
	// Judge, if set, verifies the evidence of a Proven abort that a peer passed on; a nil error convicts every culprit in it.
	Judge func(*Abort) error
	// Discard, if set, destroys a result that nobody took, when the session is erased.
	Discard func(R)
}
