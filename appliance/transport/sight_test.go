package transport

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"
)

// Goal: how far a peer's clock is off is known, also where nothing of the peer is delivered any more. Method: clocks on both sides of the
// limit; then an old envelope that somebody repeats, and a stranger's in the peer's name.
func TestSightClock(t *testing.T) {
	for _, off := range []time.Duration{0, time.Minute, -time.Minute, 130 * time.Second, -130 * time.Second, -time.Hour} {
		a, b := newEnd(t, "a", start.Add(off), 1), newEnd(t, "b", start, 2)
		_, _, _ = b.receive(a.seal(Envelope{}))
		if s := b.net.Sight("a"); s.Ahead != off || !s.At.Equal(start) {
			t.Errorf("a clock that is off by %s: %s at %s", off, s.Ahead, s.At)
		}
	}
	a, b := newEnd(t, "a", start.Add(-time.Hour), 1), newEnd(t, "b", start, 2)
	old := a.seal(Envelope{})
	*a.now = start
	b.take(a.seal(Envelope{}))
	b.refuse(old, DropSkew)
	if s := b.net.Sight("a"); s.Ahead != 0 {
		t.Errorf("what was said an hour ago tells of the clock now: %s", s.Ahead)
	}
	b.refuse(spoiled(t, newEnd(t, "a", start.Add(time.Hour), 1).seal(Envelope{})), DropForged)
	if s := b.net.Sight("a"); s.Ahead != 0 {
		t.Errorf("anybody tells of a's clock: %s", s.Ahead)
	}
	if s := b.net.Sight("x"); s != (Sight{}) {
		t.Errorf("of a stranger: %+v", s)
	}
}

// spoiled is a frame of which no MAC holds.
func spoiled(t *testing.T, raw []byte) []byte {
	t.Helper()
	f, _, ok := parseFront(slices.Clone(raw), "news")
	if !ok {
		t.Fatal("no frame")
	}
	f.first[len(f.first)-sha256.Size-1]++ // of the time
	return f.first[:len(raw)]
}

// Goal: a peer that runs twice is known, by its two runs, and one that was restarted is not taken for it. Method: what the run before sent
// comes late; then it goes on sending.
func TestSightTwice(t *testing.T) {
	b := newEnd(t, "b", start, 2)
	old := newEnd(t, "a", start, 1)
	late := old.seal(Envelope{})
	renewed := newEnd(t, "a", start.Add(time.Second), 3)
	b.take(renewed.seal(Envelope{}))
	b.refuse(late, DropStaleBoot)
	if s := b.net.Sight("a"); !s.Twice.IsZero() || s.Run != renewed.net.run {
		t.Fatalf("a restart is two runs: %+v", s)
	}
	*old.now, *b.now = start.Add(2*time.Second), start.Add(2*time.Second)
	b.refuse(old.seal(Envelope{}), DropStaleBoot)
	if s := b.net.Sight("a"); s.Twice != *b.now || s.Run != renewed.net.run || s.Other != old.net.run {
		t.Errorf("two runs at once: %+v", s)
	}
}

// Goal: two runs of one number are noticed too. Method: both are heard, in turn.
func TestSightTwiceOneNumber(t *testing.T) {
	b, one, two := newEnd(t, "b", start, 2), newEnd(t, "a", start, 1), newEnd(t, "a", start, 3)
	b.take(one.seal(Envelope{}))
	*two.now = start.Add(time.Second)
	b.take(two.seal(Envelope{}))
	if s := b.net.Sight("a"); s.Twice.IsZero() || s.Run != one.net.run || s.Other != two.net.run {
		t.Errorf("%+v", s)
	}
}

// Goal: a node hears that it runs elsewhere, from the other run alone, and its own echo is not it, nor what its run before had said.
// Method: another run, an echo, what was sent before, a forgery.
func TestSightOfSelf(t *testing.T) {
	one := newEnd(t, "a", start, 1)
	before := newEnd(t, "a", start.Add(-time.Second), 9).seal(Envelope{})
	one.refuse(before, DropUnknown)
	one.refuse(one.seal(Envelope{}), DropUnknown)
	*one.now = start.Add(time.Second)
	two := newEnd(t, "a", start.Add(time.Second), 3)
	one.refuse(spoiled(t, two.seal(Envelope{})), DropForged)
	if s := one.net.Sight("a"); !s.Twice.IsZero() || s.Run != one.net.run {
		t.Fatalf("what is no other run: %+v", s)
	}
	*one.now = start.Add(2 * time.Second)
	one.refuse(two.seal(Envelope{}), DropUnknown)
	if s := one.net.Sight("a"); s.Twice != *one.now || s.Other != two.net.run {
		t.Errorf("another run of this node: %+v", s)
	}
}

// Goal: nobody hides the second run of a node by what is dropped. Method: at one instant come forgeries in its name, repetitions of what it
// sent, old and new, and then one word of the other run.
func TestSightInFlood(t *testing.T) {
	b, one := newEnd(t, "b", start, 2), newEnd(t, "a", start, 1)
	other := newEnd(t, "a", start.Add(-time.Second), 3)
	stale, first := other.seal(Envelope{}), one.seal(Envelope{})
	b.take(first)
	*other.now = start.Add(time.Second)
	word := other.seal(Envelope{})
	for range 1000 {
		b.refuse(spoiled(t, word), DropForged)
		b.refuse(first, DropReplay)
		b.refuse(stale, DropStaleBoot)
	}
	if s := b.net.Sight("a"); !s.Twice.IsZero() {
		t.Fatalf("what was said before: %+v", s)
	}
	b.refuse(word, DropStaleBoot)
	if s := b.net.Sight("a"); s.Twice != start || s.Other != other.net.run {
		t.Errorf("the other run is hidden: %+v", s)
	}
}

// Goal: a run after the clock was set back is heard at once, if it knows the number of the run before. Method: the second run starts an
// hour earlier by its clock, with the next number.
func TestRunAfterClockBack(t *testing.T) {
	ids, peers := roster3(t)
	b := newEnd(t, "b", start, 2)
	b.take(newEnd(t, "a", start, 1).seal(Envelope{}))
	again := newEnd(t, "a", start, 3)
	again.net = Secure(again.wire, ids["a"], peers, Options{Cluster: "test", Clock: func() time.Time { return start.Add(-time.Minute) },
		Run: Run{ID: [16]byte{7}, Number: uint64(start.Add(time.Hour).UnixMilli()) + 1}})
	var err error
	if again.conn, err = again.net.Join(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	b.take(again.seal(Envelope{}))
}
