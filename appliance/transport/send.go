package transport

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
)

// Send signs e, encrypts its body if Private, authenticates it to each addressee, and hands it to the wrapped network.
func (c *securedConn) Send(ctx context.Context, e Envelope) error {
	if err := c.checkOutgoing(e); err != nil {
		return err
	}
	h := header{Version: wireVersion, Cluster: c.o.Cluster, Channel: c.name, From: c.self.Node, To: e.To, Kind: e.Kind,
		Topic: e.Topic, Boot: c.run.ID, BootMS: c.run.Number, Seq: c.channel.seq.Add(1), TimeMS: uint64(max(c.o.Clock().UnixMilli(), 0)),
		Private: e.Private}
	s := sealed{Header: h, Body: e.Body}
	var err error
	if e.Private {
		err = c.sealPrivate(&s, e.Body)
	} else {
		s.Header.BodyHash = hashBody(nil, e.Body)
		d := s.Header.digest()
		s.Signature, err = c.sign(d)
	}
	if err != nil {
		return err
	}
	body := frame(&s.Header, canon.MustMarshal(s), c.addressees(e.To))
	if err := c.inner.Send(ctx, Envelope{From: c.self.Node, To: e.To, Body: body}); err != nil {
		return err
	}
	c.stats.sent.Add(1)
	return nil
}

// addressees are the peers that an envelope is for, each with a MAC of its own; what is for all is for another run of us too.
func (c *securedConn) addressees(to []NodeID) []*peer {
	c.roster.RLock()
	defer c.roster.RUnlock()
	if len(to) == 0 {
		return append(slices.Collect(maps.Values(c.peers)), &c.me)
	}
	var all []*peer
	for _, n := range to {
		if p := c.peers[n]; p != nil {
			all = append(all, p)
		}
	}
	return all
}

func (c *securedConn) checkOutgoing(e Envelope) error {
	if c.isClosed() {
		return ErrClosed
	}
	if len(e.Body) > BodyMax {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(e.Body), BodyMax)
	}
	if len(e.To) > RecipientsMax {
		return fmt.Errorf("transport: %d recipients, at most %d: leave To empty to reach everybody", len(e.To), RecipientsMax)
	}
	if e.Private && len(e.To) != 1 {
		return fmt.Errorf("transport: private envelope to %d recipients, want 1", len(e.To))
	}
	for _, n := range e.To {
		if c.peer(n) == nil && (e.Private || n != c.self.Node) {
			return errNoPeer(n)
		}
	}
	return nil
}

func errNoPeer(n NodeID) error {
	return fmt.Errorf("transport: recipient %q is not a peer in the roster", n)
}

// sealPrivate fills in the private parts of s: commitment, key, nonce, signature, ciphertext.
func (c *securedConn) sealPrivate(s *sealed, body []byte) error {
	to := c.peer(s.Header.To[0])
	if to == nil { // removed since checkOutgoing
		return errNoPeer(s.Header.To[0])
	}
	plain := make([]byte, saltLen+len(body), saltLen+len(body)+tagLen)
	if _, err := io.ReadFull(c.o.Rand, plain[:saltLen]); err != nil {
		return fmt.Errorf("transport: salt: %w", err)
	}
	copy(plain[saltLen:], body)
	gcm, enc, count, err := to.seal.next()
	if err != nil {
		clear(plain)
		return fmt.Errorf("transport: encapsulate to %s: %w", s.Header.To[0], err)
	}
	s.Header.BodyHash = hashBody(plain[:saltLen], body)
	s.Header.Enc, s.Header.Count = slices.Clone(enc), count
	d := s.Header.digest()
	if s.Signature, err = c.sign(d); err != nil {
		clear(plain)
		return err
	}
	s.Body = gcm.Seal(plain[:0], nonce(count), plain, d[:]) // in place: no copy of the plaintext stays behind
	return nil
}

func (c *securedConn) sign(digest [32]byte) ([64]byte, error) {
	sig := c.self.Sign(digest[:])
	if len(sig) != 64 {
		return [64]byte{}, fmt.Errorf("transport: identity key of %s did not sign: got %d bytes, want 64", c.self.Node, len(sig))
	}
	return [64]byte(sig), nil
}
