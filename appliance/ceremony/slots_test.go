package ceremony

import "testing"

// Goal: one peer cannot take the slots of all, and slots come back. Method: it takes what it can, and another takes one.
func TestSlotsPerPeer(t *testing.T) {
	s := NewSlots(8, 2)
	var back []func()
	for range 20 {
		if b, ok := s.Take("b"); ok {
			back = append(back, b)
		}
	}
	if len(back) != slotsPeerMin {
		t.Errorf("%d slots of one peer, want its part, %d", len(back), slotsPeerMin)
	}
	for range 20 {
		if b, ok := s.Take("c"); ok {
			back = append(back, b)
		}
	}
	if _, ok := s.Take("d"); ok || len(back) != 8 {
		t.Errorf("%d slots of 8 are taken, and one more", len(back))
	}
	for _, b := range back {
		b()
	}
	if s.free != 8 || s.taken["b"] != 0 {
		t.Error("slots are not given back")
	}
}
