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
	Network    map[string]uint64 // envelopes dropped, by reason
}

// Counts reads the counters.
func (n *Node) Counts() Counts {
	c := &n.counts
	seq, _ := n.AuditLog.Head()
	out := Counts{c.signatures.Load(), c.ceremonies.Load(), c.batches.Load(), c.aborts.Load(), c.refused.Load(),
		c.keygens.Load(), c.refreshes.Load(), c.retries.Load(), seq, map[string]uint64{}}
	if n.net != nil {
		s := n.net.Stats()
		out.Network["sent"], out.Network["received"] = s.Sent, s.Received
		for reason, v := range s.Dropped {
			out.Network[reason] = v
		}
	}
	return out
}
