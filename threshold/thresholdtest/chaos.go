package thresholdtest

import (
	"errors"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Chaos is a ceremony of which nothing holds but that the honest run their session: the liars say at random what they like, to whom they
// like; the network repeats and reorders; the coordinator may have told every party something else; parties leave when they like
// and show, as the appliance does, the OPENs that they saw.
type Chaos[R any] struct {
	World    *World
	Sessions map[threshold.PartyID]*threshold.Session[R] // a liar has one, too, and knows what it would say
	Liars    []threshold.PartyID
	Rand     *Rand

	// Said is everything that was signed, by sender, each once.
	Said map[threshold.PartyID][]threshold.Message
	// Aborts are how the honest ended that did not end well.
	Aborts map[threshold.PartyID]*threshold.Abort

	parties []threshold.PartyID
	queue   []packet
	malice  int // in percent
}

// Go takes so many steps at random.
func (c *Chaos[R]) Go(steps int) {
	c.Said, c.Aborts = map[threshold.PartyID][]threshold.Message{}, map[threshold.PartyID]*threshold.Abort{}
	for p := range c.Sessions {
		c.parties = append(c.parties, p)
	}
	slices.Sort(c.parties)
	c.malice = c.Rand.IntN(30)
	for _, p := range c.parties {
		c.take(p)(c.Sessions[p].Start())
	}
	for range steps {
		p := c.parties[c.Rand.IntN(len(c.parties))]
		switch {
		case slices.Contains(c.Liars, p) && c.Rand.Chance(c.malice):
			if m, ok := c.lie(p); ok {
				c.send(m)
			}
		case c.Rand.Chance(1): // it leaves
			if m, ok := c.Sessions[p].OpenOriginals(); ok {
				c.send(m)
			}
			c.Sessions[p].Result() // which it takes along
			c.Sessions[p].Erase()
		default:
			c.deliver()
		}
	}
	c.World.number++
}

// deliver hands on any of the packets, which may stay under way.
func (c *Chaos[R]) deliver() {
	if len(c.queue) == 0 {
		return
	}
	i := c.Rand.IntN(min(len(c.queue), 6)) // of the oldest: some ceremonies are to come to their end
	k := c.queue[i]
	if c.Rand.Chance(85) {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	if !c.World.Authentic(k.m) {
		return
	}
	m, err := threshold.DecodeMessage(k.m.Encode())
	if err != nil {
		return
	}
	m.Ceremony, m.From, m.Proof = k.m.Ceremony, k.m.From, k.m.Proof
	c.take(k.to)(c.Sessions[k.to].Step(m))
}

// take sends what a session says and notes its abort. A liar says some of it, and some of it bent.
func (c *Chaos[R]) take(p threshold.PartyID) func([]threshold.Message, error) {
	return func(out []threshold.Message, err error) {
		for _, m := range out {
			if slices.Contains(c.Liars, p) && c.Rand.Chance(c.malice) {
				m = c.bend(m)
			}
			c.send(m)
		}
		var a *threshold.Abort
		if errors.As(err, &a) && a.Check != "erased" && !slices.Contains(c.Liars, p) {
			c.Aborts[p] = a
		}
	}
}

func (c *Chaos[R]) send(m threshold.Message) {
	m = c.World.Sign(m)
	if !slices.ContainsFunc(c.Said[m.From], func(o threshold.Message) bool { return string(o.Proof) == string(m.Proof) }) {
		c.Said[m.From] = append(c.Said[m.From], m)
	}
	for _, q := range c.parties {
		if q != m.From && (m.To == threshold.Everybody || m.To == q) && !(slices.Contains(c.Liars, m.From) && c.Rand.Chance(c.malice)) {
			c.queue = append(c.queue, packet{q, m})
		}
	}
}

// any is a message that somebody said, if anybody did.
func (c *Chaos[R]) any() (threshold.Message, bool) {
	said := c.Said[c.parties[c.Rand.IntN(len(c.parties))]]
	if len(said) == 0 {
		return threshold.Message{}, false
	}
	return said[c.Rand.IntN(len(said))], true
}

// bend changes a message in one place.
func (c *Chaos[R]) bend(m threshold.Message) threshold.Message {
	m.Body = slices.Clone(m.Body)
	other, _ := c.any()
	switch c.Rand.IntN(8) {
	case 0:
		m.Round = uint8(c.Rand.IntN(5))
	case 1:
		m.Session = threshold.SessionID{}
	case 2:
		m.Session = other.Session
	case 3:
		m.Echo = other.Echo
	case 4:
		m.Echo[0] ^= 1
	case 5:
		m.Body = slices.Clone(other.Body)
	case 6:
		m.Body = m.Body[:c.Rand.IntN(len(m.Body)+1)]
	case 7:
		if len(m.Body) > 0 {
			m.Body[c.Rand.IntN(len(m.Body))] ^= 1
		}
	}
	return m
}

// lie is something that no session would say.
func (c *Chaos[R]) lie(p threshold.PartyID) (threshold.Message, bool) {
	m, ok := c.any()
	if !ok {
		return m, false
	}
	kind := c.Rand.IntN(3)
	if kind == 0 { // a stray: whatever was said, by another mouth and in another place
		m = c.bend(m)
		if m.From = p; c.Rand.Chance(50) {
			m.To = threshold.Everybody
		} else {
			m.To = c.parties[c.Rand.IntN(len(c.parties))]
		}
		return m, true
	}
	m.From, m.To = p, threshold.Everybody
	if kind == 1 {
		m.Kind, m.Body = threshold.Originals, c.originals(m.Round)
	} else {
		m.Kind, m.Body = threshold.Accusation, c.accusation()
	}
	return m, true
}

// shown and charge are the forms of originals and accusations.
type shown struct {
	From  threshold.PartyID `cbor:"1,keyasint"`
	Bytes []byte            `cbor:"2,keyasint"`
	Proof []byte            `cbor:"3,keyasint,omitempty"`
}

type charge struct {
	Check    string              `cbor:"1,keyasint"`
	Culprits []threshold.PartyID `cbor:"2,keyasint"`
	Evidence []shown             `cbor:"3,keyasint"`
}

// originals are some broadcasts of the round, one of each party at most.
func (c *Chaos[R]) originals(round uint8) []byte {
	out := []shown{}
	for _, q := range c.parties {
		for _, m := range c.Said[q] {
			if m.Kind == threshold.Data && m.Round == round && m.To == threshold.Everybody && c.Rand.Chance(80) {
				out = append(out, shown{q, m.Encode(), m.Proof})
				break
			}
		}
	}
	return canon.MustMarshal(out)
}

// Evidence is drawn from all that was said: in each place one message of those that there are, the culprit's own twice over.
func (c *Chaos[R]) Evidence(culprit threshold.PartyID) []threshold.Message {
	var out []threshold.Message
	for _, p := range c.parties {
		said := slices.Clone(c.Said[p])
		for range said {
			i := c.Rand.IntN(len(said))
			out = append(out, said[i])
			said = slices.Delete(said, i, i+1)
		}
	}
	own := c.Said[culprit]
	switch c.Rand.IntN(4) {
	case 0:
		return []threshold.Message{own[c.Rand.IntN(len(own))], own[c.Rand.IntN(len(own))]}
	case 1:
		i := c.Rand.IntN(len(own))
		return []threshold.Message{own[i], own[c.Rand.IntN(len(own))], own[c.Rand.IntN(len(own))], own[0]}
	case 2:
		return out[:c.Rand.IntN(len(out)+1)]
	}
	return out
}

// accusation holds up to six messages against anybody, most of them its own.
func (c *Chaos[R]) accusation() []byte {
	culprit := c.parties[c.Rand.IntN(len(c.parties))]
	a := charge{Check: AllChecks[c.Rand.IntN(len(AllChecks))], Culprits: []threshold.PartyID{culprit}, Evidence: []shown{}}
	for range 1 + c.Rand.IntN(6) {
		m, ok := c.any()
		if said := c.Said[culprit]; len(said) > 0 && c.Rand.Chance(80) {
			m, ok = said[c.Rand.IntN(len(said))], true
		}
		if ok {
			a.Evidence = append(a.Evidence, shown{m.From, m.Encode(), m.Proof})
		}
	}
	return canon.MustMarshal(a)
}
