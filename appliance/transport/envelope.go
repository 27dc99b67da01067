package transport

import (
	"context"
	"errors"
)

// Limits. Raw networks must carry FrameMax bytes; Secure refuses larger bodies than BodyMax before it pays for them.
const (
	// BodyMax is the largest body of an envelope, in bytes.
	BodyMax = 4 << 20
	// FrameMax is the largest body of a raw envelope, in bytes: a sealed envelope with its header.
	FrameMax = BodyMax + 64<<10
	// RecipientsMax is the most names To may list; a wider audience is everybody.
	RecipientsMax = 512
)

// What callers branch on.
var (
	// ErrClosed is returned by Recv, Send and Join after Close, and when the network itself has ended.
	ErrClosed = errors.New("transport: closed")
	// ErrTooLarge is returned by Send for a body over the limit; nothing was sent.
	ErrTooLarge = errors.New("transport: body too large")
)

// Envelope is one message among the nodes of a cluster.
//
// Raw networks carry From, To and Body only; Secure carries and authenticates all fields.
type Envelope struct {
	// From is the sender. Send ignores it: a node speaks as itself only. From Secure it is the authenticated sender.
	From NodeID
	// To lists the recipients, at most RecipientsMax; empty means everybody on the channel. Raw networks may shorten it to the
	// receiver's own name on receipt.
	To []NodeID
	// Kind is the application's message kind.
	Kind uint8
	// Topic is the application's routing id, 32 bytes: the ceremony.
	Topic [32]byte
	// Body is the message, at most BodyMax bytes.
	Body []byte
	// Private asks for encryption to the single recipient To[0].
	Private bool
	// Proof is set on receipt from Secure: opaque bytes by which VerifyProof shows to third parties that From sent exactly
	// (To, Kind, Topic, Private, Body). Send ignores it.
	Proof []byte

	front *front // of a raw envelope that Secure has admitted
}

// Conn is one node's place on a channel. Messages may be lost, repeated and reordered. It is safe for concurrent use.
type Conn interface {
	// Send hands e to the network. It neither keeps nor changes e's slices after it returns. A nil error is no promise of
	// delivery. The sender gets no copy, even if To names it.
	Send(ctx context.Context, e Envelope) error
	// Recv waits for the next envelope, which belongs to the caller. It returns the context's error, or ErrClosed.
	Recv(ctx context.Context) (Envelope, error)
	// Close leaves the channel, ends every waiting Recv, and drops what was not yet received. It is idempotent.
	Close() error
}

// Gate is asked about what arrives at a raw network's Conn. It is safe for concurrent use, and quick.
type Gate interface {
	// Admit tells whether e may wait to be received. It is asked before e takes a place, is counted for anybody, or pushes another out,
	// and sets From, which until then is what somebody wrote on it.
	Admit(e *Envelope) bool
	// Lost hears of an envelope that was admitted and found no room, or had to make some.
	Lost(from NodeID)
}

// Network is a raw network: it joins channels on behalf of one node.
type Network interface {
	// Join takes a place on the channel, whose name obeys CheckName. A node may join a channel more than once; every Conn gets its own
	// copy of all that gate admits; nil admits everything.
	Join(ctx context.Context, channel string, gate Gate) (Conn, error)
	// Close closes every Conn and leaves the network. It is idempotent.
	Close() error
}
