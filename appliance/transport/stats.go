package transport

import "sync/atomic"

// Reason says why Secure dropped an envelope.
type Reason uint8

// The reasons, in the order in which they are checked.
const (
	DropTooLarge      Reason = iota // larger than FrameMax
	DropRelease                     // of another version of the wire, so of another release
	DropMalformed                   // not the one encoding of an envelope
	DropUnknown                     // the sender is not in the roster, or is ourselves
	DropNotForUs                    // for others only
	DropForged                      // not from the sender that it names, or not as that sent it: the MAC does not hold
	DropSkew                        // the sender's clock is off by more than SkewMax, or the envelope is old
	DropStaleBoot                   // of a process that its node has since replaced
	DropReplay                      // came before, or too far behind the newest
	DropForeign                     // of another cluster or another channel
	DropUnwanted                    // refused by Options.Want
	DropBody                        // the body is not the signed one
	DropSignature                   // not signed by the claimed sender
	DropUndecryptable               // private, and not for our key
	reasons
)

var reasonNames = [reasons]string{"too_large", "other_release", "malformed", "unknown_sender", "not_for_us", "forged",
	"clock_skew", "stale_boot", "replay", "foreign", "unwanted", "body", "signature", "undecryptable"}

// String is the label of the reason in metrics.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

// Stats counts envelopes since Secure was made.
type Stats struct {
	Sent     uint64
	Received uint64
	// Dropped counts by Reason.String; every reason is present.
	Dropped map[string]uint64
	// Lost counts, for each node of the roster, the envelopes of it that found no room to wait in.
	Lost map[NodeID]uint64
}

type counters struct {
	sent, received atomic.Uint64
	dropped        [reasons]atomic.Uint64
}

func (c *counters) snapshot() Stats {
	s := Stats{Sent: c.sent.Load(), Received: c.received.Load(), Dropped: make(map[string]uint64, reasons), Lost: map[NodeID]uint64{}}
	for r := range reasons {
		s.Dropped[r.String()] = c.dropped[r].Load()
	}
	return s
}
