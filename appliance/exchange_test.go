package appliance

import (
	"maps"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: nodes tell each other what they have, and are sent what they lack, at a pace that no peer sets. Method: the clock of a test.
func TestExchangePace(t *testing.T) {
	var x exchange
	now := time.Unix(1, 0)
	if !x.tells(now) || x.tells(now.Add(exchangeEvery-1)) || !x.tells(now.Add(exchangeEvery)) {
		t.Error("the others are told too often, or never")
	}
	if !x.supplies(now, "a") || x.supplies(now, "a") || !x.supplies(now, "b") || !x.supplies(now.Add(exchangeEvery/2), "a") {
		t.Error("a peer is sent what it lacks too often, or never, or at the cost of another")
	}
	for range 3 {
		if !x.reads(now, "a", 3) {
			t.Error("what a peer tells is not read")
		}
	}
	if x.reads(now, "a", 3) || !x.reads(now, "b", 3) {
		t.Error("what a peer tells is read without end, or what another tells is not")
	}
}

// Goal: a peer is sent what it lacks and no more, and asked for what it has more. Method: sets that differ in either, or not.
func TestDiffer(t *testing.T) {
	for _, row := range []struct {
		ours, theirs []int
		lacks        map[int]bool
		more         bool
	}{
		{nil, nil, map[int]bool{}, false},
		{[]int{1, 2}, []int{2, 1}, map[int]bool{1: false, 2: false}, false},
		{[]int{1, 2}, []int{2}, map[int]bool{1: true, 2: false}, false},
		{[]int{1}, []int{1, 3}, map[int]bool{1: false}, true},
		{[]int{1}, []int{3, 3}, map[int]bool{1: true}, true},
	} {
		if lacks, more := differ(row.ours, row.theirs); more != row.more || !maps.Equal(lacks, row.lacks) {
			t.Errorf("%v and %v: %v, %v", row.ours, row.theirs, lacks, more)
		}
	}
}

// Goal: both that tell each other records read a peer so often a minute. Method: rubbish, as often.
func TestExchangesAreBounded(t *testing.T) {
	x := newInside(t)
	env := transport.Envelope{From: "node2", Body: []byte("rubbish")}
	for range freezesMinute {
		x.freezer.learn(t.Context(), env)
	}
	for range deskMinute {
		x.desk.learn(t.Context(), env)
	}
	if now := x.cfg.Clock(); x.freezer.pace.reads(now, "node2", freezesMinute) || x.desk.pace.reads(now, "node2", deskMinute) {
		t.Error("it was not counted")
	}
}
