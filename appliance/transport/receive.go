package transport

import (
	"context"
	"slices"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
)

// Recv returns the next envelope that is authentic, fresh and new. Several goroutines may wait at once; they verify in parallel.
func (c *securedConn) Recv(ctx context.Context) (Envelope, error) {
	for {
		raw, err := c.inner.Recv(ctx)
		if err != nil {
			return Envelope{}, err
		}
		if raw.front == nil && !c.Admit(&raw) { // of a network that did not ask
			continue
		}
		e, reason, ok := c.open(raw.front)
		if ok {
			c.stats.received.Add(1)
			return e, nil
		}
		c.stats.dropped[reason].Add(1)
	}
}

// open checks in the order of cost what its sender has sealed, and decapsulates nothing before the signature holds. That it is from the
// sender is known: what is wrong with it is the sender's doing.
func (c *securedConn) open(f *front) (Envelope, Reason, bool) {
	s, err := decode(f.sealed)
	if err != nil || !f.is(&s.Header) {
		return Envelope{}, DropMalformed, false
	}
	h := &s.Header
	p := c.peer(h.From)
	if p == nil { // removed since
		return Envelope{}, DropUnknown, false
	}
	if reason, ok := c.wanted(s); !ok {
		return Envelope{}, reason, false
	}
	if !h.Private && (len(s.Body) > BodyMax || h.BodyHash != hashBody(nil, s.Body)) {
		return Envelope{}, DropBody, false
	}
	digest := h.digest()
	if !h.verify(p.identity, s.Signature[:]) {
		return Envelope{}, DropSignature, false
	}
	body, salt := s.Body, []byte(nil)
	if h.Private {
		plain, err := p.open.open(h.Enc, h.Count, s.Body, digest[:])
		if err != nil || len(plain) < saltLen {
			return Envelope{}, DropUndecryptable, false
		}
		salt, body = slices.Clone(plain[:saltLen]), plain[saltLen:]
		if len(body) > BodyMax || h.BodyHash != hashBody(salt, body) {
			return Envelope{}, DropBody, false
		}
	}
	return Envelope{From: h.From, To: h.To, Kind: h.Kind, Topic: h.Topic, Body: body, Private: h.Private,
		Proof: canon.MustMarshal(proof{Header: *h, Signature: s.Signature, Salt: salt})}, 0, true
}

// is tells whether a header says of the envelope what its front says: proofs show sender, run, number and time, by which it was admitted.
func (f *front) is(h *header) bool {
	return string(h.From) == string(f.From) && h.Boot == f.Boot && h.BootMS == f.BootMS && h.Seq == f.Seq && h.TimeMS == f.TimeMS
}

// wanted makes the checks that cost nothing. All of them hold for authentic envelopes too, so their order leaks nothing.
func (c *securedConn) wanted(s *sealed) (Reason, bool) {
	h := &s.Header
	if h.Cluster != c.o.Cluster || h.Channel != c.name {
		return DropForeign, false
	}
	if len(h.To) > 0 && !slices.Contains(h.To, c.self.Node) {
		return DropNotForUs, false
	}
	if c.o.Want != nil && !c.o.Want(h.Kind, h.Topic, h.From, len(s.Body)) {
		return DropUnwanted, false
	}
	return 0, true
}

func fresh(timeMS uint64, now time.Time) bool {
	ours := uint64(max(now.UnixMilli(), 0))
	return max(timeMS, ours)-min(timeMS, ours) <= uint64(SkewMax.Milliseconds())
}
