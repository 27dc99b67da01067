package ceremony

import (
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: one peer cannot take the slots of another, however few there are, and slots come back. Method: it takes what it can, then another.
func TestSlotsPerPeer(t *testing.T) {
	for _, row := range []struct{ n, peers, part int }{{128, 2, 64}, {8, 2, slotsPeerMin}, {1, 2, slotsPeerMin}, {128, 200, slotsPeerMin}} {
		s := NewSlots(row.n, row.peers)
		var back []func()
		take := func(from transport.NodeID) (n int) {
			for range 2 * row.part {
				if b, ok := s.Take(transport.Envelope{From: from}); ok {
					back = append(back, b)
					n++
				}
			}
			return n
		}
		if b, c := take("b"), take("c"); b != row.part || c != row.part {
			t.Errorf("of %d slots for %d peers one takes %d, then another %d; each has %d", row.n, row.peers, b, c, row.part)
		}
		for _, b := range back {
			b()
		}
		if s.taken["b"] != 0 {
			t.Error("slots are not given back")
		}
	}
}

// Goal: nor can it take the memory of all with what it asks. Method: proposals of the largest size, to the edge; then another's.
func TestSlotsBytes(t *testing.T) {
	s, body := NewSlots(128, 2), make([]byte, transport.BodyMax)
	var back []func()
	for {
		b, ok := s.Take(transport.Envelope{From: "b", Body: body})
		if !ok {
			break
		}
		back = append(back, b)
	}
	if lost := s.Lost(); lost["b"] != 1 || len(lost) != 1 {
		t.Errorf("one has no slot, counted are %v", lost)
	}
	if held := s.held.held["b"]; held > proposalsAll/2 || held < proposalsAll/2-2*len(body) {
		t.Errorf("%d bytes of one peer are held in %d slots, its part is %d", held, len(back), proposalsAll/2)
	}
	if _, ok := s.Take(transport.Envelope{From: "c", Body: body}); !ok {
		t.Error("nothing is left for another")
	}
	for _, b := range back {
		b()
	}
	if s.held.held["b"] != 0 {
		t.Errorf("%d bytes are counted when nothing is held", s.held.held["b"])
	}
	if many := NewSlots(128, 200); many.held.part < slotsPeerMin*transport.BodyMax {
		t.Errorf("of %d bytes, a peer has no %d proposals", many.held.part, slotsPeerMin)
	}
}
