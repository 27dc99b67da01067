package ceremony

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Limits on what peers can make a node hold, beside those in bytes.
const (
	inboxPeer     = 64               // envelopes of one peer that wait for one ceremony
	earlyPeerMax  = 1024             // envelopes of one peer for all ceremonies not yet proposed, but refusals
	earlyRefusals = 256              // refusals of one peer likewise: others can provoke them
	earlyTTL      = 20 * time.Second // how long they are kept
	expireEvery   = time.Second      // how often, at most, it is looked which are older
	pastMax       = 1 << 16          // finished ceremonies that are remembered, so that none runs twice; each coordinator has its part
	repeatMax     = 128              // of those of each coordinator, the newest, whose messages can still be repeated
	repeatTTL     = 10 * time.Second // for how long
	repeatBytes   = 16 << 20         // and how many bytes of them in all; each coordinator has its part
	repeatRate    = 4 << 20          // bytes that are repeated to one peer in a second
)

// Router hands envelopes to the ceremonies they belong to, keeps what arrives before its ceremony is known, and repeats what
// a finished ceremony said to peers that missed it. It is safe for concurrent use.
type Router struct {
	hall Hall

	mu      sync.Mutex
	held    budget // what waits: early, in inboxes, and what ceremonies keep of it
	open    map[[32]byte]*inbox
	early   map[[32]byte]*earlyTopic
	byPeer  map[earlyPart]int // early envelopes
	expired time.Time         // when what is old was last looked for
	past    map[[32]byte]*pastTopic
	led     map[transport.NodeID]*led
	asked   map[transport.NodeID]*repeated
}

// earlyPart is what early envelopes are counted by.
type earlyPart struct {
	from    transport.NodeID
	refusal bool
}

// led is what is remembered of one coordinator's ceremonies. Each has its part: one that has many does not make us forget another's.
type led struct {
	age   [][32]byte         // those that have ended, oldest first
	dated map[[32]byte]int64 // of when the newest intent of each is, in ms
	floor int64              // of those that were forgotten, the newest
}

// repeated is how many bytes were repeated to a peer since a time less than a second ago.
type repeated struct {
	since time.Time
	bytes int
}

// inbox is what waits for a ceremony that runs.
type inbox struct {
	coordinator transport.NodeID
	in          chan transport.Envelope
	from        map[transport.NodeID]int // how many of each of its peers
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
	return &Router{hall: h, held: newBudget(waitingAll, waitingPeer, h.size()-1), open: map[[32]byte]*inbox{},
		early: map[[32]byte]*earlyTopic{}, byPeer: map[earlyPart]int{}, past: map[[32]byte]*pastTopic{},
		led: map[transport.NodeID]*led{}, asked: map[transport.NodeID]*repeated{}}
}

// by is what is remembered of a coordinator. The caller holds mu.
func (r *Router) by(coordinator transport.NodeID) *led {
	l := r.led[coordinator]
	if l == nil {
		l = &led{dated: map[[32]byte]int64{}}
		r.led[coordinator] = l
	}
	return l
}

// part is each coordinator's of all.
func (r *Router) part(all int) int { return all / max(1, r.hall.size()) }

// join opens the topic of a coordinator; what arrived early of its peers is delivered first. ok is false if the topic is or was open: a
// ceremony never runs twice.
func (r *Router) join(topic [32]byte, coordinator transport.NodeID, peers []transport.NodeID) (box *inbox, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.open[topic]; taken {
		return nil, false
	}
	if _, was := r.past[topic]; was {
		return nil, false
	}
	box = &inbox{coordinator, make(chan transport.Envelope, len(peers)*inboxPeer), make(map[transport.NodeID]int, len(peers))}
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
	if !peer {
		return
	}
	if n >= inboxPeer || !r.held.take(env) {
		r.held.lose(env)
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
	ok := r.held.take(env)
	if !ok {
		r.held.lose(env)
	}
	return ok
}

// Lost is how many envelopes of each peer there was no room for, of ceremonies that run or are not proposed yet.
func (r *Router) Lost() map[transport.NodeID]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.held.lost)
}

// leave closes a topic; outbox is repeated to peers that show they missed some of it. What was kept and what waits is forgotten.
func (r *Router) leave(topic [32]byte, outbox []transport.Envelope, kept ...transport.Envelope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	box := r.open[topic]
	if box == nil {
		return
	}
	for len(box.in) > 0 {
		r.held.give(<-box.in)
	}
	for _, env := range kept {
		r.held.give(env)
	}
	delete(r.open, topic)
	r.past[topic] = &pastTopic{ended: r.hall.Clock(), outbox: outbox}
	l := r.by(box.coordinator)
	l.age = append(l.age, topic)
	r.trim(l)
	if len(l.age) > r.part(pastMax) {
		oldest := l.age[0]
		l.floor = max(l.floor, l.dated[oldest])
		delete(l.dated, oldest)
		delete(r.past, oldest)
		l.age = l.age[1:]
	}
}

// trim forgets the messages of all but a coordinator's newest finished ceremonies, within repeatMax and its part of repeatBytes.
func (r *Router) trim(l *led) {
	size, kept := 0, 0
	for i := len(l.age) - 1; i >= 0; i-- {
		p := r.past[l.age[i]]
		for _, e := range p.outbox {
			size += len(e.Body)
		}
		if kept++; kept > repeatMax || size > r.part(repeatBytes) {
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
	l := r.by(coordinator)
	if l.floor > 0 && created <= l.floor {
		return false
	}
	l.dated[topic] = created
	return true
}

// Wants is the transport's cheap filter: nothing is refused that a ceremony may need. Size is the body's, in bytes.
func (r *Router) Wants(kind uint8, topic [32]byte, _ transport.NodeID, size int) bool {
	if most, ok := bodyMax[kind]; ok && size > most {
		return false
	}
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

// repeat answers a peer that still talks in a ceremony we have ended: it may have missed our last words to it.
func (r *Router) repeat(p *pastTopic, env transport.Envelope) {
	if env.Kind != KindEngine && env.Kind != KindProposal {
		return
	}
	var words []transport.Envelope
	size := 0
	for _, e := range p.outbox {
		if slices.Contains(e.To, env.From) {
			e.To = []transport.NodeID{env.From}
			words, size = append(words, e), size+len(e.Body)
		}
	}
	if len(words) == 0 {
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
	if !r.mayRepeat(env.From, size, now) {
		return
	}
	p.repeated[env.From] = now
	go func() {
		for _, e := range words {
			r.hall.Send(e)
		}
	}()
}

// mayRepeat counts so many bytes that are repeated to a peer, unless it has had enough in this second. One answer it gets, of any size.
func (r *Router) mayRepeat(to transport.NodeID, size int, now time.Time) bool {
	a := r.asked[to]
	if a == nil || now.Sub(a.since) >= time.Second {
		a = &repeated{since: now}
		r.asked[to] = a
	}
	if a.bytes > 0 && a.bytes+size > repeatRate {
		return false
	}
	a.bytes += size
	return true
}

// keep holds an envelope whose ceremony is not proposed yet, once.
func (r *Router) keep(env transport.Envelope) {
	e := r.early[env.Topic]
	if e != nil && e.from[env.From] >= inboxPeer {
		r.held.lose(env)
		return
	}
	if e != nil && e.has(env) {
		return
	}
	part, most := earlyPart{env.From, env.Kind == KindRefusal}, earlyPeerMax
	if part.refusal {
		most = earlyRefusals
	}
	room := func() bool { return r.byPeer[part] < most && r.held.take(env) }
	if !room() {
		// who floods us does not have us look through it all each time
		if now := r.hall.Clock(); now.Sub(r.expired) < expireEvery {
			r.held.lose(env)
			return
		}
		if r.expire(); !room() {
			r.held.lose(env)
			return
		}
		e = r.early[env.Topic]
	}
	if e == nil {
		e = &earlyTopic{since: r.hall.Clock(), from: map[transport.NodeID]int{}}
		r.early[env.Topic] = e
	}
	e.envelopes = append(e.envelopes, env)
	e.from[env.From]++
	r.byPeer[part]++
}

// has tells whether the same was said already: a party repeats what nobody answers.
func (e *earlyTopic) has(env transport.Envelope) bool {
	return e.from[env.From] > 0 && slices.ContainsFunc(e.envelopes, func(x transport.Envelope) bool {
		return x.From == env.From && x.Kind == env.Kind && bytes.Equal(x.Body, env.Body)
	})
}

func (r *Router) expire() {
	now := r.hall.Clock()
	r.expired = now
	for _, l := range r.led {
		for i := len(l.age) - 1; i >= max(0, len(l.age)-repeatMax); i-- {
			if p := r.past[l.age[i]]; now.Sub(p.ended) > repeatTTL {
				p.outbox = nil
			}
		}
	}
	limit := now.Add(-earlyTTL)
	for topic, e := range r.early {
		if e.since.Before(limit) {
			r.forget(topic, e)
		}
	}
}

func (r *Router) forget(topic [32]byte, e *earlyTopic) {
	for _, env := range e.envelopes {
		r.byPeer[earlyPart{env.From, env.Kind == KindRefusal}]--
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
