package transport

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// A frame is what a raw network carries. Whatever of it costs anything, a place in a queue above all, is behind a MAC:
//
//	u8 version | u8 length, sender | run 16 | u64 run's number | u64 sequence number | u64 time | SHA-256 of what is sealed, 32
//	u16 how many | for each addressee: name of the pair 8, MAC 32
//	what is sealed
//
// Numbers are big-endian. A MAC is HMAC-SHA256 under the key of sender and addressee, in this direction, over the first line and the
// channel's name. [X]
const (
	pairNameLen = 8
	macLen      = sha256.Size
	placeLen    = pairNameLen + macLen
	fixedLen    = 16 + 3*8 + sha256.Size // of the first line, behind the sender
	// macsMax is the most addressees of a frame: all that To may list. A roster has fewer, the sender included.
	macsMax = RecipientsMax
)

// front is a frame as it is before anything of it was decoded; its slices are the frame's.
type front struct {
	From    []byte
	Boot    [16]byte // Run.ID
	BootMS  uint64   // Run.Number
	Seq     uint64
	TimeMS  uint64
	Channel string
	sum     []byte // of sealed
	first   []byte // the first line
	places  []byte
	sealed  []byte
}

// parseFront takes a frame of the channel apart.
func parseFront(frame []byte, channel string) (*front, Reason, bool) {
	if len(frame) == 0 {
		return nil, DropMalformed, false
	}
	if frame[0] != wireVersion {
		return nil, DropRelease, false
	}
	if len(frame) < 2 {
		return nil, DropMalformed, false
	}
	end := 2 + int(frame[1])
	if len(frame) < end+fixedLen+2 {
		return nil, DropMalformed, false
	}
	number, fixed := binary.BigEndian.Uint64, frame[end:end+fixedLen]
	f := &front{From: frame[2:end], Boot: [16]byte(fixed), BootMS: number(fixed[16:]), Seq: number(fixed[24:]), TimeMS: number(fixed[32:]),
		Channel: channel, sum: fixed[40:], first: frame[:end+fixedLen]}
	places := placeLen * int(binary.BigEndian.Uint16(frame[end+fixedLen:]))
	rest := frame[end+fixedLen+2:]
	if places > placeLen*macsMax || len(rest) < places {
		return nil, DropMalformed, false
	}
	f.places, f.sealed = rest[:places], rest[places:]
	return f, 0, true
}

// frame puts what is sealed behind a MAC for each addressee.
func frame(h *header, sealed []byte, to []*peer) []byte {
	sum := sha256.Sum256(sealed)
	b := make([]byte, 0, 2+len(h.From)+fixedLen+2+placeLen*len(to)+len(sealed))
	b = append(append(b, wireVersion, byte(len(h.From))), h.From...)
	b = append(b, h.Boot[:]...)
	for _, n := range []uint64{h.BootMS, h.Seq, h.TimeMS} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, sum[:]...)
	first, count := b, 0
	b = append(b, 0, 0)
	for _, p := range to {
		if mac, ok := p.out.mac(first, h.Channel); ok {
			b, count = append(append(b, p.out.name[:]...), mac...), count+1
		}
	}
	binary.BigEndian.PutUint16(b[len(first):], uint16(count))
	return append(b, sealed...)
}

// pairKey authenticates what one node sends another. [X]
type pairKey struct {
	name [pairNameLen]byte // public: by it an addressee finds its MAC

	mu  sync.RWMutex
	key *secret.Bytes // nil once it is forgotten
}

// pairInfo binds a pair's key to its direction, and to the keys it is of.
func pairInfo(cluster string, from, to NodeID, fromPub, toPub []byte) [32]byte {
	return canon.Hash(tagPair, []byte(cluster), []byte(from), []byte(to), fromPub, toPub)
}

// agree derives the keys of us and a peer, out to it and in from it, from the X25519 keys that both have in the roster. A key of low order
// is refused.
func (s *Secured) agree(name NodeID, key []byte) (out, in *pairKey, err error) {
	pub, err := ecdh.X25519().NewPublicKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: roster: HPKE key of %s: %w", name, err)
	}
	shared, err := s.self.Agree.ECDH(pub)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: roster: HPKE key of %s: %w", name, err)
	}
	defer secret.Wipe(shared)
	own := s.self.Agree.PublicKey().Bytes()
	if out, err = newPairKey(shared, pairInfo(s.o.Cluster, s.self.Node, name, own, key)); err != nil {
		return nil, nil, err
	}
	if in, err = newPairKey(shared, pairInfo(s.o.Cluster, name, s.self.Node, key, own)); err != nil {
		out.forget()
		return nil, nil, err
	}
	return out, in, nil
}

func newPairKey(shared []byte, info [32]byte) (*pairKey, error) {
	key, err := hkdf.Key(sha256.New, shared, nil, string(info[:]), keyLen)
	if err != nil {
		return nil, err
	}
	return &pairKey{name: [pairNameLen]byte(info[:]), key: secret.From(key)}, nil
}

// mac is the MAC over the first line of a frame of the channel, unless the key is forgotten. What crypto/hmac copies of the key cannot be
// wiped in Go; it dies with the reference.
func (k *pairKey) mac(first []byte, channel string) ([]byte, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.key == nil {
		return nil, false
	}
	m := hmac.New(sha256.New, k.key.Bytes())
	m.Write(first)
	m.Write([]byte(channel))
	return m.Sum(nil), true
}

// holds tells whether the MAC of this pair is in the frame.
func (k *pairKey) holds(f *front) (Reason, bool) {
	for p := f.places; len(p) > 0; p = p[placeLen:] {
		if !bytes.Equal(p[:pairNameLen], k.name[:]) {
			continue
		}
		if mac, ok := k.mac(f.first, f.Channel); !ok || !hmac.Equal(mac, p[pairNameLen:placeLen]) {
			return DropForged, false
		}
		return 0, true
	}
	return DropNotForUs, false
}

func (k *pairKey) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key.Wipe()
	k.key = nil
}

// Admit implements Gate: a frame may wait to be received if it is authentic, fresh and new, by its MAC.
func (c *securedConn) Admit(e *Envelope) bool {
	f, p, reason, ok := c.admit(e.Body)
	if !ok {
		c.stats.dropped[reason].Add(1)
		return false
	}
	e.From, e.front = p.name, f
	return true
}

// Lost implements Gate.
func (c *securedConn) Lost(from NodeID) {
	if p := c.peer(from); p != nil {
		p.lost.Add(1)
	}
}

// admit checks in the order of cost. Nothing is remembered, or told of a peer, before the MAC holds; and what came before ends here, so
// that whoever repeats it takes nobody's place.
func (c *securedConn) admit(raw []byte) (*front, *peer, Reason, bool) {
	if len(raw) > FrameMax {
		return nil, nil, DropTooLarge, false
	}
	f, reason, ok := parseFront(raw, c.name)
	if !ok {
		return nil, nil, reason, false
	}
	p := c.sender(f.From)
	if p == nil {
		return nil, nil, DropUnknown, false
	}
	if reason, ok := p.in.holds(f); !ok {
		return nil, nil, reason, false
	}
	now := c.o.Clock()
	if reason, ok := c.timely(f, p, now); !ok {
		return nil, nil, reason, false
	}
	if sha256.Sum256(f.sealed) != [sha256.Size]byte(f.sum) {
		return nil, nil, DropForged, false
	}
	if reason, ok := p.replays.accept(f, now); !ok {
		return nil, nil, reason, false
	}
	p.sighting.delivered(f, now)
	return f, p, 0, true
}

// timely tells whether a frame with the right MAC is fresh and new, and notes what one that is not tells of its sender.
func (c *securedConn) timely(f *front, p *peer, now time.Time) (Reason, bool) {
	ok := fresh(f.TimeMS, now)
	if p == &c.me {
		if ok && f.Boot != c.run.ID {
			p.sighting.refused(f, now)
		}
		return DropUnknown, false
	}
	reason := DropSkew
	if ok {
		reason, ok = p.replays.probe(f, now)
	}
	if reason == DropSkew || reason == DropStaleBoot {
		p.sighting.refused(f, now)
	}
	return reason, ok
}

// sender is who a frame says it is from, nil if that is nobody of the roster.
func (s *Secured) sender(name []byte) *peer {
	s.roster.RLock()
	defer s.roster.RUnlock()
	if string(name) == string(s.self.Node) {
		return &s.me
	}
	return s.peers[NodeID(name)]
}
