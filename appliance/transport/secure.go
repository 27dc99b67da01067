package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// SkewMax is how far a sender's clock may be from ours, either way.
	SkewMax = 2 * time.Minute
	// ChannelsMax is how many different channels one Secured may join in its life. Channels are few and long-lived; ceremonies
	// are told apart by Topic.
	ChannelsMax = 64
)

// Options of Secure. Only Cluster is required.
type Options struct {
	// Cluster names the cluster, by the rules of CheckName; envelopes of another are refused.
	Cluster string
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Rand is crypto/rand.Reader if nil. HPKE draws its own randomness from the system.
	Rand io.Reader
	// Want, if set, may refuse envelopes before their signature is verified. What it is asked about is not authenticated: it
	// may only save time, and must not remember anything. Size is that of the body in bytes, sealed if it is private. It is called
	// concurrently.
	Want func(kind uint8, topic [32]byte, from NodeID, size int) bool
	// Run names this run. The zero value has the ID drawn from Rand and takes Clock for the number, so that a run that starts after the
	// clock was set back is not heard for a while.
	Run Run
}

// Secured is a network that signs all, encrypts the directed, and delivers only what is authentic, fresh and new.
type Secured struct {
	inner Network
	self  Identity
	decap hpke.PrivateKey // of self
	o     Options
	run   Run
	err   error // of the construction, reported by Join
	me    peer  // ourselves: of another run of us we hear what it sends to all, under a key of its own too
	stats counters

	mu       sync.Mutex
	closed   bool
	channels map[string]*channel // never forgotten within a boot

	roster sync.RWMutex
	peers  map[NodeID]*peer
}

// channel is our side of a channel.
type channel struct {
	seq  atomic.Uint64 // the last sequence number sent
	open bool          // guarded by Secured.mu
}

// peer is what we know of one node.
type peer struct {
	name     NodeID
	identity ed25519.PublicKey
	out, in  *pairKey // its MACs are of what it gets, and of what it sends
	lost     atomic.Uint64
	replays  replays
	seal     sealer
	open     opener
	sighting sighting
}

// Secure wraps n, whose bytes need not be trusted, for the node id among peers. It owns n from now on. A mistake in the
// identity, the peers or the options is reported by Join. Two Secured of one identity count as two boots of the node: peers
// hear only the later.
func Secure(n Network, id Identity, peers Peers, o Options) *Secured {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	s := &Secured{inner: n, self: id, o: o, run: o.Run, channels: map[string]*channel{}}
	s.err = s.setup(peers)
	return s
}

func (s *Secured) setup(peers Peers) error {
	if err := CheckName("cluster", s.o.Cluster); err != nil {
		return err
	}
	if err := s.self.check(); err != nil {
		return err
	}
	began := uint64(max(s.o.Clock().UnixMilli(), 0))
	if s.run == (Run{}) {
		s.run.Number = began
		if _, err := io.ReadFull(s.o.Rand, s.run.ID[:]); err != nil {
			return fmt.Errorf("transport: boot id: %w", err)
		}
	}
	s.me.name, s.me.sighting.sight.Run, s.me.sighting.firstMS = s.self.Node, s.run, began
	var err error
	if s.decap, err = hpke.NewDHKEMPrivateKey(s.self.Agree); err != nil {
		return fmt.Errorf("transport: identity of %s: %w", s.self.Node, err)
	}
	if s.me.out, s.me.in, err = s.agree(s.self.Node, s.self.Agree.PublicKey().Bytes()); err != nil {
		return err
	}
	s.peers = make(map[NodeID]*peer, len(peers))
	return s.Add(peers)
}

// Add has nodes heard that joined the roster. One that is there already must be the same.
func (s *Secured) Add(peers Peers) error {
	s.roster.Lock()
	defer s.roster.Unlock()
	for name, p := range peers {
		if name != p.Node || CheckName("node", string(name)) != nil {
			return fmt.Errorf("transport: roster lists %q under %q", p.Node, name)
		}
		if name == s.self.Node {
			continue
		}
		if len(p.Identity) != ed25519.PublicKeySize {
			return fmt.Errorf("transport: roster: identity key of %s has %d bytes, want %d", name, len(p.Identity), ed25519.PublicKeySize)
		}
		pub, err := kem.NewPublicKey(p.HPKE)
		if err != nil {
			return fmt.Errorf("transport: roster: HPKE key of %s: %w", name, err)
		}
		if was := s.peers[name]; was != nil {
			if !was.identity.Equal(p.Identity) || !bytes.Equal(was.seal.pub.Bytes(), p.HPKE) {
				return fmt.Errorf("transport: roster: %s has another identity", name)
			}
			continue
		}
		out, in, err := s.agree(name, p.HPKE)
		if err != nil {
			return err
		}
		s.peers[name] = &peer{
			name:     name,
			identity: p.Identity,
			out:      out,
			in:       in,
			seal:     sealer{pub: pub, info: hpkeInfo(s.o.Cluster, s.self.Node, name)},
			open:     opener{priv: s.decap, info: hpkeInfo(s.o.Cluster, name, s.self.Node)},
		}
	}
	return nil
}

// Remove takes nodes out of the roster: nothing of theirs is delivered any more, and nothing sent to them.
func (s *Secured) Remove(ids []NodeID) {
	s.roster.Lock()
	defer s.roster.Unlock()
	for _, id := range ids {
		if p := s.peers[id]; p != nil {
			p.forget()
		}
		delete(s.peers, id)
	}
}

// forget wipes the keys that are shared with the peer.
func (p *peer) forget() {
	p.out.forget()
	p.in.forget()
	p.seal.forget()
	p.open.forget()
}

// peer is what we know of a node, nil if it is not in the roster or ourselves.
func (s *Secured) peer(id NodeID) *peer {
	s.roster.RLock()
	defer s.roster.RUnlock()
	return s.peers[id]
}

// Join joins the channel on the wrapped network. Each envelope is delivered once, so a channel has one Conn at a time.
func (s *Secured) Join(ctx context.Context, name string) (Conn, error) {
	if s.err != nil {
		return nil, s.err
	}
	if err := CheckName("channel", name); err != nil {
		return nil, err
	}
	ch, err := s.enter(name)
	if err != nil {
		return nil, err
	}
	c := &securedConn{Secured: s, name: name, channel: ch}
	if c.inner, err = s.inner.Join(ctx, name, c); err != nil {
		s.leave(ch)
		return nil, err
	}
	return c, nil
}

func (s *Secured) enter(name string) (*channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	ch := s.channels[name]
	switch {
	case ch != nil && ch.open:
		return nil, fmt.Errorf("transport: channel %s is joined already: close the first Conn, or share it", name)
	case ch == nil && len(s.channels) >= ChannelsMax:
		return nil, fmt.Errorf("transport: channel %s would be one more than %d: tell ceremonies apart by topic", name, ChannelsMax)
	case ch == nil:
		ch = new(channel)
		s.channels[name] = ch
	}
	ch.open = true
	return ch, nil
}

func (s *Secured) leave(ch *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.open = false
}

// Stats returns the counters so far.
func (s *Secured) Stats() Stats {
	stats := s.stats.snapshot()
	s.roster.RLock()
	defer s.roster.RUnlock()
	for name, p := range s.peers {
		stats.Lost[name] = p.lost.Load()
	}
	return stats
}

// Close closes the wrapped network and drops every key.
func (s *Secured) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.inner.Close()
	s.roster.RLock()
	defer s.roster.RUnlock()
	for _, p := range s.peers {
		p.forget()
	}
	if s.me.out != nil { // else the identity was refused
		s.me.out.forget()
		s.me.in.forget()
	}
	return err
}

func (s *Secured) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// securedConn is a Conn of a Secured.
type securedConn struct {
	*Secured
	inner   Conn
	name    string
	channel *channel
	closing sync.Once
}

// Close leaves the channel; the Secured stays.
func (c *securedConn) Close() error {
	err := c.inner.Close()
	c.closing.Do(func() { c.leave(c.channel) })
	return err
}
