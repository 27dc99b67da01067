package transport

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Goal: every number within WindowLen is accepted once, in any order, and none behind it. Method: the window against a set,
// over jumps around its length, and over numbers whose places others had that came or did not.
func TestWindow(t *testing.T) {
	var w window
	seen := map[uint64]bool{}
	newest := uint64(0)
	for _, seq := range []uint64{1, 2, 5, 3, 5, 64, 65, 63, 4096, 4097, 2, 1, 4, 4160, 65, 64, 66, 12288, 8193, 8192, 12287, 1 << 40,
		5000, 1<<40 - 4095, 1<<40 - 4096, 1<<40 + 4000, 1<<40 + 4100, 1<<40 + 4096, 1<<40 + 4096, ^uint64(0), ^uint64(0)} {
		want := seen[seq] || (newest >= WindowLen && seq <= newest-WindowLen)
		if got := w.seen(seq); got != want {
			t.Fatalf("seen(%d) = %v after %d", seq, got, newest)
		}
		if !want {
			w.mark(seq)
			seen[seq] = true
			newest = max(newest, seq)
		}
	}
	for seq := newest; seq > newest-WindowLen; seq-- {
		if w.seen(seq) != seen[seq] {
			t.Fatalf("seen(%d) = %v", seq, !seen[seq])
		}
	}
}

// Goal: envelopes arrive once, in any order, up to WindowLen late. Method: hold back everything, deliver the newest first.
func TestReplay(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	var raw [][]byte // raw[i] has sequence number i+1
	for range WindowLen + 1 {
		raw = append(raw, a.seal(Envelope{Body: []byte("x")}))
	}
	b.take(raw[WindowLen])
	b.refuse(raw[WindowLen], DropReplay)
	b.refuse(raw[0], DropReplay) // WindowLen behind
	b.take(raw[1])               // WindowLen-1 behind
	b.take(raw[WindowLen-1])
	b.refuse(raw[1], DropReplay)
	b.refuse(raw[WindowLen-1], DropReplay)
}

// Goal: two copies that are verified at the same moment are accepted once. Method: both pass the probe before either is accepted.
func TestReplayRace(t *testing.T) {
	var r replays
	h := &front{Channel: "news", Seq: 1, BootMS: 1}
	for range 2 {
		if _, ok := r.probe(h, start); !ok {
			t.Fatal("probe remembers")
		}
	}
	if _, ok := r.accept(h, start); !ok {
		t.Fatal("first refused")
	}
	if reason, ok := r.accept(h, start); ok || reason != DropReplay {
		t.Error("second accepted")
	}
}

// Goal: the gate heeds the second check too. Method: two copies of an envelope that takes long to hash come at once.
func TestReplayRaceAdmit(t *testing.T) {
	a, b := newEnd(t, "a", start, 1), newEnd(t, "b", start, 2)
	raw := a.seal(Envelope{Body: make([]byte, BodyMax)})
	var admitted atomic.Int32
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if b.conn.(*securedConn).Admit(&Envelope{Body: raw}) {
				admitted.Add(1)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 1 || b.net.Stats().Dropped["replay"] != 1 {
		t.Errorf("%d admitted", admitted.Load())
	}
}

// Goal: channels have windows of their own. Method: a channel that runs ahead leaves another's numbers alone.
func TestReplayChannels(t *testing.T) {
	var r replays
	r.accept(&front{Channel: "busy", Seq: 10 * WindowLen}, start)
	if _, ok := r.accept(&front{Channel: "slow", Seq: 1}, start); !ok {
		t.Error("slow channel fell out of the window of a busy one")
	}
}

// Goal: a restarted node is heard at once, and what its last process sent is refused from then on, delivered before or not.
// Method: two boots; old envelopes held back.
func TestRestart(t *testing.T) {
	b := newEnd(t, "b", start, 2)
	old := newEnd(t, "a", start, 1)
	delivered, held := old.seal(Envelope{}), old.seal(Envelope{})
	b.take(delivered)
	renewed := newEnd(t, "a", start.Add(time.Second), 3)
	b.take(renewed.seal(Envelope{}))
	b.refuse(held, DropStaleBoot)
	b.refuse(delivered, DropStaleBoot)
	b.take(renewed.seal(Envelope{}))
}

// Goal: a node that restarts with its clock set back is heard again, but not before every envelope of its last process has
// expired. Method: the second boot starts earlier than the first; b's clock moves to just before and just after.
func TestRestartClockBack(t *testing.T) {
	b, first := newEnd(t, "b", start, 2), newEnd(t, "a", start.Add(time.Minute), 1)
	b.take(first.seal(Envelope{}))
	back := newEnd(t, "a", start, 3)
	b.refuse(back.seal(Envelope{}), DropStaleBoot)
	for _, step := range []struct {
		after time.Duration
		ok    bool
	}{{bootSilence, false}, {bootSilence + time.Millisecond, true}} {
		*back.now, *b.now = start.Add(step.after), start.Add(step.after)
		if raw := back.seal(Envelope{}); step.ok {
			b.take(raw)
		} else {
			b.refuse(raw, DropStaleBoot)
		}
	}
	*first.now = *b.now
	b.take(first.seal(Envelope{})) // its start is the later: a duplicate of the node, but authentic
	b.refuse(back.seal(Envelope{}), DropStaleBoot)
}

// Goal: boots with the same start are bounded. Method: bootsMax are heard, one more is not.
func TestBootsBounded(t *testing.T) {
	b := newEnd(t, "b", start, 2)
	for i := range byte(bootsMax) {
		b.take(newEnd(t, "a", start, 10+i).seal(Envelope{}))
	}
	b.refuse(newEnd(t, "a", start, 99).seal(Envelope{}), DropStaleBoot)
	if n := len(b.net.peers["a"].replays.boots); n != bootsMax {
		t.Errorf("%d boots kept", n)
	}
	b.take(newEnd(t, "a", start.Add(time.Millisecond), 98).seal(Envelope{}))
	if n := len(b.net.peers["a"].replays.boots); n != 1 {
		t.Errorf("%d boots kept after a newer one", n)
	}
}

// Goal: clocks may differ by SkewMax and not more, either way. Method: the edges.
func TestSkew(t *testing.T) {
	for _, c := range []struct {
		off time.Duration
		ok  bool
	}{{SkewMax, true}, {-SkewMax, true}, {SkewMax + time.Millisecond, false}, {-SkewMax - time.Millisecond, false},
		{-1000 * time.Hour, false}} {
		raw := newEnd(t, "a", start.Add(c.off), 1).seal(Envelope{})
		if b := newEnd(t, "b", start, 2); c.ok {
			b.take(raw)
		} else {
			b.refuse(raw, DropSkew)
		}
	}
}
