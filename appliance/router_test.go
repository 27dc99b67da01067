package appliance

import (
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: what strangers can make a node hold is bounded, in all, per peer and per topic, and forgotten in time; a topic opens
// once. Method: fill it to the edges.
func TestRouterLimits(t *testing.T) {
	now := time.Unix(1, 0)
	r := newRouter(func() time.Time { return now }, func(transport.Envelope) {})
	topic := func(i int) (t [32]byte) { t[0], t[1], t[2] = byte(i), byte(i>>8), byte(i>>16); return t }
	for i := range earlyPeerMax + 10 {
		r.deliver(transport.Envelope{From: "a", Kind: kindEngine, Topic: topic(i)})
	}
	if r.byPeer["a"] != earlyPeerMax {
		t.Errorf("%d envelopes of one peer are held, limit %d", r.byPeer["a"], earlyPeerMax)
	}
	r.deliver(transport.Envelope{From: "b", Kind: kindEngine, Topic: topic(1 << 20)})
	if r.byPeer["b"] != 1 {
		t.Error("one peer crowds out another")
	}
	for range earlyTopicMax + 10 {
		r.deliver(transport.Envelope{From: "b", Kind: kindEngine, Topic: topic(1 << 21)})
	}
	in, ok := r.join(topic(1<<21), 3)
	if !ok || len(in) != earlyTopicMax {
		t.Errorf("%d early envelopes of a topic, limit %d", len(in), earlyTopicMax)
	}
	if _, again := r.join(topic(1<<21), 3); again {
		t.Error("a topic opened twice")
	}
	r.leave(topic(1<<21), nil)
	if _, again := r.join(topic(1<<21), 3); again {
		t.Error("a ceremony ran twice")
	}
	now = now.Add(earlyTTL + time.Second)
	r.deliver(transport.Envelope{From: "a", Kind: kindEngine, Topic: topic(7 << 16)})
	if r.byPeer["a"] != 1 || r.nEarly != 1 {
		t.Errorf("after the time is over %d are held, %d of them of one peer", r.nEarly, r.byPeer["a"])
	}
	for i := range inboxMin + 10 {
		if i == 0 {
			in, _ = r.join(topic(9<<16), 3)
		}
		r.deliver(transport.Envelope{From: "a", Kind: kindEngine, Topic: topic(9 << 16)})
	}
	if len(in) != inboxMin {
		t.Errorf("inbox holds %d, limit %d", len(in), inboxMin)
	}
	for i := range pastMax + 5 {
		r.join(topic(i), 3)
		r.leave(topic(i), nil)
	}
	if len(r.past) > pastMax {
		t.Errorf("%d finished ceremonies are held, limit %d", len(r.past), pastMax)
	}
}
