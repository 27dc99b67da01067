package ceremony

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Limits on what peers can make a node hold, beside those in bytes.
const (
	inboxPeer    = 64               // envelopes of one peer that wait for one ceremony
	earlyPeerMax = 1024             // envelopes of one peer for all ceremonies not yet proposed
	earlyTTL     = 20 * time.Second // how long they are kept
	pastMax      = 1 << 16          // finished ceremonies that are remembered, so that none runs twice
	repeatMax    = 256              // of them, the newest, whose messages can still be repeated
	repeatTTL    = 10 * time.Second // for how long
	repeatBytes  = 8 << 20          // and how many bytes of them in all
)

// Router hands envelopes to the ceremonies they belong to, keeps what arrives before its ceremony is known, and repeats what
// a finished ceremony said to peers that missed it. It is safe for concurrent use.
type Router struct {
	hall Hall

	mu      sync.Mutex
	held    budget // what waits: early, in inboxes, and what ceremonies keep of it
	open    map[[32]byte]*inbox
	early   map[[32]byte]*earlyTopic
	byPeer  map[transport.NodeID]int // early envelopes
	past    map[[32]byte]*pastTopic
	pastAge [][32]byte // oldest first
	dated   map[[32]byte]dated
	floors  map[transport.NodeID]int64 // of a coordinator's proposals that were forgotten, the newest
}

// dated is whose proposal opened a topic, and of when its newest intent is, in ms.
type dated struct {
	coordinator transport.NodeID
	created     int64
}

// inbox is what waits for a ceremony that runs.
type inbox struct {
	in   chan transport.Envelope
	from map[transport.NodeID]int // how many of each of its peers
}

type earlyTopic struct {
	since     time.Time
	envelopes []transport.Envelope
	from      map[transport.NodeID]int // how many of each peer
}

type pastTopic struct {
	ended    time.Time
	outbox   []transport.Envelope
	repeated map[transport.NodeID]time.Time
}

// NewRouter makes the router of a node.
func NewRouter(h Hall) *Router {
	return &Router{hall: h, held: newBudget(waitingAll, waitingPeer, len(h.node)-1), open: map[[32]byte]*inbox{},
		early: map[[32]byte]*earlyTopic{}, byPeer: map[transport.NodeID]int{}, past: map[[32]byte]*pastTopic{},
		dated: map[[32]byte]dated{}, floors: map[transport.NodeID]int64{}}
}

// join opens a topic; what arrived early of its peers is delivered first. ok is false if the topic is or was open: a ceremony never runs
// twice.
func (r *Router) join(topic [32]byte, peers []transport.NodeID) (box *inbox, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.open[topic]; taken {
		return nil, false
	}
	if _, was := r.past[topic]; was {
		return nil, false
	}
	box = &inbox{make(chan transport.Envelope, len(peers)*inboxPeer), make(map[transport.NodeID]int, len(peers))}
	for _, id := range peers {
		box.from[id] = 0
	}
	if e := r.early[topic]; e != nil {
		r.forget(topic, e)
		for _, env := range e.envelopes {
			r.put(box, env)
		}
	}
	r.open[topic] = box
	return box, true
}

// put lets an envelope in, if it is of a peer of the ceremony that has room left, in it and in all. The caller holds mu.
func (r *Router) put(box *inbox, env transport.Envelope) {
	n, peer := box.from[env.From]
	if !peer || n >= inboxPeer || !r.held.take(env) {
		return
	}
	box.from[env.From]++
	box.in <- env // which has room for inboxPeer of each
}

// taken notes that an envelope waits no more.
func (r *Router) taken(box *inbox, env transport.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	box.from[env.From]--
	r.held.give(env)
}

// hold tells whether there is room to keep what was taken out of an inbox.
func (r *Router) hold(env transport.Envelope) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held.take(env)
}

// leave closes a topic; outbox is repeated to peers that show they missed some of it. What was kept and what waits is forgotten.
func (r *Router) leave(topic [32]byte, outbox []transport.Envelope, kept ...transport.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if box := r.open[topic]; box != nil {
		for len(box.in) > 0 {
			r.held.give(<-box.in)
		}
	}
	for _, env := range kept {
		r.held.give(env)
	}
	delete(r.open, topic)
	r.past[topic] = &pastTopic{ended: r.hall.Clock(), outbox: outbox}
	r.pastAge = append(r.pastAge, topic)
	r.trim()
	if len(r.pastAge) > pastMax {
		if d, ok := r.dated[r.pastAge[0]]; ok {
			r.floors[d.coordinator] = max(r.floors[d.coordinator], d.created)
			delete(r.dated, r.pastAge[0])
		}
		delete(r.past, r.pastAge[0])
		r.pastAge = r.pastAge[1:]
	}
}

// trim forgets the messages of all but the newest finished ceremonies, within repeatMax and repeatBytes.
func (r *Router) trim() {
	bytes, kept := 0, 0
	for i := len(r.pastAge) - 1; i >= 0; i-- {
		p := r.past[r.pastAge[i]]
		for _, e := range p.outbox {
			bytes += len(e.Body)
		}
		if kept++; kept > repeatMax || bytes > repeatBytes {
			if p.outbox == nil && kept > repeatMax {
				return // so are all before it
			}
			p.outbox = nil
		}
	}
}

// Date notes whose proposal an open topic comes from. It is false for one that may be a topic forgotten since: a coordinator who
// floods us until we forget cannot have one of its ceremonies run twice, which would make us look like an equivocator.
func (r *Router) Date(topic [32]byte, coordinator transport.NodeID, created int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if floor, ok := r.floors[coordinator]; ok && created <= floor {
		return false
	}
	r.dated[topic] = dated{coordinator, created}
	return true
}

// Wants is the transport's cheap filter: nothing is refused that a ceremony may need.
func (r *Router) Wants(kind uint8, topic [32]byte, _ transport.NodeID) bool {
	if kind != KindEngine && kind != KindShares {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.past[topic]; ok {
		return kind == KindEngine
	}
	return true
}

// Deliver puts an envelope where it belongs, or drops it: there is no room for it, or it is of no kind that a ceremony hears.
func (r *Router) Deliver(env transport.Envelope) {
	switch env.Kind {
	case KindEngine, KindShares, KindRefusal, KindCertificate, KindAck:
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if box := r.open[env.Topic]; box != nil {
		r.put(box, env)
		return
	}
	if p := r.past[env.Topic]; p != nil {
		r.repeat(p, env)
		return
	}
	r.keep(env)
}

// Again answers a proposal of a ceremony that we have ended.
func (r *Router) Again(env transport.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.past[env.Topic]; p != nil {
		r.repeat(p, env)
	}
}

const repeatAfter = 150 * time.Millisecond

// repeat answers a peer that still talks in a ceremony we have ended: it may have missed our last words.
func (r *Router) repeat(p *pastTopic, env transport.Envelope) {
	if env.Kind != KindEngine && env.Kind != KindProposal ||
		!slices.ContainsFunc(p.outbox, func(e transport.Envelope) bool { return slices.Contains(e.To, env.From) }) {
		return
	}
	now := r.hall.Clock()
	if last, ok := p.repeated[env.From]; ok && now.Sub(last) < repeatAfter {
		return
	}
	if p.repeated == nil {
		p.repeated = map[transport.NodeID]time.Time{}
		// The first word after the end is usually only late, not lost.
		p.repeated[env.From] = now
		return
	}
	p.repeated[env.From] = now
	go func(envelopes []transport.Envelope) {
		for _, e := range envelopes {
			r.hall.Send(e)
		}
	}(p.outbox)
}

// keep holds an envelope whose ceremony is not proposed yet.
func (r *Router) keep(env transport.Envelope) {
	if e := r.early[env.Topic]; e != nil && e.from[env.From] >= inboxPeer {
		return
	}
	room := func() bool { return r.byPeer[env.From] < earlyPeerMax && r.held.take(env) }
	if !room() {
		if r.expire(); !room() {
			return
		}
	}
	e := r.early[env.Topic]
	if e == nil {
		e = &earlyTopic{since: r.hall.Clock(), from: map[transport.NodeID]int{}}
		r.early[env.Topic] = e
	}
	e.envelopes = append(e.envelopes, env)
	e.from[env.From]++
	r.byPeer[env.From]++
}

func (r *Router) expire() {
	for i := len(r.pastAge) - 1; i >= max(0, len(r.pastAge)-repeatMax); i-- {
		if p := r.past[r.pastAge[i]]; r.hall.Clock().Sub(p.ended) > repeatTTL {
			p.outbox = nil
		}
	}
	limit := r.hall.Clock().Add(-earlyTTL)
	for topic, e := range r.early {
		if e.since.Before(limit) {
			r.forget(topic, e)
		}
	}
}

func (r *Router) forget(topic [32]byte, e *earlyTopic) {
	for _, env := range e.envelopes {
		r.byPeer[env.From]--
		r.held.give(env)
	}
	delete(r.early, topic)
}

// Tidy runs now and then until ctx ends.
func (r *Router) Tidy(ctx context.Context) {
	t := time.NewTicker(earlyTTL / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.mu.Lock()
			r.expire()
			r.mu.Unlock()
		}
	}
}
