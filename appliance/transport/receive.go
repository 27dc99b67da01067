package transport

import (
	"context"
	"errors"
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
		e, reason, ok := c.receive(raw.Body)
		if ok {
			c.stats.received.Add(1)
			return e, nil
		}
		c.stats.dropped[reason].Add(1)
	}
}

// receive checks in the order of cost, remembers nothing before the signature holds, and decapsulates nothing either.
func (c *securedConn) receive(raw []byte) (Envelope, Reason, bool) {
	s, err := decode(raw)
	switch {
	case errors.Is(err, ErrTooLarge):
		return Envelope{}, DropTooLarge, false
	case err != nil:
		return Envelope{}, DropMalformed, false
	}
	h, now := &s.Header, c.o.Clock()
	p := c.peer(h.From)
	if reason, ok := c.admit(s, p, now); !ok {
		c.glimpse(s, p, reason, now)
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
	if reason, ok := p.replays.accept(h, now); !ok {
		return Envelope{}, reason, false
	}
	p.sighting.delivered(h, now)
	return Envelope{From: h.From, To: h.To, Kind: h.Kind, Topic: h.Topic, Body: body, Private: h.Private,
		Proof: canon.MustMarshal(proof{Header: *h, Signature: s.Signature, Salt: salt})}, 0, true
}

// admit makes the checks that cost nothing. All of them hold for authentic envelopes too, so their order leaks nothing.
func (c *securedConn) admit(s *sealed, p *peer, now time.Time) (Reason, bool) {
	h := &s.Header
	if h.Cluster != c.o.Cluster || h.Channel != c.name {
		return DropForeign, false
	}
	if p == nil {
		return DropUnknown, false
	}
	if len(h.To) > 0 && !slices.Contains(h.To, c.self.Node) {
		return DropNotForUs, false
	}
	if !fresh(h.TimeMS, now) {
		return DropSkew, false
	}
	if reason, ok := p.replays.probe(h, now); !ok {
		return reason, false
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
