package ceremony

import (
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon/canontest"
)

// Goal: what strangers can make a node hold is bounded, in all, per peer and per topic, and forgotten in time; a topic opens
// once. Method: fill it to the edges.
func TestRouterLimits(t *testing.T) {
	now := time.Unix(1, 0)
	r := NewRouter(Hall{Clock: func() time.Time { return now }, Send: func(transport.Envelope) {}})
	topic := func(i int) (t [32]byte) { t[0], t[1], t[2] = byte(i), byte(i>>8), byte(i>>16); return t }
	for i := range earlyPeerMax + 10 {
		r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: topic(i)})
	}
	if r.byPeer["a"] != earlyPeerMax {
		t.Errorf("%d envelopes of one peer are held, limit %d", r.byPeer["a"], earlyPeerMax)
	}
	r.Deliver(transport.Envelope{From: "b", Kind: KindEngine, Topic: topic(1 << 20)})
	if r.byPeer["b"] != 1 {
		t.Error("one peer crowds out another")
	}
	for range earlyTopicMax + 10 {
		r.Deliver(transport.Envelope{From: "b", Kind: KindEngine, Topic: topic(1 << 21)})
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
	r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: topic(7 << 16)})
	if r.byPeer["a"] != 1 || r.nEarly != 1 {
		t.Errorf("after the time is over %d are held, %d of them of one peer", r.nEarly, r.byPeer["a"])
	}
	for i := range inboxMin + 10 {
		if i == 0 {
			in, _ = r.join(topic(9<<16), 3)
		}
		r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: topic(9 << 16)})
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

// Goal: a coordinator that makes us forget its ceremonies by their number cannot have one run again. Method: flood, then the first again.
func TestForgottenCeremony(t *testing.T) {
	r := NewRouter(Hall{Clock: time.Now, Send: func(transport.Envelope) {}})
	topic := func(i int) (t [32]byte) { t[0], t[1], t[2] = byte(i), byte(i>>8), byte(i>>16); return t }
	run := func(i int, coordinator transport.NodeID, created int64) bool {
		if _, ok := r.join(topic(i), 3); !ok {
			return false
		}
		defer r.leave(topic(i), nil)
		return r.Date(topic(i), coordinator, created)
	}
	if !run(0, "m", 1000) || run(0, "m", 1000) {
		t.Fatal("a proposal runs once")
	}
	for i := range pastMax + 1 {
		r.leave(topic(i+1), nil)
	}
	if run(0, "m", 1000) {
		t.Error("a ceremony ran twice")
	}
	if !run(pastMax+5, "m", 1001) || !run(pastMax+6, "honest", 900) {
		t.Error("a new proposal is refused")
	}
	if len(r.dated) > pastMax {
		t.Error("dates are kept for ever")
	}
}

// Goal: no bytes make a decoder panic, and each form has one encoding. Method: fuzz every form.
func FuzzForms(f *testing.F) {
	canontest.Fuzz(f, Refusal{Code: problem.Denied, Message: "no", Epoch: 1}, proofOf{To: []transport.NodeID{"a"}, Proof: []byte{1}},
		heartbeat{"1", true, Boot{1}})
}

// Goal: no sequence of envelopes makes the router panic or hold more than its limits. Method: fuzz kinds, topics and senders.
func FuzzRouter(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 1, 0, 2, 1, 0, 3, 2, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(0, 0)
		r := NewRouter(Hall{Clock: func() time.Time { return now }, Send: func(transport.Envelope) {}})
		for len(script) >= 3 {
			op, topic, from := script[0], [32]byte{script[1]}, transport.NodeID(string('a'+rune(script[2]%4)))
			script = script[3:]
			switch op % 4 {
			case 0:
				r.join(topic, 3)
			case 1:
				r.leave(topic, nil)
			default:
				r.Deliver(transport.Envelope{From: from, Kind: op, Topic: topic})
			}
			now = now.Add(time.Duration(op) * time.Millisecond)
		}
		held := 0
		for _, e := range r.early {
			held += len(e.envelopes)
		}
		if held != r.nEarly || held > earlyMax {
			t.Errorf("%d early envelopes, counted %d", held, r.nEarly)
		}
	})
}
