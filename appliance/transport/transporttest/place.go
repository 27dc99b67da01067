package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// patience is how long a test waits for what must happen; it only ever runs out when something is broken.
const patience = 20 * time.Second

var hello = []byte("hello ")

// place is a Conn whose envelopes are collected as they come.
type place struct {
	t    *testing.T
	id   transport.NodeID
	conn transport.Conn

	mu     sync.Mutex
	got    []transport.Envelope
	change chan struct{} // closed and replaced on every arrival
}

func join(t *testing.T, id transport.NodeID, n joiner, channel string) *place {
	t.Helper()
	conn, err := n.Join(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, id: id, conn: conn, change: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.collect()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return p
}

func (p *place) collect() {
	for {
		e, err := p.conn.Recv(context.Background())
		if err != nil {
			return
		}
		p.mu.Lock()
		p.got = append(p.got, e)
		close(p.change)
		p.change = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *place) send(e transport.Envelope) {
	p.t.Helper()
	if err := p.conn.Send(p.t.Context(), e); err != nil {
		p.t.Fatalf("%s sends: %v", p.id, err)
	}
}

// find returns the envelopes so far that match, and a channel that is closed at the next arrival.
func (p *place) find(match func(transport.Envelope) bool) ([]transport.Envelope, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []transport.Envelope
	for _, e := range p.got {
		if match(e) {
			found = append(found, e)
		}
	}
	return found, p.change
}

// wait returns the first envelope with the body.
func (p *place) wait(body string) transport.Envelope {
	p.t.Helper()
	return p.waitFor(fmt.Sprintf("%.40q", body), func(e transport.Envelope) bool { return string(e.Body) == body })
}

func (p *place) waitFor(what string, match func(transport.Envelope) bool) transport.Envelope {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		found, change := p.find(match)
		if len(found) > 0 {
			return found[0]
		}
		select {
		case <-change:
		case <-timeout:
			p.t.Fatalf("%s did not receive %s", p.id, what)
		}
	}
}

// never fails the test if an envelope with the body has arrived.
func (p *place) never(body string) {
	p.t.Helper()
	if found, _ := p.find(func(e transport.Envelope) bool { return string(e.Body) == body }); len(found) > 0 {
		p.t.Fatalf("%s received %.40q", p.id, body)
	}
}

// meet repeats greetings until every place has heard every other, to all and directly: only then is a network obliged to
// deliver, for subscriptions take time to spread. Greetings carry a round, so that a second meeting is not fooled by the first.
func meet(t *testing.T, round string, places ...*place) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !haveMet(round, places) {
		for _, p := range places {
			greet(p, round, places)
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("the nodes do not find each other")
		}
	}
}

func greeting(round, kind string, from transport.NodeID) string {
	return fmt.Sprintf("%s%s %s %s", hello, round, kind, from)
}

func greet(p *place, round string, places []*place) {
	_ = p.conn.Send(p.t.Context(), transport.Envelope{Body: []byte(greeting(round, "all", p.id))}) // may fail while not connected
	for _, to := range places {
		if to.id != p.id {
			_ = p.conn.Send(p.t.Context(), transport.Envelope{To: []transport.NodeID{to.id}, Body: []byte(greeting(round, "one", p.id))})
		}
	}
}

func haveMet(round string, places []*place) bool {
	for _, p := range places {
		for _, from := range places {
			for _, kind := range []string{"all", "one"} {
				want := []byte(greeting(round, kind, from.id))
				found, _ := p.find(func(e transport.Envelope) bool { return bytes.Equal(e.Body, want) })
				if from.id != p.id && len(found) == 0 {
					return false
				}
			}
		}
	}
	return true
}

// joinAll joins the honest nodes and lets them meet.
func joinAll(t *testing.T, nets map[transport.NodeID]joiner, channel string) (a, b, c *place) {
	t.Helper()
	var p []*place
	for _, id := range honest {
		p = append(p, join(t, id, nets[id], channel))
	}
	meet(t, "1", p...)
	return p[0], p[1], p[2]
}
