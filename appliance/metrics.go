package appliance

import "sync/atomic"

// counters are the node's own numbers; the program exports them.
type counters struct {
	signatures, ceremonies, batches, aborts, refused, keygens, refreshes, retries atomic.Uint64
}

// Counts is a reading of the node's counters, all since its start.
type Counts struct {
	Signatures uint64 // made as coordinator
	Ceremonies uint64 // taken part in
	Batches    uint64 // led
	Aborts     uint64
	Refused    uint64 // proposals refused or dropped
	Keygens    uint64
	Refreshes  uint64
	Retries    uint64 // requests tried again with another quorum
	AuditSeq   uint64
	// Presignatures of the pool.
	PresReady   int               // now, to sign with
	PresHeld    int               // now, for all coordinators
	PresMade    uint64            // as coordinator
	PresUsed    uint64            // as coordinator
	PresMissed  uint64            // requests that found too few and presigned for themselves
	PresDropped uint64            // never used
	Network     map[string]uint64 // envelopes dropped, by reason
}

// Counts reads the counters.
func (n *Node) Counts() Counts {
	c := &n.counts
	pool := n.pool.Counts()
	out := Counts{
		Signatures: c.signatures.Load(), Ceremonies: c.ceremonies.Load(), Batches: c.batches.Load(), Aborts: c.aborts.Load(),
		Refused: c.refused.Load(), Keygens: c.keygens.Load(), Refreshes: c.refreshes.Load(), Retries: c.retries.Load(),
		AuditSeq:  n.cfg.AuditLog.Len(),
		PresReady: pool.Ready, PresHeld: pool.Held, PresMade: pool.Made, PresUsed: pool.Used, PresMissed: pool.Missed,
		PresDropped: pool.Dropped, Network: map[string]uint64{},
	}
	if net := n.net.Load(); net != nil {
		s := net.Stats()
		out.Network["sent"], out.Network["received"] = s.Sent, s.Received
		for reason, v := range s.Dropped {
			out.Network[reason] = v
		}
	}
	return out
}
