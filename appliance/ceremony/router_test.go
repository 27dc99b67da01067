package ceremony

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/canon/canontest"
	"github.com/luxfi/mpcd/threshold"
)

// hallOf is the hall of the first of these nodes. What it sends is lost.
func hallOf(nodes ...transport.NodeID) Hall {
	m := &Members{roster: &attest.SignedRoster{}, Self: nodes[0], node: map[transport.NodeID]*Member{}, party: map[threshold.PartyID]*Member{}}
	for i, id := range nodes {
		one := &Member{ID: id, Party: threshold.PartyID(i + 1)}
		m.node[id], m.party[one.Party] = one, one
		m.roster.Roster.Nodes = append(m.roster.Roster.Nodes, attest.RosterNode{ID: string(id), Party: one.Party})
	}
	return Hall{Members: m, Send: func(transport.Envelope) {}, Heard: func(transport.NodeID) (never time.Time) { return }, Clock: time.Now,
		Pace: Pace{Repeat: time.Second, Silence: time.Minute}}
}

// Goal: what peers can make a node hold is bounded in number, per peer and ceremony, and forgotten in time; a topic opens once.
// Method: fill it to the edges.
func TestRouterLimits(t *testing.T) {
	now := time.Unix(1, 0)
	hall := hallOf("self", "a", "b", "c")
	hall.Clock = func() time.Time { return now }
	r, peers, number := NewRouter(hall), []transport.NodeID{"a", "b"}, 0
	topic := func(i int) (t [32]byte) { t[0], t[1], t[2] = byte(i), byte(i>>8), byte(i>>16); return t }
	for i := range earlyPeerMax + 10 {
		r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: topic(i)})
	}
	if r.byPeer[earlyPart{from: "a"}] != earlyPeerMax {
		t.Errorf("%d envelopes of one peer are held, limit %d", r.byPeer[earlyPart{from: "a"}], earlyPeerMax)
	}
	for range inboxPeer + 10 {
		number++
		r.Deliver(transport.Envelope{From: "b", Kind: KindEngine, Topic: topic(1 << 21), Body: fmt.Append(nil, number)})
	}
	r.Deliver(transport.Envelope{From: "c", Kind: KindEngine, Topic: topic(1 << 21)})
	if r.byPeer[earlyPart{from: "b"}] != inboxPeer || r.byPeer[earlyPart{from: "c"}] != 1 {
		t.Errorf("%d early envelopes of a topic, limit %d, and %d of another peer",
			r.byPeer[earlyPart{from: "b"}], inboxPeer, r.byPeer[earlyPart{from: "c"}])
	}
	box, ok := r.join(topic(1<<21), "a", peers)
	if !ok || len(box.in) != inboxPeer || r.byPeer[earlyPart{from: "b"}] != 0 {
		t.Errorf("%d envelopes when the topic opens, want %d, and nothing of a stranger", len(box.in), inboxPeer)
	}
	for _, from := range []transport.NodeID{"b", "a", "c"} {
		for range inboxPeer + 10 {
			r.Deliver(transport.Envelope{From: from, Kind: KindEngine, Topic: topic(1 << 21)})
		}
	}
	if box.from["a"] != inboxPeer || box.from["b"] != inboxPeer || len(box.in) != 2*inboxPeer {
		t.Errorf("%d envelopes wait, of peers %v, limit %d of each", len(box.in), box.from, inboxPeer)
	}
	if _, again := r.join(topic(1<<21), "a", peers); again {
		t.Error("a topic opened twice")
	}
	r.leave(topic(1<<21), nil)
	if _, again := r.join(topic(1<<21), "a", peers); again {
		t.Error("a ceremony ran twice")
	}
	now = now.Add(earlyTTL + time.Second)
	r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: topic(7 << 16)})
	if r.byPeer[earlyPart{from: "a"}] != 1 || len(r.early) != 1 {
		t.Errorf("after the time is over %d are held, of %d topics", r.byPeer[earlyPart{from: "a"}], len(r.early))
	}
	before := len(r.past)
	for i := range pastMax {
		r.join(topic(i), "c", nil)
		r.leave(topic(i), nil)
	}
	if n := len(r.past) - before; n != pastMax/4 {
		t.Errorf("%d finished ceremonies of one coordinator of four are held, limit %d", n, pastMax/4)
	}
	if _, again := r.join(topic(1<<21), "a", peers); again {
		t.Error("one coordinator made us forget another's ceremony")
	}
}

// Goal: what a peer's bad proposals make another refuse takes no place from what the other says in ceremonies; what it repeats takes one.
// Method: refusals of the other without end, then its first words, each come twice.
func TestEarlyRefusals(t *testing.T) {
	r := NewRouter(hallOf("self", "a"))
	for i := range earlyPeerMax + earlyRefusals {
		r.Deliver(transport.Envelope{From: "a", Kind: KindRefusal, Topic: [32]byte{1, byte(i), byte(i >> 8)}})
	}
	if n := r.byPeer[earlyPart{"a", true}]; n != earlyRefusals {
		t.Errorf("%d refusals are kept, at most %d", n, earlyRefusals)
	}
	for i := range earlyPeerMax {
		for range 2 {
			r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: [32]byte{2, byte(i), byte(i >> 8)}, Body: []byte("OPEN")})
		}
	}
	if n := r.byPeer[earlyPart{"a", false}]; n != earlyPeerMax {
		t.Errorf("%d other envelopes, there is room for %d", n, earlyPeerMax)
	}
	if box, _ := r.join([32]byte{2}, "a", []transport.NodeID{"a"}); len(box.in) != 1 {
		t.Errorf("what came twice is kept %d times", len(box.in))
	}
}

// Goal: an envelope too many costs next to nothing. Method: count how often the clock is asked, which is once for each look through what
// is old.
func TestFloodIsCheap(t *testing.T) {
	now, asked := time.Unix(1, 0), 0
	hall := hallOf("self", "a")
	hall.Clock = func() time.Time { asked++; return now }
	r, looked := NewRouter(hall), 0
	for i := range earlyPeerMax {
		r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: [32]byte{1, byte(i), byte(i >> 8)}})
	}
	asked = 0
	for i := range 1000 {
		before := r.expired
		now = now.Add(expireEvery / 100)
		r.Deliver(transport.Envelope{From: "a", Kind: KindEngine, Topic: [32]byte{2, byte(i), byte(i >> 8)}})
		if r.expired != before {
			looked++
		}
	}
	if looked > 1000/100+1 || asked > 1000+looked {
		t.Errorf("1000 envelopes in ten seconds have it look %d times, and ask the clock %d times", looked, asked)
	}
	if lost := r.Lost(); lost["a"] != 1000 || len(lost) != 1 {
		t.Errorf("of 1000 there is no room for, %v are counted", lost)
	}
	now = now.Add(earlyTTL)
	if r.Deliver(transport.Envelope{From: "a", Kind: KindEngine}); len(r.early) != 1 {
		t.Errorf("%d topics are kept for ever", len(r.early))
	}
}

// Goal: what is larger than its kind can be is not wanted, before it is verified. Method: each kind, at its edge.
func TestWantsSize(t *testing.T) {
	r := NewRouter(hallOf("self", "a"))
	largest := threshold.Message{Kind: threshold.Accusation, Body: make([]byte, threshold.MaxAccusation)}.Encode()
	for kind, most := range map[uint8]int{KindEngine: len(largest), KindProposal: transport.BodyMax, KindShares: transport.BodyMax,
		KindCertificate: 16 << 10, KindHeartbeat: 4 << 10, KindAsk: 1 << 10, KindAck: 1 << 10, KindRefusal: 4 << 10,
		KindSession: 1 << 10, KindSaid: 512 << 10} {
		if !r.Wants(kind, [32]byte{1}, "a", most) {
			t.Errorf("kind %d: %d bytes are refused", kind, most)
		}
		if most < transport.BodyMax && r.Wants(kind, [32]byte{1}, "a", most+1<<10) {
			t.Errorf("kind %d: more than %d bytes are wanted", kind, most)
		}
	}
}

// Goal: a peer that floods a node makes it hold no more than its part, wherever it sends, and what others send has its place.
// Method: messages of the largest size to ceremonies of every stage, with those of another between; each stage at the end is empty again.
func TestFlood(t *testing.T) {
	now := time.Unix(1, 0)
	hall := hallOf("self", "flooder", "other", "third")
	hall.Clock = func() time.Time { return now }
	r, peers := NewRouter(hall), []transport.NodeID{"flooder", "other"}
	many := make([]transport.NodeID, 200)
	for i := range many {
		many[i] = transport.NodeID(fmt.Sprint(i))
	}
	if all := NewRouter(hallOf(many...)); r.held.part != waitingAll/3 || all.held.part < waitingPeer {
		t.Fatalf("parts of %d and %d bytes", r.held.part, all.held.part)
	}
	body, number := make([]byte, threshold.MaxBody), 0
	flood := func(topic func() [32]byte) {
		t.Helper()
		for i := range r.held.part/len(body) + 9 {
			body := bytes.Clone(body)
			body[0] = byte(i)
			r.Deliver(transport.Envelope{From: "flooder", Kind: KindEngine, Topic: topic(), Body: body})
			if n := r.held.held["flooder"]; n > r.held.part {
				t.Fatalf("%d bytes of one peer are held, at most %d", n, r.held.part)
			}
		}
		if n := r.held.held["flooder"]; n < r.held.part-2*len(body) {
			t.Errorf("%d bytes of the flooder, it may have %d", n, r.held.part)
		}
	}
	fresh := func() [32]byte { number++; return [32]byte{1, byte(number)} }
	open := func() *Ceremony {
		t.Helper()
		c, err := r.Enter([32]byte{2, byte(number)}, "other", peers)
		if err != nil {
			t.Fatal(err)
		}
		number++
		return c
	}
	honest := func(stage string, c *Ceremony) {
		t.Helper()
		for _, kind := range []uint8{KindEngine, KindCertificate} {
			r.Deliver(transport.Envelope{From: "other", Kind: kind, Topic: c.Topic, Body: body})
		}
		if got := c.box.from["other"]; got != 2 {
			t.Errorf("%s: %d envelopes of another peer wait, want 2", stage, got)
		}
	}
	flood(fresh)
	a := open()
	honest("early", a)
	now = now.Add(earlyTTL + time.Second)
	r.expire()
	b, c := open(), open()
	flood(func() [32]byte { number++; return []*Ceremony{b, c}[number%2].Topic })
	honest("open", b)
	wait := newStall(b)
	defer wait.stop()
	for len(b.box.in) > 0 { // all of it is for a later phase
		env, err := b.next(t.Context(), wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.keep(env)
	}
	if len(b.stash) != 3 { // one of each kind of each peer
		t.Errorf("%d envelopes are kept for later, want 3", len(b.stash))
	}
	flood(fresh)
	b.keep(transport.Envelope{From: "flooder", Kind: KindShares, Body: body})
	if len(b.stash) != 3 {
		t.Error("what is kept for later takes more than there is room for")
	}
	for _, c := range []*Ceremony{a, b, c} {
		c.Leave()
	}
	now = now.Add(earlyTTL + time.Second)
	r.expire()
	for id, n := range r.held.held {
		if n != 0 {
			t.Errorf("%d bytes of %s are counted when nothing is held", n, id)
		}
	}
}

// Goal: an envelope counts with all that it takes, and the largest message of the engine to the largest committee as the constants say.
// Method: one of each part, and that one.
func TestBudgetCounts(t *testing.T) {
	for name, e := range map[string]transport.Envelope{"body": {Body: make([]byte, 100)}, "proof": {Proof: make([]byte, 100)},
		"recipients": {To: []transport.NodeID{"12345678", "12345678", "12345678", "12345678", "1"}}} {
		if n := cost(e) - cost(transport.Envelope{}); n < 100 {
			t.Errorf("100 bytes of %s count %d", name, n)
		}
	}
	largest := transport.Envelope{To: slices.Repeat([]transport.NodeID{transport.NodeID(strings.Repeat("x", 63))}, threshold.MaxParties),
		Body: threshold.Message{Body: make([]byte, threshold.MaxBody)}.Encode()}
	largest.Proof = canon.MustMarshal(struct {
		To   []transport.NodeID
		Rest [1024]byte
	}{To: largest.To})
	if n := cost(largest); n > messageMax {
		t.Errorf("the largest message takes %d bytes, messageMax is %d", n, messageMax)
	}
}

// Goal: nothing is kept that no ceremony hears. Method: every kind, for a ceremony that runs and for one that is not proposed yet.
func TestKinds(t *testing.T) {
	r := NewRouter(hallOf("self", "a"))
	box, _ := r.join([32]byte{1}, "a", []transport.NodeID{"a"})
	for kind := range 256 {
		for topic := range 2 {
			r.Deliver(transport.Envelope{From: "a", Kind: uint8(kind), Topic: [32]byte{byte(topic)}})
		}
	}
	if n := len(r.early[[32]byte{}].envelopes); len(box.in) != 5 || n != 5 {
		t.Errorf("%d kinds wait, %d early; five are heard in ceremonies", len(box.in), n)
	}
}

// Goal: a peer that missed our last words gets them again, not more often than it can use, for a while and within a bound; nobody else
// does. Method: a ceremony that has ended, and words of peers in it, one after the other.
func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hall, sent := hallOf("self", "a", "b", "c"), 0
		var to []transport.NodeID
		hall.Send = func(e transport.Envelope) { sent++; to = e.To }
		r := NewRouter(hall)
		leave := func(topic [32]byte, coordinator transport.NodeID, outbox ...transport.Envelope) {
			t.Helper()
			if _, ok := r.join(topic, coordinator, nil); !ok {
				t.Fatal("it was open before")
			}
			r.leave(topic, outbox)
		}
		said := transport.Envelope{To: []transport.NodeID{"a", "b"}, Body: make([]byte, 8)}
		again := func(from transport.NodeID, kind uint8, topic byte) int {
			before := sent
			r.Deliver(transport.Envelope{From: from, Kind: kind, Topic: [32]byte{topic}})
			synctest.Wait()
			return sent - before
		}
		leave([32]byte{1}, "a", said, transport.Envelope{To: []transport.NodeID{"b"}})
		for i, row := range []struct {
			wait time.Duration
			from transport.NodeID
			kind uint8
			want int
		}{
			{0, "a", KindEngine, 0}, // it may only be late
			{repeatAfter - 1, "a", KindEngine, 0},
			{1, "a", KindEngine, 1},
			{1, "a", KindEngine, 0},
			{1, "b", KindEngine, 2},
			{repeatAfter, "a", KindAck, 0},
			{0, "c", KindEngine, 0}, // we told it nothing
			{0, "a", KindEngine, 1},
			{0, "b", KindEngine, 2},
		} {
			if time.Sleep(row.wait); again(row.from, row.kind, 1) != row.want {
				t.Errorf("row %d: to %s %d envelopes are not repeated", i, row.from, row.want)
			}
			if row.want > 0 && !slices.Equal(to, []transport.NodeID{row.from}) {
				t.Errorf("row %d: %v hear again what %s missed", i, to, row.from)
			}
		}
		r.Again(transport.Envelope{From: "a", Kind: KindProposal, Topic: [32]byte{1}})
		time.Sleep(repeatAfter)
		before := sent
		r.Again(transport.Envelope{From: "a", Kind: KindProposal, Topic: [32]byte{1}})
		if synctest.Wait(); sent != before+1 {
			t.Error("a proposal that comes again is not answered")
		}
		time.Sleep(repeatTTL + 1)
		r.expire()
		if again("a", KindEngine, 1) != 0 {
			t.Error("repeated for ever")
		}
		big := said
		big.Body = make([]byte, r.part(repeatBytes)/2+1)
		leave([32]byte{2}, "a", big)
		leave([32]byte{3}, "a", big)
		leave([32]byte{4}, "b", said)
		if r.past[[32]byte{2}].outbox != nil || r.past[[32]byte{3}].outbox == nil {
			t.Error("of what is kept to be repeated not the newest alone is kept, within its bytes")
		}
		for i := range repeatMax {
			leave([32]byte{5, byte(i), byte(i >> 8)}, "a", said)
		}
		if r.past[[32]byte{3}].outbox != nil {
			t.Error("more ceremonies are kept to be repeated than should be")
		}
		if r.past[[32]byte{4}].outbox == nil {
			t.Error("one coordinator made us forget what we said in another's ceremony")
		}
	})
}

// Goal: a peer that asks again and again for what it missed has it repeated at a bounded rate, and a large answer still once. Method: many
// ceremonies that ended with large messages, each asked about as often as it is answered.
func TestRepeatRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hall, sent := hallOf("self", "a", "b"), 0
		hall.Send = func(e transport.Envelope) { sent += len(e.Body) }
		r := NewRouter(hall)
		const size = repeatRate/2 - 1
		for i := range 6 {
			r.join([32]byte{byte(i)}, transport.NodeID([]string{"a", "b", "self"}[i%3]), nil)
			r.leave([32]byte{byte(i)}, []transport.Envelope{{To: []transport.NodeID{"a"}, Body: make([]byte, size)}})
		}
		r.join([32]byte{99}, "b", nil)
		r.leave([32]byte{99}, []transport.Envelope{{To: []transport.NodeID{"b"}, Body: make([]byte, repeatRate+1)}})
		ask := func(from transport.NodeID, topic byte) {
			r.Deliver(transport.Envelope{From: from, Kind: KindEngine, Topic: [32]byte{topic}})
			synctest.Wait()
		}
		for range 20 { // of 100 ms
			for i := range 6 {
				ask("a", byte(i))
			}
			time.Sleep(100 * time.Millisecond)
		}
		if sent == 0 || sent > 2*repeatRate {
			t.Errorf("%d bytes were repeated in two seconds, at most %d each", sent, repeatRate)
		}
		sent = 0
		ask("b", 99)
		time.Sleep(repeatAfter)
		if ask("b", 99); sent != repeatRate+1 {
			t.Errorf("of a large answer %d bytes are repeated", sent)
		}
	})
}

// Goal: a coordinator that makes us forget its ceremonies by their number cannot have one run again. Method: flood, then the first again.
func TestForgottenCeremony(t *testing.T) {
	r := NewRouter(hallOf("self", "m"))
	topic := func(i int) (t [32]byte) { t[0], t[1], t[2] = byte(i), byte(i>>8), byte(i>>16); return t }
	run := func(i int, coordinator transport.NodeID, created int64) bool {
		if _, ok := r.join(topic(i), coordinator, nil); !ok {
			return false
		}
		defer r.leave(topic(i), nil)
		return r.Date(topic(i), coordinator, created)
	}
	if !run(0, "m", 1000) || run(0, "m", 1000) {
		t.Fatal("a proposal runs once")
	}
	for i := range pastMax/2 + 1 {
		run(i+1, "m", 1000)
	}
	if run(0, "m", 1000) {
		t.Error("a ceremony ran twice")
	}
	if !run(pastMax+5, "m", 1001) || !run(pastMax+6, "honest", 900) {
		t.Error("a new proposal is refused")
	}
	if len(r.led["m"].dated) > pastMax/2 {
		t.Error("dates are kept for ever")
	}
}

// Goal: no bytes make a decoder panic, and each form has one encoding. Method: fuzz every form.
func FuzzForms(f *testing.F) {
	canontest.Fuzz(f, Refusal{Code: problem.Denied, Message: "no", Epoch: 1}, proofOf{To: []transport.NodeID{"a"}, Proof: []byte{1}},
		heartbeat{"1", true, Boot{1}, []byte{1}}, told{Version: toldVersion, Failing: "token", Hears: []hearing{{1, Boot{1}}}})
}

// Goal: no sequence of envelopes makes the router panic or hold more than its limits. Method: fuzz kinds, topics and senders.
func FuzzRouter(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 1, 0, 2, 1, 0, 3, 2, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(0, 0)
		hall := hallOf("self", "a", "b", "c", "d")
		hall.Clock = func() time.Time { return now }
		r, peers := NewRouter(hall), []transport.NodeID{"a", "b", "c"}
		for len(script) >= 3 {
			op, topic, from := script[0], [32]byte{script[1]}, transport.NodeID(string('a'+rune(script[2]%4)))
			script = script[3:]
			switch op % 4 {
			case 0:
				r.join(topic, "a", peers)
			case 1:
				r.leave(topic, nil)
			default:
				r.Deliver(transport.Envelope{From: from, Kind: op, Topic: topic})
			}
			now = now.Add(time.Duration(op) * time.Millisecond)
		}
		held, bytes := 0, map[transport.NodeID]int{}
		count := func(e transport.Envelope) { bytes[e.From] += cost(e) }
		for _, e := range r.early {
			held += len(e.envelopes)
			for _, env := range e.envelopes {
				count(env)
			}
		}
		early := 0
		for _, n := range r.byPeer {
			early += n
		}
		for _, box := range r.open {
			for len(box.in) > 0 {
				count(<-box.in)
			}
		}
		if held != early {
			t.Errorf("%d early envelopes, counted %d", held, early)
		}
		for id, n := range r.held.held {
			if n != bytes[id] || n > r.held.part {
				t.Errorf("%d bytes of %s are held, counted %d, at most %d", bytes[id], id, n, r.held.part)
			}
		}
	})
}

// Goal: a roster may be taken up while ceremonies begin and end. Method: both at once; the race detector sees a map that is read as it is
// put in another's place.
func TestRenewWhileRouting(t *testing.T) {
	hall, next := hallOf("self", "a"), hallOf("self", "a", "b").Members
	r := NewRouter(hall)
	var renewed sync.WaitGroup
	renewed.Go(func() {
		for range 100 {
			hall.Renew(next)
		}
	})
	for i := range 100 {
		topic := [32]byte{byte(i)}
		if _, ok := r.join(topic, "a", []transport.NodeID{"a"}); !ok {
			t.Fatalf("ceremony %d does not begin", i)
		}
		r.leave(topic, nil)
	}
	renewed.Wait()
	if of := r.part(pastMax); of != pastMax/3 {
		t.Errorf("a coordinator's part is %d, of three nodes' %d", of, pastMax)
	}
}
