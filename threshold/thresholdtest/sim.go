package thresholdtest

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// World is a committee with its identity keys, and a network that remembers what it carried.
type World struct {
	Committee threshold.Committee
	Faults    Faults
	Seed      uint64
	// Broken makes Rand give the same bytes over and over, to everybody.
	Broken bool
	// Trace, if set, is told of every delivery.
	Trace     func(to threshold.PartyID, m threshold.Message)
	rand      *Rand
	keys      map[threshold.PartyID]ed25519.PrivateKey
	authentic map[[32]byte]bool   // proofs judged before, by what they sign: a signature is slow to verify
	proofs    map[[32]byte][]byte // and to make
	pairs     map[threshold.SchemeID]map[threshold.PartyID]threshold.PairState
	history   []packet // of earlier ceremonies, for replays
	number    int      // ceremonies so far
}

// Faults are what the network does to a packet, each in percent.
type Faults struct{ Drop, Duplicate, Delay, Replay, Garbage int }

// Rough is a bad network.
var Rough = Faults{Drop: 8, Duplicate: 8, Delay: 30, Replay: 5, Garbage: 5}

// NewWorld makes a t-of-n committee whose party numbers and keys come from the seed.
func NewWorld(seed uint64, n, t int) *World {
	w := &World{Seed: seed, rand: NewRand(seed, "world"), keys: map[threshold.PartyID]ed25519.PrivateKey{},
		authentic: map[[32]byte]bool{}, proofs: map[[32]byte][]byte{},
		pairs: map[threshold.SchemeID]map[threshold.PartyID]threshold.PairState{}}
	w.Committee.Threshold = t
	id := threshold.PartyID(0)
	for range n {
		id += threshold.PartyID(1 + w.rand.IntN(3))
		key := ed25519.NewKeyFromSeed(w.rand.Bytes(ed25519.SeedSize))
		w.keys[id] = key
		w.Committee.Parties = append(w.Committee.Parties, id)
		w.Committee.Identities = append(w.Committee.Identities, key.Public().(ed25519.PublicKey))
	}
	return w
}

// Setup is that of party p for the next ceremony about the context. Advance to another ceremony with Next.
func (w *World) Setup(p threshold.PartyID, signers []threshold.PartyID, context string) threshold.Setup {
	return threshold.Setup{Ceremony: w.ceremony(), Context: []byte(context), Committee: w.Committee, Signers: signers, Self: p,
		Authentic: w.Authentic}
}

func (w *World) ceremony() [32]byte {
	return canon.Hash("mpcd/v1/test/ceremony", fmt.Appendf(nil, "%d/%d", w.Seed, w.number))
}

// Rand is the randomness of party p in the current ceremony.
func (w *World) Rand(p threshold.PartyID) io.Reader {
	if w.Broken {
		return broken{}
	}
	return NewRand(w.Seed, fmt.Sprintf("ceremony %d, party %d", w.number, p))
}

// broken is a generator that repeats itself.
type broken struct{}

func (broken) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func signed(m threshold.Message) [32]byte {
	return canon.Hash("mpcd/v1/test/message", m.Ceremony[:], []byte{byte(m.From >> 8), byte(m.From)}, m.Encode())
}

// Sign makes the message authentic, as the appliance's envelope does.
func (w *World) Sign(m threshold.Message) threshold.Message {
	h := signed(m)
	if m.Proof = w.proofs[h]; m.Proof != nil {
		return m
	}
	m.Proof = ed25519.Sign(w.keys[m.From], h[:])
	w.proofs[h] = m.Proof
	w.authentic[canon.Hash("mpcd/v1/test/proof", h[:], m.Proof, w.Committee.Identity(m.From))] = true
	return m
}

// SignAs makes the message authentic if by is its sender, and gives it by's signature, which proves nothing, if not.
func (w *World) SignAs(m threshold.Message, by threshold.PartyID) threshold.Message {
	if m.From == by {
		return w.Sign(m)
	}
	h := signed(m)
	m.Proof = ed25519.Sign(w.keys[by], h[:])
	return m
}

// Authentic tells whether the sender signed the message.
func (w *World) Authentic(m threshold.Message) bool {
	if !w.Committee.Contains(m.From) {
		return false
	}
	h := signed(m)
	at := canon.Hash("mpcd/v1/test/proof", h[:], m.Proof, w.Committee.Identity(m.From))
	good, known := w.authentic[at]
	if !known {
		good = ed25519.Verify(w.Committee.Identity(m.From), h[:], m.Proof)
		w.authentic[at] = good
	}
	return good
}

type packet struct {
	to threshold.PartyID
	m  threshold.Message
}

// Tamper replaces a message that a party is about to send to one recipient; it runs before the message is signed.
type Tamper func(m threshold.Message, to threshold.PartyID) []threshold.Message

// Run is one ceremony.
type Run[R any] struct {
	World    *World
	Sessions map[threshold.PartyID]*threshold.Session[R]
	// Liars tamper with what they send.
	Liars map[threshold.PartyID]Tamper
	// Inject is delivered first, as is: authentic or not, as it was made.
	Inject []threshold.Message

	queue   []packet
	aborts  map[threshold.PartyID]*threshold.Abort
	sent    map[threshold.PartyID]int // of the outbox
	packets map[threshold.PartyID][]packet
	history []packet
}

// Outcome is how a ceremony ended for one party: a result, an abort, or neither when it waits for a party in vain.
type Outcome[R any] struct {
	Result  R
	Done    bool
	Abort   *threshold.Abort
	Missing []threshold.PartyID
}

// maxResends bounds the attempts to get through; the last ones lose nothing.
const maxResends = 40

// Go starts every session and runs the network until all have ended or nothing moves any more. The ceremony is over then:
// the World goes on to the next.
func (r *Run[R]) Go() (map[threshold.PartyID]Outcome[R], error) {
	w := r.World
	net := NewRand(w.Seed, fmt.Sprintf("network of ceremony %d", w.number))
	r.aborts, r.sent = map[threshold.PartyID]*threshold.Abort{}, map[threshold.PartyID]int{}
	r.packets = map[threshold.PartyID][]packet{}
	parties := r.parties()
	for _, m := range r.Inject {
		for _, p := range parties {
			if m.To == threshold.Everybody && p != m.From || m.To == p {
				r.queue = append(r.queue, packet{p, m})
			}
		}
	}
	for _, p := range parties {
		_, err := r.Sessions[p].Start()
		if err := r.after(p, err); err != nil {
			return nil, err
		}
	}
	for resend := 0; ; resend++ {
		faults := w.Faults
		if resend > maxResends/2 {
			faults = Faults{Delay: faults.Delay}
		}
		before := r.state()
		if err := r.drain(net, faults); err != nil {
			return nil, err
		}
		if r.ended() {
			break
		}
		if resend > maxResends/2 && r.state() == before || resend == maxResends {
			break // whoever still waits, waits in vain
		}
		for _, p := range parties {
			if r.aborts[p] == nil {
				r.queue = append(r.queue, r.packets[p]...)
			}
		}
	}
	out := map[threshold.PartyID]Outcome[R]{}
	for _, p := range parties {
		o := Outcome[R]{Abort: r.aborts[p], Missing: r.Sessions[p].Missing()}
		if o.Abort == nil {
			o.Result, o.Done = r.Sessions[p].Result()
		}
		if o.Abort == nil {
			r.Sessions[p].Erase() // who aborts does so by itself
		}
		out[p] = o
	}
	w.history = append(w.history, r.history...)
	if len(w.history) > 200 {
		w.history = slices.Clone(w.history[len(w.history)-200:])
	}
	w.number++
	return out, nil
}

func (r *Run[R]) parties() []threshold.PartyID {
	var ps []threshold.PartyID
	for p := range r.Sessions {
		ps = append(ps, p)
	}
	slices.Sort(ps)
	return ps
}

// state changes whenever a session gets on.
func (r *Run[R]) state() string {
	var b []byte
	for _, p := range r.parties() {
		_, done := r.Sessions[p].Result()
		b = fmt.Appendf(b, "%d:%d %v %v %d;", p, r.Sessions[p].Round(), r.Sessions[p].Missing(), done, len(r.Sessions[p].Outbox()))
	}
	return string(b)
}

func (r *Run[R]) ended() bool {
	for p, s := range r.Sessions {
		if _, done := s.Result(); !done && r.aborts[p] == nil {
			return false
		}
	}
	return true
}

// after sends what the party has put out, tampered with, and notes its abort.
func (r *Run[R]) after(p threshold.PartyID, err error) error {
	out := r.Sessions[p].Outbox()
	for _, m := range out[r.sent[p]:] {
		for _, q := range r.parties() {
			if q == p || m.To != threshold.Everybody && m.To != q {
				continue
			}
			ms := []threshold.Message{m}
			if tamper := r.Liars[p]; tamper != nil {
				ms = tamper(m, q)
			}
			for _, m := range ms {
				k := packet{q, r.World.signOnce(m)}
				r.queue, r.packets[p], r.history = append(r.queue, k), append(r.packets[p], k), append(r.history, k)
			}
		}
	}
	r.sent[p] = len(out)
	if err == nil || r.aborts[p] != nil {
		return nil
	}
	a, ok := err.(*threshold.Abort)
	if !ok {
		return fmt.Errorf("party %d: %w", p, err)
	}
	r.aborts[p] = a
	return nil
}

// signOnce leaves alone what is signed already: a tamperer may send somebody else's message.
func (w *World) signOnce(m threshold.Message) threshold.Message {
	if m.Proof != nil {
		return m
	}
	return w.Sign(m)
}

// drain delivers what is under way, as the network pleases.
func (r *Run[R]) drain(net *Rand, f Faults) error {
	for len(r.queue) > 0 {
		i := 0
		if f.Delay > 0 && net.Chance(max(f.Delay, 20)) {
			i = net.IntN(len(r.queue))
		}
		k := r.queue[i]
		r.queue = slices.Delete(r.queue, i, i+1)
		switch {
		case net.Chance(f.Drop):
			continue
		case net.Chance(f.Duplicate):
			r.queue = append(r.queue, k)
		}
		if net.Chance(f.Replay) && len(r.World.history) > 0 {
			old := r.World.history[net.IntN(len(r.World.history))]
			if net.Chance(50) {
				old.m.Ceremony = k.m.Ceremony // spliced into this ceremony
			}
			if err := r.deliver(old); err != nil {
				return err
			}
		}
		if net.Chance(f.Garbage) {
			if err := r.deliver(garbage(net, k)); err != nil {
				return err
			}
		}
		if err := r.deliver(k); err != nil {
			return err
		}
	}
	return nil
}

// garbage is a packet damaged on its way.
func garbage(net *Rand, k packet) packet {
	k.m.Body, k.m.Proof = slices.Clone(k.m.Body), slices.Clone(k.m.Proof)
	switch net.IntN(5) {
	case 0:
		k.m.Body = net.Bytes(net.IntN(200))
	case 1:
		k.m.Proof = net.Bytes(ed25519.SignatureSize)
	case 2:
		k.m.Round = uint8(net.IntN(256))
	case 3:
		if len(k.m.Body) > 0 {
			k.m.Body[net.IntN(len(k.m.Body))] ^= byte(1 + net.IntN(255))
		}
	case 4:
		k.m.From = threshold.PartyID(net.IntN(20))
	}
	return k
}

// deliver does what the appliance does: unauthenticated packets end here.
func (r *Run[R]) deliver(k packet) error {
	s := r.Sessions[k.to]
	if s == nil || r.aborts[k.to] != nil || !r.World.Authentic(k.m) {
		return nil
	}
	if r.World.Trace != nil {
		r.World.Trace(k.to, k.m)
	}
	// The way over the wire.
	m, err := threshold.DecodeMessage(k.m.Encode())
	if err != nil {
		return nil
	}
	m.Ceremony, m.From, m.Proof = k.m.Ceremony, k.m.From, k.m.Proof
	_, err = s.Step(m)
	return r.after(k.to, err)
}
