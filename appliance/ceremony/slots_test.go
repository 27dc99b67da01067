package ceremony

import (
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: one peer cannot take the slots of all, and slots come back. Method: it takes what it can, and another takes one.
func TestSlotsPerPeer(t *testing.T) {
	s := NewSlots(8, 2)
	var back []func()
	for range 20 {
		if b, ok := s.Take(transport.Envelope{From: "b"}); ok {
			back = append(back, b)
		}
	}
	if len(back) != slotsPeerMin {
		t.Errorf("%d slots of one peer, want its part, %d", len(back), slotsPeerMin)
	}
	for range 20 {
		if b, ok := s.Take(transport.Envelope{From: "c"}); ok {
			back = append(back, b)
		}
	}
	if _, ok := s.Take(transport.Envelope{From: "d"}); ok || len(back) != 8 {
		t.Errorf("%d slots of 8 are taken, and one more", len(back))
	}
	for _, b := range back {
		b()
	}
	if s.free != 8 || s.taken["b"] != 0 {
		t.Error("slots are not given back")
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
